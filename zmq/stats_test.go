package zmq

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/grip"
)

// pushpinStats are messages of Pushpin 1.36 as they were on the wire, and what
// it was that they told.
var pushpinStats = []struct {
	name, message string
	tell          func(*Stats)
}{
	{"§12 sub", "sub T95:11:subscribers,1:1#4:mode,8:response,3:ttl,2:12#7:channel,2:lp,4:from,21:pushpin-handler_16124,}",
		func(s *Stats) { s.Subscribed("response", "lp", 1) }},
	{"§12 sub unavailable", "sub T87:4:mode,8:response,7:channel,2:lp,4:from,21:pushpin-handler_16124,11:unavailable,4:true!}",
		func(s *Stats) { s.Unsubscribed("response", "lp") }},
	{"§12 conn", "conn T120:2:id,13:condure:1-0-0,12:peer-address,9:127.0.0.1,3:ttl,2:12#4:from,21:pushpin-handler_16124,4:type,4:http,5:route,2:rt,}",
		func(s *Stats) { s.Connected("condure:1-0-0", "rt", "127.0.0.1", false) }},
	{"§12 conn unavailable", "conn T89:2:id,13:condure:1-0-0,4:from,21:pushpin-handler_16124,11:unavailable,4:true!5:route,2:rt,}",
		func(s *Stats) { s.Disconnected("condure:1-0-0") }},
	{"§12 message", "message T88:5:count,1:1#7:channel,2:lp,4:from,21:pushpin-handler_16124,9:transport,13:http-response,}",
		func(s *Stats) { s.Message("", "lp", "", "http-response", 1) }},
	{"§12 activity", "activity T57:5:count,1:2#4:from,21:pushpin-handler_16124,5:route,2:rt,}",
		func(s *Stats) { s.Requested("rt"); s.Requested("rt"); s.tick(s.now.Add(time.Second)) }},
	{"§12 counts", "counts T57:4:from,21:pushpin-handler_16124,17:requests-received,1:2#}", nil},
	{"§12 report", "report T533:24:client-header-bytes-sent,2:70#20:server-messages-sent,1:0#8:received,1:2#4:from,21:pushpin-handler_16124,18:http-response-sent,1:1#24:server-messages-received,1:0#29:client-content-bytes-received,1:0#8:duration,5:10001#7:minutes,1:0#24:client-messages-received,1:0#20:client-messages-sent,1:0#25:client-content-bytes-sent,1:6#28:client-header-bytes-received,1:0#25:server-content-bytes-sent,1:0#4:sent,1:1#28:server-header-bytes-received,1:0#24:server-header-bytes-sent,1:0#11:connections,1:0#29:server-content-bytes-received,1:0#}",
		func(s *Stats) {
			delete(s.routes, "rt")
			s.Report("", Counts{Received: 2, ClientHeaderBytesSent: 70, ClientContentBytesSent: 6})
			s.tick(s.reported.Add(10001 * time.Millisecond))
		}},
}

// startStats opens statistics whose time passes only by tick, and serves
// listeners until the test ends.
func startStats(t *testing.T, cfg StatsConfig) *Stats {
	t.Helper()
	if cfg.Endpoint == "" {
		cfg.Endpoint = "tcp://127.0.0.1:0"
	}
	cfg.From = "pushpin-handler_16124"
	cfg.SubscriptionTTL, cfg.ConnectionTTL = 12*time.Second, 12*time.Second
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := NewStats(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.pub.socket.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s
}

// listen subscribes, with libzmq, to what begins with prefix.
func (s *Stats) listen(t *testing.T, prefix string) *libzmq {
	t.Helper()
	z := startLibzmq(t, "SUB", "connect", s.Endpoint())
	z.tell("subscribe", prefix)
	s.awaitPrefix(t, prefix)
	return z
}

// awaitPrefix waits until a listener has subscribed. That is no event for
// anybody, so it looks again and again.
func (s *Stats) awaitPrefix(t *testing.T, prefix string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.pub.mu.Lock()
		for sub := range s.pub.subscribers {
			if _, ok := sub.prefixes[prefix]; ok {
				s.pub.mu.Unlock()
				return
			}
		}
		s.pub.mu.Unlock()
	}
	t.Fatalf("nobody has subscribed to %q", prefix)
}

