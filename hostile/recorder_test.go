package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// recorder is an origin that keeps what it receives, and answers each request
// that the grammar finds in it with what it has read.
type recorder struct {
	listener net.Listener

	mu    sync.Mutex // all below
	asked []*message
	wrong []string // what is no request, or is a different one to net/http
	begun []string // requests that were broken off
}

func startRecorder(t testing.TB) *recorder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{listener: listener}
	t.Cleanup(func() { listener.Close() })
	go r.acceptLoop()
	return r
}

func (r *recorder) address() string { return r.listener.Addr().String() }

// acceptLoop ends with the listener; the connections end with the edge.
func (r *recorder) acceptLoop() {
	for {
		nc, err := r.listener.Accept()
		if err != nil {
			return
		}
		go r.serve(nc)
	}
}

func (r *recorder) serve(nc net.Conn) {
	defer nc.Close()
	var in []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := nc.Read(buf)
		in = append(in, buf[:n]...)
		if err != nil {
			if len(in) > 0 {
				r.keep(func() { r.begun = append(r.begun, string(in)) })
			}
			return
		}
		for len(in) > 0 {
			m, n, err := readRequest(in)
			if err == errShort {
				break
			}
			if err == nil {
				err = sameToNetHTTP(in[:n], m)
			}
			if err != nil {
				r.keep(func() { r.wrong = append(r.wrong, fmt.Sprintf("%v in %.500q", err, in)) })
				return
			}
			in = in[n:]
			r.keep(func() { r.asked = append(r.asked, m) })
			if _, err := io.WriteString(nc, answerTo(m)); err != nil {
				return
			}
		}
	}
}

func (r *recorder) keep(what func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what()
}

// take returns what has been received since the last take.
func (r *recorder) take() (asked []*message, wrong []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked, wrong = r.asked, r.wrong
	r.asked, r.wrong = nil, nil
	return asked, wrong
}

// brokenOff returns the requests that were not sent to their end.
func (r *recorder) brokenOff() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun
}

// answerTo returns a response whose content says what was asked.
func answerTo(m *message) string {
	content := m.String()
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(content))
	if m.method == http.MethodHead {
		return head
	}
	return head + content
}

// sameToNetHTTP reports how net/http reads a request otherwise than the
// grammar.
func sameToNetHTTP(in []byte, m *message) error {
	rest := bufio.NewReader(bytes.NewReader(in))
	req, err := http.ReadRequest(rest)
	if err != nil {
		return fmt.Errorf("net/http: %w", err)
	}
	content, err := io.ReadAll(req.Body)
	if err != nil {
		return fmt.Errorf("net/http: %w", err)
	}
	if left, _ := io.ReadAll(rest); len(left) > 0 {
		return fmt.Errorf("net/http takes %.40q for the next request", left)
	}
	if got := ask(req.Method, req.RequestURI, req.Host, string(content)); got != m.String() {
		return fmt.Errorf("net/http reads %s", got)
	}
	return nil
}

// The recorder's answer is one that the edge passes on.
func TestAnswerTo(t *testing.T) {
	m := &message{method: "GET", target: "/a", fields: []field{{"Host", "a"}}}
	if got, want := answerTo(m), "\r\n\r\n"+`GET /a a ""`; !strings.HasSuffix(got, want) {
		t.Errorf("answer %q, want it to end with %q", got, want)
	}
}
