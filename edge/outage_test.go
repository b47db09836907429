package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/grip"
)

// Without NATS everything at one edge goes on; and when it is back, everybody
// gets what was missed.
func TestNATSRestart(t *testing.T) {
	const clients = 6
	f := newFleet(t, 3)
	f.waitConnected(true)
	cs := f.poll(clients, 1)
	f.nats.kill()
	f.waitConnected(false)

	// Serving, holding, and publishing to who is here.
	for i, r := range f.edges {
		c := r.dial()
		c.get(headlinePath)
		c.wantAnswer(200, headlineBody(1))
		held := r.poll(2, 1)
		r.waitHolds(clients + 2)
		for _, c := range held {
			c.leave()
		}
		r.waitHolds(clients)
		other := r.dial()
		other.get(headlinePath + "?last_id=1&another=question")
		r.waitHolds(clients + 1)
		other.leave()
		r.waitHolds(clients)
		receipts, warning := r.publishWarned(item("elsewhere", "", "", "x"))
		if len(receipts) != 1 || receipts[0].Fate != "delivered" || !strings.Contains(warning, "this edge only") {
			t.Errorf("edge %d: receipts %+v, warning %q", i+1, receipts, warning)
		}
	}
	f.origin.count()
	f.nats.start()
	f.waitConnected(true)
	// Nothing was missed, and nobody notices; but the edges have asked.
	eventually(t, func() error {
		f.origin.mu.Lock()
		defer f.origin.mu.Unlock()
		if f.origin.requests < len(f.edges) {
			return fmt.Errorf("the origin was asked %d times, want once by each edge", f.origin.requests)
		}
		return nil
	})
	f.waitHolds(clients)
	if requests := f.origin.count(); requests != len(f.edges) && f.returns() == len(f.edges) {
		t.Errorf("the origin was asked %d times, want once by each edge", requests)
	}
	for _, c := range cs {
		c.wantNothing()
	}
	f.change()
	wantAll(t, cs, 2)
	for _, c := range cs {
		c.get(pollPath(2))
	}
	f.waitHolds(clients)

	f.nats.kill()
	f.waitConnected(false)
	f.origin.change() // is missed by all but one edge
	_, warning := f.edges[1].publishWarned(headlineItem(3))
	if !strings.Contains(warning, "this edge only") {
		t.Errorf("warning %q, want one of who gets it", warning)
	}
	wantAll(t, cs[clients:2*clients], 3)
	for _, c := range cs[:clients] {
		c.wantNothing()
	}
	f.nats.start()
	wantAll(t, cs[:clients], 3)
	wantAll(t, cs[2*clients:], 3)
	f.origin.count()
	for _, c := range cs {
		c.get(pollPath(3))
	}
	f.waitHolds(clients)
	if requests := f.origin.count(); requests > 3*len(f.edges) {
		t.Errorf("the origin was asked %d times by %d edges after the loss", requests, len(f.edges))
	}
	f.waitConnected(true)
	f.change()
	wantAll(t, cs, 4)
}

// Those who hold with questions of their own are asked for little by little.
func TestDoubtIsSpread(t *testing.T) {
	const clients = 6 * tickRechecks
	f := newFleet(t, 1, "-loops", "1")
	var mu sync.Mutex
	asked := make(map[string][]time.Time)
	f.origin.answering = func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.RawQuery] = append(asked[r.URL.RawQuery], time.Now())
	}
	r := f.edges[0]
	cs := make([]*client, clients)
	for i := range cs {
		cs[i] = r.dial()
		cs[i].get(fmt.Sprintf("%s&client=%d", pollPath(1), i))
	}
	r.waitHolds(clients)
	f.nats.kill()
	f.waitConnected(false)
	mu.Lock()
	clear(asked)
	mu.Unlock()
	f.nats.start()
	f.waitConnected(true)
	eventually(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(asked) < clients {
			return fmt.Errorf("%d of %d questions were asked again", len(asked), clients)
		}
		return nil
	})
	r.waitHolds(clients)
	mu.Lock()
	once := f.returns() == 1
	first, last := time.Now(), time.Time{}
	for query, at := range asked {
		if len(at) != 1 && once {
			t.Errorf("%s was asked %d times", query, len(at))
		}
		if at[0].Before(first) {
			first = at[0]
		}
		last = later(last, at[0])
	}
	mu.Unlock()
	// The ticks that it takes are not all delayed to the same moment.
	if took, want := last.Sub(first), clients/tickRechecks/2*tick; took < want {
		t.Errorf("all questions were asked within %v, want more than %v", took, want)
	}
	f.change()
	wantAll(t, cs, 2)
}

