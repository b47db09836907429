package upstream

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

const (
	streaming = "Grip-Hold: stream"
	next      = "Grip-Link: </next>; rel=next; timeout=30"
	gone      = "Grip-Link: </gone>; rel=gone"
)

// follow describes an answer with its whole body, of which more than a line is
// counted only, and what follows from it.
func follow(t testing.TB, r Result) string {
	t.Helper()
	if r.Answer == nil {
		return describe(r)
	}
	a := r.Answer
	body := string(a.Response.Body)
	kind := "together"
	if a.Body != nil {
		kind = "stream"
		if a.Length != -1 {
			kind += fmt.Sprintf(" of length %d", a.Length)
		}
		rest, err := io.ReadAll(a.Body)
		if err != nil {
			t.Errorf("read the stream: %v", err)
		}
		a.Body.Close()
		body += string(rest)
	} else if a.Length != int64(len(body)) {
		kind += fmt.Sprintf(" of length %d", a.Length)
	}
	if len(body) > 20 {
		body = fmt.Sprint(len(body))
	}
	out := fmt.Sprintf("%d %s %s", a.Response.Code, kind, body)
	if a.Hold != nil {
		out += fmt.Sprintf(", hold %s %v", a.Hold.Mode, a.Hold.Channels)
	}
	if a.Next != nil {
		out += fmt.Sprintf(", next %s in %v", a.Next.URL, a.Next.Timeout)
	}
	if a.Gone != "" {
		out += ", gone " + a.Gone
	}
	if a.Named != nil {
		out += fmt.Sprintf(", named %v", a.Named)
	}
	return out
}

// TestInstructStream is what of an instruct can be given before it has come to
// its end.
func TestInstructStream(t *testing.T) {
	const (
		most     = grip.MaxInstructBody
		filtered = "Grip-Channel: c; filter=build-id"
	)
	long := strings.Repeat("x", 2*most)
	announced := func(n int, fields ...string) http.HandlerFunc {
		return answer(append(fields, fmt.Sprint("Content-Length: ", n), long[:n])...)
	}
	chunked := func(n int, fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			answer(append(fields, "Transfer-Encoding: chunked", long[:n])...)(w, r)
		}
	}
	slow := func(fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			answer(append(fields, "so far")...)(w, r)
			w.(http.Flusher).Flush()
			time.Sleep(3 * shareWait)
			io.WriteString(w, ", more")
		}
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"§1.2 short", answer(streaming, channel, next, "body"), "200 together body, hold stream [c; prev-id=1], next /next in 30s"},
		{"§1.3 gone", answer(streaming, channel, next, gone, "body"), "200 together body, hold stream [c; prev-id=1], next /next in 30s, gone /gone"},
		{"§1.3 status", answer(streaming, "Grip-Status: 201", "body"), "201 together body, hold stream []"},
		{"§1.2 as long as is kept together", chunked(most, streaming), "200 together 100000, hold stream []"},
		{"§1.2 longer", chunked(2*most, streaming), "200 stream 200000, hold stream []"},
		{"§1.2 long, length announced", announced(2*most, streaming, channel, next), "200 stream 200000, hold stream [c; prev-id=1], next /next in 30s"},
		{"§1.2 as long as is kept together, length announced", announced(most, streaming), "200 together 100000, hold stream []"},
		{"§1.2 trickles", slow(streaming, "Grip-Status: 299"), "299 stream so far, more, hold stream []"},
		{"§1.2 no hold, next link", chunked(2*most, next), "200 stream 200000, next /next in 30s"},
		{"§1.2 no hold, next link, trickles", slow(next), "200 stream so far, more, next /next in 30s"},
		{"no hold, next link, named channel", answer(next, channel, "body"), "200 together body, next /next in 30s"},
		{"§1.2 build-id, as long as may be", announced(most, streaming, filtered), "200 together 100000, hold stream [c; filter=build-id]"},
		{"§1.2 build-id, one byte longer", announced(most+1, streaming, filtered), "failure 502"},
		{"§1.2 build-id, trickles", slow(streaming, filtered), "200 together so far, more, hold stream [c; filter=build-id]"},
		{"§1.2 mode response, long", announced(most+1, holding), "failure 502"},
		{"§1.2 no hold, gone link, long", announced(most+1, gone), "failure 502"},
		{"§1.4 JSON, long", func(w http.ResponseWriter, r *http.Request) {
			instruct(`{"hold":{"mode":"stream","channels":[]},"response":{"body":"`+long+`"}}`)(w, r)
		}, "failure 502"},
		{"§1.3 bad link, long", announced(2*most, streaming, "Grip-Link: x; rel=next"), "failure 502"},
		{"§13 prev-id without next link", answer(streaming, channel, "body"), "failure 502"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, serve(t, tt.answer))
			r := ask(t, c, get("k"), false).result()
			if r.Answer != nil {
				for _, f := range r.Answer.Response.Header {
					if strings.HasPrefix(f.Name, "Grip-") || f.Name == "Content-Length" {
						t.Errorf("the client gets %s", f.Name)
					}
				}
			}
			if got := follow(t, r); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestInstructDebug is GRIP §13: what may be shown beside the plain reason.
