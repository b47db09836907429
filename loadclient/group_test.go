package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"marquee/bus"
)

// patience is how long an event may take before a test gives up on it.
const patience = 20 * time.Second

// startNATS runs a NATS server on loopback until the end of the test. port is
// server.RANDOM_PORT or that of one which has been stopped.
func startNATS(t *testing.T, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stopNATS(s) })
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats server is not ready")
	}
	return s
}

func stopNATS(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// front is an edge to a headline service: a server of its own.
type front struct {
	*httptest.Server
	mu             sync.Mutex
	opened, closed int // connections
}

func startFront(t *testing.T, s *service) *front {
	t.Helper()
	f := &front{Server: httptest.NewUnstartedServer(s)}
	f.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		f.mu.Lock()
		defer f.mu.Unlock()
		switch state {
		case http.StateNew:
			f.opened++
		case http.StateClosed, http.StateHijacked:
			f.closed++
		}
	}
	f.Start()
	t.Cleanup(f.kill)
	return f
}

// kill ends the server and its connections.
func (f *front) kill() {
	f.Listener.Close()
	f.CloseClientConnections()
	f.Close()
}

func (f *front) address() string { return f.Listener.Addr().String() }

func (f *front) connections() (opened, open int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened, f.opened - f.closed
}

// cluster is a group on a bus, and a dashboard's end of that bus.
type cluster struct {
	*testing.T
	nats  *server.Server
	bus   *bus.Bus
	log   *transcript // of the group
	stats chan bus.Stats
	nodes chan bus.Node
	left  chan string
}

// on is a service's URL as set-ups name it: what clients connect to is another
// matter.
const onURL = "http://headline.example/headline/value/"

func newCluster(t *testing.T) *cluster {
	c := &cluster{
		T: t, log: &transcript{}, nats: startNATS(t, server.RANDOM_PORT),
		stats: make(chan bus.Stats, 10_000), nodes: make(chan bus.Node, 10_000), left: make(chan string, 100),
	}
	var err error
	c.bus, err = bus.Connect(t.Context(), bus.Config{URL: c.nats.ClientURL(), Name: "dashboard", Log: testLog(io.Discard)})
	if err != nil {
		t.Fatal(err)
	}
	var watchers sync.WaitGroup
	t.Cleanup(func() { c.bus.Close(); watchers.Wait() })
	watchers.Go(func() { c.bus.WatchStats(t.Context(), func(s bus.Stats) { c.stats <- s }) })
	watchers.Go(func() {
		c.bus.WatchNodes(t.Context(), func(n bus.Node) { c.nodes <- n }, func(_ bus.Node, why string) { c.left <- why })
	})
	return c
}

// startGroup runs a group of that name with quick clients until the end of the
// test, and returns once it has announced itself.
func (c *cluster) startGroup(flags ...string) bus.Node {
	c.Helper()
	args := append([]string{"-nats", c.nats.ClientURL(), "-name", "g", "-region", "r",
		"-repoll-delay", "0s", "-repoll-jitter", "20ms"}, flags...)
	ctx, cancel := context.WithCancel(context.Background())
	doneCh := make(chan error, 1)
	go func() { doneCh <- runCommand(ctx, args, io.Discard, c.log) }()
	c.Cleanup(func() {
		cancel()
		if err := receive(c, doneCh, "end of the group"); err != nil {
			c.Errorf("the group ended with %v", err)
		}
		if c.Failed() {
			c.Logf("log of the group:\n%s", c.log)
		}
	})
	return receive(c, c.nodes, "announcement")
}

func (c *cluster) setUp(count int, connect string) {
	c.Helper()
	if err := c.trySetUp(bus.Setup{Count: count, URL: onURL, Connect: connect}); err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) trySetUp(s bus.Setup) error {
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	return c.bus.SetUp(ctx, "g", s)
}

// await returns the first statistics from now on that are as f wants them.
func (c *cluster) await(what string, f func(bus.Stats) bool) bus.Stats {
	c.Helper()
	var s bus.Stats
	for giveUp := time.After(patience); ; {
		select {
		case s = <-c.stats:
			if f(s) {
				return s
			}
		case <-giveUp:
			c.Fatalf("no statistics with %s, last %+v", what, s)
		}
	}
}