// Edges that are cut off without a word, one of them while it waits for the
// confirmation of a subscription, notice it, and make up for what was missed.
func TestPartition(t *testing.T) {
	const clients = 4
	f := newFleet(t, 3)
	holds, subscribes, untouched := f.edges[0], f.edges[1], f.edges[2]
	cs := holds.poll(clients, 1)
	holds.waitHolds(clients)
	near := untouched.poll(clients, 1)
	untouched.waitHolds(clients)
	f.links[0].cut()
	f.links[1].cut()
	cutAt := time.Now()
	pending := subscribes.poll(clients, 1)
	subscribes.waitMetric("marquee_origin_requests_total", 1)
	f.change()
	wantAll(t, near, 2)
	for _, c := range cs {
		c.wantNothing()
	}
	holds.waitConnected(false)
	t.Logf("noticed after %v", time.Since(cutAt).Round(10*time.Millisecond))
	untouched.waitConnected(true)
	cs = append(cs, pending...)
	newcomer := holds.dial()
	newcomer.get(pollPath(2))
	holds.waitHolds(clients + 1)
	f.links[0].heal()
	f.links[1].heal()
	wantAll(t, cs, 2)
	cs = append(cs, near...)
	for _, c := range cs {
		c.get(pollPath(2))
	}
	holds.waitHolds(clients + 1)
	subscribes.waitHolds(clients)
	untouched.waitHolds(clients)
	f.nats.wantInterest("headline-value", 3)
	f.change()
	wantAll(t, append(cs, newcomer), 3)
}

// NATS goes and comes again and again while headlines change and clients
// follow: all come to the end.
func TestSeveralCuts(t *testing.T) {
	const edges, clients, cuts, changes = 2, 20, 4, 3
	f := newFleet(t, edges)
	last := 1 + cuts*changes + 1
	wait := f.crowd(clients, last)
	for range cuts {
		f.change()
		f.nats.kill()
		f.origin.change() // nobody is told
		f.waitConnected(false)
		f.nats.start()
		// As soon as the origin is back: edges may be away still.
		next := headlineItem(f.origin.change())
		eventually(t, func() error { return f.bus.PublishItem(next) })
	}
	f.waitConnected(true)
	for f.change() < last {
	}
	wait()
	requests := f.origin.count()
	t.Logf("%d requests to the origin", requests)
}

// An edge of a cluster that drains answers its holds and those who would be held,
// and leaves the channels.
func TestDrainInCluster(t *testing.T) {
	f := newFleet(t, 2, "-drain-timeout", "1m")
	r := f.edges[0]
	askedCh, goCh := make(chan struct{}, 8), make(chan struct{})
	f.origin.answering = func(req *http.Request) {
		if strings.Contains(req.URL.RawQuery, "slow") {
			askedCh <- struct{}{}
			hang(req, goCh)
		}
	}
	held := r.poll(2, 1)
	r.waitHolds(2)
	c := r.dial()
	c.get(pollPath(1) + "&slow=1")
	await(t, askedCh, "the slow request")
	stoppedCh := r.stopping()
	for _, c := range held {
		c.wantAnswer(200, "{}")
		c.wantClosed()
		c.leave()
	}
	close(goCh)
	c.wantStatus(200)
	c.wantHeader("Connection", "close")
	c.wantBody("{}") // no hold begins any more
	c.wantClosed()
	c.leave()
	await(t, stoppedCh, "the edge's end")
	f.nats.wantInterest("headline-value", 0)
}

// An edge ends well, and in time, in whatever state its connection is.
func TestStopInCluster(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(f *fleet)
	}{
		{"connected", func(*fleet) {}},
		{"without NATS", func(f *fleet) {
			f.nats.kill()
			f.waitConnected(false)
		}},
		{"just back", func(f *fleet) {
			f.nats.kill()
			f.waitConnected(false)
			f.nats.start()
			f.waitConnected(true)
		}},
		{"cut off while subscribing, and not aware of it", func(f *fleet) {
			f.links[0].cut()
			f.edges[0].edge.cluster.await([]grip.Channel{{Name: "new"}}, nil)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet(t, 1)
			cs := f.poll(2, 1)
			tt.before(f)
			stoppedCh := f.edges[0].stopping()
			for _, c := range cs {
				c.wantAnswer(200, "{}")
				c.wantClosed()
				c.leave()
			}
			await(t, stoppedCh, "the edge's end")
		})
	}
}
