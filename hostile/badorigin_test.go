package hostile

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// poison is in what an origin sends that must reach no client.
const poison = "POISON"

// misdeed is what a bad origin does with a request.
type misdeed struct {
	name string // the section, and what is done
	// method of the request, GET if empty. content, if any, is sent with it.
	method, content string
	// answer is sent, and then the connection is left as the ending says.
	answer string
	ending ending
	// then, if set, is done with the connection after that.
	then func(nc net.Conn)
	// status and content of the whole answer that the client gets; 0 when it
	// must get none: then it is told 502 or 504, or finds its connection cut.
	status int
	gets   string
}

// ending is what an origin does with a connection after an answer.
type ending int

const (
	keeps  ending = iota // and reads the next request from it
	closes               // in the usual way
	resets
	hangs // reads and writes no more
)

// allMisdeeds are those of every subject.
func allMisdeeds() []misdeed {
	return slices.Concat(statusLineMisdeeds, fieldMisdeeds, lengthMisdeeds, chunkMisdeeds, surplusMisdeeds, interimMisdeeds, instructMisdeeds())
}

// Each misdeed has a name of its own, and there are enough of them.
func TestMisdeedNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, d := range allMisdeeds() {
		if seen[d.name] {
			t.Errorf("two misdeeds are named %q", d.name)
		}
		seen[d.name] = true
	}
	if len(seen) < 60 {
		t.Errorf("%d misdeeds, want at least 60", len(seen))
	}
}

// Whatever an origin answers, its client gets an answer that is whole, or 502,
// or is cut off; others get what is theirs; and who is held meanwhile gets what
// is published.
func TestMisdeeds(t *testing.T) { testMisdeeds(t, allMisdeeds()) }

// The same where requests share their answers: these are kept together first.
func TestMisdeedsShared(t *testing.T) { testMisdeeds(t, allMisdeeds(), "-share-all") }

// The same to requests with more content than can be kept together.
func TestMisdeedsUpload(t *testing.T) {
	var misdeeds []misdeed
	for _, d := range slices.Concat(statusLineMisdeeds, fieldMisdeeds, lengthMisdeeds, chunkMisdeeds, surplusMisdeeds, interimMisdeeds) {
		if d.method == "" {
			d.method, d.content = http.MethodPost, strings.Repeat("a", 2*maxContent)
			misdeeds = append(misdeeds, d)
		}
	}
	testMisdeeds(t, misdeeds)
}

// The same to the edge itself, which asks on behalf of a stream: the stream goes
// on or ends, and nothing that is no answer becomes a part of it.
func TestMisdeedsLink(t *testing.T) {
	var misdeeds []misdeed
	for _, d := range allMisdeeds() {
		if d.status == 0 {
			misdeeds = append(misdeeds, d)
		}
	}
	o := startBadOrigin(t, misdeeds)
	e := startEdge(t, o.address(), "-origin-timeout", "5s")
	for i, d := range misdeeds {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			nc, err := net.Dial("tcp", e.address)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(nc, request(fmt.Sprintf("GET /link/%d HTTP/1.1", i), nil, "")); err != nil {
				t.Fatal(err)
			}
			inCh := make(chan []byte)
			go func() {
				in, _ := io.ReadAll(nc) // until the stream ends, or the test closes it
				inCh <- in
			}()
			var in []byte
			for asked := 0; asked < 2 && in == nil; { // what came of the first is known by the second
				select {
				case <-o.doneCh[i]:
					asked++
				case in = <-inCh:
				case <-time.After(patience):
					t.Fatal("the link is not asked for again, and the stream does not end")
				}
			}
			if in == nil {
				nc.Close()
				in = <-inCh
			}
			m, _, err := readResponse(in, http.MethodGet, true)
			switch {
			case err != nil && err != errShort || !strings.Contains(string(in), "begins"):
				t.Errorf("%.1000q: the client gets %.1000q: %v", d.answer, in, err)
			case strings.Contains(string(in), poison):
				t.Errorf("%.1000q: the client gets %.1000q", d.answer, in)
			case err == nil && m.content != "begins":
				t.Errorf("%.1000q: the client gets %.1000q", d.answer, m.content)
			}
		})
	}
}

func testMisdeeds(t *testing.T, misdeeds []misdeed, args ...string) {
	o := startBadOrigin(t, misdeeds)
	e := startEdge(t, o.address(), append(args, "-origin-timeout", "5s")...)
	t.Run("misdeeds", func(t *testing.T) {
		for i, d := range misdeeds {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				held := hold(t, e, i)
				d.check(t, i, e)
				for n := range 3 {
					own(t, e, fmt.Sprintf("/own/%d-%d", i, n))
				}
				held.wantPublished(t, e, i)
			})
		}
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, wrong := range o.wrong {
		t.Error(wrong)
	}
}

