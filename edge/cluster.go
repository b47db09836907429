package main

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"marquee/bus"
	"marquee/fanout"
	"marquee/grip"
)

const (
	// subscribers is how many goroutines subscribe to channels: each waits a
	// round trip to the NATS server for its confirmation.
	subscribers = 8
	// subscribeWait bounds that wait.
	subscribeWait = 5 * time.Second
	// lingerSeconds is how long the edge stays subscribed to a channel after
	// its last hold: the gap between two polls of a client, and more.
	lingerSeconds = 10
	// doubtSpread is over how long edges spread their questions to the origin
	// when all of them have been cut off at once.
	doubtSpread = time.Second
)

// cluster is the edge's part in a cluster over NATS: it subscribes to the
// channels that the edge holds for, so that an item published anywhere reaches
// the holds here, and passes on what is published here.
//
// The race between the origin's answer and a publish exists here too, as long
// as the edge is not yet subscribed: what was published before the subscription
// is confirmed is never seen here. So a hold counts only if the origin was asked
// after that; otherwise it is asked once more (see settled and await).
type cluster struct {
	edge *edge
	bus  *bus.Bus // immutable after join

	mu        sync.Mutex // all below
	more      sync.Cond  // len(queue) > 0 or closed
	interests map[string]*interest
	queue     []string  // channels to subscribe to; as many as are awaited
	cutOffAt  time.Time // when items may have been missed, last
	warnedAt  time.Time // that a channel cannot be subscribed to
	closed    bool
}

// interest is one channel that the edge is subscribed to, or about to be.
type interest struct {
	sub *bus.Subscription // nil until confirmed
	// since is when the subscription was confirmed, last.
	since   time.Time
	waiting []func(since time.Time, err error) // to be called then
	// unheld is for how many seconds there was no hold; less than 0 while one
	// may come yet, because the origin is being asked.
	unheld int
}

// join connects the edge to the cluster. It waits for NATS until ctx ends.
func (e *edge) join(ctx context.Context) (*cluster, error) {
	c := &cluster{edge: e, interests: make(map[string]*interest)}
	c.more.L = &c.mu
	cfg := e.cfg.Bus
	cfg.Name, cfg.Log = e.cfg.Name, e.log
	cfg.Up, cfg.Down = c.up, func(err error) {
		e.log.Warn("cut off from NATS: serving and holding, but items published elsewhere do not come", "err", err)
	}
	var err error
	c.bus, err = bus.Connect(ctx, cfg)
	return c, err
}

// run announces the edge and keeps its subscriptions until ctx ends, also when it
// cannot stay in the cluster: then it has the edge drain. A predecessor has the name
// until it has ended.
func (c *cluster) run(ctx context.Context, node func() bus.Node) {
	var workers sync.WaitGroup
	for range subscribers {
		workers.Go(func() { c.subscribeLoop(ctx) })
	}
	workers.Go(func() { c.lingerLoop(ctx) })
	if p := c.edge.sockets.predecessor; p != nil {
		select {
		case <-p.goneCh:
		case <-ctx.Done():
		}
	}
	if err := c.bus.Announce(ctx, node, nil); err != nil {
		c.edge.log.Error("cannot stay in the cluster, ending", "err", err)
		c.edge.expelledCh <- err
	}
	<-ctx.Done()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.more.Broadcast()
	workers.Wait()
	c.bus.Close()
}

// settled reports whether an answer that was asked for at that time can be
// relied on for these channels: nothing published since has passed by unseen.
// While the cluster is out of reach there is nothing better; all is asked again
// afterwards. Safe from any goroutine, never blocks.
func (c *cluster) settled(channels []grip.Channel, asked time.Time) bool {
	if !c.bus.Connected() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range channels {
		in := c.interests[ch.Name]
		if in == nil || in.sub == nil || in.since.After(asked) {
			return false
		}
		in.unheld = 0
	}
	return true
}

// await subscribes to the channels and calls then when all are confirmed, with
// the time of the last confirmation, or with an error when one cannot be. It
// never blocks; then, unless nil, is called on another goroutine.
func (c *cluster) await(channels []grip.Channel, then func(confirmed time.Time, err error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		if then != nil {
			go then(time.Time{}, bus.ErrNotConnected)
		}
		return
	}
	left, confirmed, failed := 1, time.Time{}, error(nil)
	done := func(since time.Time, err error) { // with mu held
		confirmed, failed = later(confirmed, since), cmp.Or(failed, err)
		if left--; left == 0 {
			go then(confirmed, failed)
		}
	}
	for _, ch := range channels {
		in := c.interests[ch.Name]
		if in == nil {
			in = &interest{}
			c.interests[ch.Name] = in
			c.queue = append(c.queue, ch.Name)
			c.more.Signal()
		}
		switch {
		case then == nil:
		case in.sub == nil:
			left++
			in.waiting = append(in.waiting, done)
		default:
			confirmed = later(confirmed, in.since)
			in.unheld = c.unasked()
		}
	}
	if then != nil {
		done(confirmed, nil)
	}
}

