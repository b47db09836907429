package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// wireTest is a test of the wire that other clients do as well.
type wireTest struct {
	name string
	test func(*testing.T)
}

// What holds for clients holds for those who speak TLS.
func TestOverTLS(t *testing.T) {
	tests := []wireTest{
		{"malformed request", TestMalformedRequest},
		{"request cut anywhere", TestRequestCutAnywhere},
		{"pipelining", TestPipelining},
		{"expect continue", TestExpectContinue},
		{"client leaves", TestClientLeaves},
		{"slow client", TestSlowClient},
		{"slow client sends on", TestSlowClientSendsOn},
		{"slow client of publish", TestSlowClientOfPublish},
		{"stalled client", TestStalledClient},
		{"timeouts", TestTimeouts},
		{"drain", TestDrain},
		{"drain timeout", TestDrainTimeout},
		{"drain slow client", TestDrainSlowClient},
		{"hold variants", TestHoldVariants},
		{"upload", TestUpload},
		{"upload as it comes", TestUploadAsItComes},
		{"upload answered early", TestUploadAnsweredEarly},
		{"upload breaks off", TestUploadBreaksOff},
		{"event stream", TestEventStream},
		{"pipelining behind stream", TestPipeliningBehindStream},
		{"pipelining behind stream is bounded", TestPipeliningBehindStreamIsBounded},
		{"client leaves download", TestClientLeavesDownload},
		{"origin breaks off", TestOriginBreaksOff},
		{"streams share", TestStreamsShare},
		{"streams leave", TestStreamsLeave},
		{"requests behind stream", TestRequestsBehindStream},
		{"drain streams", TestDrainStreams},
		{"slow stream loses messages", TestSlowStreamLosesMessages},
		{"slow stream drains", TestSlowStreamDrains},
	}
	const slow = 2 // of these, once is enough
	for version, tests := range map[uint16][]wireTest{
		tls.VersionTLS12: tests[:len(tests)-slow], tls.VersionTLS13: tests,
	} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			overTLS(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
			for _, tt := range tests {
				t.Run(tt.name, tt.test)
			}
		})
	}
}

// recorder keeps what comes from a connection.
type recorder struct {
	net.Conn
	got []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.got = append(r.got, p[:n]...)
	return n, err
}

// lastType returns the type of the last record that came (RFC 5246 §6.2.1).
func (r *recorder) lastType(t *testing.T) (last byte) {
	t.Helper()
	for rest := r.got; len(rest) > 0; {
		if len(rest) < 5 || len(rest) < 5+int(binary.BigEndian.Uint16(rest[3:])) {
			t.Fatalf("the last record is cut off: %x", rest)
		}
		last = rest[0]
		rest = rest[5+int(binary.BigEndian.Uint16(rest[3:])):]
	}
	return last
}

// dialRecorded connects a client by TLS 1.2, whose records show their type.
func (r *rig) dialRecorded() (*client, *recorder) {
	r.t.Helper()
	nc, err := net.DialTimeout("tcp", r.secure, patience)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	config := authority.client("localhost")
	config.MaxVersion = tls.VersionTLS12
	rec := &recorder{Conn: nc}
	c := tls.Client(rec, config)
	return &client{t: r.t, nc: &peer{c, nc.(*net.TCPConn)}, in: bufio.NewReader(c)}, rec
}

// A client that is given all that it gets is told so, and one that is cut off is
// not (RFC 8446 §6.1).
func TestCloseNotify(t *testing.T) {
	const alert = 21
	h := &headline{id: 1}
	origin := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/long":
			largely(w, req)
			_, _ = io.WriteString(w, large[:3])
		case "/unsized", "/broken":
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, large+large)
			if req.URL.Path == "/broken" {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		default:
			h.ServeHTTP(w, req)
		}
	})
	old := func(path string) string { return "GET " + path + " HTTP/1.0\r\nHost: h\r\n\r\n" }
	for _, tt := range []struct {
		name, send string
		answers    bool
		do         func(r *rig)
		notified   bool
	}{
		{"last answer", request("GET", headlinePath, "Connection: close"), true, nil, true},
		{"bad request", "GET\r\n\r\n", true, nil, true},
		{"long answer", request("GET", "/long", "Connection: close"), true, nil, true},
		{"answer that ends with the connection", old("/unsized"), true, nil, true},
		{"the same cut off", old("/broken"), true, nil, false},
		{"hold times out on drain", request("GET", pollPath(1)), true, func(r *rig) { r.waitHolds(1); r.stopping() }, true},
		{"idle on drain", request("GET", headlinePath), true, func(r *rig) { r.waitMetric("marquee_requests_total", 1); r.turn(); r.stopping() }, true},
		{"idle for too long", "", false, func(r *rig) {
			r.waitMetric("marquee_tls_handshakes_total", 1)
			r.waitMetric("marquee_tls_handshakes_open", 0)
			r.tickUntil(2*idleTimeout, func() bool { return r.edge.connections.Load() == 0 })
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, origin, tlsArgs(t)...)
			c, rec := r.dialRecorded()
			if err := c.nc.Conn.(*tls.Conn).Handshake(); err != nil {
				t.Fatal(err)
			}
			c.send(tt.send)
			if tt.do != nil {
				tt.do(r)
			}
			_ = c.nc.SetReadDeadline(time.Now().Add(patience))
			got, err := io.ReadAll(c.in)
			if err != nil && tt.notified {
				t.Errorf("the connection ends with %v", err)
			}
			if tt.answers != (len(got) > 0) {
				t.Errorf("got %s", brief(string(got)))
			}
			if last := rec.lastType(t); (last == alert) != tt.notified {
				t.Errorf("the last record is of type %d; want an alert (%d): %v", last, alert, tt.notified)
			}
		})
	}
}

