package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"marquee/bus"
	"marquee/fanout"
	"marquee/grip"
)

// The words for tests of a cluster, beside those for a single edge: a fleet is
// several edges and a NATS server that can be killed, each behind a link that
// can fall silent.

// natsServer is a NATS server that can be killed and started again.
type natsServer struct {
	t       testing.TB
	options server.Options

	mu      sync.Mutex // server
	running *server.Server
}

// startNATS starts a server on loopback, with the settings given.
func startNATS(t testing.TB, options server.Options) *natsServer {
	t.Helper()
	options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
	options.NoSigs, options.NoLog = true, true
	n := &natsServer{t: t, options: options}
	t.Cleanup(n.kill)
	n.start()
	return n
}

// start starts the server, on another port each time: who wants to find it
// again takes a link.
func (n *natsServer) start() {
	n.t.Helper()
	options := n.options
	s, err := server.NewServer(&options)
	if err != nil {
		n.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		n.t.Fatal("the NATS server is not ready")
	}
	n.mu.Lock()
	n.running = s
	n.mu.Unlock()
}

// kill ends the server, if it runs, and all connections to it.
func (n *natsServer) kill() {
	n.mu.Lock()
	s := n.running
	n.running = nil
	n.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// address returns where the server listens, "" when it does not run.
func (n *natsServer) address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == nil {
		return ""
	}
	return n.running.Addr().String()
}

// wantInterest waits until so many connections are subscribed to a channel.
func (n *natsServer) wantInterest(channel string, want int) {
	n.t.Helper()
	eventually(n.t, func() error {
		if got := n.running.GlobalAccount().Interest("marquee.item." + channel); got != want {
			return fmt.Errorf("%d are subscribed to %s, want %d", got, channel, want)
		}
		return nil
	})
}

// link is a way to the NATS server, under one address wherever the server is,
// that can fall silent.
type link struct {
	nats     *natsServer
	listener net.Listener
	endCh    chan struct{}
	forwards sync.WaitGroup

	mu     sync.Mutex // all below
	openCh chan struct{}
	conns  []net.Conn
}

// newLink makes a link, until the end of the test.
func (n *natsServer) newLink() *link {
	n.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	l := &link{nats: n, listener: ln, endCh: make(chan struct{}), openCh: make(chan struct{})}
	close(l.openCh)
	l.forwards.Go(l.accept)
	n.t.Cleanup(func() {
		ln.Close()
		close(l.endCh)
		l.mu.Lock()
		for _, nc := range l.conns {
			nc.Close()
		}
		l.mu.Unlock()
		l.forwards.Wait()
	})
	return l
}

func (l *link) url() string { return "nats://" + l.listener.Addr().String() }

func (l *link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.nats.address())
		if err != nil {
			client.Close()
			continue
		}
		l.mu.Lock()
		l.conns = append(l.conns, client, server)
		l.mu.Unlock()
		l.forwards.Go(func() { l.forward(client, server) })
		l.forwards.Go(func() { l.forward(server, client) })
	}
}

func (l *link) forward(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		openCh := l.openCh
		l.mu.Unlock()
		select {
		case <-openCh:
		case <-l.endCh:
			return
		}
		if n > 0 {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// cut lets nothing pass any more, not even the end of a connection.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.openCh = make(chan struct{})
}

// heal lets everything pass again, also what has come meanwhile.
func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.openCh)
}

// fleet is a cluster: edges in front of one origin, which publishes to NATS.
type fleet struct {
	t      testing.TB
	nats   *natsServer
	origin *headline
	bus    *bus.Bus // the origin's
	edges  []*rig
	links  []*link // of each edge
}

// newFleet starts n edges named edge-1 and so on, with the arguments given.
func newFleet(t testing.TB, n int, args ...string) *fleet {
	t.Helper()
	wantNoLeaks(t)
	f := &fleet{t: t, nats: startNATS(t, server.Options{}), origin: &headline{id: 1}}
	address := serve(t, f.origin)
	f.bus = joinAs(t, f.nats.newLink().url(), "origin")
	for i := range n {
		l := f.nats.newLink()
		f.links = append(f.links, l)
		f.edges = append(f.edges, startEdge(t, address, nil,
			append([]string{"-nats", l.url(), "-name", fmt.Sprintf("edge-%d", i+1), "-share-all"}, args...)...))
	}
	return f
}