func TestInstructDebug(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // TARGET for the target
	}{
		{"bad instruct", answer("Grip-Hold: maybe", ""),
			"Failed to parse accept instructions: Grip-Hold must be set to either 'response' or 'stream'"},
		{"too large", answer(holding, strings.Repeat("x", grip.MaxInstructBody+1)), "GRIP instruct response too large from TARGET"},
		{"no HTTP", wire("SSH-2.0\r\n"), ""},
	} {
		origin := serve(t, tt.answer)
		c := newClient(t, origin)
		f := ask(t, c, get(""), false).result().Failure
		want := strings.Replace(tt.want, "TARGET", origin, 1)
		if f == nil || f.Code != 502 || f.Reason != "Error while proxying to origin." || f.Debug != want {
			t.Errorf("§13 %s: got %+v, want a 502 with %q", tt.name, f, want)
		}
	}
}

// TestLink is GRIP §4.3.
func TestLink(t *testing.T) {
	long := strings.Repeat("x", 2*maxTogether)
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"the end", answer("body"), "200 together body"},
		{"any 2xx", wire(head("HTTP/1.1 206 Part", "Content-Length: 4") + "body"), "206 together body"},
		{"no content", wire(head("HTTP/1.1 204 No Content")), "204 together "},
		{"next", answer(next, "body"), "200 together body, next /next in 30s"},
		{"hold", answer(streaming, channel, next, "body"), "200 together body, hold stream [c; prev-id=1], next /next in 30s"},
		{"long end", answer(long), "200 stream 200000"},
		{"long end, length announced", answer(fmt.Sprint("Content-Length: ", len(long)), long), "200 stream 200000"},
		{"long end with a gone link", answer(gone, long), "200 stream 200000, gone /gone"},
		{"long next", answer(next, long), "200 stream 200000, next /next in 30s"},
		{"long hold", answer(streaming, long), "200 stream 200000, hold stream []"},
		{"long hold with build-id", answer(streaming, "Grip-Channel: c; filter=build-id", long), "failure 502"},
		{"hold of mode response", answer(holding, "body"), "failure 502"},
		{"redirect", wire(head("HTTP/1.1 302 Found", "Location: /", "Content-Length: 0")), "failure 502"},
		{"not there", wire(head("HTTP/1.1 404 No", "Content-Length: 0")), "failure 502"},
		{"error", wire(head("HTTP/1.1 500 No", streaming, "Content-Length: 0")), "failure 502"},
		{"JSON instruct", instruct(`{"hold":{"mode":"stream","channels":[]}}`), "failure 502"},
		{"torn", wire(head("HTTP/1.1 200 OK", "Content-Length: 9") + "body"), "failure 502"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, serve(t, tt.answer))
			r := get("k")
			r.Link = true
			if got := follow(t, ask(t, c, r, false).result()); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestLinkShared: equal links are one request, whatever the answer says of those
