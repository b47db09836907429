package bus

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"marquee/grip"
)

// TestServerRestart takes the server away and brings another one to its place.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Options{})
	url, port := s.ClientURL(), portOf(s)
	var fromLog, log logBuffer
	from := connectWith(t, Config{URL: url, Name: "from", Log: newLogger(&fromLog)})
	upCh, downCh, itemCh := make(chan struct{}, 4), make(chan error, 4), make(chan grip.Item, 4)
	to := connectWith(t, Config{
		URL: url, Name: "to", Log: newLogger(&log),
		// Whatever is published once Up is called must arrive.
		Up: func() {
			if err := rawConn(t, url).Publish("marquee.item.c", from.sealItem(numbered("c", 2))); err != nil {
				t.Error(err)
			}
			upCh <- struct{}{}
		},
		Down: func(err error) { downCh <- err },
	})
	if _, err := to.Subscribe(t.Context(), "c", func(i grip.Item) { itemCh <- i }, ignoreLoss); err != nil {
		t.Fatal(err)
	}
	// A node goes on to be announced, to be seen and to answer.
	seenCh := make(chan Node, 64)
	run(t, func(ctx context.Context) error {
		return from.Announce(ctx, func() Node { return Node{Name: "n"} }, func(Setup) error { return nil })
	})
	run(t, func(ctx context.Context) error {
		return to.WatchNodes(ctx, func(n Node) { seenCh <- n }, func(n Node, why string) { t.Errorf("%s left: %s", n.Name, why) })
	})
	first := receive(t, seenCh, "announcement")
	publish(t, from, numbered("c", 1))
	if got := receive(t, itemCh, "item"); got.ID != "1" {
		t.Errorf("item %s, want 1", got.ID)
	}

	stopServer(s)
	if err := receive(t, downCh, "call of Down"); err == nil {
		t.Error("Down is told no error")
	}
	if to.Connected() {
		t.Error("connected without a server")
	}
	if _, err := to.Subscribe(t.Context(), "d", ignoreItem, ignoreLoss); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Subscribe without a server: error %v", err)
	}
	if err := to.PublishItem(numbered("c", 3)); !errors.Is(err, ErrNotConnected) {
		t.Errorf("PublishItem without a server: error %v", err)
	}
	if err := to.PublishStats(Stats{Group: "g"}); !errors.Is(err, ErrNotConnected) {
		t.Errorf("PublishStats without a server: error %v", err)
	}
	if _, err := to.Ping(t.Context(), "n"); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Ping without a server: error %v", err)
	}
	if err := to.SetUp(t.Context(), "n", exampleSetup); !errors.Is(err, ErrNotConnected) {
		t.Errorf("SetUp without a server: error %v", err)
	}
	if _, err := to.Kept(t.Context(), "k"); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Kept without a server: error %v", err)
	}
	for len(seenCh) > 0 {
		<-seenCh
	}

	startServer(t, server.Options{Port: port})
	receive(t, upCh, "call of Up")
	if got := receive(t, itemCh, "item"); got.ID != "2" {
		t.Errorf("item %s, want 2", got.ID)
	}
	if !to.Connected() {
		t.Error("not connected after Up")
	}
	if got := receive(t, seenCh, "announcement"); got.Instance != first.Instance {
		t.Errorf("another instance is announced: %+v, was %+v", got, first)
	}
	if _, err := to.Ping(t.Context(), "n"); err != nil {
		t.Error(err)
	}
	if err := to.SetUp(t.Context(), "n", exampleSetup); err != nil {
		t.Error(err)
	}
	if len(upCh) > 0 || len(downCh) > 0 {
		t.Errorf("%d more calls of Up, %d of Down", len(upCh), len(downCh))
	}
	for _, line := range []string{"nats connection lost", "nats connected again"} {
		eventually(t, line+" in the log of who is not called", func() bool { return fromLog.contains(line) })
		if log.contains(line) {
			t.Errorf("%s is logged beside the call: %s", line, log.String())
		}
	}
}

