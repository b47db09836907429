package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// The metrics are as Prometheus's own linter wants them.
func TestMetricsLint(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	problems, err := testutil.GatherAndLint(r.edge.metrics.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "marquee_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// How long was held is counted by mode when it ends: once, for a hold that is
// put to the origin again meanwhile.
func TestHoldSeconds(t *testing.T) {
	h := &headline{id: 1}
	j := new(journal)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == headlinePath {
			h.ServeHTTP(w, req)
		} else {
			j.ServeHTTP(w, req) // and its links
		}
	}))
	counts := func(response, stream float64) {
		t.Helper()
		r.waitMetric(`marquee_hold_seconds_count{mode="response"}`, response)
		r.waitMetric(`marquee_hold_seconds_count{mode="stream"}`, stream)
	}
	counts(0, 0)
	polls := r.poll(3, 1)
	f := r.follow(j, 0)
	r.waitHolds(4)
	counts(0, 0)
	resp, err := web.Post(r.control+"/recover/", "", nil) // asked again, held on
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	r.waitHolds(4)
	counts(0, 0)
	polls[0].leave()
	counts(1, 0)
	f.leave()
	counts(1, 1)
	h.change()
	r.publish(headlineItem(2))
	for _, c := range polls[1:] {
		c.wantAnswer(200, headlineBody(2))
	}
	counts(3, 1)
	if n := r.metric(`marquee_hold_seconds_bucket{mode="response",le="+Inf"}`); n != 3 {
		t.Errorf("%v holds are in the buckets, want 3", n)
	}
}

// Everything that is lost or cut off has its reason, from the start.
func TestDrops(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi), "-max-connections", "1")
	drop := func(what, reason string) string {
		return `marquee_drops_total{reason="` + reason + `",what="` + what + `"}`
	}
	for line := range strings.Lines(r.metrics()) {
		if strings.HasPrefix(line, "marquee_drops_total{") && !strings.HasSuffix(line, "} 0\n") {
			t.Errorf("before anything was dropped: %s", line)
		}
	}
	c := r.dial()
	c.get("/")
	c.wantAnswer(200, "hi /")
	other := r.dial()
	other.wantStatus(503)
	r.waitMetric(drop("client", "no_room"), 1)
	c.send("no HTTP\r\n\r\n")
	c.wantStatus(400)
	r.waitMetric(drop("request", "malformed"), 1)
	resp, err := web.Post(r.control+"/publish/", "", strings.NewReader("no JSON"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	r.waitMetric(drop("publish", "refused"), 1)
	r.waitMetric("marquee_publishes_refused_total", 1)
}

// The connections of publishers and operators are counted while they are there.
func TestControlConnections(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	c := dial(t, strings.TrimPrefix(r.control, "http://"))
	r.waitMetric("marquee_control_connections", 2) // and the one that asks
	c.leave()
	r.waitMetric("marquee_control_connections", 1)
}

// A client that comes or goes is where the loop looks for it.
func TestClientsOfLoop(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	var cs []*client
	for range 20 {
		c := r.dial()
		c.get("/")
		c.wantAnswer(200, "hi /")
		cs = append(cs, c)
	}
	check := func(want int) {
		t.Helper()
		r.waitMetric("marquee_connections", float64(want))
		n := 0
		r.onLoops(func(l *loop) {
			n += len(l.clients)
			for i, c := range l.clients {
				if int(c.place) != i || slices.Index(l.clients, c) != i {
					t.Errorf("the client at %d believes to be at %d", i, c.place)
				}
			}
		})
		if n != want {
			t.Errorf("the loops have %d clients, want %d", n, want)
		}
	}
	check(20)
	for i, c := range cs {
		if i%3 != 1 {
			c.leave()
		}
	}
	check(7)
}
