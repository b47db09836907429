package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newIdlePool returns a pool whose loop does not run: the test is the loop.
func newIdlePool(tb testing.TB, clients int, url string, flags ...string) *pool {
	tb.Helper()
	p := newUnsetPool(tb, clients, append([]string{"-url", url}, flags...)...)
	target, err := newTarget(tb.Context(), p.cfg, p.cfg.url, p.cfg.hostport())
	if err != nil {
		tb.Fatal(err)
	}
	p.setUp(clients, target)
	return p
}

// newUnsetPool returns one that is not set up, either.
func newUnsetPool(tb testing.TB, clients int, flags ...string) *pool {
	tb.Helper()
	cfg, err := parseConfig(append([]string{"-c", fmt.Sprint(clients)}, flags...), nil)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := newPool(cfg, testLog(tb.Output()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.close)
	return p
}

// plug gives the client a connection, without the loop's knowledge.
func (p *pool) plug(i int32, fd int) {
	p.clients[i].fd, p.clients[i].generation = int32(fd), p.generation
	p.connections++
}

// deliveryTest is one polling client at one end of a socket pair.
type deliveryTest struct {
	*pool
	server  int
	answers [2][]byte // the wire bytes of two headlines in turn
	n       int
}

func newDeliveryTest(tb testing.TB, flags ...string) *deliveryTest {
	tb.Helper()
	// With no rest, a delivery also writes the next poll.
	flags = append([]string{"-repoll-delay", "0s", "-repoll-jitter", "0s"}, flags...)
	d := &deliveryTest{pool: newIdlePool(tb, 1, "http://127.0.0.1:1/c{client}", flags...)}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		tb.Fatal(err)
	}
	d.server = fds[0]
	tb.Cleanup(func() { unix.Close(d.server) })
	for i := range d.answers {
		body := fmt.Sprintf(`{"id": %d, "body": "Flight 123 arriving in terminal A."}`+"\n", i+1)
		head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Tue, 24 Sep 2013 01:43:45 GMT\r\n"
		if d.cfg.dialect.foreign {
			head += fmt.Sprintf("Last-Modified: Tue, 24 Sep 2013 01:43:4%d GMT\r\nEtag: 0\r\n", i)
		}
		if d.cfg.gzip {
			head += "Content-Encoding: gzip\r\n"
			body = gzipped(body)
		}
		d.answers[i] = fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	}
	d.plug(0, fds[1])
	d.request(0)
	d.deliver(tb)                              // the first answer
	d.deliver(tb)                              // the change
	d.ledger.begin(d.ledger.changes[0], 1<<40) // so that it is never complete
	return d
}

// deliver writes an answer and has the client take it in.
func (d *deliveryTest) deliver(tb testing.TB) {
	// The client's id goes back so that two headlines are enough.
	d.clients[0].id = uint64(d.n % 2)
	if _, err := unix.Write(d.server, d.answers[d.n%2]); err != nil {
		tb.Fatal(err)
	}
	d.n++
	d.ready(0, unix.EPOLLIN)
	if n, err := unix.Read(d.server, d.readBuf); err != nil || n == 0 {
		tb.Fatalf("read the next poll: %d bytes, %v", n, err)
	}
}

func TestDeliveryAllocs(t *testing.T) {
	for _, flags := range []string{"", "-gzip", "-speaks nchan", "-speaks nchan -gzip"} {
		t.Run(flags, func(t *testing.T) {
			d := newDeliveryTest(t, strings.Fields(flags)...)
			if n := testing.AllocsPerRun(1000, func() { d.deliver(t) }); n != 0 {
				t.Errorf("%v allocations a delivery, want 0", n)
			}
			if h := d.ledger.live[0]; h.received < 500 || d.faults != [faults]int{} {
				t.Errorf("%d received, faults %v", h.received, d.faults)
			}
		})
	}
}

// BenchmarkDelivery is a delivery and the poll after it on a socket pair. The
// server's write and read are included.
func BenchmarkDelivery(b *testing.B) {
	d := newDeliveryTest(b)
	b.ReportAllocs()
	for b.Loop() {
		d.deliver(b)
	}
}