// A content does not end because the connection does.
func TestUploadTruncated(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave func(c *client) error
	}{
		{"close_notify", func(c *client) error { return c.nc.CloseWrite() }},
		{"FIN alone", func(c *client) error { return c.nc.tcp.CloseWrite() }},
		{"reset", func(c *client) error {
			_ = c.nc.tcp.SetLinger(0)
			return c.nc.tcp.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			startedCh, endCh := make(chan struct{}), make(chan error, 1)
			r := newRig(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				close(startedCh)
				_, err := io.Copy(io.Discard, req.Body)
				endCh <- err
				panic(http.ErrAbortHandler)
			}), tlsArgs(t)...)
			overTLS(t, nil)
			c := dial(t, r.secure)
			c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", 2*maxContent, large))
			await(t, startedCh, "the request at the origin")
			if err := tt.leave(c); err != nil {
				t.Fatal(err)
			}
			if err := await(t, endCh, "the end of the content"); err == nil {
				t.Error("the origin got a content that ends well")
			}
			r.waitMetric("marquee_connections", 0)
		})
	}
}

// splitConn writes one byte at a time, and lets the edge read it.
type splitConn struct {
	net.Conn
	turn func() // nil for not waiting
}

func (c *splitConn) Write(p []byte) (int, error) {
	for i := range p {
		if n, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i + n, err
		}
		if c.turn != nil {
			c.turn()
		}
	}
	return len(p), nil
}

// The outcome does not depend on how the bytes of records arrive.
func TestRecordsByteByByte(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(checksum), tlsArgs(t)...)
			nc, err := net.DialTimeout("tcp", r.secure, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			config := authority.client("localhost")
			config.MinVersion, config.MaxVersion = version, version
			split := &splitConn{Conn: nc}
			secure := tls.Client(split, config)
			if err := secure.Handshake(); err != nil {
				t.Fatal(err)
			}
			split.turn = r.turn
			c := &client{t: t, nc: &peer{secure, nc.(*net.TCPConn)}, in: bufio.NewReader(secure)}
			content := strings.Repeat("a", 50)
			one := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(content), content)
			c.send(one)
			c.wantAnswer(200, sumOf(content))
			c.send(one + one)
			c.wantAnswer(200, sumOf(content))
			c.wantAnswer(200, sumOf(content))
		})
	}
}

// flipConn changes a byte of what is written, once it is told to.
type flipConn struct {
	net.Conn
	flip bool
}

func (c *flipConn) Write(p []byte) (int, error) {
	if c.flip {
		p = append([]byte(nil), p...)
		p[len(p)-1] ^= 1
	}
	return c.Conn.Write(p)
}

// A record that is not genuine ends the connection, with an alert, and what was
// asked.
func TestForgedRecord(t *testing.T) {
	for _, tt := range []struct{ name, before string }{
		{"idle", ""},
		{"in a head", "GET / HT"},
		{"held", request("GET", pollPath(1))},
		{"in an upload", fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 2*maxContent)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &headline{id: 1}, tlsArgs(t)...)
			nc, err := net.DialTimeout("tcp", r.secure, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(patience))
			flip := &flipConn{Conn: nc}
			c := tls.Client(flip, authority.client("localhost"))
			if _, err := io.WriteString(c, tt.before); err != nil {
				t.Fatal(err)
			}
			if tt.name == "held" {
				r.waitHolds(1)
			}
			flip.flip = true
			if _, err := io.WriteString(c, "more"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(c); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
				t.Errorf("the connection ends with %v, want the alert bad_record_mac", err)
			}
			r.waitMetric("marquee_connections", 0)
			r.waitHolds(0)
		})
	}
}