// An answer that an origin sends by itself, on a connection that is kept for the
// next request, is not that request's.
func TestUnasked(t *testing.T) {
	answeredCh, sentCh := make(chan struct{}), make(chan struct{})
	o := startBadOrigin(t, []misdeed{{answer: good("hello"), then: func(nc net.Conn) {
		<-answeredCh
		_, _ = io.WriteString(nc, poisoned)
		_, _ = io.Copy(io.Discard, nc) // it has arrived when the connection ends
		sentCh <- struct{}{}
	}}})
	e := startEdge(t, o.address())
	for range 50 {
		in := exchange(t, e, request("GET /bad/0 HTTP/1.1", []string{"Connection: close"}, ""))
		if m, _, err := readResponse(in, http.MethodGet, true); err != nil || m.content != "hello" {
			t.Fatalf("the client gets %.1000q, %v", in, err)
		}
		answeredCh <- struct{}{}
		<-sentCh
		own(t, e, "/own/next")
	}
}

// An answer without an end lasts as long as its client takes it, and no longer.
func TestEndless(t *testing.T) {
	for _, tt := range []struct{ name, head string }{
		{"chunks", inChunks("")},
		{"until the connection closes", answer("HTTP/1.1 200 OK", "")},
		{"beginning of a stream", inChunks("", "Grip-Hold: stream", "Grip-Channel: x")},
		{"of a great length", answer("HTTP/1.1 200 OK", "", "Content-Length: 9223372036854775807")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			endCh := make(chan struct{})
			o := startBadOrigin(t, []misdeed{{answer: tt.head, ending: closes, then: func(nc net.Conn) {
				forever("5\r\nhello\r\n")(nc)
				close(endCh)
			}}})
			e := startEdge(t, o.address())
			nc, err := net.Dial("tcp", e.address)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(nc, request("GET /bad/0 HTTP/1.1", nil, "")); err != nil {
				t.Fatal(err)
			}
			if n, err := io.CopyN(io.Discard, nc, 1<<20); err != nil {
				t.Fatalf("the client gets %d bytes, %v", n, err)
			}
			nc.Close()
			select {
			case <-endCh:
			case <-time.After(patience):
				t.Error("the origin goes on without a client")
			}
			own(t, e, "/own/end")
		})
	}
}

// check has the origin do it, and looks at what the client gets.
func (d misdeed) check(t *testing.T, i int, e *edge) {
	t.Helper()
	method := d.method
	if method == "" {
		method = http.MethodGet
	}
	in := exchange(t, e, request(fmt.Sprintf("%s /bad/%d HTTP/1.1", method, i),
		[]string{fmt.Sprintf("Content-Length: %d", len(d.content)), "Connection: close"}, d.content))
	if strings.Contains(string(in), poison) {
		t.Errorf("%.1000q: the client gets %.1000q", d.answer, in)
	}
	m, n, err := readResponse(in, method, true)
	switch {
	case err == errShort && d.status == 0:
	case err != nil:
		t.Errorf("%.1000q: the client gets %.1000q: %v", d.answer, in, err)
	case n < len(in):
		t.Errorf("%.1000q: the client gets %.1000q behind its answer", d.answer, in[n:])
	case d.status == 0 && m.status != http.StatusBadGateway && m.status != http.StatusGatewayTimeout:
		t.Errorf("%.1000q: the client gets %d %.1000q, want 502 or 504", d.answer, m.status, m.content)
	case d.status != 0 && (m.status != d.status || m.content != d.gets):
		t.Errorf("%.1000q: the client gets %d %.1000q, want %d %.1000q", d.answer, m.status, m.content, d.status, d.gets)
	}
}