// decode returns a message's type and members.
func decode(t *testing.T, message string) (kind string, members map[string]any) {
	t.Helper()
	kind, text, _ := strings.Cut(message, " ")
	members = make(map[string]any)
	switch text[0] {
	case 'T':
		v, err := grip.ParseTnetstring([]byte(text[1:]))
		d, ok := v.(grip.Dict)
		if err != nil || !ok {
			t.Fatalf("message is %q: %v", message, err)
		}
		for _, e := range d {
			members[e.Key] = e.Value
		}
	case 'J':
		if err := json.Unmarshal([]byte(text[1:]), &members); err != nil {
			t.Fatalf("message is %q: %v", message, err)
		}
		for key, v := range members {
			if f, ok := v.(float64); ok {
				members[key] = int64(f)
			}
		}
	default:
		t.Fatalf("message is %q", message)
	}
	return kind, members
}

// TestStatsPushpin compares every message, member by member, with Pushpin's.
func TestStatsPushpin(t *testing.T) {
	for _, format := range []string{"", "tnetstring", "json"} {
		for _, endpoint := range []string{"tcp://127.0.0.1:0", "ipc://" + filepath.Join(t.TempDir(), "stats")} {
			s := startStats(t, StatsConfig{Endpoint: endpoint, Format: format})
			z := s.listen(t, "")
			for _, test := range pushpinStats {
				if test.tell != nil {
					test.tell(s)
				}
				message := z.frames()
				if len(message) != 1 {
					t.Fatalf("%s: message has %d frames", test.name, len(message))
				}
				gotKind, got := decode(t, message[0])
				wantKind, want := decode(t, test.message)
				if gotKind != wantKind || !maps.Equal(got, want) {
					t.Errorf("%s: %s %v, want %s %v", test.name, gotKind, got, wantKind, want)
				}
			}
		}
	}
}

