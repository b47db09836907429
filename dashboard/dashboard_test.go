package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"marquee/bus"
	"marquee/grip"
)

// patience is how long an event may take before a test gives up on it.
const patience = 20 * time.Second

// The whole of it: nodes join, groups are set up, a headline is sent, statistics
// come in, an edge leaves, the capacity changes.
func TestDashboardConducts(t *testing.T) {
	natsURL := startNATS(t, true)
	o := startOrigin(t, natsURL)
	a := join(t, natsURL, groupNode("a-group", "a"))
	b := join(t, natsURL, groupNode("b-group", "b"))
	edgeB := join(t, natsURL, edgeAt("b-edge", "b", "127.0.0.1:2"))
	join(t, natsURL, edgeAt("a-edge", "a", "127.0.0.1:1"))
	d := startDashboard(t, natsURL, func(cfg *config) { cfg.capacity = 150 })
	d.out.await(t, `(?m)^\d\d:\d\d:\d\d\.\d{3} en=2/2 cn=2/2 ping=\d+/\d+/\d+ r=0 rt=0/0/0$`)

	// While there is no headline clients would only be refused.
	a.quiet(t)
	d.log.await(t, `node joined.* node=origin `)
	d.wantPost(t, "/headline/", url.Values{"body": {"first"}}, 200, `{"id":1,"body":"first"}`)
	a.awaitSetup(t, bus.Setup{Count: 75, URL: o.url(), Connect: "127.0.0.1:2"})
	b.awaitSetup(t, bus.Setup{Count: 75, URL: o.url(), Connect: "127.0.0.1:1"})

	stats := func(group *actor, name string, id uint64, body string, received int) {
		t.Helper()
		now := time.Now()
		if err := group.bus.PublishStats(bus.Stats{Group: name, ID: id, Body: body, Total: 75, Started: 75, Received: received,
			FirstAt: now, LastAt: now, MeanAt: now}); err != nil {
			t.Fatal(err)
		}
	}
	stats(a, "a-group", 1, "first", 75)
	stats(b, "b-group", 1, "first", 75)
	d.out.await(t, `r=150 rt=0/0/0`)
	d.wantPost(t, "/headline/", url.Values{"body": {"second"}}, 200, `{"id":2,"body":"second"}`)
	d.out.await(t, `r=0 rt=0/0/0\n$`)
	stats(a, "a-group", 2, "second", 75)
	d.out.await(t, `r=75 rt=\d+/\d+/\d+\n$`)
	stats(b, "b-group", 2, "second", 70)
	d.out.await(t, `r=145 rt=\d+/\d+/\d+\n$`)

	var s status
	get := httptest.NewRecorder()
	d.handler().ServeHTTP(get, httptest.NewRequest("GET", "/status/", nil))
	if err := json.Unmarshal(get.Body.Bytes(), &s); err != nil {
		t.Fatalf("status %s: %v", get.Body, err)
	}
	if s.Capacity != 150 || s.Edges != (upNeeded{2, 2}) || s.Groups != (upNeeded{2, 2}) || s.Ping == nil ||
		s.Headline == nil || s.Headline.ID != 2 || s.Headline.Body != "second" || s.Headline.At == 0 ||
		s.Received != 145 || s.Clients != 150 || s.Started != 150 || s.Errored != 0 ||
		s.Delivery == nil || s.True == nil || s.Error == nil || len(s.Curve) < 2 || s.Curve[len(s.Curve)-1][1] != 145 || len(s.Histogram) == 0 ||
		len(s.Runs) != 2 || s.Runs[0].Received != 145 || s.Runs[0].Clients != 150 || s.Runs[0].Avg == nil || s.Runs[0].TrueMax == nil || s.Runs[1].Avg != nil {
		t.Errorf("status is %s", get.Body)
	}
	table := ""
	for _, n := range s.Nodes {
		table += fmt.Sprintf("%s %s in %q with %q, up %t\n", n.Kind, n.Name, n.Region, n.Pair, n.Up)
	}
	wantTable := `origin origin in "" with "", up true
edge a-edge in "a" with "b-group", up true
edge b-edge in "b" with "a-group", up true
group a-group in "a" with "b-edge", up true
group b-group in "b" with "a-edge", up true
`
	if table != wantTable {
		t.Errorf("nodes are\n%s, want\n%s", table, wantTable)
	}

	// An edge leaves and another one joins: its group moves there, the other
	// group hears nothing of it.
	a.quiet(t)
	edgeB.leave()
	d.out.await(t, `en=1/2 cn=2/2`)
	join(t, natsURL, edgeAt("b-edge-2", "b", "127.0.0.1:3"))
	a.awaitSetup(t, bus.Setup{Count: 75, URL: o.url(), Connect: "127.0.0.1:3"})
	b.quiet(t)

	// The capacity changes.
	d.wantPost(t, "/capacity/", url.Values{"capacity": {"20"}}, 200, `{"capacity":20}`)
	a.awaitSetup(t, bus.Setup{Count: 10, URL: o.url(), Connect: "127.0.0.1:3"})
	b.awaitSetup(t, bus.Setup{Count: 10, URL: o.url(), Connect: "127.0.0.1:1"})
	d.out.await(t, `en=2/1 cn=2/1`)

	// A group leaves, and its clients with it, also when its last statistics come
	// after its goodbye.
	b.leave()
	d.out.await(t, `en=2/1 cn=1/1 ping=\d+/\d+/\d+ r=75`)
	stats(a, "b-group", 2, "second", 70)
	stats(a, "a-group", 2, "second", 74)
	d.out.await(t, `en=2/1 cn=1/1 ping=\d+/\d+/\d+ r=74`)
	a.awaitSetup(t, bus.Setup{Count: 20, URL: o.url(), Connect: "127.0.0.1:3"})
	if err := d.stop(); err != nil {
		t.Errorf("the dashboard ends with %v", err)
	}
}

