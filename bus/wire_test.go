package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"marquee/grip"
)

// exampleID is the identity of edge-1 in the package documentation.
var exampleID = Identity{
	Host: "a", PID: 71, Instance: "cs2BGy2t",
	Since: time.Date(2026, 8, 1, 1, 43, 45, 187e6, time.UTC),
}

var exampleNode = Node{
	Kind: KindEdge, Name: "edge-1", Region: "us-west-1", Capacity: 5000,
	Addresses: map[string]string{"clients": "10.0.0.1:7999", "control": "10.0.0.1:5561"},
	Version:   "v3",
	Load:      Load{Held: 5000, Connections: 5001, Received: 12},
	Receipt:   &Receipt{ID: "2", Matched: 5000, Written: 4998, Queued: 1, Dropped: 1, Elapsed: 41.5},
}

var exampleStats = Stats{
	Group: "group-1", ID: 2, Body: "Flight 123 arriving",
	Total: 5000, Started: 5000, Received: 4999, Latency: 1500 * time.Microsecond,
	FirstAt: time.Date(2026, 8, 1, 1, 43, 45, 190e6, time.UTC),
	LastAt:  time.Date(2026, 8, 1, 1, 43, 45, 260e6, time.UTC),
	MeanAt:  time.Date(2026, 8, 1, 1, 43, 45, 225e6, time.UTC),
}

var exampleSetup = Setup{Count: 5000, URL: "http://origin.example/headline/value/", Connect: "10.0.0.1:7999"}

var exampleItem = grip.Item{
	Channel: "headline-value", ID: "2", PrevID: "1",
	HTTPResponse: &grip.HTTPResponse{Response: grip.Response{
		Code:   200,
		Header: grip.Header{{Name: "Content-Type", Value: "application/json"}},
		Body:   []byte(`{"id": 2}` + "\n"),
	}},
}

// TestWire compares what is on the wire, byte for byte, with the documentation
// of the package.
func TestWire(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, server.Options{})
	wire := rawConn(t, s.ClientURL())
	msgCh := make(chan *nats.Msg, 16)
	for _, subject := range []string{"marquee.>", "_INBOX.>"} {
		if _, err := wire.ChanSubscribe(subject, msgCh); err != nil {
			t.Fatal(err)
		}
	}
	if err := wire.Flush(); err != nil {
		t.Fatal(err)
	}
	origin := connect(t, s.ClientURL(), "origin")
	edge := connect(t, s.ClientURL(), "edge-1")
	group := connect(t, s.ClientURL(), "group-1")
	dashboard := connect(t, s.ClientURL(), "dashboard")
	announcer := &announcer{bus: edge, name: "edge-1", node: func() Node { return exampleNode }, id: exampleID}

	pingCh := make(chan *nats.Msg, 1)
	stop, err := edge.listen(t.Context(), pingCh, pingPrefix+"edge-1")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	tooMany := errors.New("5000 clients need 5064 files, the limit is 1024")
	stop, err = group.serveSetUp(t.Context(), "group-1", func(Setup) error { return tooMany })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()

	tests := []struct {
		name string
		send func() error
		// want is the subject and the payload of each message; none is "_INBOX",
		// for the subject of an answer.
		want []string
	}{
		{"item", func() error { return origin.PublishItem(exampleItem) }, []string{
			"marquee.item.headline-value",
			`{"v":1,"from":"origin","items":[{"channel":"headline-value","id":"2","prev-id":"1","formats":{"http-response":{"code":200,"headers":[["Content-Type","application/json"]],"body":"{\"id\": 2}\n"}}}]}`,
		}},
		{"node", func() error { announcer.announce(); return nil }, []string{
			"marquee.node.edge-1",
			`{"v":1,"from":"edge-1","kind":"edge","name":"edge-1","region":"us-west-1","capacity":5000,"addresses":{"clients":"10.0.0.1:7999","control":"10.0.0.1:5561"},"version":"v3","host":"a","pid":71,"instance":"cs2BGy2t","since":"2026-08-01T01:43:45.187Z","load":{"held":5000,"connections":5001,"received":12,"errors":0},"receipt":{"id":"2","matched":5000,"written":4998,"queued":1,"dropped":1,"elapsed_ms":41.5}}`,
		}},
		{"goodbye", func() error { announcer.sayGoodbye(); return nil }, []string{
			"marquee.bye.edge-1",
			`{"v":1,"from":"edge-1","instance":"cs2BGy2t"}`,
		}},
		{"ping", func() error {
			go func() { edge.answerPing(<-pingCh, exampleID) }()
			id, err := dashboard.whoIs(t.Context(), "edge-1")
			if id != exampleID {
				t.Errorf("ping answered by %+v, want %+v", id, exampleID)
			}
			return err
		}, []string{
			"marquee.ping.edge-1",
			`{"v":1,"from":"dashboard"}`,
			"_INBOX",
			`{"v":1,"from":"edge-1","host":"a","pid":71,"instance":"cs2BGy2t","since":"2026-08-01T01:43:45.187Z"}`,
		}},
		{"set-up", func() error {
			err := dashboard.SetUp(t.Context(), "group-1", exampleSetup)
			if want := `set up group "group-1": ` + tooMany.Error(); err == nil || err.Error() != want {
				t.Errorf("SetUp: error %v, want %s", err, want)
			}
			return nil
		}, []string{
			"marquee.setup.group-1",
			`{"v":1,"from":"dashboard","count":5000,"url":"http://origin.example/headline/value/","connect":"10.0.0.1:7999"}`,
			"_INBOX",
			`{"v":1,"from":"group-1","error":"5000 clients need 5064 files, the limit is 1024"}`,
		}},
		{"statistics", func() error { return group.PublishStats(exampleStats) }, []string{
			"marquee.stats.group-1",
			`{"v":1,"from":"group-1","group":"group-1","id":2,"body":"Flight 123 arriving","total":5000,"started":5000,"errored":0,"received":4999,"latency_ns":1500000,"first_at":"2026-08-01T01:43:45.19Z","last_at":"2026-08-01T01:43:45.26Z","mean_at":"2026-08-01T01:43:45.225Z"}`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.send(); err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(tt.want); i += 2 {
				m := receive(t, msgCh, "message")
				subject, _, _ := strings.Cut(m.Subject, ".")
				if subject != "_INBOX" {
					subject = m.Subject
					if !strings.Contains(string(doc), "\n//\t"+subject+"\n") {
						t.Errorf("%s is not in doc.go", subject)
					}
				}
				if subject != tt.want[i] || string(m.Data) != tt.want[i+1] {
					t.Errorf("got %s\n%s\nwant %s\n%s", subject, m.Data, tt.want[i], tt.want[i+1])
				}
				if !json.Valid(m.Data) {
					t.Errorf("no JSON: %s", m.Data)
				}
				if !strings.Contains(string(doc), "\n//\t"+string(m.Data)+"\n") {
					t.Errorf("not in doc.go: %s", m.Data)
				}
			}
		})
	}
}

