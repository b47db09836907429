package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/oklog/run"
	"golang.org/x/time/rate"

	"marquee/bus"
)

const (
	// resolveTimeout is within what who sets a group up may wait.
	resolveTimeout = 3 * time.Second
	// goodbyeTimeout is how long the end waits for NATS to have the goodbye.
	goodbyeTimeout = 700 * time.Millisecond
)

// group is the pool as a node of the cluster: it is set up over the bus, and
// tells there how its clients stand.
type group struct {
	// Immutable.
	cfg  config
	pool *pool
	bus  *bus.Bus
	log  *slog.Logger

	target *target // of the last set-up; setUp only
}

// runGroup runs clients as the bus says until ctx ends, for which it returns
// nil, or something fails.
func runGroup(ctx context.Context, cfg config, log *slog.Logger) error {
	interrupted := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := newPool(cfg, log)
	if err != nil {
		return err
	}
	defer p.close()
	cfg.nats.Log = log
	b, err := bus.Connect(ctx, cfg.nats)
	if interrupted.Err() != nil {
		err = nil
	}
	if b == nil {
		return err
	}
	defer b.Close()
	g := &group{cfg: cfg, pool: p, bus: b, log: log}
	log.Info("waiting to be set up", "name", cfg.nats.Name, "region", cfg.region, "capacity", cfg.clients, "version", version)

	var actors run.Group
	actors.Add(p.run, func(error) { p.stop() })
	actors.Add(func() error { return g.publishLoop(ctx) }, func(error) { cancel() })
	actors.Add(func() error {
		return b.Announce(ctx, g.node, func(s bus.Setup) error { return g.setUp(ctx, s) })
	}, func(error) {
		cancel()
		// A server that does not read gets no goodbye, but does not keep us.
		time.AfterFunc(goodbyeTimeout, b.Close)
	})
	err = actors.Run()
	if interrupted.Err() != nil {
		return nil
	}
	return err
}

// node is how the group announces itself.
func (g *group) node() bus.Node {
	gauges := &g.pool.gauges
	return bus.Node{
		Kind:     bus.KindGroup,
		Name:     g.cfg.nats.Name,
		Region:   g.cfg.region,
		Capacity: g.cfg.clients,
		Version:  version,
		Load: bus.Load{
			Held:        gauges.held.Load(),
			Connections: gauges.connections.Load(),
			Received:    gauges.deliveries.Load(),
			Errors:      gauges.faults.Load(),
		},
	}
}

// setUp carries out s, or returns why that is not possible and changes nothing.
// Not for use by more than one goroutine at a time.
func (g *group) setUp(ctx context.Context, s bus.Setup) error {
	log := g.log.With("count", s.Count, "url", s.URL, "connect", s.Connect)
	t, err := g.newTarget(ctx, s)
	var change string
	if err == nil {
		err = g.pool.do(func() { change = g.pool.setUp(s.Count, t) })
	}
	if err != nil {
		log.Warn("set-up refused", "error", err)
		return err
	}
	g.target = t
	if change != "" {
		log.Info("set up", "change", change)
	}
	return nil
}

// newTarget returns the target of s, the present one if that is the same or s
// is to have no clients.
func (g *group) newTarget(ctx context.Context, s bus.Setup) (*target, error) {
	if s.Count < 0 || s.Count > g.cfg.clients {
		return nil, fmt.Errorf("%d clients: -c of %q allows 0 to %d", s.Count, g.cfg.nats.Name, g.cfg.clients)
	}
	if s.Count == 0 {
		return g.target, nil
	}
	u, err := parseURL(s.URL)
	if err != nil {
		return nil, fmt.Errorf("url %w", err)
	}
	t := g.target
	if t == nil || t.url != u.String() || t.connect != s.Connect {
		ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
		defer cancel()
		if t, err = newTarget(ctx, g.cfg, u, s.Connect); err != nil {
			return nil, fmt.Errorf("connect %w", err)
		}
	}
	if err := checkDescriptors(s.Count); err != nil {
		return nil, err
	}
	return t, t.dialer.checkPorts(s.Count)
}

// publishLoop sends statistics whenever some are due, until ctx ends. While
// NATS is gone they are lost: the next ones say as much.
func (g *group) publishLoop(ctx context.Context) error {
	complaints := rate.Sometimes{Interval: time.Minute}
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-g.pool.snapshotCh:
			if err := g.bus.PublishStats(g.stats(s)); err != nil && !errors.Is(err, bus.ErrNotConnected) {
				complaints.Do(func() { g.log.Error("statistics not sent", "error", err) })
			}
		}
	}
}

// stats is s to be sent now.
func (g *group) stats(s snapshot) bus.Stats {
	stats := bus.Stats{
		Group:    g.cfg.nats.Name,
		Total:    s.total,
		Started:  s.started,
		Errored:  s.errored,
		Received: s.received,
	}
	if s.newest == nil {
		return stats
	}
	wall, now := time.Now().UTC().Round(0), g.pool.now()
	at := func(t time.Duration) time.Time { return wall.Add(t - now) }
	stats.ID, stats.Body = s.newest.id, s.newest.text
	stats.Latency = now - s.mean
	stats.FirstAt, stats.LastAt, stats.MeanAt = at(s.first), at(s.last), at(s.mean)
	return stats
}