// awaitAll waits until all of count clients have headline id.
func (c *cluster) awaitAll(count int, id uint64) bus.Stats {
	c.Helper()
	return c.await(fmt.Sprintf("headline %d at %d clients", id, count), func(s bus.Stats) bool {
		return s.Total == count && s.ID == id && s.Received == count
	})
}

// awaitHeld waits until count clients have a poll in flight.
func (c *cluster) awaitHeld(count int) bus.Node {
	c.Helper()
	var n bus.Node
	for giveUp := time.After(patience); ; {
		select {
		case n = <-c.nodes:
			if n.Load.Held == int64(count) && n.Load.Connections == int64(count) {
				return n
			}
		case <-giveUp:
			c.Fatalf("never %d polls in flight, last %+v", count, n.Load)
		}
	}
}

func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// TestGroup sets a group up, and follows a change from the service to the
// statistics.
func TestGroup(t *testing.T) {
	t.Parallel()
	s := startService(t, sized)
	s.change("a headline")
	c := newCluster(t)
	n := c.startGroup("-c", "60")
	if n.Kind != bus.KindGroup || n.Name != "g" || n.Region != "r" || n.Capacity != 60 || n.Version != version || n.Load != (bus.Load{}) {
		t.Errorf("announced as %+v", n)
	}
	if s := receive(t, c.stats, "statistics"); s != (bus.Stats{Group: "g"}) {
		t.Errorf("statistics before it is set up: %+v", s)
	}
	f := startFront(t, s)
	c.setUp(50, f.address())
	first := c.awaitAll(50, 1)
	if first.Body != "a headline" || first.Started != 50 || first.Errored != 0 {
		t.Errorf("statistics once all have started: %+v", first)
	}
	c.awaitHeld(50)

	before := time.Now()
	s.change("another")
	all := c.awaitAll(50, 2)
	after := time.Now()
	if all.Body != "another" || all.Started != 50 || all.Errored != 0 {
		t.Errorf("statistics once all have the change: %+v", all)
	}
	for _, times := range [][2]time.Time{{before, all.FirstAt}, {all.FirstAt, all.MeanAt}, {all.MeanAt, all.LastAt}, {all.LastAt, after}} {
		if times[1].Before(times[0]) {
			t.Errorf("from %v to %v, first %v, mean %v, last %v: not in order", before, after, all.FirstAt, all.MeanAt, all.LastAt)
			break
		}
	}
	if all.Latency < all.LastAt.Sub(all.MeanAt) || all.Latency > after.Sub(all.MeanAt) {
		t.Errorf("latency %v, with first %v, mean %v, last %v, seen %v", all.Latency, all.FirstAt, all.MeanAt, all.LastAt, after)
	}
	if n := c.awaitHeld(50); n.Load.Received != 50 || n.Load.Errors != 0 {
		t.Errorf("load after one change: %+v", n.Load)
	}
	if asked := s.asked(); len(asked) != 1 || asked[onURL] == 0 {
		t.Errorf("clients asked %v, want %s alone", asked, onURL)
	}
}

// TestGroupIdle counts statistics while nothing happens: one a second.
func TestGroupIdle(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.startGroup("-c", "1")
	receive(t, c.stats, "statistics")
	last := time.Now()
	for range 2 {
		receive(t, c.stats, "statistics")
		if d := time.Since(last); d < statsAtLeastEvery/2 || d > 5*statsAtLeastEvery {
			t.Errorf("statistics after %v of rest, want about %v", d, statsAtLeastEvery)
		}
		last = time.Now()
	}
}

