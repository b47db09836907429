package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"marquee/bus"
	"marquee/grip"
)

// The origin publishes before it answers with the hold, and the edge is not
// subscribed yet. Everybody gets the newest at once.
func TestSubscribeRace(t *testing.T) {
	const clients = 8
	tests := []struct {
		name     string
		items    int // published before the hold's answer
		requests int // that the origin gets for it, at the most
	}{
		{"nothing", 0, 2},
		{"next item", 1, 2},
		{"two items", 2, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet(t, 1)
			var once sync.Once
			f.origin.answering = func(*http.Request) {
				once.Do(func() {
					f.nats.wantInterest("headline-value", 0)
					for range tt.items {
						f.change()
					}
				})
			}
			began := time.Now()
			cs := f.edges[0].poll(clients, 1)
			if tt.items == 0 {
				f.waitHolds(clients)
				f.change()
			}
			wantAll(t, cs, max(tt.items, 1)+1)
			if took := time.Since(began); took > grip.DefaultTimeout/2 {
				t.Errorf("it took %v", took)
			}
			if requests := f.origin.count(); requests > tt.requests {
				t.Errorf("the origin was asked %d times, want at most %d", requests, tt.requests)
			}
			// What was given is kept for those who come next, once subscribed.
			f.nats.wantInterest("headline-value", 1)
			for _, last := range f.origin.last {
				if want := "headline-value; last-id=1"; last != want {
					t.Errorf("Grip-Last %s, want %s", last, want)
				}
			}
		})
	}
}

// A stream whose origin is asked once more, since the edge was not subscribed to its
// channel before, begins with what the origin has for a new one: not with what
// comes after that, of which nobody has been given anything.
func TestSubscribeBeforeStream(t *testing.T) {
	wantNoLeaks(t)
	nats := startNATS(t, server.Options{})
	asked := make(chan string, 10) // Grip-Last of the requests
	origin := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Grip-Last")
		w.Header().Set("Grip-Hold", "stream")
		w.Header().Set("Grip-Channel", "journal; prev-id=7")
		w.Header().Set("Grip-Link", "</next>; rel=next; timeout=120")
		if r.Header.Get("Grip-Last") == "" {
			fmt.Fprintln(w, "line 7")
		}
	}))
	r := startEdge(t, origin, nil, "-nats", nats.newLink().url(), "-share-all")
	c := r.dial()
	c.get("/journal")
	c.wantStatus(200)
	lines := bufio.NewReader(&chunks{c: c})
	if got, err := lines.ReadString('\n'); got != "line 7\n" {
		t.Errorf("the stream begins with %q, %v, want line 7", got, err)
	}
	for range len(asked) {
		if last := <-asked; last != "" {
			t.Errorf("the origin was asked what comes after %s", last)
		}
	}
	c.leave()
}

// An edge hears of a channel from the first hold on, and until some time after
// the last.
func TestSubscriptionFollowsHolds(t *testing.T) {
	f := newFleet(t, 2)
	f.nats.wantInterest("headline-value", 0)
	first := f.edges[0].poll(2, 1)
	f.edges[0].waitHolds(2)
	f.nats.wantInterest("headline-value", 1)
	second := f.edges[1].poll(1, 1)
	f.edges[1].waitHolds(1)
	f.nats.wantInterest("headline-value", 2)

	first[0].leave()
	f.edges[0].waitHolds(1)
	f.edges[0].passSeconds(3 * lingerSeconds)
	f.nats.wantInterest("headline-value", 2)
	left := time.Now()
	first[1].leave()
	f.edges[0].waitHolds(0)
	f.edges[0].passSeconds(lingerSeconds / 2)
	if !f.edges[0].subscribed("headline-value") && time.Since(left) < lingerSeconds/2*time.Second {
		t.Error("the edge has left the channel too soon")
	}
	f.edges[0].passSeconds(lingerSeconds)
	f.nats.wantInterest("headline-value", 1)

	f.change()
	wantAll(t, second, 2)
	again := f.edges[0].poll(1, 1) // it knows nothing of what was published
	wantAll(t, again, 2)
	again[0].get(pollPath(2))
	f.edges[0].waitHolds(1)
	f.nats.wantInterest("headline-value", 2)
	f.change()
	wantAll(t, again, 3)
}

