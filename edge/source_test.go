package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newTestSources returns sources that log to log, nil for nowhere.
func newTestSources(l limits, log *slog.Logger) *sources {
	l.validate(func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) })
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return newSources(&l, log)
}

// addressOf returns the address of a client.
func addressOf(ip string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1234))
}

// Which addresses are one source.
func TestSourceOfAddress(t *testing.T) {
	tests := []struct {
		name, address, want string // want "" for one without limits
	}{
		{"IPv4", "192.0.2.7", "192.0.2.7"},
		{"IPv4 in IPv6 (RFC 4291 §2.5.5.2)", "::ffff:192.0.2.7", "192.0.2.7"},
		{"IPv6 (RFC 4291 §2.5.1)", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"IPv6, same network", "2001:db8:1:2::1", "2001:db8:1:2::/64"},
		{"IPv6, next network", "2001:db8:1:3::1", "2001:db8:1:3::/64"},
		{"IPv6 with a zone", "fe80::1%eth0", "fe80::/64"},
		{"exempt address", "198.51.100.1", ""},
		{"exempt address, in IPv6", "::ffff:198.51.100.1", ""},
		{"not exempt", "198.51.100.2", "198.51.100.2"},
		{"exempt network", "203.0.113.200", ""},
		{"exempt IPv6 address", "2001:db8::1", ""},
		{"its neighbour", "2001:db8::2", "2001:db8::/64"},
		{"exempt IPv6 network", "2001:db8:ffff:1::1", ""},
	}
	exempt := networkList{new([]netip.Prefix)}
	for _, text := range []string{"198.51.100.1, 203.0.113.77/24", "2001:db8::1,2001:db8:ffff::/48"} {
		if err := exempt.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestSources(limits{MaxHead: minHead, Connections: 1, Exempt: *exempt.networks}, nil)
			from, ok := s.enter(addressOf(tt.address))
			got := ""
			if from != nil {
				got = from.String()
			}
			if got != tt.want || !ok {
				t.Errorf("%s comes from %q, %v, want %q", tt.address, got, ok, tt.want)
			}
			if _, ok := s.enter(addressOf(tt.address)); ok != (tt.want == "") {
				t.Errorf("a second connection of %s is let in: %v, want %v", tt.address, ok, !ok)
			}
		})
	}
}

// A client on a Unix socket has no address.
func TestSourceOfUnixSocket(t *testing.T) {
	s := newTestSources(limits{MaxHead: minHead, Connections: 1}, nil)
	if from, ok := s.enter(&net.UnixAddr{Name: "@", Net: "unix"}); from != nil || !ok {
		t.Errorf("it comes from %v, %v, want no source, let in", from, ok)
	}
}

// A bucket gives its burst at once and then one request an interval.
func TestSourceRate(t *testing.T) {
	const ms = int64(time.Millisecond)
	type ask struct {
		at   int64 // ms
		wait int64 // ms; 0 for let through
	}
	tests := []struct {
		name            string
		requests, burst int
		asks            []ask
	}{
		{"one a second", 1, 1, []ask{{0, 0}, {0, 1000}, {999, 1}, {1000, 0}, {1000, 1000}}},
		{"a burst", 10, 3, []ask{{0, 0}, {0, 0}, {0, 0}, {0, 100}, {50, 50}, {100, 0}, {100, 100}}},
		{"a refused request costs nothing", 10, 1, []ask{{0, 0}, {10, 90}, {20, 80}, {100, 0}}},
		{"the bucket fills up", 10, 2, []ask{{0, 0}, {0, 0}, {100, 0}, {1000, 0}, {1000, 0}, {1000, 100}}},
		{"and not further", 10, 2, []ask{{60_000, 0}, {60_000, 0}, {60_000, 100}}},
		{"five seconds' by default", 1, 0, []ask{{0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 1000}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestSources(limits{MaxHead: minHead, Requests: tt.requests, Burst: tt.burst}, nil)
			from, _ := s.enter(addressOf("192.0.2.7"))
			for i, a := range tt.asks {
				if got := from.takeAt(a.at * ms); got != time.Duration(a.wait*ms) {
					t.Errorf("request %d, at %d ms: to wait %v, want %d ms", i+1, a.at, got, a.wait)
				}
			}
		})
	}
}

