package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"marquee/bus"
)

// nodeName is the dashboard's name in the cluster. There is one dashboard: a
// second one would undo what the first does, and ends because the name is taken.
const nodeName = "dashboard"

// What is kept, over all restarts, under which key.
const (
	capacityKey = "dashboard/capacity" // a decimal number
	pairsKey    = "dashboard/pairs"    // JSON, an object from group to edge
)

const (
	// tellInterval is between two status documents, and two log lines.
	tellInterval = 100 * time.Millisecond
	// keepTimeout bounds a look-up or a write of what is kept.
	keepTimeout = 5 * time.Second
	// requestTimeout bounds the wait for requests under way at the end: a change
	// of the headline takes originTimeout at most.
	requestTimeout = originTimeout + time.Second
)

// A dashboard conducts the demonstration. What it knows comes in over the bus and
// is under one mutex; loops that are woken by a change read it there and act.
type dashboard struct {
	// Immutable after open.
	cfg       *config
	log       *slog.Logger
	out       io.Writer // of the log line
	host      string    // this machine's name
	bus       *bus.Bus
	origin    *http.Client
	guard     *guard
	conductor *conductor
	fleet     *fleet          // nil without -spawn
	loops     *errgroup.Group // every goroutine of run, and those that they start
	// settleTime is the constant, except in tests.
	settleTime time.Duration

	changedCh   chan struct{} // room for one; anyone → tellLoop
	rearrangeCh chan struct{} // room for one; anyone → arrangeLoop

	sending  sync.Mutex // held while a headline is sent
	choosing sync.Mutex // held while the capacity is changed

	mu          sync.Mutex // all below
	capacity    int
	roster      roster
	pairs       pairs
	headlineURL string // of the newest origin, "" before the first
	deliveries  deliveries
	refused     map[string]string // instances of nodes of no use, by name: logged once

	// arrangeLoop only.
	keptPairs   pairs
	pairsWithin bool // pairs within one region, as logged last

	// current is what is shown. Stored by tellLoop; read by any goroutine.
	current atomic.Pointer[document]
	// tellLoop only: the figures printed last, and of which headline.
	lastFigures  string
	lastHeadline uint64
}

// openDashboard connects to the cluster and looks up what was kept. The caller
// closes it.
func openDashboard(ctx context.Context, cfg *config, out io.Writer, log *slog.Logger) (*dashboard, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	d := &dashboard{
		cfg: cfg, log: log, out: out, host: host,
		origin:      newOriginClient(),
		guard:       &guard{token: cfg.adminToken},
		changedCh:   make(chan struct{}, 1),
		rearrangeCh: make(chan struct{}, 1),
		refused:     make(map[string]string),
		settleTime:  settleTime,
	}
	if cfg.spawn {
		if d.fleet, err = newFleet(cfg, log, d.rearrange); err != nil {
			return nil, err
		}
	}
	busCfg := cfg.bus
	busCfg.Name, busCfg.Log, busCfg.Up = nodeName, log, d.rearrange
	if d.bus, err = bus.Connect(ctx, busCfg); err != nil {
		return nil, err
	}
	d.conductor = &conductor{setUp: d.bus.SetUp, log: log}
	if err := d.lookUp(ctx); err != nil {
		d.close()
		return nil, err
	}
	// Ids rise over restarts: nobody who polls takes a new document for an old.
	if err := d.show(uint64(time.Now().UnixMilli())); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *dashboard) close() { d.bus.Close() }