// joinAs connects to NATS under a name, until the end of the test.
func joinAs(t testing.TB, url, name string) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := bus.Connect(ctx, bus.Config{URL: url, Name: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// poll has n clients of each edge ask for the headline after id, and waits
// until they are held.
func (f *fleet) poll(n, id int) []*client {
	f.t.Helper()
	var all []*client
	for _, r := range f.edges {
		all = append(all, r.poll(n, id)...)
	}
	f.waitHolds(n)
	return all
}

// waitHolds waits until each edge holds n requests.
func (f *fleet) waitHolds(n int) {
	f.t.Helper()
	for _, r := range f.edges {
		r.waitHolds(n)
	}
}

// crowd has n clients of each edge follow the headlines to the last; wait
// returns when all have it.
func (f *fleet) crowd(n, last int) (wait func()) {
	f.t.Helper()
	var endChs []<-chan error
	for _, r := range f.edges {
		endChs = append(endChs, r.crowd(n, last, func() {}))
	}
	return func() {
		f.t.Helper()
		for i, r := range f.edges {
			r.wantCrowd(n, endChs[i])
		}
	}
}

// wantAll reads the headline of that id at every client.
func wantAll(t testing.TB, cs []*client, id int) {
	t.Helper()
	for _, c := range cs {
		c.wantAnswer(200, headlineBody(id))
	}
}

// change makes a new headline and publishes it to NATS, and nowhere else.
func (f *fleet) change() int {
	f.t.Helper()
	id := f.origin.change()
	f.toNATS(headlineItem(id))
	return id
}

// toNATS publishes to NATS.
func (f *fleet) toNATS(i grip.Item) {
	f.t.Helper()
	if err := f.bus.PublishItem(i); err != nil {
		f.t.Fatal(err)
	}
}

// waitConnected waits until all edges, and the origin, know whether NATS is
// there.
func (f *fleet) waitConnected(want bool) {
	f.t.Helper()
	for _, r := range f.edges {
		r.waitConnected(want)
	}
	eventually(f.t, func() error {
		if f.bus.Connected() != want {
			return fmt.Errorf("the origin is connected: %t, want %t", !want, want)
		}
		return nil
	})
}

// waitConnected waits until the edge knows whether NATS is there, and tells it.
func (r *rig) waitConnected(want bool) {
	r.t.Helper()
	gauge, health := 0.0, "ok, but cut off from NATS: items published elsewhere do not come\n"
	if want {
		gauge, health = 1, "ok\n"
	}
	r.waitMetric("marquee_cluster_connected", gauge)
	resp, err := web.Get(r.control + "/healthz")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(body) != health {
		r.t.Errorf("health is %d %q, want 200 %q", resp.StatusCode, body, health)
	}
}

// wantDelivered waits until the edge has taken n items, and looks that it has
// taken no others.
func (r *rig) wantDelivered(n int) {
	r.t.Helper()
	eventually(r.t, func() error {
		if !strings.Contains(r.metrics(), fmt.Sprintf("\nmarquee_items_total{fate=\"delivered\"} %d\n", n)) {
			return fmt.Errorf("the edge has not taken %d items", n)
		}
		return nil
	})
	for _, fate := range []string{"waiting", "duplicate", "overflow"} {
		if !strings.Contains(r.metrics(), `{fate="`+fate+`"} 0`+"\n") {
			r.t.Errorf("an item had the fate %s", fate)
		}
	}
}

// returns is how often the edges have been back on NATS. On a machine that is busy for
// longer than NATS waits for the answer to a ping it may be more often than a test has
// cut them off; and each time they ask the origin.
func (f *fleet) returns() (n int) {
	for _, r := range f.edges {
		n += strings.Count(r.log.String(), "back on NATS")
	}
	return n
}

// metrics returns all metrics, as they are written.
func (r *rig) metrics() string {
	r.t.Helper()
	resp, err := web.Get(r.control + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// publishWarned is publish that returns the warning, too.
func (r *rig) publishWarned(items ...grip.Item) ([]fanout.Receipt, string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.control+"/publish/", bytes.NewReader(grip.AppendItems(nil, items)))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := web.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Message, Warning string
		Receipts         []fanout.Receipt
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Message != "Published" {
		r.t.Fatalf("publish: %s %+v, %v", resp.Status, answer, err)
	}
	return answer.Receipts, answer.Warning
}

// subscribed reports whether the edge is subscribed to a channel, as far as it knows.
func (r *rig) subscribed(channel string) bool {
	c := r.edge.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.interests[channel]
	return in != nil && in.sub != nil
}

// passSeconds lets the edge count seconds in which channels are not held, beside
// those that really pass.
func (r *rig) passSeconds(n int) {
	c := r.edge.cluster
	for range n {
		for name, sub := range c.unheld() {
			sub.Close()
			c.left(name)
		}
	}
}