// A dashboard that is started again finds capacity and pairs as they were, and
// disturbs nobody.
func TestDashboardIsStartedAgain(t *testing.T) {
	natsURL := startNATS(t, true)
	o := startOrigin(t, natsURL)
	o.bodies = []string{"before"}
	edges := map[string]string{}
	for i := range 6 {
		name, region := fmt.Sprintf("edge-%d", i), []string{"a", "b"}[i%2]
		edges[name] = fmt.Sprintf("127.0.0.1:%d", i+1)
		join(t, natsURL, edgeAt(name, region, edges[name]))
	}
	d := startDashboard(t, natsURL, func(cfg *config) { cfg.capacity = 100 })
	d.out.await(t, `en=6/1`)
	// One after the other: not as one would pair all of them together.
	groups := map[string]*actor{}
	for _, name := range []string{"group-3", "group-2", "group-1"} {
		groups[name] = join(t, natsURL, groupNode(name, "a"))
		receive(t, groups[name].setupCh, "set-up")
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		for len(group.setupCh) > 0 {
			<-group.setupCh
		}
	}

	before := d.pairs
	d = startDashboard(t, natsURL, nil, func(d *dashboard) { d.settleTime = 5 * time.Second })
	if d.capacity != 100 {
		t.Errorf("the capacity after a restart is %d, want 100 as kept", d.capacity)
	}
	for name, group := range groups {
		if s := receive(t, group.setupCh, "set-up"); s.Connect != edges[before[name]] {
			t.Errorf("after a restart %s is told %+v, want that it connects to %s as before", name, s, edges[before[name]])
		}
	}
	// The headline is known from the origin, and is no change.
	var s status
	eventually(t, "the status has the headline", func() bool {
		s = status{}
		if err := json.Unmarshal(d.current.Load().body, &s); err != nil {
			t.Fatal(err)
		}
		return s.Headline != nil
	})
	if s.Headline.Body != "before" || len(s.Runs) != 0 {
		t.Errorf("headline is %+v and runs are %+v, want \"before\" and none", s.Headline, s.Runs)
	}
}

// What goes wrong with one node is said, by name, and disturbs no other.
func TestDashboardFaults(t *testing.T) {
	natsURL := startNATS(t, true)
	d := startDashboard(t, natsURL, func(cfg *config) { cfg.capacity = 200 })
	d.wantPost(t, "/headline/", url.Values{"body": {"news"}}, http.StatusServiceUnavailable, "no origin has announced itself")

	o := startOrigin(t, natsURL)
	d.log.await(t, `clients wait for a headline.*there is none yet`)
	good := join(t, natsURL, groupNode("good", "a"))
	bad := join(t, natsURL, groupNode("bad", "a"))
	bad.refuse(fmt.Errorf("100 clients need 164 files, the limit is 16"))
	join(t, natsURL, edgeAt("edge-1", "b", "127.0.0.1:1"))
	join(t, natsURL, edgeAt("edge-2", "b", "127.0.0.1:2"))
	join(t, natsURL, edgeAt("nowhere", "b", "somewhere"))
	join(t, natsURL, bus.Node{Kind: "toaster", Name: "toaster"})
	d.log.await(t, `node of no use.*node=nowhere.*address \\"clients\\" for clients is \\"somewhere\\": want host:port`)
	d.log.await(t, `node of no use.*node=toaster.*kind is \\"toaster\\"`)

	d.wantPost(t, "/headline/", url.Values{"body": {"news"}}, 200, "news")
	receive(t, good.setupCh, "set-up")
	d.log.await(t, `group not set up, trying again.*group=bad.*100 clients need 164 files, the limit is 16`)
	bad.refuse(nil)
	receive(t, bad.setupCh, "set-up")

	o.mu.Lock()
	o.answer = http.StatusRequestEntityTooLarge
	o.mu.Unlock()
	d.wantPost(t, "/headline/", url.Values{"body": {"news"}}, http.StatusRequestEntityTooLarge, "not like this")
	o.mu.Lock()
	o.answer = http.StatusInternalServerError
	o.mu.Unlock()
	d.wantPost(t, "/headline/", url.Values{"body": {"news"}}, http.StatusBadGateway, "send headline to origin at "+o.url())
	o.CloseClientConnections()
	o.Close()
	d.wantPost(t, "/headline/", url.Values{"body": {"news"}}, http.StatusBadGateway, "connection refused")
	o.actor.leave()
	d.log.await(t, `node left.*node=origin.*said goodbye`)
	d.wantPost(t, "/headline/", url.Values{"body": {"news"}}, http.StatusServiceUnavailable, "no origin has announced itself")
	// Statistics that cannot be are nobody's.
	if err := good.bus.PublishStats(bus.Stats{Group: "good", ID: 9, Total: 100, Received: -1}); err != nil {
		t.Fatal(err)
	}
	d.log.await(t, `node of no use.*node=good.*statistics tell of 100 clients, of whom 0 have started, 0 have failed and -1 have received`)

	// Groups go on as they are.
	good.quiet(t)
	bad.quiet(t)
	if n := strings.Count(d.log.String(), "node of no use"); n != 3 {
		t.Errorf("%d complaints about two nodes of no use, want one for each, and one about statistics:\n%s", n, &d.log)
	}
}

