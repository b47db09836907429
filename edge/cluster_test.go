package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"marquee/bus"
	"marquee/grip"
)

// An item reaches every hold of the cluster once, wherever it is published.
func TestClusterPublish(t *testing.T) {
	const clients = 4 // of an edge, on both loops
	f := newFleet(t, 3)
	cs := f.poll(clients, 1)
	f.origin.count()
	items := 0
	for i, publish := range []func(grip.Item){
		f.toNATS,
		func(i grip.Item) {
			receipts, warning := f.edges[0].publishWarned(i)
			if len(receipts) != 1 || receipts[0].Matched != clients || receipts[0].Written != clients || !receipts[0].Complete {
				t.Errorf("receipts %+v, want the %d holds of the edge that was asked", receipts, clients)
			}
			if warning != "" {
				t.Errorf("warning %q", warning)
			}
		},
		func(i grip.Item) { f.edges[2].publish(i) },
		f.toNATS,
	} {
		id := f.origin.change()
		publish(headlineItem(id))
		items++
		wantAll(t, cs, id)
		for _, c := range cs {
			c.get(pollPath(id))
		}
		f.waitHolds(clients)
		if requests := f.origin.count(); requests != len(f.edges) {
			t.Errorf("the origin was asked %d times for a change, want once by each of %d edges", requests, len(f.edges))
		}
		for _, r := range f.edges {
			r.wantDelivered(items)
		}
		if t.Failed() {
			t.Fatalf("at publish %d", i)
		}
	}
	for _, c := range cs {
		c.wantNothing()
	}
	// Without an id nothing could recognise a duplicate. What follows on the
	// same way has come after an echo.
	f.edges[1].publish(item("headline-value", "", "5", "no id"))
	for _, c := range cs {
		c.wantAnswer(200, "no id")
	}
	f.edges[0].publish(item("headline-value", "", "", "no id"))
	f.edges[2].publish(item("headline-value", "", "", "no id"))
	for _, r := range f.edges {
		r.wantDelivered(items + 3)
	}
}

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