// TestGroupResize grows and shrinks a group whose clients must stay.
func TestGroupResize(t *testing.T) {
	t.Parallel()
	s := startService(t, sized)
	s.change("a headline")
	c := newCluster(t)
	c.startGroup("-c", "100")
	f := startFront(t, s)
	for _, step := range []struct{ count, opened int }{
		{20, 20}, {60, 60}, {60, 60}, {10, 60}, {0, 60}, {0, 60}, {30, 90}, {40, 100},
	} {
		c.setUp(step.count, f.address())
		c.await(fmt.Sprintf("%d clients", step.count), func(s bus.Stats) bool {
			return s.Total == step.count && s.Started == step.count && s.Received == step.count
		})
		if n := c.awaitHeld(step.count); n.Load.Errors != 0 {
			t.Errorf("%d errors", n.Load.Errors)
		}
		if opened, _ := f.connections(); opened != step.opened {
			t.Errorf("%d connections opened until there were %d clients, want %d", opened, step.count, step.opened)
		}
	}
	s.change("another")
	c.awaitAll(40, 2)
	if got := strings.Count(c.log.String(), `msg="set up"`); got != 6 {
		t.Errorf("%d set-ups logged, want the 6 that changed something", got)
	}
}

// TestGroupMove moves clients to another edge. They keep their headline, so
// nothing in the statistics changes.
func TestGroupMove(t *testing.T) {
	t.Parallel()
	s := startService(t, sized)
	s.change("a headline")
	c := newCluster(t)
	c.startGroup("-c", "40")
	from, to := startFront(t, s), startFront(t, s)
	c.setUp(40, from.address())
	c.awaitAll(40, 1)
	c.awaitHeld(40)
	c.setUp(40, to.address())
	for opened := 0; opened < 40; opened, _ = to.connections() {
		st := receive(t, c.stats, "statistics")
		if st.Started != 40 || st.Received != 40 || st.Errored != 0 {
			t.Errorf("statistics during the move: %+v", st)
		}
	}
	s.change("another")
	c.awaitAll(40, 2)
	if n := c.awaitHeld(40); n.Load.Errors != 0 {
		t.Errorf("%d errors", n.Load.Errors)
	}
	for _, f := range []struct {
		name string
		*front
		open int
	}{{"old", from, 0}, {"new", to, 40}} {
		if opened, open := f.connections(); opened != 40 || open != f.open {
			t.Errorf("%s edge: %d connections opened, %d open, want 40 and %d", f.name, opened, open, f.open)
		}
	}
}

// TestGroupOtherURL has clients ask something else, with other headlines.
func TestGroupOtherURL(t *testing.T) {
	one, other := startService(t, sized), startService(t, sized)
	for i := range 5 {
		one.change(fmt.Sprint("headline ", i))
	}
	other.change("the other's")
	c := newCluster(t)
	c.startGroup("-c", "20")
	f, g := startFront(t, one), startFront(t, other)
	c.setUp(20, f.address())
	c.awaitAll(20, 5)
	const url = "http://other.example/value/?x=1"
	if err := c.trySetUp(bus.Setup{Count: 10, URL: url, Connect: g.address()}); err != nil {
		t.Fatal(err)
	}
	if s := c.awaitAll(10, 1); s.Body != "the other's" {
		t.Errorf("statistics %+v", s)
	}
	if asked := other.asked(); len(asked) != 1 || asked[url] == 0 {
		t.Errorf("clients asked %v, want %s alone", asked, url)
	}
}

