package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	actors "github.com/oklog/run"
	"github.com/panjf2000/gnet/v2"

	"marquee/fanout"
	"marquee/grip"
	"marquee/httpparse"
	"marquee/upstream"
	"marquee/zmq"
)

// edge is the whole server.
type edge struct {
	// Immutable once it listens.
	cfg            *Config
	log            *slog.Logger
	hub            *fanout.Hub
	origin         *upstream.Client
	signer         *grip.Signer
	routing        atomic.Pointer[routing] // replaced when the routes are read again
	reactor        *gnet.Client
	loops          map[gnet.EventLoop]*loop
	maxConnections int
	full, tooMany  *fanout.Answer // for clients who are turned away
	sources        *sources       // nil without limits by address
	metrics        *metrics
	accessLog      *accessLog    // nil without -access-log
	cluster        *cluster      // nil without -nats
	inputs         *zmq.Inputs   // nil without ZeroMQ
	stats          *zmq.Stats    // nil without -stats-zmq
	tracker        *tracker      // nil where nobody is told of clients
	certificates   *certificates // nil without -listen-tls
	handshakes     *handshakes   // nil without -listen-tls

	memory *memory

	leases     leases
	program    program  // of this process
	sockets    *sockets // newEdge's none, or what the process was born with
	handovers  handovers
	supervisor supervisor

	// Any goroutine.
	connections  atomic.Int64 // clients now
	accepted     atomic.Int64
	refused      atomic.Int64 // no room
	refusing     atomic.Int64 // of those, who stay to read it
	acceptErrors atomic.Int64
	malformed    atomic.Int64             // requests that were no HTTP
	stalled      atomic.Int64             // clients cut off because they took nothing
	limited      [limitCount]atomic.Int64 // what ran into a limit
	unaccepted   trouble
	crowded      trouble
	untaken      trouble
	cutSlow      atomic.Int64 // clients of streams cut off because they were slow
	brokenOff    atomic.Int64 // answers and streams broken off because the origin failed
	shedMessages atomic.Int64 // messages that slow clients of streams did not get
	unfiltered   atomic.Int64 // items skipped because a filter failed
	localItems   atomic.Int64 // items that NATS did not take: for this edge's clients only
	untakenItems atomic.Int64 // items that another process of a hand-over did not take in time
	controlConns atomic.Int64 // connections to the control endpoint now
	successor    atomic.Bool  // one has taken over
	leaving      atomic.Bool  // told to stop, or expelled
	draining     atomic.Bool
	emptied      sync.Once
	emptyCh      chan struct{} // closed when draining and the last client has left
	expelledCh   chan error    // cluster → awaitEnd; gets at most one, why the edge must end
}

// newEdge makes an edge; run starts it.
func newEdge(cfg *Config, log *slog.Logger) (*edge, error) {
	e := &edge{
		cfg: cfg, log: log,
		loops:      make(map[gnet.EventLoop]*loop),
		full:       fullAnswer(),
		tooMany:    tooManyAnswer(),
		sources:    newSources(&cfg.Limits, log),
		unaccepted: trouble{what: "cannot take a client, trying again"},
		crowded:    trouble{what: "clients are turned away"},
		untaken:    trouble{what: "the other process of a hand-over does not take what is published here"},
		emptyCh:    make(chan struct{}),
		expelledCh: make(chan error, 1),
		origin: upstream.NewClient(upstream.Config{
			MaxOpen:       cfg.MaxOpenRequests,
			AnswerTimeout: cfg.OriginTimeout,
			HoldTimeout:   cfg.HoldTimeout,
			Log:           log,
		}),
		signer:     grip.NewSigner(cfg.SigIss, cfg.key),
		program:    thisProgram(),
		sockets:    newSockets(),
		supervisor: newSupervisor(log),
	}
	if err := e.readRoutes(); err != nil {
		return nil, err
	}
	e.memory = newMemory(log, os.DirFS("/"))
	if len(cfg.ListenTLS) > 0 {
		var err error
		if e.certificates, err = newCertificates(log, cfg.certFiles()); err != nil {
			return nil, fmt.Errorf("-tls-cert, -tls-key: %w", err)
		}
		e.handshakes = newHandshakes(e, e.certificates.config())
	}
	e.metrics = newMetrics(e)
	e.hub = fanout.NewHub(time.Now, e.metrics.landed)
	e.log.Info("routes read", "routes", len(e.routing.Load().services))
	var warning string
	if e.maxConnections, warning = cfg.connections(); warning != "" {
		log.Warn(warning)
	}
	for _, warning := range kernelWarnings(e.maxConnections) {
		log.Warn(warning)
	}
	return e, nil
}