// lookUp takes what was kept, and keeps the capacity that the flags name.
func (d *dashboard) lookUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	data, err := d.bus.Kept(ctx, pairsKey)
	if err != nil {
		return err
	}
	if data != nil {
		if err := json.Unmarshal(data, &d.pairs); err != nil {
			d.log.Warn("kept pairs not understood, pairing anew", "key", pairsKey, "err", err)
			d.pairs = nil
		}
		d.keptPairs = d.pairs
	}
	if d.cfg.capacity >= 0 {
		return d.setCapacity(ctx, d.cfg.capacity)
	}
	d.capacity = defaultCapacity
	if data, err = d.bus.Kept(ctx, capacityKey); err != nil {
		return err
	}
	if data != nil {
		if d.capacity, err = parseCapacity(string(data)); err != nil {
			return fmt.Errorf("kept under %s: %w (-capacity replaces it)", capacityKey, err)
		}
	}
	if err := d.cfg.checkCapacity(d.capacity); err != nil {
		return fmt.Errorf("kept capacity %d: %w (-capacity replaces it)", d.capacity, err)
	}
	return nil
}

// setCapacity keeps a capacity and strives for it. An error means that it has
// not changed.
func (d *dashboard) setCapacity(ctx context.Context, capacity int) error {
	d.choosing.Lock()
	defer d.choosing.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	if err := d.bus.Keep(ctx, capacityKey, []byte(strconv.Itoa(capacity))); err != nil {
		return err
	}
	d.mu.Lock()
	d.capacity = capacity
	d.mu.Unlock()
	d.log.Info("capacity set", "clients", capacity, "nodes", nodesNeeded(capacity, d.cfg.nodeCapacity))
	d.rearrange()
	return nil
}

// run conducts until ctx ends, or until something fails for good. When it
// returns, all that it started is gone.
func (d *dashboard) run(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the page's edge: %w", err)
	}
	address := listener.Addr().String()
	front, err := newFront(d.cfg, address, func(listen string) {
		d.log.Info("ready", "listen", listen, "status", address, "version", version)
	})
	if err != nil {
		listener.Close()
		return err
	}
	front.log = d.log
	ctx = d.start(ctx)
	d.loops.Go(func() error { return d.serve(ctx, listener) })
	d.loops.Go(func() error { return front.run(ctx) })
	return d.wait()
}

// start begins all but the page. The context that it returns ends with ctx, and
// when something fails for good.
func (d *dashboard) start(ctx context.Context) context.Context {
	d.loops, ctx = errgroup.WithContext(ctx)
	d.loops.Go(func() error { return d.bus.Announce(ctx, d.node, nil) })
	d.loops.Go(func() error { return d.bus.WatchNodes(ctx, func(n bus.Node) { d.nodeSeen(ctx, n) }, d.nodeLeft) })
	d.loops.Go(func() error { return d.bus.WatchStats(ctx, d.statsCame) })
	d.loops.Go(func() error { return d.pingLoop(ctx) })
	d.loops.Go(func() error { return d.arrangeLoop(ctx) })
	d.loops.Go(func() error { return d.tellLoop(ctx) })
	return ctx
}

// wait returns when start's context has ended and all that was started is gone,
// with what failed.
func (d *dashboard) wait() error {
	err := d.loops.Wait()
	d.conductor.wait()
	if d.fleet != nil {
		d.fleet.wait()
	}
	return err
}

// serve answers the page's edge until ctx ends. It closes the listener.
func (d *dashboard) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           d.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second, // no request waits here: the edge holds them
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	failedCh := make(chan error, 1)
	go func() { failedCh <- server.Serve(listener) }()
	select {
	case err := <-failedCh:
		return fmt.Errorf("serve the page's edge: %w", err)
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	if err := server.Shutdown(stopCtx); err != nil {
		d.log.Warn("requests cut off", "err", err)
		server.Close()
	}
	<-failedCh
	return nil
}

// node is what the dashboard announces of itself.
func (d *dashboard) node() bus.Node {
	return bus.Node{Kind: bus.KindDashboard, Name: nodeName, Version: version}
}