// A request over TLS is an https one: for routes, for the origin, for links and
// for those who ask the same.
func TestSecureRequests(t *testing.T) {
	goneCh := make(chan string, 1)
	origin := func(name string) string {
		return serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("X-Route", name)
			if strings.HasPrefix(req.URL.Path, "/stream") {
				w.Header().Set("Grip-Hold", "stream")
				w.Header().Set("Grip-Channel", "c")
				w.Header().Set("Grip-Link", "<https://headline.example/gone>; rel=gone")
			}
			if req.URL.Path == "/gone" {
				goneCh <- name
			}
			_, _ = io.WriteString(w, req.Header.Get("X-Forwarded-Proto"))
		}))
	}
	plain, secure := origin("plain"), origin("secure")
	wantNoLeaks(t)
	r := startEdge(t, plain, func(c *Config) {
		c.Origin, c.Route = "", []string{"*,ssl=yes " + secure, "* " + plain}
	}, append(tlsArgs(t), "-share-all")...)
	want := func(c *client, target, route, body string) {
		t.Helper()
		c.get(target)
		c.wantStatus(200)
		c.wantHeader("X-Route", route)
		if target == "/" {
			c.wantBody(body)
		} else {
			c.wantChunk(body)
		}
	}
	p := r.dial()
	want(p, "/", "plain", "http")
	overTLS(t, nil)
	s := dial(t, r.secure)
	want(s, "/", "secure", "https")
	want(s, "/stream", "secure", "https")
	s.leave()
	if got := await(t, goneCh, "the request for the link"); got != "secure" {
		t.Errorf("the link leads to %s, want secure", got)
	}
}

// Equal requests share no answer when only one of them came over TLS: the origin
// may send the other elsewhere.
func TestSharingOverTLS(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, h, append(tlsArgs(t), "-share-all", "-set-x-forwarded-protocol", "false")...)
	cs := r.poll(4, 1)
	overTLS(t, nil)
	for range 4 {
		c := dial(t, r.secure)
		c.get(pollPath(1))
		cs = append(cs, c)
	}
	r.waitHolds(8)
	holds := make(map[bool]int)
	r.onLoops(func(l *loop) {
		l.wheel.each(func(c *conn) {
			if (c.session != nil) != c.ask.secure {
				t.Errorf("a client with TLS: %v has joined an ask of those with TLS: %v", c.session != nil, c.ask.secure)
			}
			holds[c.ask.secure]++
		})
	})
	if holds[false] != 4 || holds[true] != 4 {
		t.Errorf("held without and with TLS: %v, want 4 each", holds)
	}
	r.publish(headlineItem(2))
	for _, c := range cs {
		c.wantAnswer(200, headlineBody(2))
	}
}

// Held TLS connections cost no goroutine.
func TestManyOverTLS(t *testing.T) {
	const n = 2000
	j := &journal{}
	r := newRig(t, j, append(tlsArgs(t), "-share-all")...)
	overTLS(t, func(c *tls.Config) { c.ClientSessionCache = tls.NewLRUClientSessionCache(1) })
	warm := dial(t, r.secure)
	warm.get(journalPath)
	warm.wantStatus(200)
	r.waitHolds(1)
	before := runtime.NumGoroutine()
	cs := make([]*client, n)
	var dialled sync.WaitGroup
	for part := range slices.Chunk(cs, n/8) {
		dialled.Go(func() {
			for i := range part {
				part[i] = dial(t, r.secure)
				part[i].get(journalPath)
			}
		})
	}
	dialled.Wait()
	r.waitHolds(n + 1)
	r.waitMetric("marquee_tls_handshakes_open", 0)
	if after := runtime.NumGoroutine(); after > before+20 {
		t.Errorf("there are %d goroutines, %d were before the streams", after, before)
	}
	receipt := r.publish(j.item(j.write()))[0]
	if receipt.Matched != n+1 || receipt.Written != n+1 {
		t.Errorf("receipt %+v, want %d written", receipt, n+1)
	}
	for _, c := range cs {
		c.wantStatus(200)
		c.wantChunk(j.line(1))
	}
}

// BenchmarkSend writes to one client, as a delivery does.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{100, maxPlaintext, 4 * maxPlaintext} {
		for _, secure := range []bool{false, true} {
			b.Run(fmt.Sprintf("bytes=%d/tls=%v", size, secure), func(b *testing.B) {
				r := startEdge(b, serve(b, http.HandlerFunc(hi)), nil, tlsArgs(b)...)
				address := r.address
				if secure {
					overTLS(b, nil)
					address = r.secure
				}
				c := dial(b, address)
				c.get("/")
				c.wantAnswer(200, "hi /")
				var drained sync.WaitGroup
				drained.Go(func() { _, _ = io.Copy(io.Discard, c.nc.tcp) }) // undeciphered
				var it *conn
				r.onLoops(func(l *loop) { l.wheel.each(func(c *conn) { it = c }) })
				p := make([]byte, size)
				sentCh := make(chan int)
				b.ReportAllocs()
				b.SetBytes(int64(size))
				b.ResetTimer()
				for left := b.N; left > 0; {
					it.loop.post(func() {
						n := 0
						for ; n < min(left, 256) && it.gc.OutboundBuffered() == 0; n++ {
							it.send(p)
						}
						sentCh <- n
					})
					left -= <-sentCh
				}
				b.StopTimer()
				c.leave()
				drained.Wait()
			})
		}
	}
}
