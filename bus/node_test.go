package bus

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"marquee/grip"
)

// A departure is a call of WatchNodes' left.
type departure struct {
	node Node
	why  string
}

// watchNodes returns what b sees of nodes from now on.
func watchNodes(t *testing.T, s *server.Server, b *Bus) (seenCh chan Node, leftCh chan departure) {
	seenCh, leftCh = make(chan Node, 256), make(chan departure, 256)
	before := s.GlobalAccount().Interest("marquee.bye.*")
	run(t, func(ctx context.Context) error {
		return b.WatchNodes(ctx, func(n Node) { seenCh <- n }, func(n Node, why string) { leftCh <- departure{n, why} })
	})
	eventually(t, "nodes are watched", func() bool { return s.GlobalAccount().Interest("marquee.bye.*") == before+1 })
	return seenCh, leftCh
}

func TestAnnounce(t *testing.T) {
	s := startServer(t, server.Options{})
	edge, dashboard := connect(t, s.ClientURL(), "edge 1"), connect(t, s.ClientURL(), "dashboard")
	seenCh, leftCh := watchNodes(t, s, dashboard)
	var held atomic.Int64
	stop := run(t, func(ctx context.Context) error {
		return edge.Announce(ctx, func() Node {
			n := exampleNode
			n.Name = "edge 1"
			n.Load.Held = held.Add(1)
			return n
		}, nil)
	})
	first := receive(t, seenCh, "announcement")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if first.Host != host || first.PID != os.Getpid() || first.Instance == "" || time.Since(first.Since) > wait {
		t.Errorf("identity %+v is not this process", first.Identity)
	}
	if first.Kind != KindEdge || first.Name != "edge 1" || first.Addresses["clients"] != "10.0.0.1:7999" || *first.Receipt != *exampleNode.Receipt {
		t.Errorf("announced %+v", first)
	}
	second := receive(t, seenCh, "second announcement")
	if second.Load.Held != first.Load.Held+1 || second.Identity != first.Identity {
		t.Errorf("announced %+v, then %+v", first, second)
	}
	if rtt, err := dashboard.Ping(t.Context(), "edge 1"); err != nil || rtt <= 0 || rtt > wait {
		t.Errorf("ping: %v, %v", rtt, err)
	}
	if err := dashboard.SetUp(t.Context(), "edge 1", exampleSetup); !errors.Is(err, ErrNobody) {
		t.Errorf("setting up a node that cannot be: error %v, want %v", err, ErrNobody)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := receive(t, leftCh, "departure"); got.node.Identity != first.Identity || got.why != "said goodbye" {
		t.Errorf("left: %+v", got)
	}
	if _, err := dashboard.Ping(t.Context(), "edge 1"); !errors.Is(err, ErrNobody) {
		t.Errorf("ping after goodbye: error %v, want %v", err, ErrNobody)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestAnnounceErrors(t *testing.T) {
	s := startServer(t, server.Options{})
	b := connect(t, s.ClientURL(), "b")
	for name, want := range map[string]string{
		"":                        "announce node: name is empty",
		strings.Repeat("x", 1025): "announce node: node name of 1025 bytes is longer than 1024",
	} {
		if err := b.Announce(t.Context(), func() Node { return Node{Name: name} }, nil); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Announce(ended, func() Node { return exampleNode }, nil); err != nil {
		t.Errorf("Announce in an ended context: %v", err)
	}
	if err := b.WatchNodes(ended, func(Node) {}, func(Node, string) {}); err != nil {
		t.Errorf("WatchNodes in an ended context: %v", err)
	}
	if err := b.WatchStats(ended, func(Stats) {}); err != nil {
		t.Errorf("WatchStats in an ended context: %v", err)
	}
}

// TestDuplicateName announces a name that another connection has.
func TestDuplicateName(t *testing.T) {
	s := startServer(t, server.Options{})
	first, second, dashboard := connect(t, s.ClientURL(), "first"), connect(t, s.ClientURL(), "second"), connect(t, s.ClientURL(), "dashboard")
	seenCh, leftCh := watchNodes(t, s, dashboard)
	node := func() Node { return Node{Name: "n"} }
	stop := run(t, func(ctx context.Context) error { return first.Announce(ctx, node, nil) })
	n := receive(t, seenCh, "announcement")

	err := second.Announce(t.Context(), node, nil)
	who := "pid " + strconv.Itoa(n.PID) + " on " + n.Host + " (since "
	if !errors.Is(err, ErrDuplicateName) || strings.Count(err.Error(), who) != 2 {
		t.Errorf("error %v, want %v that names %s twice", err, ErrDuplicateName, who)
	}
	if again := receive(t, seenCh, "announcement"); again.Identity != n.Identity {
		t.Errorf("announced %+v, want the first still, %+v", again.Identity, n.Identity)
	}
	if err := stop(); err != nil {
		t.Errorf("the first ends with %v", err)
	}
	if got := receive(t, leftCh, "departure"); got.node.Identity != n.Identity || len(leftCh) > 0 {
		t.Errorf("left: %+v and %d more", got, len(leftCh))
	}
	// The name is free now.
	run(t, func(ctx context.Context) error { return second.Announce(ctx, node, nil) })
	eventually(t, "the second is announced", func() bool { return receive(t, seenCh, "announcement").Instance != n.Instance })
}

// TestNameOfTheDead takes a name whose owner is subscribed but does not answer,
// as one that was cut off.
func TestNameOfTheDead(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Options{})
	b, raw := connect(t, s.ClientURL(), "b"), rawConn(t, s.ClientURL())
	if _, err := raw.SubscribeSync("marquee.ping.n"); err != nil {
		t.Fatal(err)
	}
	if err := raw.Flush(); err != nil {
		t.Fatal(err)
	}
	seenCh, _ := watchNodes(t, s, connect(t, s.ClientURL(), "dashboard"))
	run(t, func(ctx context.Context) error { return b.Announce(ctx, func() Node { return Node{Name: "n"} }, nil) })
	receive(t, seenCh, "announcement")
}

// TestRival has the same name announced elsewhere when both believed it free.
func TestRival(t *testing.T) {
	s := startServer(t, server.Options{})
	b, other := connect(t, s.ClientURL(), "b"), connect(t, s.ClientURL(), "other")
	seenCh, _ := watchNodes(t, s, connect(t, s.ClientURL(), "dashboard"))
	errCh := make(chan error, 1)
	run(t, func(ctx context.Context) error {
		err := b.Announce(ctx, func() Node { return Node{Name: "n"} }, nil)
		errCh <- err
		return err
	})
	mine := receive(t, seenCh, "announcement").Identity
	announce := func(id Identity) {
		a := &announcer{bus: other, name: "n", node: func() Node { return Node{} }, id: id}
		a.announce()
	}
	announce(Identity{Host: "h", PID: 1, Instance: "later", Since: mine.Since.Add(time.Second)})
	for receive(t, seenCh, "announcement").Identity == mine {
	}
	if receive(t, seenCh, "announcement").Identity != mine {
		t.Error("gave way to a later one")
	}
	announce(Identity{Host: "h", PID: 1, Instance: "earlier", Since: mine.Since.Add(-time.Second)})
	err := receive(t, errCh, "end of Announce")
	if !errors.Is(err, ErrDuplicateName) || !strings.Contains(err.Error(), "pid 1 on h") {
		t.Errorf("error %v, want %v", err, ErrDuplicateName)
	}
}

// TestDeadHeat starts many nodes of one name at once: one stays.
func TestDeadHeat(t *testing.T) {
	s := startServer(t, server.Options{})
	const n = 5
	errCh := make(chan error, n)
	for range n {
		b := connect(t, s.ClientURL(), "b")
		run(t, func(ctx context.Context) error {
			err := b.Announce(ctx, func() Node { return Node{Name: "n"} }, nil)
			errCh <- err
			return nil
		})
	}
	for range n - 1 {
		if err := receive(t, errCh, "end of Announce"); !errors.Is(err, ErrDuplicateName) {
			t.Errorf("error %v, want %v", err, ErrDuplicateName)
		}
	}
	if _, err := connect(t, s.ClientURL(), "asker").Ping(t.Context(), "n"); err != nil || len(errCh) != 0 {
		t.Errorf("nobody is left: %v", err)
	}
}

// TestPingWhileItemsWait pings a node whose bus is busy with items.
func TestPingWhileItemsWait(t *testing.T) {
	s := startServer(t, server.Options{})
	edge, other := connect(t, s.ClientURL(), "edge"), connect(t, s.ClientURL(), "other")
	busyCh, releaseCh := make(chan struct{}), make(chan struct{})
	_, err := edge.Subscribe(t.Context(), "c", func(grip.Item) { close(busyCh); <-releaseCh }, ignoreLoss)
	if err != nil {
		t.Fatal(err)
	}
	defer close(releaseCh)
	seenCh, _ := watchNodes(t, s, other)
	run(t, func(ctx context.Context) error {
		return edge.Announce(ctx, func() Node { return Node{Name: "edge"} }, nil)
	})
	publish(t, other, numbered("c", 1))
	receive(t, busyCh, "item")
	receive(t, seenCh, "announcement")
	if _, err := other.Ping(t.Context(), "edge"); err != nil {
		t.Error(err)
	}
}

func TestPingErrors(t *testing.T) {
	s := startServer(t, server.Options{})
	b, raw := connect(t, s.ClientURL(), "b"), rawConn(t, s.ClientURL())
	if _, err := b.Ping(t.Context(), "nobody"); !errors.Is(err, ErrNobody) || err.Error() != `ping node "nobody": nobody answers to this name` {
		t.Errorf("error %v, want %v", err, ErrNobody)
	}
	if _, err := raw.SubscribeSync("marquee.ping.dead"); err != nil {
		t.Fatal(err)
	}
	requests, err := raw.SubscribeSync("marquee.*.odd")
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Flush(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Ping(ctx, "dead"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
	}
	go func() {
		for range 2 {
			if m, err := requests.NextMsg(wait); err == nil {
				m.Respond([]byte(`{"v":2,"from":"odd"}`))
			}
		}
	}()
	if _, err := b.Ping(t.Context(), "odd"); err == nil || !strings.HasSuffix(err.Error(), "unknown version 2") {
		t.Errorf("error %v, want unknown version 2", err)
	}
	if err := b.SetUp(t.Context(), "odd", exampleSetup); err == nil || !strings.HasSuffix(err.Error(), "unknown version 2") {
		t.Errorf("error %v, want unknown version 2", err)
	}
	if got := b.Counters().Refused; got != 2 {
		t.Errorf("%d refused, want 2", got)
	}
}