// nodeSeen takes an announcement.
func (d *dashboard) nodeSeen(ctx context.Context, n bus.Node) {
	if isOurs(n) {
		return
	}
	if err := checkNode(n); err != nil {
		d.refuse(n, err)
		return
	}
	d.mu.Lock()
	isNew, matters := d.roster.seen(n)
	origin := d.roster.origin()
	d.mu.Unlock()
	if isNew {
		d.log.Info("node joined", "kind", n.Kind, "node", n.Name, "region", n.Region, "host", n.Host, "pid", n.PID, "version", n.Version)
	}
	if isNew && n.Kind == bus.KindOrigin {
		if origin.Name != n.Name {
			d.log.Warn("several origins are there, using one", "using", origin.Name, "not", n.Name)
		} else {
			d.loops.Go(func() error { d.readHeadline(ctx, n); return nil })
		}
	}
	if matters {
		d.rearrange()
	}
	d.changed()
}

// refuse says once what is wrong with a node.
func (d *dashboard) refuse(n bus.Node, err error) {
	d.mu.Lock()
	known := d.refused[n.Name] == n.Instance
	d.refused[n.Name] = n.Instance
	d.mu.Unlock()
	if !known {
		d.log.Warn("node of no use", "kind", n.Kind, "node", n.Name, "host", n.Host, "pid", n.PID, "err", err)
	}
}

func (d *dashboard) nodeLeft(n bus.Node, why string) {
	if isOurs(n) {
		return
	}
	d.mu.Lock()
	delete(d.refused, n.Name)
	d.roster.left(n.Name)
	d.deliveries.left(n.Name)
	d.mu.Unlock()
	d.log.Info("node left", "kind", n.Kind, "node", n.Name, "region", n.Region, "why", why)
	d.rearrange()
}

// statsCame takes statistics of a group. They come on another subject than goodbyes,
// so that the last ones of a group may come after it has left: those count no more.
// A group whose announcement is still to come sends others within a second.
func (d *dashboard) statsCame(s bus.Stats) {
	if err := checkStats(s); err != nil {
		d.refuse(bus.Node{Kind: bus.KindGroup, Name: s.Group, Identity: bus.Identity{Instance: "statistics"}}, err)
		return
	}
	r := report{Stats: s, arrived: time.Now()} // T
	d.mu.Lock()
	group := d.roster.nodes[s.Group]
	if group == nil {
		d.mu.Unlock()
		return
	}
	r.groupPing, r.sameClock = group.ping, group.Host == d.host
	if origin := d.roster.origin(); origin != nil {
		r.originPing = origin.ping
	}
	d.deliveries.take(r)
	d.mu.Unlock()
	d.changed()
}

// changed has the present state shown soon. Safe from any goroutine.
func (d *dashboard) changed() {
	select {
	case d.changedCh <- struct{}{}:
	default: // will be shown anyway
	}
}

// tellLoop shows each change, at most ten a second, until ctx ends: the status to
// those who poll for it, and the log line.
func (d *dashboard) tellLoop(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-d.changedCh:
			if err := d.tell(time.Now()); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(tellInterval):
			}
		}
	}
	return d.tell(time.Now()) // the last state, whatever was still to come
}

// tell shows the present state, if it is another one than before.
func (d *dashboard) tell(now time.Time) error {
	before := d.current.Load()
	if err := d.show(before.id + 1); err != nil {
		return err
	}
	current := d.current.Load()
	if f := current.figures; f.String() != d.lastFigures || f.headline != d.lastHeadline {
		d.lastFigures, d.lastHeadline = f.String(), f.headline
		if _, err := fmt.Fprintln(d.out, logLine(now, f)); err != nil {
			return fmt.Errorf("print log line: %w", err)
		}
	}
	if current == before {
		return nil
	}
	// Whoever misses it asks again after the reconnect.
	if err := d.bus.PublishItem(current.item(before)); err != nil && !errors.Is(err, bus.ErrNotConnected) {
		d.log.Error("status not published", "err", err)
	}
	return nil
}

// show makes the present state the current document, with that id. If nothing
// but the id would change, the current document stays.
func (d *dashboard) show(id uint64) error {
	s, f := d.status()
	next, err := newDocument(s, f, id)
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	if current := d.current.Load(); current == nil || !bytes.Equal(current.rest, next.rest) {
		d.current.Store(next)
	}
	return nil
}