// TestForeignPayloads reads what another implementation may write: other order,
// white space, members of its own.
func TestForeignPayloads(t *testing.T) {
	item, err := openItem("c", []byte(` {"items": [ {"channel": "c", "id": "7", "more": 1, "formats": {"http-response": {"body": "x"}}} ], "v": 1 } `))
	if err != nil || item.ID != "7" || string(item.HTTPResponse.Body) != "x" {
		t.Errorf("item: %+v, %v", item, err)
	}
	node, err := openNode(&nats.Msg{Subject: "marquee.node.n", Data: []byte(`{"name":"n","v":1,"mood":"good"}`)})
	if err != nil || node.Name != "n" {
		t.Errorf("node: %+v, %v", node, err)
	}
	stats, err := openStats(&nats.Msg{Subject: "marquee.stats.g", Data: []byte(`{"v":1,"group":"g"}`)})
	if err != nil || stats.Group != "g" || !stats.FirstAt.IsZero() {
		t.Errorf("statistics: %+v, %v", stats, err)
	}
}

// TestRefused sends what nobody can use to everybody who listens, and after
// each that all is as before.
func TestRefused(t *testing.T) {
	s := startServer(t, server.Options{})
	var log logBuffer
	b := connectWith(t, Config{URL: s.ClientURL(), Name: "b", Log: newLogger(&log)})
	other := connect(t, s.ClientURL(), "other")
	raw := rawConn(t, s.ClientURL())

	itemCh := make(chan grip.Item, 1)
	if _, err := b.Subscribe(t.Context(), "c", func(i grip.Item) { itemCh <- i }, func() {}); err != nil {
		t.Fatal(err)
	}
	nodeCh, statsCh, setupCh := make(chan Node, 64), make(chan Stats, 1), make(chan Setup, 1)
	run(t, func(ctx context.Context) error {
		return b.WatchNodes(ctx, func(n Node) { nodeCh <- n }, func(Node, string) {})
	})
	run(t, func(ctx context.Context) error { return b.WatchStats(ctx, func(s Stats) { statsCh <- s }) })
	run(t, func(ctx context.Context) error {
		return b.Announce(ctx, func() Node { return Node{Name: "n"} }, func(s Setup) error { setupCh <- s; return nil })
	})
	b.complaints.SetLimit(rate.Inf)
	// listeners are how often b listens to a subject: once, except that the
	// roster and the node itself both hear a node.
	listeners := map[string]int{
		"marquee.item.c": 1, "marquee.node.n": 2, "marquee.bye.n": 1,
		"marquee.ping.n": 1, "marquee.setup.n": 1, "marquee.stats.g": 1,
	}
	for subject, n := range listeners {
		eventually(t, "b listens to "+subject, func() bool { return s.GlobalAccount().Interest(subject) == n })
	}

	payloads := []struct {
		name, payload string
		wantErr       string // in the log, for marquee.item.c
		wantFrom      string
	}{
		{"empty", "", "decode payload: unexpected end", "unknown"},
		{"binary", "\x00\xff\x80", "decode payload: invalid", "unknown"},
		{"cut off", `{"v":1,"from":"x","items":[`, "decode items: ", "unknown"},
		{"trailing", `{"v":1,"from":"x"} x`, "decode items: ", "unknown"},
		{"no object", `[1]`, "decode payload: json: cannot unmarshal array", "unknown"},
		{"no version", `{"from":"x"}`, "unknown version 0", "x"},
		{"newer version", `{"v":2,"from":"x","items":"new"}`, "unknown version 2", "x"},
		{"version of a wrong type", `{"v":"1","from":"x"}`, "decode payload: json: cannot unmarshal string", "unknown"},
		{"nested too deeply", strings.Repeat(`{"v":`, 20000), "decode payload: ", "unknown"},
	}
	for _, tt := range payloads {
		t.Run(tt.name, func(t *testing.T) {
			for subject, n := range listeners {
				want := b.Counters().Refused + uint64(n)
				if err := raw.Publish(subject, []byte(tt.payload)); err != nil {
					t.Fatal(err)
				}
				eventually(t, subject+" refused", func() bool { return b.Counters().Refused == want })
			}
			line := fmt.Sprintf("subject=marquee.item.c from=%s bytes=%d err=\"%s", tt.wantFrom, len(tt.payload), tt.wantErr)
			eventually(t, line+" in the log:\n"+log.String(), func() bool { return log.contains(line) })
			if err := other.PublishItem(grip.Item{Channel: "c", ID: tt.name, HTTPResponse: &grip.HTTPResponse{Response: grip.Response{}}}); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, itemCh, "item"); got.ID != tt.name {
				t.Errorf("item %q, want %q", got.ID, tt.name)
			}
			if err := other.PublishStats(Stats{Group: "g", Body: tt.name}); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, statsCh, "statistics"); got.Body != tt.name {
				t.Errorf("statistics %q, want %q", got.Body, tt.name)
			}
			if _, err := other.Ping(t.Context(), "n"); err != nil {
				t.Error(err)
			}
			if err := other.SetUp(t.Context(), "n", exampleSetup); err != nil {
				t.Error(err)
			}
			if got := receive(t, setupCh, "set-up"); got != exampleSetup {
				t.Errorf("set-up %+v, want %+v", got, exampleSetup)
			}
		})
	}
}