// However many goroutines take from a bucket, it gives what it has.
func TestSourceRateOfManyLoops(t *testing.T) {
	const burst = 1000
	s := newTestSources(limits{MaxHead: minHead, Requests: 1, Burst: burst}, nil)
	from, _ := s.enter(addressOf("192.0.2.7"))
	var given atomic.Int64
	var loops sync.WaitGroup
	for range 4 {
		loops.Go(func() {
			for range burst {
				if from.takeAt(0) == 0 {
					given.Add(1)
				}
			}
		})
	}
	loops.Wait()
	if n := given.Load(); n != burst {
		t.Errorf("%d requests were let through, want %d", n, burst)
	}
}

// A source is forgotten when its clients have left and its bucket is full.
func TestSourcesForget(t *testing.T) {
	s := newTestSources(limits{MaxHead: minHead, Connections: 2, Requests: 1, Burst: 3}, nil)
	from, _ := s.enter(addressOf("192.0.2.7"))
	second, _ := s.enter(addressOf("192.0.2.7"))
	if second != from {
		t.Error("two connections of one address have two sources")
	}
	from.takeAt(0)
	from.takeAt(0)
	from.leave()
	known := func(when string, at time.Duration, want int) {
		t.Helper()
		if s.sweepAt(int64(at)); s.len() != want {
			t.Errorf("%s: %d sources are known, want %d", when, s.len(), want)
		}
	}
	known("one is connected", time.Minute, 1)
	second.leave()
	known("the bucket is not full", 1999*time.Millisecond, 1)
	known("it is full", 2*time.Second, 0)
}

// The table has a bound, beyond which clients are let in.
func TestSourcesBound(t *testing.T) {
	s := newTestSources(limits{MaxHead: minHead, Connections: 1}, nil)
	for i := range maxSources {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if from, ok := s.count(networkOf(a)); from == nil || !ok {
			t.Fatalf("source %d is %v, %v", i, from, ok)
		}
	}
	for range 2 {
		if from, ok := s.enter(addressOf("192.0.2.7")); from != nil || !ok {
			t.Fatalf("one more is %v, %v, want no source, let in", from, ok)
		}
	}
	if _, ok := s.enter(addressOf("10.0.0.1")); ok {
		t.Error("a known source is let in beyond its limit")
	}
	if s.len() != maxSources {
		t.Errorf("%d sources are known, want %d", s.len(), maxSources)
	}
}