func TestDashboardIsAlone(t *testing.T) {
	natsURL := startNATS(t, true)
	first := startDashboard(t, natsURL, nil)
	eventually(t, "the first dashboard has its name", func() bool {
		_, err := connect(t, natsURL, "test").Ping(t.Context(), nodeName)
		return err == nil
	})
	second := startDashboard(t, natsURL, nil)
	if err := second.wait(); err == nil || !strings.Contains(err.Error(), "name is taken") {
		t.Errorf("a second dashboard ends with %v, want that its name is taken", err)
	}
	if err := first.stop(); err != nil {
		t.Errorf("the first dashboard ends with %v", err)
	}
}

func TestDashboardNeedsJetStream(t *testing.T) {
	if _, err := tryDashboard(t, startNATS(t, false), nil); err == nil || !strings.Contains(err.Error(), "jetstream") {
		t.Errorf("openDashboard without JetStream: %v, want an error that says so", err)
	}
}

func TestKeptCapacity(t *testing.T) {
	tests := []struct {
		kept string
		want string // in the error; "" for none
	}{
		{"25600", ""},
		{"many", "kept under dashboard/capacity: capacity must be a number"},
		{"20000000", "kept capacity 20000000: that needs 200000 edges"},
	}
	cfg := &config{capacity: -1, nodeCapacity: 100}
	cfg.bus.URL = startNATS(t, true)
	d, err := openDashboard(t.Context(), cfg, io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if d.capacity != defaultCapacity {
		t.Errorf("with nothing kept the capacity is %d, want %d", d.capacity, defaultCapacity)
	}
	cfg.spawn = true
	for _, tt := range tests {
		if err := d.bus.Keep(t.Context(), capacityKey, []byte(tt.kept)); err != nil {
			t.Fatal(err)
		}
		err := d.lookUp(t.Context())
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("with capacity %q kept: %v, want %q", tt.kept, err, tt.want)
		}
	}
}

// Whoever waits for the status gets each change, in an unbroken chain of ids.
func TestStatusIsPublished(t *testing.T) {
	natsURL := startNATS(t, true)
	itemCh := make(chan grip.Item, 100)
	watcher := connect(t, natsURL, "watcher")
	if _, err := watcher.Subscribe(t.Context(), statusChannel, func(item grip.Item) { itemCh <- item }, func() {}); err != nil {
		t.Fatal(err)
	}
	d := startDashboard(t, natsURL, nil)
	var before grip.Item
	for _, capacity := range []string{"1", "2", "3"} {
		d.wantPost(t, "/capacity/", url.Values{"capacity": {capacity}}, 200, capacity)
		for {
			item := receive(t, itemCh, "item")
			var s status
			if err := json.Unmarshal(item.HTTPResponse.Body, &s); err != nil {
				t.Fatal(err)
			}
			if before.ID != "" && item.PrevID != before.ID {
				t.Errorf("item %s follows %s, want %s", item.ID, item.PrevID, before.ID)
			}
			if fmt.Sprint(s.ID) != item.ID {
				t.Errorf("item %s has the status %d", item.ID, s.ID)
			}
			before = item
			if fmt.Sprint(s.Capacity) == capacity {
				break
			}
		}
	}
}