// Many clients follow an origin that publishes to NATS alone, at any moment:
// all come to the end, and the origin is asked little.
func TestClusterFollows(t *testing.T) {
	const edges, clients, changes = 3, 100, 60
	f := newFleet(t, edges)
	f.origin.answering = func(*http.Request) { short(5 * time.Millisecond) }
	wait := f.crowd(clients, 1+changes)
	for range changes {
		short(20 * time.Millisecond)
		f.change()
	}
	wait()
	requests := f.origin.count()
	t.Logf("%d requests to the origin for %d changes at %d edges: %.2f for a change at an edge",
		requests, changes, edges, float64(requests)/changes/edges)
	if requests > 4*changes*edges {
		t.Errorf("the origin was asked %d times, want at most 4 times for each of %d changes and %d edges", requests, changes, edges)
	}
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
	first[1].leave()
	f.edges[0].waitHolds(0)
	f.edges[0].passSeconds(lingerSeconds / 2)
	f.nats.wantInterest("headline-value", 2)
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
			c.mu.Lock()
			defer c.mu.Unlock()
			if in := c.interests["c0"]; in != nil && in.sub != nil {
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

// What an edge tells the cluster of itself.
func TestAnnouncement(t *testing.T) {
	f := newFleet(t, 0)
	ctx, cancel := context.WithCancel(context.Background())
	seenCh, leftCh, watchedCh := make(chan bus.Node, 64), make(chan string, 1), make(chan error, 1)
	go func() {
		watchedCh <- f.bus.WatchNodes(ctx,
			func(n bus.Node) {
				select {
				case seenCh <- n:
				default: // nobody looks at so many
				}
			},
			func(n bus.Node, why string) { leftCh <- n.Name + " " + why })
	}()
	defer func() {
		cancel()
		if err := await(t, watchedCh, "the end of watching"); err != nil {
			t.Error(err)
		}
	}()
	r := startEdge(t, serve(t, f.origin), func(c *Config) { c.Listen, c.Control = []string{":0"}, ":0" },
		"-nats", f.nats.newLink().url(), "-name", "edge 1 – first", "-region", "eu-west-1", "-max-connections", "1000")
	// seen waits for an announcement as it should be.
	seen := func(what string, check func(n bus.Node) bool) (n bus.Node) {
		t.Helper()
		eventually(t, func() error {
			if n = await(t, seenCh, "an announcement"); !check(n) {
				return fmt.Errorf("announced %+v, want %s", n, what)
			}
			return nil
		})
		return n
	}
	n := seen("an edge without load", func(n bus.Node) bool { return n.Load == bus.Load{} && n.Receipt == nil })
	if n.Kind != bus.KindEdge || n.Name != "edge 1 – first" || n.Region != "eu-west-1" || n.Capacity != 1000 || n.Version != version {
		t.Errorf("announced %+v", n)
	}
	if resp, err := web.Get("http://" + n.Addresses["control"] + "/healthz"); err != nil || resp.StatusCode != 200 {
		t.Errorf("control at %q: %v, %v", n.Addresses["control"], resp, err)
	} else {
		resp.Body.Close()
	}
	if rtt, err := f.bus.Ping(ctx, n.Name); err != nil || rtt <= 0 {
		t.Errorf("ping: %v, %v", rtt, err)
	}
	idle := dial(t, n.Addresses["clients"])
	idle.get(headlinePath)
	idle.wantAnswer(200, headlineBody(1))
	cs := r.poll(3, 1)
	r.waitHolds(3)
	seen("3 holds, 4 connections", func(n bus.Node) bool {
		return n.Load.Held == 3 && n.Load.Connections == 4 && n.Load.Received == 4
	})
	f.change()
	wantAll(t, cs, 2)
	n = seen("the receipt", func(n bus.Node) bool { return n.Receipt != nil && n.Load.Held == 0 })
	if got := *n.Receipt; got.ID != "2" || got.Matched != 3 || got.Written != 3 || got.Elapsed <= 0 {
		t.Errorf("receipt %+v, want 3 holds that got item 2", got)
	}
	r.stop()
	if got, want := await(t, leftCh, "the goodbye"), "edge 1 – first said goodbye"; got != want {
		t.Errorf("left: %q, want %q", got, want)
	}
}

// What is no item disturbs nothing.
func TestGarbageInCluster(t *testing.T) {
	f := newFleet(t, 1)
	r := f.edges[0]
	cs := f.poll(3, 1)
	raw, err := nats.Connect(f.nats.newLink().url())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	const (
		good  = `{"channel":"headline-value","id":"2","prev-id":"1","formats":{"http-response":{"body":"x"}}}`
		other = `{"channel":"other","id":"2","prev-id":"1","formats":{"http-response":{"body":"x"}}}`
	)
	garbage := []string{
		"", "\x00", "garbage", "{", "[]", "null", `{"v":1}`, `{"v":1,`,
		`{"v":2,"from":"x","items":[` + good + `]}`,
		`{"from":"x","items":[` + good + `]}`,
		`{"v":"1","from":"x","items":[` + good + `]}`,
		`{"v":1,"from":"x","items":[]}`,
		`{"v":1,"from":"x","items":{}}`,
		`{"v":1,"from":"x","items":[` + good + `,` + good + `]}`,
		`{"v":1,"from":"x","items":[` + other + `]}`,
		`{"v":1,"from":"x","items":[{"channel":"headline-value","formats":{"http-stream":{"content":"x"}}}]}`,
		`{"v":1,"from":"x","items":[{"channel":"headline-value","id":2,"formats":{"http-response":{"body":"x"}}}]}`,
		`{"v":1,"from":"x","items":[{"channel":"headline-value","formats":{"http-response":{"code":99,"body":"x"}}}]}`,
		`{"v":1,"from":"x","items":` + strings.Repeat("[", 10_000),
		strings.Repeat("\xff", 500_000),
	}
	for _, payload := range garbage {
		for _, subject := range []string{"headline-value", "nobody", "%", "%zz", "a.b", "headline-value.x"} {
			if err := raw.Publish("marquee.item."+subject, []byte(payload)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := raw.Flush(); err != nil { // before what follows, by another way
		t.Fatal(err)
	}
	for _, c := range cs {
		c.wantNothing()
	}
	f.change()
	wantAll(t, cs, 2)
	if got := r.edge.cluster.bus.Counters(); got.Refused != uint64(len(garbage)) || got.Received != 1 || got.Lost != 0 {
		t.Errorf("counters %+v, want %d refused, 1 received", got, len(garbage))
	}
	r.wantDelivered(1)
	r.waitConnected(true)
	if requests := f.origin.count(); requests != 2 {
		t.Errorf("the origin was asked %d times, want 2", requests)
	}
}

// Two edges with one name: the second gives up, and says who is who.
func TestDuplicateName(t *testing.T) {
	f := newFleet(t, 1)
	cs := f.poll(2, 1)
	cfg, err := parseConfig([]string{
		"-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-origin", f.edges[0].edge.cfg.Origin,
		"-nats", f.nats.newLink().url(), "-name", "edge-1",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	second, err := newEdge(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	endCh := make(chan error, 1)
	go func() { endCh <- second.run(ctx) }()
	err = await(t, endCh, "the end of the second edge")
	host, _ := os.Hostname()
	who := fmt.Sprintf("pid %d on %s (since ", os.Getpid(), host)
	if !errors.Is(err, bus.ErrDuplicateName) || !strings.Contains(err.Error(), `"edge-1"`) || strings.Count(err.Error(), who) != 2 {
		t.Errorf("error %v, want one that says that edge-1 is %s...) twice", err, who)
	}
	f.change()
	wantAll(t, cs, 2)
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