// Channels that are asked for at the moment when the edge leaves them.
func TestSubscribeWhileLeaving(t *testing.T) {
	const rounds, channels = 5, 200
	f := newFleet(t, 1)
	r := f.edges[0]
	c := r.edge.cluster
	var all []grip.Channel
	for i := range channels {
		all = append(all, grip.Channel{Name: fmt.Sprint("c", i)})
	}
	failedCh := make(chan error, 1)
	subscribe := func() {
		t.Helper()
		c.await(all, func(_ time.Time, err error) { failedCh <- err })
		if err := await(t, failedCh, "the subscriptions"); err != nil {
			t.Error(err)
		}
		for _, ch := range all {
			f.nats.wantInterest(ch.Name, 1)
		}
	}
	linger := lingerSeconds - c.unasked() // after an ask that comes to nothing
	subscribe()
	for range rounds {
		leftCh := make(chan struct{})
		go func() {
			r.passSeconds(linger + 1)
			close(leftCh)
		}()
		eventually(t, func() error { // it has begun to leave
			if r.subscribed("c0") {
				return errors.New("still subscribed")
			}
			return nil
		})
		subscribe()
		await(t, leftCh, "the last second")
	}
	if log := r.log.String(); strings.Contains(log, "cannot subscribe") {
		t.Errorf("the edge's log:\n%s", log)
	}
}

// Who asks for a channel that the edge may not subscribe to is held all the
// same, and gets what is published at this edge. The origin is not asked without
// end.
func TestSubscriptionRefused(t *testing.T) {
	wantNoLeaks(t)
	n := startNATS(t, server.Options{Users: []*server.User{{
		Username: "edge", Password: "secret",
		Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"marquee.item.>"}}},
	}}})
	h := &headline{id: 1}
	r := startEdge(t, serve(t, h), nil, "-nats", strings.Replace(n.newLink().url(), "//", "//edge:secret@", 1), "-share-all")
	cs := r.poll(2, 1)
	r.waitHolds(2)
	other := r.dial()
	other.get(pollPath(1) + "&another=question")
	r.waitHolds(3)
	h.wantAsked(t, "two questions", 2)
	h.change()
	r.publish(headlineItem(2))
	wantAll(t, append(cs, other), 2)
	r.waitConnected(true)
	if log := r.log.String(); !strings.Contains(log, "cannot subscribe") {
		t.Errorf("the edge's log, want a warning:\n%s", log)
	}
}

// An origin that takes longer to answer than an edge stays subscribed without a
// hold is not asked without end.
func TestOriginSlowerThanLinger(t *testing.T) {
	f := newFleet(t, 1)
	r := f.edges[0]
	f.origin.answering = func(*http.Request) { r.passSeconds(2 * lingerSeconds) }
	c := r.dial()
	c.get(pollPath(1))
	r.waitHolds(1)
	f.origin.wantAsked(t, "a hold", 2)
	f.change()
	c.wantAnswer(200, headlineBody(2))
	// Who has asked and left is not waited for without end either.
	confirmedCh := make(chan struct{})
	r.edge.cluster.await([]grip.Channel{{Name: "c"}}, func(time.Time, error) { close(confirmedCh) })
	await(t, confirmedCh, "the subscription")
	f.nats.wantInterest("c", 1)
	r.passSeconds(lingerSeconds + 1 - r.edge.cluster.unasked())
	f.nats.wantInterest("c", 0)
}

