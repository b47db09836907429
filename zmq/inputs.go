package zmq

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"

	"marquee/grip"
)

// Config says which inputs there are. An endpoint is tcp://HOST:PORT, where
// the host * is every address and the port 0 any that is free, or ipc://PATH.
type Config struct {
	// Pull and Sub are where the sockets of those types listen, and SubConnect
	// is what the SUB connects to as well; each may be empty.
	Pull, Sub, SubConnect []string
	// Rep is where commands are answered; empty is nowhere.
	Rep string
	// Inherited are listeners that are there already, of another process, and
	// take the places of those of Pull, Sub and Rep.
	Inherited Listeners
	Log       *slog.Logger
	// Publish is called for items, on one goroutine for each type of socket. It
	// may block; meanwhile the publishers of that type wait, as ZeroMQ does it.
	Publish func(items []grip.Item)
	// Recover is called for the command of that name.
	Recover func()
	// Conns returns those of the ids that are connections.
	Conns func(ids []string) []string
}

// Listeners are what the sockets of a configuration listen on.
type Listeners struct{ Pull, Sub, Rep []net.Listener }

// Inputs are the sockets through which items and commands come.
type Inputs struct {
	// Immutable after Listen; nil where there is none.
	pull *pull
	sub  *sub
	rep  *rep
}

// received is a message with the peer who sent it.
type received struct {
	message
	peer *peer
}

// Listen opens the sockets of a configuration, for Run to serve.
func Listen(ctx context.Context, cfg Config) (*Inputs, error) {
	in := &Inputs{}
	if len(cfg.Pull) > 0 {
		in.pull = newPull(cfg)
	}
	if len(cfg.Sub) > 0 || len(cfg.SubConnect) > 0 {
		in.sub = newSub(cfg)
	}
	if cfg.Rep != "" {
		in.rep = newRep(cfg, in)
	}
	var err error
	if in.pull != nil {
		err = in.pull.socket.listen(ctx, cfg.Pull, cfg.Inherited.Pull)
	}
	if in.sub != nil {
		err = errors.Join(err, in.sub.socket.listen(ctx, cfg.Sub, cfg.Inherited.Sub), in.sub.socket.connect(cfg.SubConnect))
	}
	if in.rep != nil {
		err = errors.Join(err, in.rep.socket.listen(ctx, []string{cfg.Rep}, cfg.Inherited.Rep))
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// Listeners returns what the sockets listen on. They stay the sockets'.
func (in *Inputs) Listeners() (all Listeners) {
	if in.pull != nil {
		all.Pull = in.pull.socket.listeners
	}
	if in.sub != nil {
		all.Sub = in.sub.socket.listeners
	}
	if in.rep != nil {
		all.Rep = in.rep.socket.listeners
	}
	return all
}

// Close closes what Listen opened. It is for who does not call Run.
func (in *Inputs) Close() {
	if in.pull != nil {
		in.pull.socket.close()
	}
	if in.sub != nil {
		in.sub.socket.close()
	}
	if in.rep != nil {
		in.rep.socket.close()
	}
}

// Run serves the sockets until ctx ends, and closes them. When it returns no
// callback is running.
func (in *Inputs) Run(ctx context.Context) {
	var wg sync.WaitGroup
	if in.pull != nil {
		wg.Go(func() { in.pull.run(ctx) })
	}
	if in.sub != nil {
		wg.Go(func() { in.sub.run(ctx) })
	}
	if in.rep != nil {
		wg.Go(func() { in.rep.run(ctx) })
	}
	wg.Wait()
}

// Subscribe tells the publishers of the SUB socket that somebody holds a
// channel, and Unsubscribe that nobody does any more. The channel "" stands for
// all. They are safe from any goroutine, never block for a peer, and do nothing
// without such a socket. Saying one of them twice is saying it once.
func (in *Inputs) Subscribe(channel string) {
	if in.sub != nil {
		in.sub.subscriptions.add(channel)
	}
}

// Unsubscribe is told at Subscribe.
func (in *Inputs) Unsubscribe(channel string) {
	if in.sub != nil {
		in.sub.subscriptions.remove(channel)
	}
}

// Endpoints returns where publishers and commands can come, with the ports that
// were found for 0; "" where there is nothing.
func (in *Inputs) Endpoints() (pull, sub, rep string) {
	if in.pull != nil {
		pull = in.pull.socket.endpoint()
	}
	if in.sub != nil {
		sub = in.sub.socket.endpoint()
	}
	if in.rep != nil {
		rep = in.rep.socket.endpoint()
	}
	return pull, sub, rep
}