// FuzzPayload opens anything at all as each kind of payload but an item: what
// can be read says the same when it is sent again.
func FuzzPayload(f *testing.F) {
	b := &Bus{opening: opening("fuzz")}
	f.Add("n", b.seal(marshal(exampleNode)))
	f.Add("group-1", b.seal(marshal(exampleStats)))
	f.Add("group-1", b.seal(marshal(exampleSetup)))
	f.Add("n", b.seal(marshal(exampleID)))
	f.Add("n", []byte(` {"mood": "good", "name": "n", "v": 1, "load": null, "since": "9999-12-31T23:59:59-01:00"} `))
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		again := func(kind string, v, into any) {
			if err := unmarshal(b.seal(marshal(v)), into); err != nil || !bytes.Equal(marshal(v), marshal(into)) {
				t.Errorf("%s %s from %q is sent as %s, %v", kind, marshal(v), payload, marshal(into), err)
			}
		}
		if n, err := openNode(&nats.Msg{Subject: nodePrefix + token(name), Data: payload}); err == nil {
			again("node", n, new(Node))
		}
		if s, err := openStats(&nats.Msg{Subject: statsPrefix + token(name), Data: payload}); err == nil {
			again("statistics", s, new(Stats))
		}
		var setup Setup
		if unmarshal(payload, &setup) == nil {
			again("set-up", setup, new(Setup))
		}
		var id Identity
		if unmarshal(payload, &id) == nil {
			again("identity", id, new(Identity))
		}
	})
}
