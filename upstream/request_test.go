package upstream

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"marquee/grip"
)

// record starts an origin that shows the bytes of each request and answers 204.
func record(t testing.TB) (origin string, sentCh <-chan string) {
	ch := make(chan string, 10)
	return serveRaw(t, func(nc net.Conn) {
		sent, err := readRequest(nc)
		if err != nil {
			sent += fmt.Sprintf("(%v)", err)
		}
		ch <- sent
		io.WriteString(nc, "HTTP/1.1 204 No Content\r\n\r\n")
	}), ch
}

// lines are the lines of a message's head, and its content.
func lines(l ...string) string { return strings.Join(l, "\r\n") }

func TestOutgoing(t *testing.T) {
	const (
		get   = "GET / HTTP/1.1"
		post  = "POST / HTTP/1.1"
		host  = "Host: example.com"
		ours  = "Grip-Feature: " + features
		end   = ""
		chunk = "Transfer-Encoding: chunked"
	)
	base := Request{Method: "GET", Host: "example.com", Target: "/"}
	with := func(change func(*Request)) *Request {
		r := base
		change(&r)
		return &r
	}
	header := func(h ...grip.Field) *Request {
		return with(func(r *Request) { r.Header = h })
	}
	body := func(method, content string) *Request {
		return with(func(r *Request) { r.Method, r.Body = method, []byte(content) })
	}
	stream := func(length int64, content string) *Request {
		return with(func(r *Request) {
			r.Method, r.Stream, r.StreamLength = "POST", strings.NewReader(content), length
		})
	}
	for _, tt := range []struct {
		name string
		req  *Request
		want string
	}{
		{"nothing invented: no User-Agent, no Accept-Encoding", &base,
			lines(get, host, ours, end, end)},
		{"fields", header(
			grip.Field{Name: "accept", Value: "a/b"},
			grip.Field{Name: "X-B", Value: "2"},
			grip.Field{Name: "X-A", Value: "1"},
			grip.Field{Name: "x-b", Value: "caf\xc3\xa9 \xe9\t;"},
		), lines(get, host, "Accept: a/b", ours, "X-A: 1", "X-B: 2", "X-B: caf\xc3\xa9 \xe9\t;", end, end)},
		{"User-Agent", header(grip.Field{Name: "user-agent", Value: "x/1"}),
			lines(get, host, "User-Agent: x/1", ours, end, end)},
		{"Accept-Encoding", header(grip.Field{Name: "Accept-Encoding", Value: "br"}),
			lines(get, host, "Accept-Encoding: br", ours, end, end)},
		{"§3.4 Grip-Last", with(func(r *Request) {
			r.Last = []grip.Channel{{Name: "a", PrevID: "1"}, {Name: "b", PrevID: "x"}}
		}), lines(get, host, ours, "Grip-Last: a; last-id=1", "Grip-Last: b; last-id=x", end, end)},
		{"§3.4 Grip-Last of what no field can have", with(func(r *Request) {
			r.Last = []grip.Channel{{Name: "a", PrevID: "7\x01"}, {Name: "b", PrevID: "x"}, {Name: "c\n", PrevID: "1"}}
		}), lines(get, host, ours, "Grip-Last: b; last-id=x", end, end)},

		{"content", body("POST", "a=b"),
			lines(post, host, "Content-Length: 3", ours, end, "a=b")},
		{"RFC 9110 §8.6 no content of a POST", body("POST", ""),
			lines(post, host, "Content-Length: 0", ours, end, end)},
		{"RFC 9110 §8.6 no content of a DELETE", body("DELETE", ""),
			lines("DELETE / HTTP/1.1", host, ours, end, end)},
		{"content of a GET", body("GET", "a=b"),
			lines(get, host, "Content-Length: 3", ours, end, "a=b")},
		{"unknown method", body("QUERY", "a"),
			lines("QUERY / HTTP/1.1", host, "Content-Length: 1", ours, end, "a")},
		{"stream of known length", stream(5, "abcde"),
			lines(post, host, "Content-Length: 5", ours, end, "abcde")},
		{"stream of unknown length", stream(-1, "abcde"),
			lines(post, host, chunk, ours, end, "5", "abcde", "0", end, end)},

		{"our own framing only", header(
			grip.Field{Name: "Content-Length", Value: "9"},
			grip.Field{Name: "Transfer-Encoding", Value: "chunked"},
			grip.Field{Name: "Host", Value: "evil"},
			grip.Field{Name: "Trailer", Value: "X"},
		), lines(get, host, ours, end, end)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			origin, sentCh := record(t)
			c := newClient(t, origin)
			ask(t, c, tt.req, false).want("answer ")
			if got := receive(t, sentCh, "request"); got != tt.want {
				t.Errorf("the origin got\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

// TestOutgoingTarget is RFC 9112 §3.2.1: a proxy does not rewrite the path and
// the query. With two slashes in front net/http wants a path to be one by RFC
// 3986; then what is none is coded, and nothing else.
func TestOutgoingTarget(t *testing.T) {
	origin, sentCh := record(t)
	c := newClient(t, origin)
	for _, tt := range []struct {
		name, target string
		want         string // "" for target
	}{
		{"root", "/", ""},
		{"query", "/a?b=c&d", ""},
		{"empty query", "/a?", ""},
		{"two question marks", "/a??b?", ""},
		{"coded slash", "/a%2Fb%2f?x=%2F", ""},
		{"what RFC 3986 does not allow", "/a%2Fb|\"<>\\^`{}?x=|\"", ""},
		{"no percent-encoding", "/100%?50%x", ""},
		{"dots", "/../a/./b//c", ""},
		{"colon", "/http://evil/x", ""},
		{"two slashes", "//evil/x", ""},
		{"two slashes and a query", "//evil/x?y=//z", ""},
		{"two slashes alone", "//", ""},
		{"three slashes", "///x", ""},
		{"two slashes, coded slash", "//a%2Fb", ""},
		{"authority-form in a path", "//user:pw@evil:80/", ""},
		{"asterisk in a path", "/*", ""},
		{"two slashes and an empty query", "//x?", ""},
		{"two slashes, what RFC 3986 does not allow", "//a%2Fb|\"<>\\^`{}", "//a%2Fb%7C%22%3C%3E%5C%5E%60%7B%7D"},
		{"two slashes, the same in the query", "//x?a=|\"", ""},
		{"two slashes, no percent-encoding", "//100%/%2/%zz/%2f", "//100%25/%252/%25zz/%2f"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := get("")
			r.Target = tt.target
			ask(t, c, r, false).want("answer ")
			line, _, _ := strings.Cut(receive(t, sentCh, "request"), "\r\n")
			if want := "GET " + cmp.Or(tt.want, tt.target) + " HTTP/1.1"; line != want {
				t.Errorf("the origin got %q, want %q", line, want)
			}
		})
	}
	t.Run("RFC 9112 §3.2.4 asterisk-form", func(t *testing.T) {
		ask(t, c, &Request{Method: "OPTIONS", Host: "h", Target: "*"}, false).want("answer ")
		if sent := receive(t, sentCh, "request"); !strings.HasPrefix(sent, "OPTIONS * HTTP/1.1\r\n") {
			t.Errorf("the origin got %q, want OPTIONS *", sent)
		}
	})
}

// TestOutgoingSmuggling puts the ends of lines where they must not be: there is
// either no request at the origin, or one.
func TestOutgoingSmuggling(t *testing.T) {
	const second = "\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, tt := range []struct {
		name string
		bad  string // set in one place after the other
	}{
		{"CR LF", "x" + second},
		{"LF", strings.ReplaceAll("x"+second, "\r\n", "\n")},
		{"CR", strings.ReplaceAll("x"+second, "\r\n", "\r")},
		{"NUL", "x\x00y"},
		{"DEL", "x\x7fy"},
	} {
		for _, place := range []struct {
			name string
			set  func(*Request, string)
			sent string // "" when nothing may be sent
		}{
			{"method", func(r *Request, bad string) { r.Method = bad }, ""},
			{"target", func(r *Request, bad string) { r.Target = "/" + bad }, ""},
			{"query", func(r *Request, bad string) { r.Target = "/?" + bad }, ""},
			{"target with two slashes", func(r *Request, bad string) { r.Target = "//" + bad + "?" + bad }, ""},
			{"field name", func(r *Request, bad string) { r.Header = grip.Header{{Name: bad, Value: "v"}} }, ""},
			{"field value", func(r *Request, bad string) { r.Header = grip.Header{{Name: "X", Value: bad}} }, ""},
			{"User-Agent", func(r *Request, bad string) { r.Header = grip.Header{{Name: "User-Agent", Value: bad}} }, ""},
			{"id", func(r *Request, bad string) { r.Last = []grip.Channel{{Name: "c", PrevID: bad}} },
				lines("GET / HTTP/1.1", "Host: example.com", "Grip-Feature: "+features, "", "")},
			{"channel", func(r *Request, bad string) { r.Last = []grip.Channel{{Name: bad, PrevID: "1"}} },
				lines("GET / HTTP/1.1", "Host: example.com", "Grip-Feature: "+features, "", "")},
			{"host", func(r *Request, bad string) { r.Host = bad },
				lines("GET / HTTP/1.1", "Host: ", "Grip-Feature: "+features, "", "")},
		} {
			t.Run(tt.name+" in the "+place.name, func(t *testing.T) {
				t.Parallel()
				sentCh := make(chan string, 10)
				c := newClient(t, serveRaw(t, func(nc net.Conn) {
					_ = nc.SetReadDeadline(time.Now().Add(patience))
					sent, err := readRequest(nc)
					if err != nil {
						return
					}
					io.WriteString(nc, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
					more, _ := io.ReadAll(nc)
					sentCh <- sent + string(more)
				}))
				r := get("")
				place.set(r, tt.bad)
				if place.sent == "" {
					ask(t, c, r, false).want("failure 502")
					select {
					case sent := <-sentCh:
						t.Errorf("the origin got %q, want nothing", sent)
					default:
					}
					return
				}
				ask(t, c, r, false).want("answer ")
				if sent := receive(t, sentCh, "request"); sent != place.sent {
					t.Errorf("the origin got %q, want %q", sent, place.sent)
				}
			})
		}
	}
}

// TestOutgoingFieldName: a field name with a space before the colon would be
// taken for the field without it by some.
func TestOutgoingFieldName(t *testing.T) {
	c := newClient(t, serve(t, answer("body")))
	for _, name := range []string{"", "X ", " X", "X:", "Transfer-Encoding ", "Content-Length\t", "\xe9"} {
		r := get("")
		r.Header = grip.Header{{Name: name, Value: "chunked"}}
		ask(t, c, r, false).want("failure 502")
	}
}

func TestOutgoingSignature(t *testing.T) {
	key, err := grip.ParseKey("changeme")
	if err != nil {
		t.Fatal(err)
	}
	origin, sentCh := record(t)
	c := newClient(t, origin)
	c.service = newService(t, ServiceConfig{Targets: c.service.Targets, Signer: grip.NewSigner("edge", key)})
	ask(t, c, get(""), false).want("answer ")
	sent := receive(t, sentCh, "request")
	_, rest, found := strings.Cut(sent, "\r\nGrip-Sig: ")
	token, _, _ := strings.Cut(rest, "\r\n")
	if !found || grip.Verify(token, key, time.Now()) != nil {
		t.Errorf("§1.1: the request %q has no good Grip-Sig: %v", sent, grip.Verify(token, key, time.Now()))
	}
}

// TestOutgoingStreamLength: content that does not come to its end, or has
// another one than was said, can be taken neither for complete content nor for
// the next request. If it is the content that fails, it is not the origin that
// failed.
func TestOutgoingStreamLength(t *testing.T) {
	torn := func(err error) io.Reader { return io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(err)) }
	for _, tt := range []struct {
		name     string
		content  io.Reader
		length   int64
		want     string
		failures int64
	}{
		{"longer", strings.NewReader("abcdeGET /smuggled HTTP/1.1\r\n\r\n"), 5, "failure 502", 1},
		{"shorter", strings.NewReader("abc"), 5, "failure 502", 1},
		{"torn", torn(errTorn), 5, "failure 400", 0},
		{"torn, length unknown", torn(errTorn), -1, "failure 400", 0},
		{"too slow", torn(os.ErrDeadlineExceeded), -1, "failure 400", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sentCh := make(chan string, 10)
			c := newClient(t, serveRaw(t, func(nc net.Conn) {
				sent, _ := io.ReadAll(nc)
				sentCh <- string(sent)
			}))
			r := &Request{Method: "POST", Host: "h", Target: "/", Stream: tt.content, StreamLength: tt.length}
			ask(t, c, r, false).want(tt.want)
			sent := receive(t, sentCh, "end of the connection")
			if strings.Contains(sent, "smuggled") || strings.HasSuffix(sent, "0\r\n\r\n") {
				t.Errorf("the origin got %q", sent)
			}
			if n := c.Stats().Failures; n != tt.failures {
				t.Errorf("%d failures of the origin are counted, want %d", n, tt.failures)
			}
		})
	}
}

// TestOutgoingStreamAnsweredEarly: what is left of the content is not taken for
// the next request on the connection.
func TestOutgoingStreamAnsweredEarly(t *testing.T) {
	connCh := make(chan string, 10)
	c := newClient(t, serveRaw(t, func(nc net.Conn) {
		buf := make([]byte, 4096)
		n, _ := nc.Read(buf)
		line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
		io.WriteString(nc, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
		io.Copy(io.Discard, nc)
		connCh <- line
	}))
	content, more := io.Pipe()
	defer more.Close()
	r := &Request{Method: "POST", Host: "h", Target: "/upload", Stream: content, StreamLength: -1}
	ask(t, c, r, false).want("answer no")
	go io.WriteString(more, "GET /smuggled HTTP/1.1\r\n\r\n")
	if got := receive(t, connCh, "end of the connection"); !strings.HasPrefix(got, "POST /upload") {
		t.Errorf("the origin got %q", got)
	}
	ask(t, c, get(""), false).want("answer no")
}

// TestOutgoingStreamStalled: an origin that stops reading does not keep the
// request open for ever.
func TestOutgoingStreamStalled(t *testing.T) {
	stopCh := make(chan struct{})
	c := newClient(t, serveRaw(t, func(nc net.Conn) {
		_, _ = nc.Read(make([]byte, 100))
		<-stopCh
	}), func(cfg *Config) { cfg.AnswerTimeout = 50 * time.Millisecond })
	t.Cleanup(func() { close(stopCh) })
	r := &Request{Method: "POST", Host: "h", Target: "/", Stream: zeros{}, StreamLength: -1}
	ask(t, c, r, false).want("failure 504")
}

// zeros is content without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestLeaveWhileUploading: the origin learns at once that everybody has left,
// and the request makes room when the content's reader has come back.
func TestLeaveWhileUploading(t *testing.T) {
	headCh, endCh := make(chan struct{}), make(chan struct{})
	c := newClient(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(headCh)
		io.Copy(io.Discard, r.Body)
		close(endCh)
	}))
	content := &blocked{readingCh: make(chan struct{}), backCh: make(chan struct{})}
	a := ask(t, c, &Request{Method: "POST", Host: "h", Target: "/", Stream: content, StreamLength: -1}, false)
	receive(t, headCh, "request at the origin")
	receive(t, content.readingCh, "Read")
	if !a.ticket.Leave() {
		t.Error("Leave() is late")
	}
	receive(t, endCh, "end of the request at the origin")
	if open := c.Stats().Open; open != 1 {
		t.Errorf("%d open while the content is being read, want 1", open)
	}
	close(content.backCh)
	eventually(t, "none open", func() bool { return c.Stats().Open == 0 })
	a.wantNone()
}

// blocked is content of which nothing comes.
type blocked struct{ readingCh, backCh chan struct{} }

func (b *blocked) Read([]byte) (int, error) {
	close(b.readingCh)
	<-b.backCh
	return 0, errTorn
}

// An origin that closes an idle connection without a word costs nobody an answer
// whose request may be repeated.
func TestRepeatOnStaleConnection(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		t.Run(method, func(t *testing.T) {
			origin := serve(t, wire("HTTP/1.1 204 No Content\r\n\r\n")) // and closes
			c := newClient(t, origin)
			for range 20 {
				ask(t, c, &Request{Method: method, Host: "h", Target: "/"}, false).want("answer ")
			}
		})
	}
}