// One line an address and minute, and one a second in all.
func TestSourcesLog(t *testing.T) {
	const second = int64(time.Second)
	log := &edgeLog{}
	s := newTestSources(limits{MaxHead: minHead, Requests: 1, Burst: 1}, slog.New(slog.NewJSONHandler(log, nil)))
	a, _ := s.enter(addressOf("192.0.2.1"))
	b, _ := s.enter(addressOf("2001:db8::1"))
	refuse := func(from *source, at int64) {
		from.takeAt(at)
		if from.takeAt(at) == 0 {
			t.Errorf("%v is not refused", from)
		}
	}
	for _, at := range []int64{0, 1, 2 * second, 59 * second} {
		refuse(a, at)
	}
	refuse(b, 0)
	refuse(b, 59*second)
	refuse(b, 60*second)
	refuse(a, 61*second)
	var got []string
	for line := range strings.Lines(log.String()) {
		var record struct {
			Msg, Address string
			PerSecond    int `json:"per_second"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if record.Msg != "too many requests from one address" || record.PerSecond != 1 {
			t.Errorf("line %s", line)
		}
		got = append(got, record.Address)
	}
	if want := []string{"192.0.2.1", "2001:db8::/64", "2001:db8::/64", "192.0.2.1"}; !slices.Equal(got, want) {
		t.Errorf("lines of %q, want %q", got, want)
	}
}

// What a request costs where there is a limit.
func BenchmarkSourceTake(b *testing.B) {
	s := newTestSources(limits{MaxHead: minHead, Requests: maxOfAddress}, nil)
	from, _ := s.enter(addressOf("192.0.2.7"))
	b.ReportAllocs()
	for b.Loop() {
		from.take()
	}
}

// An address has no more connections than it may have, and another as soon as
// one has left, however that came about.
func TestAddressConnections(t *testing.T) {
	const limited = `marquee_drops_total{reason="address_connections",what="client"}`
	r := newRig(t, http.HandlerFunc(hi), "-address-connections", "2", "-listen", "127.0.0.1:0", "-listen", "[::1]:0")
	first, second := r.dial(), r.dial()
	first.get("/1")
	first.wantAnswer(200, "hi /1")
	second.get("/2")
	second.wantAnswer(200, "hi /2")
	surplus := func() {
		t.Helper()
		c := r.dial()
		c.wantStatus(429)
		c.wantHeader("Retry-After", "5")
		c.wantHeader("Connection", "close")
		c.wantBody("Too many connections from your address.\n")
		c.wantClosed()
	}
	surplus()
	other := dial(t, r.listen[2])
	other.get("/3")
	other.wantAnswer(200, "hi /3")
	r.waitMetric(limited, 1)
	r.waitMetric("marquee_client_addresses", 2)
	first.leave()
	r.waitMetric("marquee_connections", 2)
	third := r.dial()
	third.get("/4")
	third.wantAnswer(200, "hi /4")
	surplus()
	r.waitMetric(limited, 2)
	for _, c := range []*client{second, third, other} {
		c.leave()
	}
	r.waitMetric("marquee_connections", 0)
	r.waitMetric("marquee_client_addresses", 0)
	if n := strings.Count(r.log.String(), "too many connections from one address"); n != 1 {
		t.Errorf("%d lines are logged, want 1", n)
	}
}

// A connection that a goroutine has for a while counts all the time, and once.
func TestAddressConnectionsOfStreams(t *testing.T) {
	goCh := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_ = http.NewResponseController(w).Flush() // of unknown length
		hang(req, goCh)
	}), "-address-connections", "1")
	refused := func(when string) {
		t.Helper()
		c := r.dial()
		c.wantStatus(429)
		c.leave()
	}
	c := r.dial()
	c.get("/")
	c.wantStatus(200)
	refused("while it streams")
	close(goCh)
	c.wantBody("")
	c.get("/")
	c.wantAnswer(200, "")
	refused("when it is back")
	c.get("/", "Connection: close")
	c.wantAnswer(200, "")
	c.wantClosed()
	r.waitMetric("marquee_connections", 0)
	again := r.dial()
	again.get("/")
	again.wantAnswer(200, "")
}

// empty takes every source's bucket as empty, so that there is a request in it
// when that time has passed.
func (r *rig) empty(until time.Duration) {
	s := r.edge.sources
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, from := range s.known {
		from.full.Store(s.now() + int64(s.burst-s.interval+until))
	}
}

// Who asks too often is told when to come again, and is not read meanwhile.
func TestAddressRequests(t *testing.T) {
	const limited = `marquee_drops_total{reason="address_requests",what="request"}`
	refused := func(t *testing.T, c *client) {
		t.Helper()
		c.wantStatus(429)
		if after, err := strconv.Atoi(c.head.Get("Retry-After")); err != nil || after < 3500 || after > 3600 {
			t.Errorf("Retry-After is %q, want 3600 at the most", c.head.Get("Retry-After"))
		}
		c.wantBody("Too many requests from your address.\n")
	}
	t.Run("all clients of the address", func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(hi), "-address-requests", "1", "-address-burst", "2")
		a, b := r.dial(), r.dial()
		a.get("/1")
		a.wantAnswer(200, "hi /1")
		b.get("/2")
		b.wantAnswer(200, "hi /2")
		r.empty(time.Hour)
		a.get("/3")
		refused(t, a)
		b.get("/4")
		refused(t, b)
		r.waitMetric(limited, 2)
		r.empty(0)
		a.get("/5") // is looked at when the pause is over
		a.wantAnswer(200, "hi /5")
	})
	t.Run("a flood on one connection", func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(hi), "-address-requests", "1")
		c := r.dial()
		c.get("/a")
		c.wantAnswer(200, "hi /a")
		r.empty(time.Hour)
		c.send(strings.Repeat(request("GET", "/a"), 100))
		refused(t, c)
		r.turn()
		r.turn()
		if n := r.metric(limited); n != 1 {
			t.Errorf("%v requests were refused at once, want 1", n)
		}
		c.leave()
		r.waitMetric("marquee_connections", 0)
	})
	t.Run("with a content the connection ends", func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(hi), "-address-requests", "1")
		c := r.dial()
		c.get("/a")
		c.wantAnswer(200, "hi /a")
		r.empty(time.Hour)
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + request("GET", "/next"))
		refused(t, c)
		c.wantHeader("Connection", "close")
		c.wantClosed()
	})
	t.Run("exempt", func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(hi), "-address-requests", "1", "-address-burst", "1", "-address-exempt", "127.0.0.0/8")
		c := r.dial()
		for range 5 {
			c.get("/a")
			c.wantAnswer(200, "hi /a")
		}
	})
	t.Run("connecting anew is no way out", func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(hi), "-address-requests", "1")
		c := r.dial()
		c.get("/a")
		c.wantAnswer(200, "hi /a")
		r.empty(time.Hour)
		c.leave()
		r.waitMetric("marquee_connections", 0)
		r.edge.sources.sweep()
		c = r.dial()
		c.get("/a")
		refused(t, c)
	})
}