// who ask, for it was asked on behalf of nobody; a client's request is no link.
func TestLinkShared(t *testing.T) {
	g := newGate(answer("Set-Cookie: a=b", "Cache-Control: no-store", "Vary: *", streaming, "body"))
	c := newClient(t, serve(t, g.ServeHTTP))
	link := func() *Request {
		r := get("k")
		r.Link = true
		return r
	}
	first := ask(t, c, link(), false)
	g.arrived(t)
	second, other := ask(t, c, link(), false), ask(t, c, get("k"), false)
	g.arrived(t)
	close(g.passCh)
	for _, a := range []*asker{first, second, other} {
		a.want("answer body")
	}
	g.wantQuiet(t)
}

// TestStreamKept: what a stream begins with is kept while its channels' ids can
// tell when it is outdated, and no longer.
func TestStreamKept(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"channel with an id", answer(streaming, channel, next, "body"), "kept answer body"},
		{"channel without an id", answer(streaming, "Grip-Channel: c", "body"), "answer body"},
		{"no channels", answer(streaming, "body"), "answer body"},
		{"no hold, next link", answer(channel, next, "body"), "answer body"},
	} {
		c := newClient(t, serve(t, tt.answer))
		ask(t, c, get("k"), false).want("answer body")
		if got := describe(ask(t, c, get("k"), false).result()); got != tt.want {
			t.Errorf("%s: the second gets %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestNoGrip is GRIP §1.1: where the edge does not speak GRIP, its fields pass
// both ways, and none is added.
func TestNoGrip(t *testing.T) {
	key, err := grip.ParseKey("changeme")
	if err != nil {
		t.Fatal(err)
	}
	const reply = "HTTP/1.1 200 OK\r\nContent-Type: application/grip-instruct\r\nGrip-Hold: response\r\nContent-Length: 7\r\n\r\nnot {}!"
	for _, tt := range []struct {
		name            string
		noGrip, trusted bool
	}{
		{"no_grip", true, false},
		{"trusted client", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sentCh := make(chan string, 1)
			origin := serveRaw(t, func(nc net.Conn) {
				sent, _ := readRequest(nc)
				sentCh <- sent
				io.WriteString(nc, reply)
			})
			c := newClient(t, origin)
			c.service = newService(t, ServiceConfig{
				Targets: c.service.Targets, Signer: grip.NewSigner("edge", key), NoGrip: tt.noGrip,
			})
			r := get("k")
			r.Trusted = tt.trusted
			r.Header = grip.Header{{Name: "Grip-Sig", Value: "theirs"}}
			res := ask(t, c, r, false).result()
			if res.Answer == nil || res.Answer.Hold != nil {
				t.Fatalf("got %s, want an answer without a hold", describe(res))
			}
			want := "200 OK\nContent-Type: application/grip-instruct\nGrip-Hold: response\n[7] not {}!"
			if got := transcript(res.Answer); got != want {
				t.Errorf("the client gets\n%q, want\n%q", got, want)
			}
			want = lines("GET / HTTP/1.1", "Host: example.com", "Grip-Sig: theirs", "", "")
			if got := receive(t, sentCh, "request"); got != want {
				t.Errorf("the origin got\n%q, want\n%q", got, want)
			}
		})
	}
}

// TestShareOneService: equal keys are equal within one service, and among
// trusted clients or among others.
func TestShareOneService(t *testing.T) {
	g := newGate(answer(holding, "body"))
	c := newClient(t, serve(t, g.ServeHTTP))
	one := get("k")
	one.Service = newService(t, c.service.ServiceConfig)
	two := get("k")
	two.Trusted = true
	askers := []*asker{ask(t, c, get("k"), false)}
	g.arrived(t)
	for _, r := range []*Request{one, two} {
		askers = append(askers, ask(t, c, r, false))
		g.arrived(t)
	}
	close(g.passCh)
	for _, a := range askers {
		a.want("answer body")
	}
}

// TestTargetHost is GRIP §10: a target's own Host field.
func TestTargetHost(t *testing.T) {
	c := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	c.service = newService(t, ServiceConfig{Targets: []Target{{Address: c.service.Targets[0].Address, Host: "origin.example"}}})
	ask(t, c, get(""), false).want("answer origin.example")
}
