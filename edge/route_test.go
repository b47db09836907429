package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

// newRouteRig is newHastyRig with routes: each is a condition with options.
func newRouteRig(t *testing.T, h http.Handler, hold time.Duration, routes []string, args ...string) *rig {
	t.Helper()
	wantNoLeaks(t)
	origin := serve(t, h)
	return startEdge(t, origin, func(c *Config) {
		c.Origin, c.HoldTimeout = "", hold
		for _, route := range routes {
			c.Route = append(c.Route, route+" "+origin)
		}
	}, args...)
}

// The origin knows nothing of a route's prefix: neither its channels nor
// Grip-Last have it, but what is published does (GRIP reference 10).
func TestPrefix(t *testing.T) {
	lastCh := make(chan string, 10)
	r := newRouteRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		lastCh <- req.Header.Get("Grip-Last")
		w.Header().Set("Grip-Hold", "stream")
		w.Header().Set("Grip-Link", "</next>; rel=next")
		w.Header().Set("Grip-Channel", "c; prev-id=1")
		if req.URL.Path == "/next" {
			w.Header().Set("Grip-Channel", "c; prev-id=3")
			_, _ = io.WriteString(w, "two three")
		}
	}), time.Minute, []string{"*,prefix=p-"})
	c := r.dial()
	c.get("/")
	c.wantStatus(200)
	await(t, lastCh, "the stream")
	if got := r.publish(streamItem("c", 2, "wrong"))[0]; got.Matched+got.Missed != 0 {
		t.Errorf("receipt %+v of a channel without prefix, want none matched", got)
	}
	r.publish(streamItem("p-c", 3, "three"))
	c.wantChunk("two three")
	if got, want := await(t, lastCh, "the link"), "c; last-id=1"; got != want {
		t.Errorf("Grip-Last %q, want %q", got, want)
	}
	r.publish(streamItem("p-c", 4, "four"))
	c.wantChunk("four")
}

// What an origin says to a proxy passes as it is on a route with no_grip, and to
// a trusted proxy in front, who holds by itself (GRIP reference 6, 10).
func TestInstructPasses(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Grip-Hold", "response")
		w.Header().Set("Grip-Channel", "c")
		_, _ = io.WriteString(w, "held")
	})
	key, err := grip.ParseKey("upstream")
	if err != nil {
		t.Fatal(err)
	}
	other, err := grip.ParseKey("other")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, options string
		fields        []string
		passes        bool
	}{
		{"no_grip", ",no_grip", nil, true},
		{"trusted proxy", "", []string{"Grip-Sig: " + grip.NewSigner("front", key).Token(time.Now())}, true},
		{"a second signature", "", []string{"Grip-Sig: x", "Grip-Sig: " + grip.NewSigner("front", key).Token(time.Now())}, false},
		{"bad signature", "", []string{"Grip-Sig: " + grip.NewSigner("front", other).Token(time.Now())}, false},
		{"no signature", "", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouteRig(t, h, 50*time.Millisecond, []string{"*" + tt.options}, "-upstream-key", "upstream")
			c := r.dial()
			c.get("/", tt.fields...)
			c.wantStatus(200)
			if tt.passes {
				c.wantHeader("Grip-Hold", "response")
				c.wantHeader("Grip-Channel", "c")
			} else {
				c.wantHeader("Grip-Hold")
				c.wantHeader("Grip-Channel")
			}
			c.wantBody("held")
		})
	}
}

// Every kind of answer on a route with aco can be read by a page of another
// origin: one that was held, a timeout, a stream, an error (GRIP reference 11).
func TestCrossOriginAnswers(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/broken":
			w.Header().Set("Grip-Hold", "nonsense")
			return
		case "/stream":
			w.Header().Set("Grip-Hold", "stream")
		case "/timeout":
			w.Header().Set("Grip-Hold", "response")
			w.Header().Set("Grip-Channel", "nothing")
			_, _ = io.WriteString(w, "late")
			return
		default:
			w.Header().Set("Grip-Hold", "response")
		}
		w.Header().Set("Grip-Channel", "c")
	})
	news := item("c", "", "", "news")
	news.HTTPStream = &grip.HTTPStream{Content: []byte("news")}
	for _, tt := range []struct {
		path   string
		status int
		body   string
		holds  int
	}{
		{"/held", 200, "news", 1},
		{"/stream", 200, "", 1},
		{"/timeout", 200, "late", 0},
		{"/broken", 502, "", 0},
	} {
		for _, args := range [][]string{nil, {"-share-all"}} {
			t.Run(fmt.Sprint(tt.path, args), func(t *testing.T) {
				hold := 50 * time.Millisecond
				if tt.holds > 0 {
					hold = time.Minute
				}
				r := newRouteRig(t, h, hold, []string{"*,aco"}, args...)
				c := r.dial()
				c.get(tt.path, "Origin: http://page.example")
				if tt.path == "/held" {
					r.waitHolds(1)
					r.publish(news)
				}
				c.wantStatus(tt.status)
				c.wantHeader("Access-Control-Allow-Origin", "http://page.example")
				switch {
				case tt.path == "/stream":
					r.publish(news)
					c.wantChunk("news")
				case tt.body != "":
					c.wantBody(tt.body)
				}
			})
		}
	}
}

