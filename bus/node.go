package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	announceInterval = time.Second
	// claimTimeout is how long whoever has a name already may take to say so.
	claimTimeout = time.Second
	// nodeQueue is how many messages may wait for Announce or WatchNodes.
	nodeQueue = 1024
)

// Kind is what a node is.
type Kind string

const (
	KindOrigin    Kind = "origin"
	KindEdge      Kind = "edge"
	KindGroup     Kind = "group"
	KindDashboard Kind = "dashboard"
)

// Node is what a node tells of itself.
type Node struct {
	Kind Kind `json:"kind"`
	// Name is the node's own in the cluster: not empty, at most 1024 bytes.
	Name     string `json:"name"`
	Region   string `json:"region"`
	Capacity int    `json:"capacity"` // in clients
	// Addresses are host:port by purpose: "clients", "control", "api".
	Addresses map[string]string `json:"addresses"`
	Version   string            `json:"version"`
	Identity
	Load Load `json:"load"`
	// Receipt is of the last fan-out, nil before the first.
	Receipt *Receipt `json:"receipt,omitempty"`
}

// Identity tells two nodes of the same name apart. Announce fills it in.
type Identity struct {
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	Instance string    `json:"instance"` // another one for each Announce
	Since    time.Time `json:"since"`    // by the clock of Host
}

// Load is what a node has and had to do.
type Load struct {
	Held        int64 `json:"held"`
	Connections int64 `json:"connections"`
	Received    int64 `json:"received"`
	Errors      int64 `json:"errors"`
}

// Receipt says what became of the last item. The counts are of holds.
type Receipt struct {
	ID      string  `json:"id"`
	Matched int64   `json:"matched"`
	Written int64   `json:"written"`
	Queued  int64   `json:"queued"`
	Dropped int64   `json:"dropped"`
	Elapsed float64 `json:"elapsed_ms"` // to the last write, in milliseconds
}

// before reports whether i has the better claim to a name that both use: it was
// there first. Clocks differ, but all come to the same answer.
func (i Identity) before(other Identity) bool {
	if !i.Since.Equal(other.Since) {
		return i.Since.Before(other.Since)
	}
	return i.Instance < other.Instance
}

// text is for errors and reasons. A method String would be the one of Node, too.
func (i Identity) text() string {
	return fmt.Sprintf("pid %d on %s (since %s)", i.PID, i.Host, i.Since.UTC().Format(time.RFC3339))
}

// Announce makes the node known, now and every second, answers pings to it, and
// says goodbye when ctx ends; then it returns nil. It blocks till then. node is
// called on the caller's goroutine for each announcement; the name of the first
// stays.
//
// setUp, unless nil, carries out what SetUp asks of the node, one at a time on
// another goroutine, and is not running any more when Announce returns. Its
// error goes to the one who asked.
//
// A node whose name another connection has, or had earlier by the two clocks,
// gets ErrDuplicateName, also later on.
func (b *Bus) Announce(ctx context.Context, node func() Node, setUp func(Setup) error) error {
	name := node().Name
	if name == "" {
		return errors.New("announce node: name is empty")
	}
	if err := checkName("node", name); err != nil {
		return fmt.Errorf("announce node: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("announce node %q: %w", name, err)
	}
	a := &announcer{
		bus:  b,
		name: name,
		node: node,
		id:   Identity{Host: host, PID: os.Getpid(), Instance: rand.Text(), Since: time.Now().UTC().Round(0)},
	}
	if err := a.run(ctx, setUp); err != nil && ctx.Err() == nil {
		return fmt.Errorf("announce node %q: %w", name, err)
	}
	return nil
}

// An announcer is one Announce.
type announcer struct {
	bus  *Bus
	name string
	node func() Node
	id   Identity
}

func (a *announcer) run(ctx context.Context, setUp func(Setup) error) error {
	// Of two that start together both listen before either announces, so that
	// they hear each other.
	rivalCh := make(chan *nats.Msg, nodeQueue)
	stop, err := a.bus.listen(ctx, rivalCh, nodePrefix+token(a.name))
	if err != nil {
		return err
	}
	defer stop()
	if err := a.claim(ctx); err != nil {
		return err
	}
	defer a.sayGoodbye() // after all else has been left
	pingCh := make(chan *nats.Msg, nodeQueue)
	stop, err = a.bus.listen(ctx, pingCh, pingPrefix+token(a.name))
	if err != nil {
		return err
	}
	defer stop()
	if setUp != nil {
		stop, err := a.bus.serveSetUp(ctx, a.name, setUp)
		if err != nil {
			return err
		}
		defer stop()
	}
	return a.loop(ctx, rivalCh, pingCh)
}

// claim returns ErrDuplicateName when somebody has the name, and nil when
// nobody answers to it in time.
func (a *announcer) claim(ctx context.Context) error {
	for {
		askCtx, cancel := context.WithTimeout(ctx, claimTimeout)
		holder, err := a.bus.whoIs(askCtx, a.name)
		cancel()
		switch {
		case err == nil:
			return a.duplicate(holder)
		case errors.Is(err, ErrNobody), errors.Is(err, context.DeadlineExceeded):
			return ctx.Err()
		case !errors.Is(err, ErrNotConnected):
			return err
		}
		select {
		case <-time.After(reconnectWait):
		case <-ctx.Done():
			return ctx.Err()
		case <-a.bus.ctx.Done():
			return err
		}
	}
}

func (a *announcer) duplicate(holder Identity) error {
	return fmt.Errorf("%w: by %s, and wanted by %s", ErrDuplicateName, holder.text(), a.id.text())
}

func (a *announcer) loop(ctx context.Context, rivalCh, pingCh chan *nats.Msg) error {
	ticker := time.NewTicker(announceInterval)
	defer ticker.Stop()
	a.announce()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.bus.ctx.Done():
			return ErrNotConnected
		case <-ticker.C:
			a.announce()
		case m := <-pingCh:
			a.bus.answerPing(m, a.id)
		case m := <-rivalCh:
			rival, err := openNode(m)
			if err != nil {
				a.bus.refuse(m, err)
			} else if rival.before(a.id) {
				return a.duplicate(rival.Identity)
			}
		}
	}
}

// announce sends the present state. Without a connection it waits for the next
// second.
func (a *announcer) announce() {
	n := a.node()
	n.Name, n.Identity = a.name, a.id
	err := a.bus.publish(nodePrefix+token(a.name), a.bus.seal(marshal(n)))
	if err != nil && !errors.Is(err, ErrNotConnected) {
		a.bus.log.Error("node not announced", "node", a.name, "err", err)
	}
}

// goodbye is the payload of a node that leaves.
type goodbye struct {
	Instance string `json:"instance"`
}

// sayGoodbye returns when the server has it, since the process may end next.
// Who cannot say goodbye is missed in time.
func (a *announcer) sayGoodbye() {
	if a.bus.publish(byePrefix+token(a.name), a.bus.seal(marshal(goodbye{a.id.Instance}))) == nil {
		_ = a.bus.flush(a.bus.ctx)
	}
}

// openNode returns the announcement in m.
func openNode(m *nats.Msg) (Node, error) {
	var n Node
	if err := unmarshal(m.Data, &n); err != nil {
		return n, err
	}
	if nodePrefix+token(n.Name) != m.Subject {
		return n, errForged
	}
	return n, nil
}
