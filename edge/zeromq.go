package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"marquee/grip"
	"marquee/zmq"
)

// zeroMQ says which ZeroMQ sockets the edge has. None by default.
type zeroMQ struct {
	Pull, Sub, SubConnect []string
	Rep                   string
	Stats, StatsFormat    string
}

// flags defines the flags that set z.
func (z *zeroMQ) flags(fs *flag.FlagSet) {
	fs.Var(&stringList{values: &z.Pull}, "zmq-pull", "ZeroMQ `endpoint` where publishers push items, tcp://HOST:PORT or ipc://PATH; Pushpin's is tcp://127.0.0.1:5560")
	fs.Var(&stringList{values: &z.Sub}, "zmq-sub", "ZeroMQ `endpoint` where publishers send items for the channels that are held; Pushpin's is tcp://127.0.0.1:5562")
	fs.Var(&stringList{values: &z.SubConnect}, "zmq-sub-connect", "ZeroMQ `endpoint` of such a publisher, to connect to")
	fs.StringVar(&z.Rep, "zmq-rep", "", "ZeroMQ `endpoint` for commands; Pushpin's is tcp://127.0.0.1:5563")
	fs.StringVar(&z.Stats, "stats-zmq", "", "ZeroMQ `endpoint` where statistics and subscriptions are published, as Pushpin does")
	fs.StringVar(&z.StatsFormat, "stats-format", "tnetstring", "their format, tnetstring or json")
}

// inputs reports whether there is a socket to be told something on.
func (z *zeroMQ) inputs() bool {
	return len(z.Pull)+len(z.Sub)+len(z.SubConnect) > 0 || z.Rep != ""
}

// openZeroMQ opens the sockets that the flags name, and makes the tracker if
// somebody is to be told of clients.
func (e *edge) openZeroMQ(ctx context.Context) error {
	z := e.cfg.ZeroMQ
	t := &tracker{
		conns: make(map[uint64]struct{}),
		held:  make(map[subscription]*holders),
		idle:  make(map[subscription]time.Time),
	}
	var err error
	if z.inputs() {
		e.inputs, err = zmq.Listen(ctx, zmq.Config{
			Pull: z.Pull, Sub: z.Sub, SubConnect: z.SubConnect, Rep: z.Rep, Log: e.log,
			Publish: e.publishItems,
			Recover: e.recover,
			Conns:   t.alive,
			Inherited: zmq.Listeners{
				Pull: e.sockets.inherited(zmqPullSocket),
				Sub:  e.sockets.inherited(zmqSubSocket),
				Rep:  e.sockets.inherited(zmqRepSocket),
			},
		})
		if err != nil {
			return fmt.Errorf("listen for ZeroMQ publishers: %w", err)
		}
		all := e.inputs.Listeners()
		e.sockets.add(zmqPullSocket, all.Pull)
		e.sockets.add(zmqSubSocket, all.Sub)
		e.sockets.add(zmqRepSocket, all.Rep)
		pull, sub, rep := e.inputs.Endpoints()
		e.log.Info("ZeroMQ", "pull", pull, "sub", sub, "rep", rep)
	}
	if z.Stats != "" {
		e.stats, err = zmq.NewStats(zmq.StatsConfig{Endpoint: z.Stats, Format: z.StatsFormat, From: e.cfg.Name, Log: e.log,
			Inherited: e.sockets.inherited(statsZMQSocket)})
		if err != nil {
			if e.inputs != nil {
				e.inputs.Close()
			}
			return fmt.Errorf("open ZeroMQ statistics: %w", err)
		}
		e.sockets.add(statsZMQSocket, e.stats.Listeners())
		e.log.Info("ZeroMQ statistics", "pub", e.stats.Endpoint())
	}
	if len(z.Sub)+len(z.SubConnect) > 0 || z.Rep != "" || z.Stats != "" {
		t.inputs, t.stats = e.inputs, e.stats
		e.tracker = t
	}
	return nil
}

// publishItems gives items to the clients of this edge, and of the others in its
// cluster. It waits for room as fanout.Hub.Publish does.
func (e *edge) publishItems(items []grip.Item) {
	for _, item := range items {
		e.publishItem(item)
	}
	e.passOn(items)
}

// subscribeForPredecessor subscribes to everything as long as there is a
// predecessor, which is told what comes: only it knows for what it still holds. It
// returns when ctx ends.
func (e *edge) subscribeForPredecessor(ctx context.Context) {
	e.inputs.Subscribe("")
	select {
	case <-e.sockets.predecessor.goneCh:
		e.inputs.Unsubscribe("")
	case <-ctx.Done():
	}
	<-ctx.Done()
}

// zeroMQActors returns what serves the sockets until its context ends.
func (e *edge) zeroMQActors() (runs []func(context.Context)) {
	if e.inputs != nil {
		runs = append(runs, e.inputs.Run)
		if e.sockets.predecessor != nil {
			runs = append(runs, e.subscribeForPredecessor)
		}
	}
	if e.stats != nil {
		runs = append(runs, e.stats.Run)
	}
	return runs
}