// A script gets an answer that was held, and its timeout, in its callback
// (GRIP reference 12).
func TestJSONPAnswers(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Grip-Hold", "response")
		w.Header().Set("Grip-Channel", "c")
		_, _ = io.WriteString(w, `{"late":1}`)
	})
	for _, tt := range []struct {
		name, want string
		hold       time.Duration
	}{{"item", `{\"news\":1}`, time.Minute}, {"timeout", `{\"late\":1}`, 50 * time.Millisecond}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouteRig(t, h, tt.hold, []string{"*,aco"})
			c := r.dial()
			c.get("/?callback=tell")
			if tt.hold == time.Minute {
				r.waitHolds(1)
				r.turn()
				r.publish(item("c", "", "", `{"news":1}`))
			}
			c.wantStatus(200)
			body, err := c.readBody(200)
			if err != nil || !strings.Contains(body, "tell(") || !strings.Contains(body, tt.want) {
				t.Errorf("script %s, %v, want a call of tell with %s", brief(body), err, tt.want)
			}
		})
	}
}

// A stream for which there is nothing to send but a head ends with it, and the
// connection goes on (RFC 9110 §9.3.2, §15.3.5).
func TestBodilessStreams(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		status       int
	}{{"HEAD", "HEAD", 200}, {"204", "GET", 204}, {"304", "GET", 304}} {
		for _, args := range [][]string{nil, {"-share-all"}} {
			t.Run(fmt.Sprint(tt.name, args), func(t *testing.T) {
				r := newRouteRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					w.Header().Set("Grip-Hold", "stream")
					w.Header().Set("Grip-Channel", "c; prev-id=1")
					w.Header().Set("Grip-Link", "</next>; rel=next")
					w.Header().Set("Grip-Status", fmt.Sprint(tt.status))
				}), time.Minute, []string{"*"}, args...)
				c := r.dial()
				for range 2 {
					c.ask(tt.method, "/")
					c.wantAnswer(tt.status, "")
				}
				c.wantNothing()
				r.waitHolds(0)
			})
		}
	}
}

// Why the origin's answer is of no use is told to clients of a route with debug
// only (GRIP reference 13).
func TestDebugAnswers(t *testing.T) {
	r := newRouteRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Grip-Hold", "nonsense")
		w.Header().Set("Grip-Channel", "c")
	}), time.Minute, []string{"*", "debug.example,debug"})
	for host, tells := range map[string]bool{"plain.example": false, "debug.example": true} {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		c.wantStatus(502)
		body, err := c.readBody(502)
		if err != nil || (body != "Error while proxying to origin.\n") != tells {
			t.Errorf("%s: body %q, %v, want the reason: %v", host, body, err, tells)
		}
	}
}

// What a script sends in _headers is treated as if the client had sent it in its
// own: a route's fields stand instead, and what is the edge's to say stays so
// (GRIP reference 1.1, 10.1).
func TestJSONPHeadersAreTheClients(t *testing.T) {
	headerCh := make(chan http.Header, 1)
	h := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { headerCh <- req.Header })
	sent := `{"X-Tenant":"other","X-Gone":"1","X-Forwarded-Proto":"https","CDN-Loop":"other","eb9bf0f5-X-A":"1","X-A":"2"}`
	for _, tt := range []struct {
		options string
		want    map[string]string
	}{
		{"", map[string]string{"Eb9bf0f5-X-A": "", "Eb9bf0f5-X-Tenant": ""}},
		{",orig_headers", map[string]string{"Eb9bf0f5-X-A": "2|1", "Eb9bf0f5-X-Tenant": "own"}},
	} {
		t.Run(tt.options, func(t *testing.T) {
			r := newRouteRig(t, h, time.Minute, []string{`*,aco,header="X-Tenant: own",header="X-Gone:"` + tt.options},
				"-set-x-forwarded-protocol", "proto-only", "-cdn-loop", "edge")
			c := r.dial()
			c.get("/?callback=f&_headers=" + url.PathEscape(sent))
			c.wantStatus(200)
			got := await(t, headerCh, "the request at the origin")
			want := map[string]string{"X-Tenant": "own", "X-Gone": "", "X-Forwarded-Proto": "", "Cdn-Loop": "other, edge", "X-A": "2"}
			maps.Copy(want, tt.want)
			for name, value := range want {
				if values := strings.Join(got.Values(name), "|"); values != value {
					t.Errorf("origin got %s: %q, want %q", name, values, value)
				}
			}
		})
	}
}

// A client takes away its own fields by naming them in Connection, and not those that
// the route adds (RFC 9110 §7.6.1).
func TestRouteFieldsStay(t *testing.T) {
	headerCh := make(chan http.Header, 1)
	h := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { headerCh <- req.Header })
	for _, options := range []string{"", ",orig_headers"} {
		for _, args := range [][]string{nil, {"-share-all"}} {
			r := newRouteRig(t, h, time.Minute, []string{`*,header="X-Tenant: own"` + options}, args...)
			c := r.dial()
			c.get("/", "Connection: X-Tenant, x-mine, eb9bf0f5-x-other", "X-Tenant: other", "X-Mine: 1", "X-Other: 2")
			c.wantStatus(200)
			got := await(t, headerCh, "the request at the origin")
			want := map[string]string{"X-Tenant": "own", "X-Mine": "", "X-Other": "2", "Connection": ""}
			if options != "" {
				want["Eb9bf0f5-X-Other"] = "2"
			}
			for name, value := range want {
				if values := strings.Join(got.Values(name), "|"); values != value {
					t.Errorf("with %q and %q the origin got %s: %q, want %q", options, args, name, values, value)
				}
			}
		}
	}
}
