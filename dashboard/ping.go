package main

import (
	"context"
	"time"

	"marquee/bus"
)

const (
	// pingInterval is between two pings of a node, and between two sums of all.
	pingInterval = 5 * time.Second
	// pingTick is how often it is looked up who is due.
	pingTick = 50 * time.Millisecond
	// pingsOpen bounds the pings that wait for their answer: so few that they do
	// not measure each other.
	pingsOpen   = 8
	pingTimeout = 2 * time.Second
)

// pingLoop pings every node until ctx ends.
func (d *dashboard) pingLoop(ctx context.Context) error {
	tick, sum := time.NewTicker(pingTick), time.NewTicker(pingInterval)
	defer tick.Stop()
	defer sum.Stop()
	slotsCh := make(chan struct{}, pingsOpen)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			d.mu.Lock()
			due := d.roster.duePings(now, pingInterval, cap(slotsCh)-len(slotsCh))
			d.mu.Unlock()
			for _, n := range due {
				slotsCh <- struct{}{}
				d.loops.Go(func() error {
					d.ping(ctx, n)
					<-slotsCh
					return nil
				})
			}
		case <-sum.C:
			d.mu.Lock()
			d.roster.sumPings()
			d.mu.Unlock()
			d.changed()
		}
	}
}

// ping pings one node.
func (d *dashboard) ping(ctx context.Context, n bus.Node) {
	askCtx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	ping, err := d.bus.Ping(askCtx, n.Name)
	if err != nil && ctx.Err() == nil {
		d.log.Debug("ping not answered", "node", n.Name, "err", err)
	}
	d.mu.Lock()
	isNew := d.roster.pinged(time.Now(), n, ping, err)
	if isNew {
		d.roster.sumPings()
	}
	d.mu.Unlock()
	if isNew {
		d.log.Debug("node is up", "node", n.Name, "ping", ping)
		d.rearrange()
	}
}