// BenchmarkAnswer is what a delivery costs beside its system calls.
func BenchmarkAnswer(b *testing.B) {
	d := newDeliveryTest(b)
	d.cfg.repollDelay = 2 * time.Second
	d.cfg.repollJitter = time.Second
	c := &d.clients[0]
	b.ReportAllocs()
	for b.Loop() {
		c.id, c.state = 1, polling
		d.received(0, d.answers[1], false)
	}
}

func TestRequest(t *testing.T) {
	const fields = "User-Agent: marquee-loadclient\r\nAccept: application/json\r\n"
	for _, tt := range []struct {
		name, url string
		flags     []string
		started   bool
		want      string
	}{
		{"first", "http://127.0.0.1:1/headline/value/", nil, false, "GET /headline/value/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + fields + "\r\n"},
		{"poll", "http://127.0.0.1:1/headline/value/", nil, true, "GET /headline/value/?last_id=7 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + fields + "\r\n"},
		{"poll, URL with a query", "http://127.0.0.1:1/v?a=b%20c", nil, true, "GET /v?a=b%20c&last_id=7 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + fields + "\r\n"},
		{"no path", "http://127.0.0.1:1", nil, false, "GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + fields + "\r\n"},
		{"gzip", "http://127.0.0.1:1/", []string{"-gzip"}, false, "GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + fields + "Accept-Encoding: gzip\r\n\r\n"},
		{"a number a client", "http://127.0.0.1:1/{client}?c={client}&%7Bclient%7D", nil, true, "GET /0?c=0&0&last_id=7 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + fields + "\r\n"},
		{"a number a client at the end", "http://127.0.0.1:1/c{client}", nil, false, "GET /c0 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + fields + "\r\n"},
		{"nchan", "http://127.0.0.1:1/c", []string{"-speaks", "nchan"}, true, "GET /c HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + fields + "\r\n"},
		{"reconnect", "http://127.0.0.1:1/", []string{"-reconnect"}, true, "GET /?last_id=7 HTTP/1.0\r\nHost: 127.0.0.1:1\r\n" + fields + "Connection: close\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdlePool(t, 1, tt.url, tt.flags...)
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fds[0])
			p.plug(0, fds[1])
			p.clients[0].started, p.clients[0].id = tt.started, 7
			p.request(0)
			n, err := unix.Read(fds[0], p.readBuf)
			if err != nil || string(p.readBuf[:n]) != tt.want {
				t.Errorf("got %q, %v\nwant %q", p.readBuf[:max(n, 0)], err, tt.want)
			}
		})
	}
}

// TestSendInParts gives a client a socket that is full when it wants to ask.
func TestSendInParts(t *testing.T) {
	p := newIdlePool(t, 1, "http://127.0.0.1:1/")
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	filled := 0
	for {
		n, err := unix.Write(fds[1], p.readBuf)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		filled += n
	}
	p.plug(0, fds[1])
	p.request(0)
	if s := p.clients[0].state; s != sending {
		t.Fatalf("state %v with a full socket, want sending", s)
	}
	for got := 0; got < filled; {
		n, err := unix.Read(fds[0], p.readBuf)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	p.ready(0, unix.EPOLLOUT)
	if s := p.clients[0].state; s != asking {
		t.Fatalf("state %v after the socket was read, want asking", s)
	}
	if n, err := unix.Read(fds[0], p.readBuf); err != nil || n != len(p.requestBuf) {
		t.Errorf("read %d bytes, %v, want the request of %d", n, err, len(p.requestBuf))
	}
}

// TestBackoff fails a client often in a row.
func TestBackoff(t *testing.T) {
	p := newIdlePool(t, 1, refusing(t))
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64} {
		before := p.now()
		p.fail(0, connect, unix.ECONNREFUSED)
		at, _ := p.timers.next()
		if d := at - before; d < want*time.Second || d > (want+1)*time.Second+100*time.Millisecond {
			t.Errorf("failure %d: next try after %v, want %ds to %ds", n+1, d, want, want+1)
		}
	}
	if p.faults[connect] != 8 {
		t.Errorf("%d faults counted, want 8", p.faults[connect])
	}
}

// TestLoopEnded uses a pool whose loop was stopped.
func TestLoopEnded(t *testing.T) {
	p := newIdlePool(t, 1, refusing(t))
	p.stop()
	if err := p.run(); err != nil {
		t.Fatal(err)
	}
	if err := p.do(func() {}); err != errLoopEnded {
		t.Errorf("do after the end: %v", err)
	}
}