// run serves until ctx ends, a successor has taken over, or the cluster has no place
// for the edge, which is an error; then it drains, and returns when everything that
// it started has ended.
func (e *edge) run(ctx context.Context) error {
	defer e.origin.Close()
	var err error
	if e.accessLog, err = openAccessLog(e.cfg, e.log); err != nil {
		return err
	}
	defer e.accessLog.close()
	upgradeCh, ignoreUpgrades := awaitUpgrades()
	defer ignoreUpgrades()
	if err := e.startLoops(); err != nil {
		return err
	}
	defer e.stopLoops()
	defer e.handovers.close()
	defer e.sockets.close()

	plain, err := e.sockets.openClients(ctx, clientsSocket, e.cfg.Listen)
	if err != nil {
		return err
	}
	var secure []net.Listener
	if len(e.cfg.ListenTLS) > 0 {
		if secure, err = e.sockets.openClients(ctx, clientsTLSSocket, e.cfg.ListenTLS); err != nil {
			return err
		}
	}
	clients := clientListeners(plain, secure)
	addresses, secureAddresses := addressesOf(clients)
	control, err := e.sockets.openControl(e.cfg.Control)
	if err != nil {
		return err
	}
	if e.cfg.Bus.URL != "" {
		if e.cluster, err = e.join(ctx); err != nil {
			return err
		}
	}
	if err := e.openZeroMQ(ctx); err != nil {
		return err
	}
	e.sockets.closeRest(e.log)
	server := e.controlServer(control.Addr())
	if err := e.takeOver(); err != nil {
		return err
	}

	// In the order in which they end.
	var group actors.Group
	endedCh := make(chan struct{})
	successionCtx, endSuccession := context.WithCancel(ctx) // who is told to stop hands nothing over
	group.Add(func() error {
		if !e.successionLoop(successionCtx, upgradeCh) {
			<-endedCh // it ends for another reason, not before its time
		}
		return nil
	}, func(error) { endSuccession() })
	for _, ln := range clients {
		for range acceptors {
			group.Add(func() error { e.acceptLoop(ln); return nil }, func(error) { ln.Close() })
		}
	}
	zeroCtx, endZeroMQ := context.WithCancel(context.Background())
	group.Add(func() error { return e.awaitEnd(ctx, endedCh) }, func(error) {
		// The listeners are closed. Publishes go on reaching those who hold
		// until they have left: from the successor, if there is one.
		if e.successor.Load() {
			control.Close()
			endZeroMQ()
		}
		e.drain(ctx)
		e.awaitPredecessor(ctx)
		e.endControl(server) // while what is published still reaches the other edges
		close(endedCh)
	})
	if e.cluster != nil {
		clusterCtx, leave := context.WithCancel(context.Background())
		group.Add(func() error { e.cluster.run(clusterCtx, e.node(addresses, control.Addr())); return nil },
			func(error) { leave() })
	}
	for _, run := range e.zeroMQActors() {
		group.Add(func() error { run(zeroCtx); return nil }, func(error) { endZeroMQ() })
	}
	reloadCtx, endReload := context.WithCancel(context.Background())
	reloader := e.newReloader()
	defer reloader.close()
	group.Add(func() error { reloader.run(reloadCtx); return nil }, func(error) { endReload() })
	superviseCtx, endSupervise := context.WithCancel(context.Background())
	group.Add(func() error { e.superviseLoop(superviseCtx); return nil }, func(error) { endSupervise() })
	stopCh := make(chan struct{})
	group.Add(func() error { e.tickLoop(stopCh); return nil }, func(error) { close(stopCh) })
	memoryStopCh := make(chan struct{})
	group.Add(func() error { e.memoryLoop(memoryStopCh); return nil }, func(error) { close(memoryStopCh) })
	unprobedCh := make(chan struct{})
	group.Add(func() error { e.lagLoop(unprobedCh); return nil }, func(error) { close(unprobedCh) })
	group.Add(func() error {
		err := server.Serve(control)
		if errors.Is(err, net.ErrClosed) && e.successor.Load() {
			<-endedCh // until then there may be connections
			return nil
		}
		if !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve control: %w", err)
		}
		return nil
	}, func(error) { server.Close() })
	now := time.Now()
	for _, l := range e.loops {
		l.ticked.Store(&now) // the first tick is due
	}
	e.log.Info("ready", "version", version,
		"listen", strings.Join(addresses, ","), "listen_tls", strings.Join(secureAddresses, ","), "control", control.Addr().String(),
		"routes", len(e.routing.Load().services), "loops", len(e.loops), "max_connections", e.maxConnections)
	e.supervisor.ready()
	err = group.Run()
	e.log.Info("stopped", "clients_left", e.connections.Load())
	return err
}

