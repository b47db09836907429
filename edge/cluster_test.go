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
		if requests := f.origin.count(); requests != len(f.edges) && f.returns() == 0 {
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
	if requests > 2*changes*edges {
		t.Errorf("the origin was asked %d times, want at most twice for each of %d changes and %d edges", requests, changes, edges)
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
		`{"v":1,"from":"x","items":[{"channel":"headline-value","formats":{"http-stream":{"content":1}}}]}`,
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

// An edge that loses its name while it serves drains as on SIGTERM, a part of the
// cluster until that is over.
func TestLostNameDrains(t *testing.T) {
	const clients = 1000
	startedCh, goCh := make(chan struct{}), make(chan struct{})
	ns := startNATS(t, server.Options{})
	h := &headline{id: 1}
	origin := serve(t, slowly(h, startedCh, goCh))
	b := joinAs(t, ns.newLink().url(), "test")
	named := func() {
		t.Helper()
		eventually(t, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // who is cut off never answers
			defer cancel()
			_, err := b.Ping(ctx, "east")
			return err
		})
	}
	l := ns.newLink()
	startProcess(t, origin, "-nats", l.url(), "-name", "east")
	named()
	other := startProcess(t, origin, "-nats", ns.newLink().url(), "-name", "west")
	elsewhere := other.poll(1, 1)[0]
	other.waitHolds(1)
	l.cut() // so that the name is free
	m := newManager(t)
	t.Setenv("NOTIFY_SOCKET", m.path)
	p := startProcess(t, origin, "-share-all", "-nats", ns.newLink().url(), "-name", "east",
		"-drain-timeout", "2m", "-drain-spread", "1m")
	held := p.poll(clients, 1)
	p.waitHolds(clients)
	slow := p.dial()
	slow.get("/slow")
	await(t, startedCh, "the slow request")
	named()

	l.heal()
	m.wantMatch("STOPPING=1")
	p.waitLog(`"msg":"draining"`)
	if why, _, _ := strings.Cut(p.log.String(), `"msg":"draining"`); !strings.Contains(why, `"level":"ERROR"`) || !strings.Contains(why, bus.ErrDuplicateName.Error()) {
		t.Error("before it drains the log does not say why the edge ends")
	}
	resp, err := web.Get(p.control + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 503 {
		t.Errorf("/healthz says %d, want 503", resp.StatusCode)
	}
	if _, warning := other.publishWarned(headlineItem(h.change())); warning != "" {
		t.Errorf("warning %q of the other edge", warning)
	}
	elsewhere.wantAnswer(200, headlineBody(2))
	items := wantLetGo(t, held, 2)
	if items == 0 {
		t.Error("nobody who held while the edge drained was given an item from elsewhere")
	}
	elsewhere.get(pollPath(2))
	other.waitHolds(1)
	if _, warning := p.publishWarned(headlineItem(h.change())); warning != "" {
		t.Errorf("warning %q of the edge that drains", warning)
	}
	elsewhere.wantAnswer(200, headlineBody(3))
	close(goCh)
	slow.wantAnswer(200, headlineBody(3))
	if err := await(t, p.exitCh, "the end of the process"); err == nil {
		t.Error("it ended with status 0")
	}
}

// An edge may have nothing but TLS for its clients, also in a cluster.
func TestClusterOverTLS(t *testing.T) {
	overTLS(t, nil)
	f := newFleet(t, 1, "-listen", "")
	cs := f.poll(3, 1)
	f.toNATS(headlineItem(f.origin.change()))
	wantAll(t, cs, 2)
	if got := f.edges[0].listen; len(got) != 1 || got[0] != "" {
		t.Errorf("it listens at %q without TLS", got)
	}
}