// A request that may change something is not put to the origin twice for the
// sake of a subscription.
func TestPostIsPutOnce(t *testing.T) {
	f := newFleet(t, 0)
	postCh := make(chan struct{}, 2)
	r := startEdge(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		postCh <- struct{}{}
		w.Header().Set("Grip-Hold", "response")
		w.Header().Set("Grip-Channel", "jobs; prev-id=1")
	})), nil, "-nats", f.nats.newLink().url())
	c := r.dial()
	c.send("POST /jobs HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\njob")
	r.waitHolds(1)
	f.nats.wantInterest("jobs", 1)
	f.toNATS(item("jobs", "2", "1", "done"))
	c.wantAnswer(200, "done")
	if len(postCh) != 1 {
		t.Errorf("the origin got %d POSTs, want 1", len(postCh))
	}
}

// Nor if the answer is the beginning of a stream, whose body follows.
func TestPostOfLongStreamIsPutOnce(t *testing.T) {
	f := newFleet(t, 0)
	postCh := make(chan struct{}, 10)
	r := startEdge(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		postCh <- struct{}{}
		w.Header().Set("Grip-Hold", "stream")
		w.Header().Set("Grip-Channel", "jobs")
		_, _ = io.WriteString(w, long)
	})), nil, "-nats", f.nats.newLink().url())
	c := r.dial()
	c.send("POST /jobs HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\njob")
	c.wantStatus(200)
	wantContent(t, c, long)
	if len(postCh) != 1 {
		t.Errorf("the origin got %d POSTs, want 1", len(postCh))
	}
	f.nats.wantInterest("jobs", 1)
	r.waitMetric("marquee_origin_requests_open", 0)
}

// Nobody waits for a subscription that an edge at its end does not begin any
// more.
func TestAwaitAtTheEnd(t *testing.T) {
	const channels = 100 * subscribers
	f := newFleet(t, 1)
	c := f.edges[0].edge.cluster
	errCh := make(chan error, channels)
	go f.edges[0].stop()
	for i := range channels {
		c.await([]grip.Channel{{Name: fmt.Sprint("c", i)}}, func(_ time.Time, err error) { errCh <- err })
	}
	for range channels {
		await(t, errCh, "the end of waiting")
	}
	f.edges[0].stop()
	c.await([]grip.Channel{{Name: "c"}}, func(_ time.Time, err error) { errCh <- err })
	if err := await(t, errCh, "the end of waiting"); !errors.Is(err, bus.ErrNotConnected) {
		t.Errorf("error %v, want %v", err, bus.ErrNotConnected)
	}
}

// An answer that names its channel is kept for those who come later only when
// the edge hears of what comes next.
func TestNamedAnswer(t *testing.T) {
	f := newFleet(t, 1)
	r := f.edges[0]
	var once sync.Once
	f.origin.answering = func(*http.Request) { once.Do(func() { f.change() }) }
	get := func(id int) {
		t.Helper()
		c := r.dial()
		c.get(headlinePath)
		c.wantAnswer(200, headlineBody(id))
		c.leave()
	}
	get(1) // true when the origin was asked
	get(2)
	f.nats.wantInterest("headline-value", 1)
	eventually(t, func() error { // kept, some time after the subscription
		get(2)
		f.origin.count()
		get(2)
		if n := f.origin.count(); n != 0 {
			return fmt.Errorf("the origin was asked %d times for what is known", n)
		}
		return nil
	})
	f.change()
	r.wantDelivered(1)
	get(3)
}

// When items were lost on their way into the edge, those who hold for their
// channel get what was in them, and nobody else is asked for.
func TestLostItems(t *testing.T) {
	f := newFleet(t, 1)
	r := f.edges[0]
	cs := f.poll(3, 1)
	f.origin.count()
	f.origin.change()
	for range 3 {
		r.edge.cluster.lost("another")
		r.edge.cluster.lost("headline-value")
	}
	wantAll(t, cs, 2)
	f.origin.wantAsked(t, "lost items", 1)
}