// awaitEnd returns -drain-delay after ctx has ended or the cluster has expelled the
// edge, which is its error, or when endedCh is closed. A drain for a successor is not
// delayed.
func (e *edge) awaitEnd(ctx context.Context, endedCh <-chan struct{}) (expelled error) {
	select {
	case <-ctx.Done():
	case expelled = <-e.expelledCh:
	case <-endedCh:
		return nil
	}
	if e.successor.Load() {
		return nil // it drains already, and the service goes on
	}
	e.leaving.Store(true)
	e.supervisor.stopping()
	if e.cfg.DrainDelay == 0 {
		return expelled
	}
	e.log.Info("about to drain", "delay", e.cfg.DrainDelay)
	timer := time.NewTimer(e.cfg.DrainDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-endedCh:
	}
	return expelled
}

// startLoops starts the reactor and makes a loop of ours for each of its own.
func (e *edge) startLoops() error {
	var err error
	e.reactor, err = gnet.NewClient(&reactor{edge: e},
		gnet.WithNumEventLoop(e.cfg.Loops),
		gnet.WithTCPNoDelay(gnet.TCPDelay), // package net has set it already
		gnet.WithLogger(gnetLog{e.log}))
	if err != nil {
		return fmt.Errorf("make reactor: %w", err)
	}
	if err := e.reactor.Start(); err != nil {
		return fmt.Errorf("start reactor: %w", err)
	}
	for range e.cfg.Loops {
		b, err := newBell(e.reactor)
		if err != nil {
			_ = e.reactor.Stop()
			return err
		}
		l := &loop{
			edge: e, el: b.conn.EventLoop(), bell: b,
			shard:  e.hub.NewShard(b.ring),
			parser: httpparse.NewParser(httpparse.Limits{Head: e.cfg.Limits.MaxHead}),
			index:  len(e.loops),
			lag:    newLag(time.Now()),
			held: map[grip.HoldMode]*histogram{
				grip.HoldResponse: newHistogram(holdBounds), grip.HoldStream: newHistogram(holdBounds),
			},
			asks:    make(map[string]*ask),
			streams: make(map[string][]*stream),
			agents:  make(map[string]string),
			plain:   make([]byte, maxPlaintext),
			now:     time.Now(),
		}
		e.loops[l.el] = l
		if !e.cfg.IOUring {
			continue
		}
		if err := l.startAhead(); err != nil {
			e.log.Info("no io_uring: sending by one system call for each client", "loop", l.index, "err", err)
		}
	}
	if len(e.loops) != e.cfg.Loops {
		_ = e.reactor.Stop()
		return errors.New("start reactor: two bells hang in one loop")
	}
	return nil
}

// stopLoops ends the reactor with whatever connections it still has.
func (e *edge) stopLoops() {
	if err := e.reactor.Stop(); err != nil {
		e.log.Error("reactor ended badly", "err", err)
	}
	for _, l := range e.loops {
		l.bell.close()
		if l.ahead.ring != nil {
			l.ahead.ring.Close()
		}
	}
}