// exchange sends a request, the last of its connection, and returns all that is
// answered.
func exchange(t *testing.T, e *edge, request string) []byte {
	t.Helper()
	nc, err := net.Dial("tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = io.WriteString(nc, request) }() // the edge may answer before it has read all
	in, err := io.ReadAll(nc)
	if err != nil && !isReset(err) {
		t.Fatalf("the connection does not end: %v, after %.1000q", err, in)
	}
	return in
}

// own asks the origin for what belongs to this client alone.
func own(t *testing.T, e *edge, target string) {
	t.Helper()
	in := exchange(t, e, request("GET "+target+" HTTP/1.1", []string{"Connection: close"}, ""))
	m, n, err := readResponse(in, http.MethodGet, true)
	if err != nil || n != len(in) || m.status != http.StatusOK || m.content != target {
		t.Errorf("who asks for %s gets %.1000q, %v", target, in, err)
	}
}

// heldClient is a client that waits for a publish.
type heldClient struct{ nc net.Conn }

// hold makes a client that waits on the channel of that number.
func hold(t *testing.T, e *edge, i int) heldClient {
	t.Helper()
	nc, err := net.Dial("tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, request(fmt.Sprintf("GET /hold/%d HTTP/1.1", i), []string{"Connection: close"}, "")); err != nil {
		t.Fatal(err)
	}
	return heldClient{nc}
}

// wantPublished publishes on the channel and looks whether the client gets it.
func (c heldClient) wantPublished(t *testing.T, e *edge, i int) {
	t.Helper()
	item := fmt.Sprintf(`{"items": [{"channel": "held-%d", "id": "2", "prev-id": "1", "http-response": {"body": "published %d"}}]}`, i, i)
	resp, err := http.Post("http://"+e.control+"/publish/", "application/json", strings.NewReader(item))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	in, err := io.ReadAll(c.nc)
	if err != nil {
		t.Fatalf("who is held gets no answer: %v", err)
	}
	m, n, err := readResponse(in, http.MethodGet, true)
	if err != nil || n != len(in) || m.status != http.StatusOK || m.content != fmt.Sprintf("published %d", i) {
		t.Errorf("who is held gets %.1000q, %v", in, err)
	}
}

// badOrigin is an origin that does what it is asked for by number, and is good
// to all others.
type badOrigin struct {
	listener net.Listener
	misdeeds []misdeed
	doneCh   []chan struct{} // gets word of each time, if somebody waits for it

	mu    sync.Mutex // all below
	wrong []string   // what is no request
	conns []net.Conn
}

func startBadOrigin(t *testing.T, misdeeds []misdeed) *badOrigin {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &badOrigin{listener: listener, misdeeds: misdeeds}
	for range misdeeds {
		o.doneCh = append(o.doneCh, make(chan struct{}, 1))
	}
	go o.acceptLoop()
	t.Cleanup(func() {
		listener.Close()
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, nc := range o.conns {
			nc.Close()
		}
	})
	return o
}

func (o *badOrigin) address() string { return o.listener.Addr().String() }

// acceptLoop ends with the listener.
func (o *badOrigin) acceptLoop() {
	for {
		nc, err := o.listener.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		o.conns = append(o.conns, nc)
		o.mu.Unlock()
		go o.serve(nc)
	}
}

func (o *badOrigin) serve(nc net.Conn) {
	defer nc.Close()
	var in []byte
	buf := make([]byte, 64<<10)
	for {
		m, n, err := readRequest(in)
		switch err {
		case nil:
			if in = in[n:]; !o.answer(nc, m) {
				return
			}
		case errShort:
			n, err := nc.Read(buf)
			if in = append(in, buf[:n]...); err != nil {
				return
			}
		default:
			o.mu.Lock()
			o.wrong = append(o.wrong, fmt.Sprintf("the origin got %.500q: %v", in, err))
			o.mu.Unlock()
			return
		}
	}
}

// answer reports whether the connection can take another request.
func (o *badOrigin) answer(nc net.Conn, m *message) bool {
	subject, number, _ := strings.Cut(strings.TrimPrefix(m.target, "/"), "/")
	switch subject {
	case "bad":
		i, err := strconv.Atoi(number)
		if err != nil {
			return false
		}
		return o.misdeeds[i].do(nc, o.doneCh[i])
	case "link":
		_, err := io.WriteString(nc, good("begins", "Grip-Link: </bad/"+number+">; rel=next"))
		return err == nil
	case "hold": // with another answer behind it, always
		_, err := io.WriteString(nc, good("", "Grip-Hold: response", "Grip-Channel: held-"+number+"; prev-id=1")+poisoned)
		return err == nil
	default:
		_, err := io.WriteString(nc, good(m.target))
		return err == nil
	}
}

// do answers a request, and reports whether the connection can take another
// one.
func (d misdeed) do(nc net.Conn, doneCh chan<- struct{}) bool {
	_, _ = io.WriteString(nc, d.answer)
	select {
	case doneCh <- struct{}{}:
	default:
	}
	if d.then != nil {
		d.then(nc)
	}
	switch d.ending {
	case resets:
		_ = nc.(*net.TCPConn).SetLinger(0)
	case hangs:
		_, _ = io.Copy(io.Discard, nc)
	}
	return d.ending == keeps
}
