package upstream

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// limited makes a client with another line than NewClient's.
func limited(c *client, maxOpen, line int) *client {
	c.limit = newLimiter(maxOpen, line, linePatience)
	return c
}

func TestOpenAtMost(t *testing.T) {
	const maxOpen, all = 3, 9
	g := newGate(answer("body"))
	var open, most atomic.Int64
	c := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := open.Add(1)
		defer open.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		g.ServeHTTP(w, r)
	}), func(cfg *Config) { cfg.MaxOpen = maxOpen })

	var askers []*asker
	for range all {
		askers = append(askers, ask(t, c, get(""), false))
	}
	for range maxOpen {
		g.arrived(t)
	}
	if s := c.Stats(); s.Open != maxOpen || s.Waiting != all-maxOpen {
		t.Errorf("%d open and %d in line, want %d and %d", s.Open, s.Waiting, maxOpen, all-maxOpen)
	}
	// One in line leaves, who never gets to the origin.
	if !askers[all-1].ticket.Leave() {
		t.Error("Leave() in line is late")
	}
	if s := c.Stats(); s.Waiting != all-maxOpen-1 {
		t.Errorf("%d in line after one has left, want %d", s.Waiting, all-maxOpen-1)
	}
	close(g.passCh)
	for _, a := range askers[:all-1] {
		a.want("answer body")
	}
	askers[all-1].wantNone()
	if m := most.Load(); m > maxOpen {
		t.Errorf("%d were open at the origin at a time, want at most %d", m, maxOpen)
	}
	if s := c.Stats(); s.Requests != all-1 {
		t.Errorf("%d requests put to the origin, want %d", s.Requests, all-1)
	}
}

// TestOpenAfterLeave: a request that is given up at the origin makes room.
func TestOpenAfterLeave(t *testing.T) {
	g := newGate(answer("body"))
	c := newClient(t, serve(t, g.ServeHTTP), func(cfg *Config) { cfg.MaxOpen = 1 })
	first := ask(t, c, get(""), false)
	g.arrived(t)
	second := ask(t, c, get(""), false)
	first.ticket.Leave()
	g.arrived(t)
	close(g.passCh)
	second.want("answer body")
	first.wantNone()
}

// TestOpenWhileStreaming: a request is open until its body is closed.
func TestOpenWhileStreaming(t *testing.T) {
	g := newGate(trickleAnswer)
	close(g.passCh)
	c := newClient(t, serve(t, g.ServeHTTP), func(cfg *Config) { cfg.MaxOpen = 1 })
	r := ask(t, c, get(""), false).result()
	atOrigin := g.arrived(t)
	second := ask(t, c, get(""), false)
	if s := c.Stats(); s.Open != 1 || s.Waiting != 1 {
		t.Errorf("%d open and %d in line, want 1 and 1", s.Open, s.Waiting)
	}
	for range 2 {
		r.Answer.Body.Close()
	}
	receive(t, atOrigin.Context().Done(), "end of the request at the origin")
	second.want("stream ")
	if s := c.Stats(); s.Open != 0 {
		t.Errorf("%d open after all, want 0: closing twice is closing once", s.Open)
	}
}

func TestLineFull(t *testing.T) {
	g := newGate(answer("body"))
	c := limited(newClient(t, serve(t, g.ServeHTTP)), 1, 1)
	first := ask(t, c, get(""), false)
	g.arrived(t)
	second := ask(t, c, get(""), false)
	r := ask(t, c, get(""), false).result()
	if f := r.Failure; f == nil || f.Code != 503 || f.RetryAfter != "1" {
		t.Errorf("got %+v, want a 503 with Retry-After", f)
	}
	if n := c.Stats().Failures; n != 1 {
		t.Errorf("%d failures are counted, want 1", n)
	}
	close(g.passCh)
	first.want("answer body")
	second.want("answer body")
}

func TestLinePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(answer("body"))
		c := newBubbleClient(t, g.ServeHTTP, func(cfg *Config) { cfg.MaxOpen = 1 })
		first := ask(t, c, get(""), false)
		g.arrived(t)
		begun := time.Now()
		second, third := ask(t, c, get("k"), false), ask(t, c, get("k"), false)
		for _, a := range []*asker{second, third} {
			r := a.result()
			if f := r.Failure; f == nil || f.Code != 503 || f.RetryAfter == "" {
				t.Errorf("got %s, want a 503 with Retry-After", describe(r))
			}
		}
		if d := time.Since(begun); d != linePatience {
			t.Errorf("refused after %v, want %v", d, linePatience)
		}
		fourth := ask(t, c, get("k"), false) // joins nobody who was refused
		close(g.passCh)
		first.want("answer body")
		fourth.want("answer body")
	})
}

// TestOutage: an origin that is down is logged once, and once when it answers
// again; each failure is counted.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		up := false
		c := newBubbleClient(t, func(w http.ResponseWriter, r *http.Request) {
			if up {
				answer("body")(w, r)
			} else {
				wire("no HTTP")(w, r)
			}
		}, func(cfg *Config) {
			cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
		wantLines := func(lost, back int) {
			t.Helper()
			if n := strings.Count(log.String(), "level=WARN msg=\"origin gives no good answer\""); n != lost {
				t.Errorf("the begin of an outage is told %d times, want %d:\n%s", n, lost, &log)
			}
			if n := strings.Count(log.String(), "level=INFO msg=\"origin answers again\""); n != back {
				t.Errorf("the end of an outage is told %d times, want %d:\n%s", n, back, &log)
			}
		}
		wantBody := func() {
			t.Helper()
			ask(t, c, get(""), false).want("answer body")
		}
		wantBodyAfter := func(failures int) {
			t.Helper()
			up = false
			for range failures {
				ask(t, c, get(""), false).want("failure 502")
			}
			up = true
			wantBody()
		}
		up = true
		wantBody()
		wantLines(0, 0)
		up = false
		for range 3 {
			ask(t, c, get(""), false).want("failure 502")
			time.Sleep(time.Minute)
		}
		wantLines(1, 0)
		up = true
		wantBody()
		wantBody()
		wantLines(1, 1)
		if want := "failures=3 after=3m0s"; !strings.Contains(log.String(), want) {
			t.Errorf("the log has not %s:\n%s", want, &log)
		}
		// One that answers now and then is told of once a second.
		for range 10 {
			wantBodyAfter(2)
		}
		wantLines(2, 2)
		time.Sleep(outagePause)
		wantBodyAfter(1)
		wantLines(3, 3)
		if n := c.Stats().Failures; n != 3+20+1 {
			t.Errorf("%d failures are counted, want 24", n)
		}
	})
}
