package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"marquee/grip"
)

// filter puts a filter request and returns what is said.
func filter(t testing.TB, ctx context.Context, c *client, f FilterRequest) Verdict {
	t.Helper()
	return receive(t, startFilter(ctx, c, f), "verdict")
}

func startFilter(ctx context.Context, c *client, f FilterRequest) <-chan Verdict {
	verdictCh := make(chan Verdict, 2)
	f.Service, f.Host = c.service, "example.com"
	c.Filter(ctx, f, func(v Verdict) { verdictCh <- v })
	return verdictCh
}

// TestFilterRequest is GRIP §9: what the filter's URL is sent.
func TestFilterRequest(t *testing.T) {
	base := FilterRequest{
		Target: "/filter?x=y",
		Sub:    grip.Meta{{Name: "url", Value: "/filter"}, {Name: "user", Value: "a\"b\r\n\xc3\xa9"}},
		Pub:    nil,
		Last:   []grip.Channel{{Name: "c", PrevID: "1"}, {Name: "d", PrevID: "2"}},
	}
	fields := []string{
		"Grip-Feature: " + features, "Grip-Last: c; last-id=1", "Grip-Last: d; last-id=2",
		"Pub-Meta: {}", `Sub-Meta: {"url":"/filter","user":"a\"b\r\n` + "\xc3\xa9\"}", "",
	}
	for _, tt := range []struct {
		name   string
		modify bool
		length string
		want   string
	}{
		{"http-check", false, "0", ""},
		{"http-modify", true, "7", "content"},
	} {
		origin, sentCh := record(t)
		c := newClient(t, origin)
		f := base
		f.Modify, f.Content = tt.modify, []byte("content")
		if v := filter(t, t.Context(), c, f); v.Err != nil {
			t.Fatalf("%s: %v", tt.name, v.Err)
		}
		want := lines(append([]string{"POST /filter?x=y HTTP/1.1", "Host: example.com", "Content-Length: " + tt.length},
			append(fields, tt.want)...)...)
		if got := receive(t, sentCh, "request"); got != want {
			t.Errorf("§9 %s: the filter got\n%q, want\n%q", tt.name, got, want)
		}
	}
}

// TestFilterVerdict is GRIP §9: what the answers mean.
func TestFilterVerdict(t *testing.T) {
	long := strings.Repeat("x", grip.MaxInstructBody+1)
	const ok, none = "HTTP/1.1 200 OK", "HTTP/1.1 204 No Content"
	for _, tt := range []struct {
		name   string
		sent   string
		check  string
		modify string
	}{
		{"200", head(ok, "Content-Length: 3") + "new", "unchanged", "content new"},
		{"200, no content", head(ok, "Content-Length: 0"), "unchanged", "content "},
		{"200, no length", head(ok) + "new", "unchanged", "content new"},
		{"204", head(none), "unchanged", "unchanged"},
		{"200, drop", head(ok, "Action: drop", "Content-Length: 3") + "new", "drop", "drop"},
		{"204, drop", head(none, "action: Drop"), "drop", "drop"},
		{"another action", head(none, "Action: send"), "unchanged", "unchanged"},
		{"200, as long as may be", head(ok) + long[1:], "unchanged", "content 100000"},
		{"200, too long", head(ok) + long, "unchanged", "error"},
		{"200, torn", head(ok, "Content-Length: 9") + "new", "unchanged", "error"},
		{"no instruct", head(ok, "Grip-Hold: response", "Content-Length: 3") + "new", "unchanged", "content new"},
		{"201", head("HTTP/1.1 201 Made", "Content-Length: 0"), "error", "error"},
		{"302", head("HTTP/1.1 302 Found", "Location: /", "Content-Length: 0"), "error", "error"},
		{"404, drop", head("HTTP/1.1 404 No", "Action: drop", "Content-Length: 0"), "error", "error"},
		{"500", head("HTTP/1.1 500 No", "Content-Length: 0"), "error", "error"},
		{"no HTTP", "SSH-2.0\r\n", "error", "error"},
	} {
		c := newClient(t, serve(t, wire(tt.sent)))
		for _, modify := range []bool{false, true} {
			v := filter(t, t.Context(), c, FilterRequest{Target: "/", Modify: modify, Content: []byte("old")})
			got, want := "content "+string(v.Content), tt.check
			switch {
			case v.Err != nil:
				got = "error"
			case v.Drop:
				got = "drop"
			case v.Unchanged:
				got = "unchanged"
			case len(v.Content) > 100:
				got = fmt.Sprint("content ", len(v.Content))
			}
			if modify {
				want = tt.modify
			}
			if got != want {
				t.Errorf("§9 %s, modify %v: got %s (%v), want %s", tt.name, modify, got, v.Err, want)
			}
		}
	}
}

// TestFilterTimeout is GRIP §9: 10 s, from when the filter is asked.
func TestFilterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubbleClient(t, trickleAnswer, func(cfg *Config) { cfg.AnswerTimeout = time.Hour })
		begun := time.Now()
		v := filter(t, t.Context(), c, FilterRequest{Target: "/", Modify: true})
		if took := time.Since(begun); !errors.Is(v.Err, context.DeadlineExceeded) || took != filterTimeout {
			t.Errorf("got %+v after %v, want %v after %v", v, took, context.DeadlineExceeded, filterTimeout)
		}
		synctest.Wait()
	})
}