// TestCloseWhileDown closes a bus that waits for a server.
func TestCloseWhileDown(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Options{})
	downCh := make(chan error, 1)
	b := connectWith(t, Config{URL: s.ClientURL(), Name: "b", Down: func(err error) { downCh <- err }})
	watching := run(t, func(ctx context.Context) error { return b.WatchStats(ctx, func(Stats) {}) })
	eventually(t, "b watches", func() bool { return s.GlobalAccount().Interest("marquee.stats.*") == 1 })
	stopServer(s)
	receive(t, downCh, "call of Down")
	b.Close()
	b.Close()
	if err := watching(); err != nil && !errors.Is(err, ErrNotConnected) {
		t.Errorf("watching a closed bus: error %v", err)
	}
	if err := b.WatchStats(t.Context(), func(Stats) {}); !errors.Is(err, ErrNotConnected) {
		t.Errorf("WatchStats on a closed bus: error %v", err)
	}
	if err := b.WatchNodes(t.Context(), func(Node) {}, func(Node, string) {}); !errors.Is(err, ErrNotConnected) {
		t.Errorf("WatchNodes on a closed bus: error %v", err)
	}
	if err := b.Announce(t.Context(), func() Node { return Node{Name: "n"} }, nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Announce on a closed bus: error %v", err)
	}
}

// A proxy forwards bytes between clients and a server, and can stop to.
type proxy struct {
	listener net.Listener
	server   string
	cut      sync.RWMutex // held for writing while nothing is forwarded

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func startProxy(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.wg.Go(func() { p.forward(client, server) })
		p.wg.Go(func() { p.forward(server, client) })
	}
}

func (p *proxy) forward(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.cut.RLock()
		if n > 0 {
			_, err = to.Write(buf[:n])
		}
		p.cut.RUnlock()
		if err != nil {
			return
		}
	}
}

// TestPartition stops all traffic without a word, and lets it go on.
func TestPartition(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Options{})
	p := startProxy(t, s.Addr().String())
	from := connect(t, s.ClientURL(), "from")
	upCh, downCh, itemCh := make(chan struct{}, 1), make(chan error, 1), make(chan grip.Item, 1)
	to := connectWith(t, Config{
		URL: "nats://" + p.listener.Addr().String(), Name: "to",
		Up:   func() { upCh <- struct{}{} },
		Down: func(err error) { downCh <- err },
	})
	if _, err := to.Subscribe(t.Context(), "c", func(i grip.Item) { itemCh <- i }, ignoreLoss); err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) error {
		return from.Announce(ctx, func() Node { return Node{Name: "n"} }, nil)
	})
	seenCh := make(chan Node, 64)
	run(t, func(ctx context.Context) error {
		return to.WatchNodes(ctx, func(n Node) { seenCh <- n }, func(n Node, why string) { t.Errorf("%s left: %s", n.Name, why) })
	})
	receive(t, seenCh, "announcement")

	p.cut.Lock()
	start := time.Now()
	// Nobody is missed by those who are cut off, and no call hangs on.
	for i := range 100 {
		if err := to.PublishItem(numbered("d", i)); err != nil {
			t.Error(err)
		}
	}
	err := receive(t, downCh, "call of Down")
	t.Logf("partition noticed after %v: %v", time.Since(start).Round(10*time.Millisecond), err)
	publish(t, from, numbered("c", 1)) // is missed
	if err := from.flush(t.Context()); err != nil {
		t.Error(err)
	}
	p.cut.Unlock()
	receive(t, upCh, "call of Up")
	publish(t, from, numbered("c", 2))
	if got := receive(t, itemCh, "item"); got.ID != "2" {
		t.Errorf("item %s, want 2", got.ID)
	}
	for len(seenCh) > 0 {
		<-seenCh
	}
	receive(t, seenCh, "announcement")
}