// unasked is where the seconds without a hold begin to count for those who ask
// the origin now: that they are subscribed must last until it has answered.
func (c *cluster) unasked() int { return -int(c.edge.cfg.OriginTimeout / time.Second) }

// subscribeLoop subscribes to what is in the queue, and at the end lets those
// know who wait for the rest of it.
func (c *cluster) subscribeLoop(ctx context.Context) {
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && !c.closed {
			c.more.Wait()
		}
		if len(c.queue) == 0 {
			c.mu.Unlock()
			return
		}
		name := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()

		wait, cancel := context.WithTimeout(ctx, subscribeWait)
		sub, err := c.bus.Subscribe(wait, name, c.receive, func() { c.lost(name) })
		cancel()
		c.mu.Lock()
		in := c.interests[name]
		in.sub, in.since = sub, time.Now()
		if err != nil {
			delete(c.interests, name) // the next hold tries again
		}
		if len(in.waiting) > 0 {
			in.unheld = c.unasked()
		}
		for _, done := range in.waiting {
			done(in.since, err)
		}
		in.waiting = nil
		news := err != nil && !errors.Is(err, bus.ErrNotConnected) && !c.closed && in.since.Sub(c.warnedAt) > time.Second
		if news {
			c.warnedAt = in.since
		}
		c.mu.Unlock()
		if news {
			c.edge.log.Warn("cannot subscribe: items published elsewhere do not come", "channel", name, "err", err)
		}
	}
}

// receive takes an item from elsewhere.
func (c *cluster) receive(item grip.Item) { c.edge.publishItem(item) }

// publish passes an item on that was published here.
func (c *cluster) publish(item grip.Item) error { return c.bus.PublishItem(item) }

// lingerLoop leaves channels that nobody has held for in a while.
func (c *cluster) lingerLoop(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for name, sub := range c.unheld() {
			sub.Close()
			c.left(name)
		}
	}
}

// unheld counts a second for each channel without a hold and returns those that
// have had none for long enough. They count as not subscribed to from here on.
func (c *cluster) unheld() map[string]*bus.Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	subs := make(map[string]*bus.Subscription)
	for name, in := range c.interests {
		if in.sub == nil || c.edge.hub.Holds(name) {
			in.unheld = 0
		} else if in.unheld++; in.unheld > lingerSeconds {
			subs[name], in.sub = in.sub, nil
		}
	}
	return subs
}

// left notes that the subscription to a channel has been closed. If somebody
// holds for it meanwhile, it is begun anew.
func (c *cluster) left(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.interests[name].waiting) == 0 {
		delete(c.interests, name)
		return
	}
	c.queue = append(c.queue, name)
	c.more.Signal()
}

// lost notes that items of a channel were dropped on their way here.
func (c *cluster) lost(name string) {
	c.mu.Lock()
	c.cutOffAt = time.Now()
	if in := c.interests[name]; in != nil {
		in.since = c.cutOffAt
	}
	c.mu.Unlock()
	c.edge.doubt(func(s *fanout.Shard) { s.Doubt(name) })
}

// cutOff returns when items may have been missed, last: what the origin was
// asked before then does not help who is in doubt.
func (c *cluster) cutOff() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutOffAt
}

// up notes that the cluster is within reach again: every channel may have
// moved on.
func (c *cluster) up() {
	c.edge.log.Info("back on NATS: asking the origin again for what is held")
	c.mu.Lock()
	c.cutOffAt = time.Now()
	for _, in := range c.interests {
		in.since = c.cutOffAt
	}
	c.mu.Unlock()
	time.AfterFunc(rand.N(doubtSpread), func() { c.edge.doubt((*fanout.Shard).DoubtAll) })
}

// doubt makes every loop ask the origin again, little by little.
func (e *edge) doubt(what func(*fanout.Shard)) {
	for _, l := range e.loops {
		l.post(func() { what(l.shard) })
	}
}

// node returns what the edge announces of itself.
func (e *edge) node(clients []string, control net.Addr) func() bus.Node {
	addresses := map[string]string{"control": e.cluster.reachable(control.String())}
	if len(clients) > 0 { // client groups speak no TLS
		addresses["clients"] = e.cluster.reachable(clients[0])
	}
	return func() bus.Node {
		n := bus.Node{
			Kind: bus.KindEdge, Name: e.cfg.Name, Region: e.cfg.Region,
			Capacity: e.maxConnections, Addresses: addresses, Version: version,
			Load: bus.Load{Connections: e.connections.Load()},
		}
		for _, l := range e.loops {
			n.Load.Held += l.holds.Load()
			n.Load.Received += l.requests.Load()
		}
		if r := e.metrics.last.Load(); r != nil {
			n.Receipt = &bus.Receipt{
				ID: r.ID, Matched: r.Matched, Written: r.Written,
				Queued: r.Queued, Dropped: r.Dropped, Elapsed: r.Elapsed,
			}
		}
		return n
	}
}

// reachable returns the address under which others in the cluster reach what
// listens on address: for all addresses of this machine, the one that the NATS
// server knows it by.
func (c *cluster) reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort(c.bus.Host(), port)
	}
	return address
}