// TestFilterRate is GRIP §9: 100 a second for each URL, and those who would wait
// for too long are refused at once.
func TestFilterRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubbleClient(t, answer("x"), func(cfg *Config) { cfg.MaxOpen = 2 * filterRate })
		begun := time.Now()
		const room = filterBurst + filterRate*int(filterTimeout/time.Second)
		var verdicts []<-chan Verdict
		for range room {
			verdicts = append(verdicts, startFilter(t.Context(), c, FilterRequest{Target: "/one"}))
		}
		if v := filter(t, t.Context(), c, FilterRequest{Target: "/one"}); v.Err == nil || time.Since(begun) != 0 {
			t.Errorf("one too many gets %+v after %v, want an error at once", v, time.Since(begun))
		}
		if v := filter(t, t.Context(), c, FilterRequest{Target: "/two"}); v.Err != nil || time.Since(begun) != 0 {
			t.Errorf("another URL gets %+v after %v, want its turn at once", v, time.Since(begun))
		}
		for i, ch := range verdicts {
			if v := <-ch; v.Err != nil {
				t.Fatalf("request %d: %v", i, v.Err)
			}
			want := time.Duration(max(0, i+1-filterBurst)) * time.Second / filterRate
			if took := time.Since(begun); (took - want).Abs() > time.Microsecond {
				t.Fatalf("request %d is answered after %v, want %v", i, took, want)
			}
		}
	})
}

// TestFilterLine: there are so many filter requests and no more, and the memory
// of URLs that were asked is bounded, too.
func TestFilterLine(t *testing.T) {
	now := time.Now()
	fl := &filtering{turns: make(map[string]*turns)}
	for i := range maxFiltering {
		if _, err := fl.enter(fmt.Sprint(i), now); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if _, err := fl.enter("one more", now); err != errFilterLine {
		t.Errorf("one too many: %v, want %v", err, errFilterLine)
	}
	for i := range maxFiltering {
		fl.leave(fmt.Sprint(i))
	}
	for i := range 5 * maxFiltering {
		now = now.Add(time.Millisecond)
		name := fmt.Sprint("other ", i)
		if _, err := fl.enter(name, now); err != nil {
			t.Fatalf("request %s: %v", name, err)
		}
		fl.leave(name)
	}
	if n := len(fl.turns); n > 2*maxFiltering {
		t.Errorf("%d URLs are remembered, want at most %d", n, 2*maxFiltering)
	}
}

// TestFilterGivenUp ends the context at each stage: there is one verdict, and
// nothing stays behind.
func TestFilterGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name      string
		turns     int // that others have taken
		open      int // requests of others
		reachedIt func(t *testing.T, c *client, g *gate)
	}{
		{"waiting for its turn", 5 * filterRate, 0, func(*testing.T, *client, *gate) {}},
		{"waiting for room", 0, 1, func(t *testing.T, c *client, _ *gate) {
			eventually(t, "one in line", func() bool { return c.Stats().Waiting == 1 })
		}},
		{"asked", 0, 0, func(t *testing.T, _ *client, g *gate) { g.arrived(t) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(answer("x"))
			c := newClient(t, serve(t, g.ServeHTTP), func(cfg *Config) { cfg.MaxOpen = 1 })
			for range tt.open {
				ask(t, c, get(""), false)
				g.arrived(t)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for range tt.turns {
				if _, err := c.filtering.enter(c.service.String()+" example.com /", time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			verdictCh := startFilter(ctx, c, FilterRequest{Target: "/"})
			tt.reachedIt(t, c, g)
			cancel()
			if v := receive(t, verdictCh, "verdict"); !errors.Is(v.Err, context.Canceled) {
				t.Errorf("got %+v, want %v", v, context.Canceled)
			}
			if n := c.Stats().Failures; n != 0 {
				t.Errorf("%d failures, want none: giving up is none", n)
			}
		})
	}
}

// TestFilterRefused: no room among the open requests in time is an error.
func TestFilterRefused(t *testing.T) {
	g := newGate(answer("x"))
	c := limited(newClient(t, serve(t, g.ServeHTTP)), 1, 0)
	a := ask(t, c, get(""), false)
	g.arrived(t)
	if v := filter(t, t.Context(), c, FilterRequest{Target: "/"}); !errors.Is(v.Err, busy) {
		t.Errorf("got %+v, want %v", v, busy)
	}
	close(g.passCh)
	a.want("answer x")
}

// TestFilterUntrusted: a filter's URL leads an untrusted target no further than
// a request does.
func TestFilterUntrusted(t *testing.T) {
	c := newClient(t, serve(t, answer("x")))
	_, port, _ := net.SplitHostPort(c.service.Targets[0].Address)
	c.service = newService(t, ServiceConfig{Targets: []Target{{Address: "localhost:" + port, Untrusted: true}}})
	if v := filter(t, t.Context(), c, FilterRequest{Target: "/"}); !errors.Is(v.Err, errBlocked) {
		t.Errorf("got %+v, want %v", v, errBlocked)
	}
}

// TestFilterStaleConnection: an origin that closes an idle connection without a
// word costs no item.
func TestFilterStaleConnection(t *testing.T) {
	c := newClient(t, serve(t, wire(head("HTTP/1.1 200 OK", "Content-Length: 3")+"new"))) // and closes
	for range 20 {
		v := filter(t, t.Context(), c, FilterRequest{Target: "/", Modify: true, Content: []byte("old")})
		if string(v.Content) != "new" {
			t.Fatalf("got %+v, want the content new", v)
		}
	}
}

// TestFilterReuse: answers whose content nobody needs leave their connection.
func TestFilterReuse(t *testing.T) {
	peerCh := make(chan string, 2)
	c := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		peerCh <- r.RemoteAddr
		io.WriteString(w, "content")
	}))
	for range 2 {
		if v := filter(t, t.Context(), c, FilterRequest{Target: "/"}); !v.Unchanged {
			t.Fatalf("got %+v, want it unchanged", v)
		}
	}
	if first, second := <-peerCh, <-peerCh; first != second {
		t.Errorf("the second request comes from %s, the first from %s; want the same", second, first)
	}
}
