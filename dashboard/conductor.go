package main

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"marquee/bus"
)

const (
	// setUpTimeout bounds one attempt to tell a group. A group that starts
	// thousands of clients is busy, and answers all the same.
	setUpTimeout = 10 * time.Second
	// Between attempts, doubling.
	setUpRetryMin = 250 * time.Millisecond
	setUpRetryMax = 5 * time.Second
)

// A conductor sees to it that each group knows what it is to do. It tells a
// group when that changes, and again until the group has acknowledged.
type conductor struct {
	setUp func(ctx context.Context, group string, s bus.Setup) error
	log   *slog.Logger

	mu     sync.Mutex
	groups map[string]*performer // those that are to do something
	loops  sync.WaitGroup        // tellLoop of each
}

// A performer is a group as the conductor sees it: one run of it, since a group
// that was started again knows nothing.
type performer struct {
	name     string
	instance string
	cancel   context.CancelFunc
	wantedCh chan bus.Setup // room for one, the newest; conductor → tellLoop
	last     bus.Setup      // under conductor.mu: what was sent there
}

// An order is what one run of a group is to do.
type order struct {
	instance string
	bus.Setup
}

// conduct replaces all orders, by group. It does not wait for anybody.
func (c *conductor) conduct(ctx context.Context, orders map[string]order) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.groups, func(name string, p *performer) bool {
		if o, ok := orders[name]; ok && o.instance == p.instance {
			return false
		}
		p.cancel()
		return true
	})
	for name, o := range orders {
		p := c.groups[name]
		switch {
		case p == nil:
			p = c.begin(ctx, name, o.instance)
		case p.last == o.Setup:
			continue
		}
		p.last = o.Setup
		select {
		case <-p.wantedCh: // not begun, and void
		default:
		}
		p.wantedCh <- o.Setup
	}
}

// begin makes a performer with its tellLoop; mu is held.
func (c *conductor) begin(ctx context.Context, name, instance string) *performer {
	ctx, cancel := context.WithCancel(ctx)
	p := &performer{name: name, instance: instance, cancel: cancel, wantedCh: make(chan bus.Setup, 1)}
	if c.groups == nil {
		c.groups = make(map[string]*performer)
	}
	c.groups[name] = p
	c.loops.Go(func() { c.tellLoop(ctx, p) })
	return p
}

// wait returns when nobody is being told anything any more. The context of
// conduct has ended.
func (c *conductor) wait() { c.loops.Wait() }

// tellLoop tells one group what is wanted until ctx ends.
func (c *conductor) tellLoop(ctx context.Context, p *performer) {
	var retryCh <-chan time.Time // nil while there is nothing to repeat
	var wanted bus.Setup
	pause, complaint := setUpRetryMin, ""
	for {
		select {
		case <-ctx.Done():
			return
		case wanted = <-p.wantedCh:
			pause = setUpRetryMin
		case <-retryCh:
		}
		retryCh = nil
		err := c.tell(ctx, p.name, wanted)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			c.log.Info("group is set up", "group", p.name, "clients", wanted.Count, "connect", wanted.Connect, "url", wanted.URL)
			complaint = ""
			continue
		case err.Error() != complaint:
			complaint = err.Error()
			c.log.Warn("group not set up, trying again", "group", p.name, "clients", wanted.Count, "connect", wanted.Connect, "url", wanted.URL, "err", err)
		}
		retryCh = time.After(pause)
		pause = min(2*pause, setUpRetryMax)
	}
}

func (c *conductor) tell(ctx context.Context, group string, s bus.Setup) error {
	ctx, cancel := context.WithTimeout(ctx, setUpTimeout)
	defer cancel()
	return c.setUp(ctx, group, s)
}