// TestStatsMembers has the members that were not in what Pushpin sent.
func TestStatsMembers(t *testing.T) {
	s := startStats(t, StatsConfig{Format: "json"})
	z := s.listen(t, "")
	for _, test := range []struct {
		name string
		tell func()
		want string
	}{
		{"§12 ssl", func() { s.Connected("1", "", "::1", true) },
			`conn J{"from":"pushpin-handler_16124","id":"1","type":"http","peer-address":"::1","ssl":true,"ttl":12}`},
		{"§12 another route", func() { s.Connected("1", "r", "::1", true) },
			`conn J{"from":"pushpin-handler_16124","id":"1","type":"http","peer-address":"::1","ssl":true,"ttl":12,"route":"r"}`},
		{"§12 item-id", func() { s.Message("r", "c", "5", "http-stream", 7) },
			`message J{"from":"pushpin-handler_16124","channel":"c","item-id":"5","count":7,"transport":"http-stream","route":"r"}`},
	} {
		test.tell()
		if got := z.frames(); !slices.Equal(got, []string{test.want}) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestStatsTime lets seconds pass.
func TestStatsTime(t *testing.T) {
	s := startStats(t, StatsConfig{ReportInterval: 100 * time.Second})
	z := s.listen(t, "")
	pass := func(seconds int) {
		for range seconds {
			s.tick(s.now.Add(time.Second))
		}
	}
	want := func(kind string, members ...any) {
		t.Helper()
		gotKind, got := decode(t, z.frames()[0])
		for i := 0; i < len(members); i += 2 {
			if key := members[i].(string); gotKind != kind || got[key] != members[i+1] {
				t.Fatalf("message is %s %v, want %s with %s %v", gotKind, got, kind, key, members[i+1])
			}
		}
	}
	s.Subscribed("stream", "st", 1)
	want("sub", "channel", "st", "subscribers", int64(1))
	s.Connected("1", "r", "a", false)
	want("conn", "id", "1")
	s.Unsubscribed("stream", "nobody")
	s.Disconnected("nobody")
	s.Subscribed("stream", "st", 1) // no change
	s.Subscribed("stream", "st", 2)
	s.Subscribed("stream", "st", 3)
	pass(1)
	want("sub", "subscribers", int64(3))
	pass(8) // the connection is due after nine seconds, the subscription later
	want("conn", "id", "1", "ttl", int64(12))
	pass(1)
	want("sub", "channel", "st", "subscribers", int64(3), "ttl", int64(12))
	s.Connected("2", "r", "b", false)
	want("conn", "id", "2")
	s.Disconnected("2")
	want("conn", "id", "2", "unavailable", true)
	s.Unsubscribed("stream", "st")
	want("sub", "unavailable", true)
	for range 9 { // at 18, 27, 36 and so on, seconds
		pass(9)
		want("conn", "id", "1")
	}
	s.Message("r", "c", "", "http-response", 4)
	want("message", "count", int64(4))
	s.Message("r", "c", "", "http-stream", 3)
	want("message", "count", int64(3))
	pass(9)
	want("conn", "id", "1")
	pass(1)
	// The first connection is in its second minute, the other left in its first.
	want("report", "route", "r", "connections", int64(2), "minutes", int64(3), "duration", int64(100_000),
		"sent", int64(7), "http-response-sent", int64(4))
	s.Disconnected("1")
	want("conn", "unavailable", true)
	pass(100)
	want("report", "connections", int64(1), "minutes", int64(0), "sent", int64(0))
	pass(100)
	want("report", "connections", int64(0)) // once, so that it is seen
	pass(200)
	s.Subscribed("stream", "end", 1)
	want("sub", "channel", "end")
	if len(s.routes) != 0 {
		t.Errorf("%d routes are remembered that have nothing to say", len(s.routes))
	}
}

// TestStatsPrefixes has listeners for one type only, and one that changes its
// mind.
func TestStatsPrefixes(t *testing.T) {
	s := startStats(t, StatsConfig{})
	subs, conns := s.listen(t, "sub "), s.listen(t, "conn ")
	s.Connected("1", "", "a", false)
	s.Subscribed("response", "c", 1)
	if kind, _ := decode(t, subs.frames()[0]); kind != "sub" {
		t.Errorf("a listener for sub hears %s", kind)
	}
	if kind, _ := decode(t, conns.frames()[0]); kind != "conn" {
		t.Errorf("a listener for conn hears %s", kind)
	}
	c := dialPeer(t, s.Endpoint(), "SUB")
	c.send(appendCommand(nil, "SUBSCRIBE", []byte("message ")), appendFrame(nil, 0, nil), appendFrame(nil, 0, []byte{2}))
	s.awaitPrefix(t, "message ")
	c.send(appendCommand(nil, "CANCEL", []byte("message ")), appendCommand(nil, "SUBSCRIBE", []byte("report ")))
	s.awaitPrefix(t, "report ")
	s.Message("", "c", "", "http-stream", 1)
	s.tick(s.now.Add(DefaultReportInterval))
	flags, size, err := readHead(c.r)
	if err != nil || flags&flagCommand != 0 {
		t.Fatalf("message with flags %d: %v", flags, err)
	}
	body, err := readBody(c.r, int(size))
	if kind, _ := decode(t, string(body)); err != nil || kind != "report" {
		t.Errorf("a listener that wants reports, and messages no longer, hears %s, %v", kind, err)
	}
}

// TestStatsSlowListener has one that does not read, and one that subscribes to
// too much.
func TestStatsSlowListener(t *testing.T) {
	log := &logbook{lineCh: make(chan string, 1000)}
	s := startStats(t, StatsConfig{Log: slog.New(slog.NewTextHandler(log, nil))})
	slow := dialPeer(t, s.Endpoint(), "SUB")
	slow.send(appendFrame(nil, 0, []byte("\x01")))
	s.awaitPrefix(t, "")
	channel := strings.Repeat("x", 1000)
	for range 10 * maxOutbox / len(channel) {
		s.Message("", channel, "", "http-stream", 1)
		if s.pub.dropped.Load() > 0 {
			break
		}
	}
	if s.pub.dropped.Load() == 0 {
		t.Error("nothing is dropped for a listener that does not read")
	}
	s.tick(s.now.Add(time.Second))
	log.want(t, "statistics dropped")
	greedy := dialPeer(t, s.Endpoint(), "SUB")
	for i := range maxPrefixes + 1 {
		greedy.send(appendFrame(nil, 0, fmt.Append([]byte{1}, i)))
	}
	greedy.wantClosed("too many subscriptions")
	long := dialPeer(t, s.Endpoint(), "SUB")
	long.send(appendFrame(nil, 0, append([]byte{1}, make([]byte, maxPrefix+1)...)))
	long.wantClosed("too long a subscription")
}

// TestStatsTold tells from many goroutines, with Run.
func TestStatsTold(t *testing.T) {
	s, err := NewStats(StatsConfig{Endpoint: "tcp://127.0.0.1:0", From: "edge", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running, telling sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	z := s.listen(t, "counts ")
	for i := range 4 {
		telling.Go(func() {
			for j := range 500 {
				id := fmt.Sprint(i, j)
				s.Requested("r")
				s.Connected(id, "r", "a", false)
				s.Subscribed("stream", "c", j+1)
				s.Report("r", Counts{Received: 1})
				s.Unsubscribed("stream", "c")
				s.Disconnected(id)
			}
		})
	}
	telling.Wait()
	for total := int64(0); total < 2000; {
		_, counts := decode(t, z.frames()[0])
		total += counts["requests-received"].(int64)
	}
	cancel()
	running.Wait()
	if len(s.connections) != 0 || s.toldConnections.Len() != 0 || len(s.subscriptions) != 0 || s.toldSubscriptions.Len() != 0 {
		t.Errorf("%d connections and %d subscriptions are left", len(s.connections), len(s.subscriptions))
	}
	if r := s.routes["r"]; r != nil && r.connections != 0 {
		t.Errorf("route has %d connections", r.connections)
	}
}

func TestNewStatsErrors(t *testing.T) {
	good := StatsConfig{Endpoint: "tcp://127.0.0.1:0", From: "edge", Log: slog.New(slog.DiscardHandler)}
	for _, test := range []struct {
		name   string
		change func(*StatsConfig)
		want   string
	}{
		{"nothing wrong", func(*StatsConfig) {}, ""},
		{"format", func(c *StatsConfig) { c.Format = "xml" }, "neither tnetstring nor json"},
		{"sender", func(c *StatsConfig) { c.From = "" }, "no sender"},
		{"endpoint", func(c *StatsConfig) { c.Endpoint = "" }, "neither tcp"},
		{"interval", func(c *StatsConfig) { c.ReportInterval = time.Millisecond }, "report interval is 1ms"},
		{"subscription TTL", func(c *StatsConfig) { c.SubscriptionTTL = time.Second }, "subscription TTL is 1s"},
		{"connection TTL", func(c *StatsConfig) { c.ConnectionTTL = -1 }, "connection TTL is -1ns"},
	} {
		cfg := good
		test.change(&cfg)
		s, err := NewStats(cfg)
		if err == nil {
			s.Close()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: NewStats = %v, want %q", test.name, err, test.want)
		}
	}
}

func BenchmarkStats(b *testing.B) {
	s, err := NewStats(StatsConfig{Endpoint: "tcp://127.0.0.1:0", From: "edge", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Run("unheard", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Connected("1", "r", "127.0.0.1", false)
			s.Disconnected("1")
		}
	})
}
