package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The surplus is told to come again, and there is room as soon as one leaves.
func TestMaxConnections(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi), "-max-connections", "2")
	first, second := r.dial(), r.dial()
	first.get("/1")
	first.wantAnswer(200, "hi /1")
	second.get("/2")
	second.wantAnswer(200, "hi /2")
	surplus := r.dial()
	surplus.wantStatus(503)
	surplus.wantHeader("Retry-After", "5")
	surplus.wantHeader("Connection", "close")
	surplus.wantBody("No room for more clients.\n")
	surplus.wantClosed()
	r.waitMetric("marquee_connections_refused_total", 1)
	first.leave()
	r.waitMetric("marquee_connections", 1)
	third := r.dial()
	third.get("/3")
	third.wantAnswer(200, "hi /3")
	second.get("/2")
	second.wantAnswer(200, "hi /2")
}

// Every address that was given is listened on.
func TestListenTwice(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi), "-listen", "127.0.0.1:0", "-listen", "[::1]:0")
	if len(r.listen) != 3 {
		t.Fatalf("the edge listens on %q, want three addresses", r.listen)
	}
	for _, address := range r.listen {
		c := dial(t, address)
		c.get("/")
		c.wantAnswer(200, "hi /")
	}
}

// The kernel looks after clients that vanish without a word, and keeps little for
// those that do not read. What is set on the listener, or when a client is
// accepted, survives a streamed exchange.
func TestTCPKeepAlive(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_ = http.NewResponseController(w).Flush() // of unknown length
	}), "-loops", "1")
	check := func(when string) {
		t.Helper()
		eventually(t, func() error {
			clients := 0
			r.onLoops(func(l *loop) { l.wheel.each(func(*conn) { clients++ }) })
			if clients != 1 {
				return fmt.Errorf("the loops have %d clients, want 1", clients)
			}
			return nil
		})
		r.onLoops(func(l *loop) {
			l.wheel.each(func(c *conn) {
				for _, o := range []struct {
					name         string
					level, which int
					want         int
				}{
					{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
					{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 90},
					{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 30},
					{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
					{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 180_000},
					{"TCP_RTO_MAX_MS", unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, 3000},
					{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent},
					{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
				} {
					got, err := unix.GetsockoptInt(c.gc.Fd(), o.level, o.which)
					if o.which == unix.TCP_RTO_MAX_MS && err == unix.ENOPROTOOPT {
						continue // Linux has it from 6.15 on
					}
					if err != nil || got != o.want {
						t.Errorf("%s: %s is %d, %v, want %d", when, o.name, got, err, o.want)
					}
				}
			})
		})
	}
	c := r.dial()
	c.send("GET / HT")
	r.waitMetric("marquee_connections", 1)
	check("at first")
	c.send(strings.TrimPrefix(request("GET", "/"), "GET / HT"))
	c.wantAnswer(200, "")
	check("after a stream")
}

// Clients that leave as soon as they have come are counted, and forgotten.
func TestConnectAndLeave(t *testing.T) {
	const n = 200
	for _, tt := range []struct {
		name  string
		leave func(c *client)
	}{
		{"by a reset", func(c *client) { _ = c.nc.tcp.SetLinger(0); c.leave() }},
		{"in order", func(c *client) { c.leave() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(hi), "-address-connections", fmt.Sprint(n+1))
			held := r.dial()
			held.get("/")
			held.wantAnswer(200, "hi /")
			for range n {
				tt.leave(r.dial())
			}
			r.waitMetric("marquee_connections_accepted_total", n+1)
			r.waitMetric("marquee_connections", 1)
			held.get("/")
			held.wantAnswer(200, "hi /")
			held.leave()
			r.waitMetric("marquee_client_addresses", 0)
		})
	}
}

// The zone of a link-local address is nobody's buffer: gnet puts it among its own when
// the connection ends.
func TestZoneIsForgotten(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	c, nc := dialAccepted(t)
	local, remote := nc.LocalAddr().(*net.TCPAddr), nc.RemoteAddr().(*net.TCPAddr)
	local.Zone, remote.Zone = "lo", "lo"
	if err := r.edge.admit(nc, false); err != nil {
		t.Fatal(err)
	}
	if local.Zone != "" || remote.Zone != "" {
		t.Errorf("the zones are %q and %q, want none", local.Zone, remote.Zone)
	}
	c.get("/")
	c.wantAnswer(200, "hi /")
}

// brokenListener fails once, and then is closed.
type brokenListener struct {
	net.Listener
	failed bool
}

func (ln *brokenListener) Accept() (net.Conn, error) {
	if ln.failed {
		return nil, net.ErrClosed
	}
	ln.failed = true
	return nil, unix.EMFILE
}

// Who reads in the log that a client could not be taken finds it counted.
func TestAcceptErrorSaid(t *testing.T) {
	counted := int64(-1)
	e := new(edge)
	e.log = slog.New(logHook(func(string) { counted = e.acceptErrors.Load() }))
	e.acceptLoop(listener{Listener: new(brokenListener)})
	if counted != 1 {
		t.Errorf("%d errors are counted when it is said, want 1", counted)
	}
}