// TestBlockedWriter sends much to a server that has stopped reading.
func TestBlockedWriter(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Options{})
	p := startProxy(t, s.Addr().String())
	downCh := make(chan error, 1)
	b := connectWith(t, Config{URL: "nats://" + p.listener.Addr().String(), Name: "b", Down: func(err error) { downCh <- err }})
	big := numbered("c", 1)
	big.HTTPResponse.Body = []byte(strings.Repeat("x", 500<<10))
	p.cut.Lock()
	defer p.cut.Unlock()
	var longest time.Duration
	for b.Connected() {
		start := time.Now()
		// Fails when its own write is the one that blocks.
		_ = b.PublishItem(big)
		longest = max(longest, time.Since(start))
	}
	receive(t, downCh, "call of Down")
	t.Logf("longest call %v", longest.Round(10*time.Millisecond))
	if longest > wait {
		t.Errorf("PublishItem took %v, want about %v", longest, writeTimeout)
	}
}

func TestConnectBeforeServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Options{})
	port := portOf(s)
	stopServer(s)
	var log logBuffer
	busCh := make(chan *Bus)
	go func() {
		b, err := Connect(t.Context(), Config{
			URL: "127.0.0.1:1,127.0.0.1:" + strconv.Itoa(port), Name: "b", Log: newLogger(&log),
			Up:   func() { t.Error("Up is called for the first connection") },
			Down: func(error) { t.Error("Down is called before there is a connection") },
		})
		if err != nil {
			t.Error(err)
		}
		busCh <- b
	}()
	eventually(t, "the failure is in the log", func() bool { return log.contains("nats not reached, will try again") })
	startServer(t, server.Options{Port: port})
	b := receive(t, busCh, "connection")
	if b == nil {
		return
	}
	if !b.Connected() {
		t.Error("not connected after Connect")
	}
	b.Close()
	if b.Connected() {
		t.Error("connected after Close")
	}
	if err := b.PublishItem(numbered("c", 1)); !errors.Is(err, ErrNotConnected) {
		t.Errorf("PublishItem after Close: error %v", err)
	}
}

func TestConnectErrors(t *testing.T) {
	missing := "does-not-exist.pem"
	tests := []struct {
		name string
		cfg  Config
		want string // what the error contains
	}{
		{"no name", Config{URL: "nats://h:1"}, "connection name is empty"},
		{"long name", Config{URL: "nats://h:1", Name: strings.Repeat("x", 1025)}, "longer than 1024"},
		{"no URL", Config{Name: "b"}, "server 1 of the list is not nats://host:port"},
		{"no URL in a list", Config{Name: "b", URL: "h:1,nats://u:secret@%zz:1"}, "server 2 of the list is not nats://host:port"},
		{"no credentials", Config{Name: "b", URL: "h:1", Credentials: missing}, "read credentials: open " + missing},
		{"no CA", Config{Name: "b", URL: "h:1", CA: missing}, missing},
		{"no certificate", Config{Name: "b", URL: "h:1", Cert: missing, Key: missing}, missing},
		{"certificate without key", Config{Name: "b", URL: "h:1", Cert: missing}, "certificate and key come together"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Log = newLogger(io.Discard)
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			b, err := Connect(ctx, tt.cfg)
			if err == nil {
				b.Close()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") || ctx.Err() != nil {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

// connectFor returns the error of connecting for so long where that cannot
// succeed.
func connectFor(t *testing.T, d time.Duration, cfg Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	cfg.Name, cfg.Log = "b", newLogger(io.Discard)
	b, err := Connect(ctx, cfg)
	if err == nil {
		b.Close()
		t.Fatal("connected")
	}
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %q is not of the deadline, or tells a secret", err)
	}
	return err
}

func TestConnectGivesUp(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Options{})
	addr := s.Addr().String()
	stopServer(s)
	// Of the first attempt nats.go tells less than of the second.
	want := addr + ": connect: connection refused"
	var err error
	for d := reconnectWait + reconnectJitter + 200*time.Millisecond; d < wait; d *= 2 {
		err = connectFor(t, d, Config{URL: "nats://user:secret@" + addr})
		if strings.HasSuffix(err.Error(), want) {
			return
		}
	}
	t.Errorf("error %q, want it to end in %q", err, want)
}