// TestGroupRefuses asks a group for what it cannot do.
func TestGroupRefuses(t *testing.T) {
	s := startService(t, sized)
	s.change("a headline")
	c := newCluster(t)
	c.startGroup("-c", "20")
	f := startFront(t, s)
	c.setUp(15, f.address())
	c.awaitAll(15, 1)
	for _, tt := range []struct {
		name  string
		setup bus.Setup
		want  string
	}{
		{"more than -c", bus.Setup{Count: 21, URL: onURL, Connect: f.address()}, `set up group "g": 21 clients: -c of "g" allows 0 to 20`},
		{"fewer than none", bus.Setup{Count: -1, URL: onURL, Connect: f.address()}, "-1 clients"},
		{"no URL", bus.Setup{Count: 1, Connect: f.address()}, `url "": must be http://host[:port]/path`},
		{"https", bus.Setup{Count: 1, URL: "https://h/", Connect: f.address()}, `url "https://h/": must be http://`},
		{"a space in the query", bus.Setup{Count: 1, URL: "http://h/?a b", Connect: f.address()}, "must be http://"},
		{"no address", bus.Setup{Count: 1, URL: onURL}, `connect address "": must be host:port`},
		{"no host", bus.Setup{Count: 1, URL: onURL, Connect: ":80"}, `connect address ":80": must be host:port`},
		{"no port", bus.Setup{Count: 1, URL: onURL, Connect: "127.0.0.1"}, "must be host:port"},
		{"port 0", bus.Setup{Count: 1, URL: onURL, Connect: "127.0.0.1:0"}, "with a port of 1 to 65535"},
		{"port too high", bus.Setup{Count: 1, URL: onURL, Connect: "127.0.0.1:65536"}, "with a port of 1 to 65535"},
		{"unknown host", bus.Setup{Count: 1, URL: onURL, Connect: "nowhere.invalid:80"}, `connect resolve "nowhere.invalid:80"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := c.trySetUp(tt.setup); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	s.change("another")
	c.awaitAll(15, 2)
	if opened, _ := f.connections(); opened != 15 {
		t.Errorf("%d connections opened, want 15: refused set-ups change nothing", opened)
	}
}

// TestGroupOutlivesNATS changes the headline while there is no NATS server.
func TestGroupOutlivesNATS(t *testing.T) {
	t.Parallel()
	s := startService(t, sized)
	s.change("a headline")
	c := newCluster(t)
	c.startGroup("-c", "20")
	f := startFront(t, s)
	c.setUp(20, f.address())
	c.awaitHeld(20)
	port := c.nats.Addr().(*net.TCPAddr).Port
	stopNATS(c.nats)
	answered := s.answered()
	s.change("another")
	for giveUp := time.Now().Add(patience); s.answered() < answered+20; {
		if time.Now().After(giveUp) {
			t.Fatalf("%d polls answered while NATS was gone, want 20", s.answered()-answered)
		}
		time.Sleep(time.Millisecond)
	}
	startNATS(t, port)
	c.awaitAll(20, 2)
	c.awaitHeld(20)
	if opened, _ := f.connections(); opened != 20 {
		t.Errorf("%d connections opened, want 20: they outlive NATS", opened)
	}
}

// TestGroupOutlivesEdge ends an edge with the polls that it holds, misses a
// change, and pairs the group with another edge.
func TestGroupOutlivesEdge(t *testing.T) {
	t.Parallel()
	s := startService(t, sized)
	s.change("a headline")
	c := newCluster(t)
	c.startGroup("-c", "20")
	dying, other := startFront(t, s), startFront(t, s)
	c.setUp(20, dying.address())
	c.awaitHeld(20)
	dying.kill()
	c.await("errors", func(s bus.Stats) bool { return s.Errored == 20 && s.Received == 20 })
	for giveUp := time.Now().Add(2 * patience); receive(t, c.nodes, "announcement").Load.Errors < 80; {
		if time.Now().After(giveUp) {
			t.Fatal("clients do not fail four times each")
		}
	}
	s.change("another")
	began := time.Now()
	c.setUp(20, other.address())
	if st := c.awaitAll(20, 2); st.Errored != 0 {
		t.Errorf("statistics on the other edge: %+v", st)
	}
	if d := time.Since(began); d > 6*time.Second { // the last to fail would wait for 8 s from then, which was told within one
		t.Errorf("all had the headline after %v: clients must not wait out their backoff", d)
	}
	if n := c.awaitHeld(20); n.Load.Errors < 20 || strings.Contains(c.log.String(), "fault=torn") {
		t.Errorf("%d errors, log:\n%s", n.Load.Errors, c.log)
	}
}

// TestGroupDuplicateName starts a group under a name that is taken.
func TestGroupDuplicateName(t *testing.T) {
	c := newCluster(t)
	c.startGroup("-c", "1")
	err := runCommand(t.Context(), []string{"-nats", c.nats.ClientURL(), "-name", "g"}, io.Discard, io.Discard)
	if !errors.Is(err, bus.ErrDuplicateName) {
		t.Errorf("error %v, want %v", err, bus.ErrDuplicateName)
	}
}

// startProcess runs a group as a process, and returns once it has announced
// itself.
func (c *cluster) startProcess(cmd *exec.Cmd) {
	c.Helper()
	cmd.Stderr = c.log
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	receive(c, c.nodes, "announcement")
}

// promptly is within what time a process ends that waits for nobody, on a busy
// machine.
const promptly = 5 * time.Second

// TestGroupProcess ends groups with signals, and checks that they were modest.
func TestGroupProcess(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			s := startService(t, sized)
			s.change("a headline")
			c := newCluster(t)
			cmd := command(t, "-nats", c.nats.ClientURL(), "-name", "g", "-c", "100")
			c.startProcess(cmd)
			c.setUp(100, startFront(t, s).address())
			c.awaitAll(100, 1)
			if attr, err := unix.SchedGetAttr(cmd.Process.Pid, 0); err != nil || attr.Policy != unix.SCHED_BATCH {
				t.Errorf("scheduling policy %+v, %v, want SCHED_BATCH", attr, err)
			}
			began := time.Now()
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil || time.Since(began) > promptly {
				t.Errorf("ended with %v after %v, want nil at once\n%s", err, time.Since(began), c.log)
			}
			if why := receive(t, c.left, "goodbye"); why != "said goodbye" {
				t.Errorf("the node left: %s", why)
			}
		})
	}
}

// freezer passes bytes between one NATS client and its server until it is frozen:
// then the server is there, but reads and says nothing.
type freezer struct {
	net.Listener
	frozen atomic.Bool
}

func startFreezer(t *testing.T, server string) *freezer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &freezer{Listener: l}
	var pumps sync.WaitGroup
	pumps.Go(func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		back, err := net.Dial("tcp", server)
		if err != nil {
			client.Close()
			return
		}
		pump := func(to, from net.Conn) {
			defer to.Close()
			b := make([]byte, 4096)
			for {
				n, err := from.Read(b)
				if err != nil {
					return
				}
				if !f.frozen.Load() {
					to.Write(b[:n])
				}
			}
		}
		pumps.Go(func() { pump(back, client) })
		pump(client, back)
	})
	t.Cleanup(func() { l.Close(); pumps.Wait() })
	return f
}

// TestGroupProcessServerHangs ends a group whose server does not read.
func TestGroupProcessServerHangs(t *testing.T) {
	c := newCluster(t)
	f := startFreezer(t, c.nats.Addr().String())
	cmd := command(t, "-nats", "nats://"+f.Addr().String(), "-name", "g", "-c", "1")
	c.startProcess(cmd)
	f.frozen.Store(true)
	began := time.Now()
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || time.Since(began) > promptly {
		t.Errorf("ended with %v after %v, want nil at once\n%s", err, time.Since(began), c.log)
	}
}

// TestGroupProcessWaitsForNATS ends a group that never found a server.
func TestGroupProcessWaitsForNATS(t *testing.T) {
	cmd := command(t, "-nats", "nats"+strings.TrimPrefix(refusing(t), "http"))
	log := &transcript{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	receive(t, log.await("not reached"), "complaint")
	began := time.Now()
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || time.Since(began) > promptly {
		t.Errorf("ended with %v after %v, want nil at once\n%s", err, time.Since(began), log)
	}
}

// TestGroupDescriptorLimit sets a group up that may not open enough files.
func TestGroupDescriptorLimit(t *testing.T) {
	c := newCluster(t)
	cmd := command(t, "-nats", c.nats.ClientURL(), "-name", "g", "-c", "100")
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -n 40 && exec "$0" "$@"`}, cmd.Args...)
	c.startProcess(cmd)
	err := c.trySetUp(bus.Setup{Count: 100, URL: onURL, Connect: "127.0.0.1:1"})
	const want = "100 clients need 132 open files, the limit RLIMIT_NOFILE is 40"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}
