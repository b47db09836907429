package zmq

import (
	"context"
	"sync"

	"marquee/grip"
)

// pull is the socket to which publishers push items, each in a message of one
// frame.
type pull struct {
	socket     *socket
	publish    func([]grip.Item)
	receivedCh chan received // peers → publishLoop; unbuffered, so that peers wait
}

func newPull(cfg Config) *pull {
	p := &pull{publish: cfg.Publish, receivedCh: make(chan received)}
	p.socket = newSocket("PULL", cfg.Log, p.serve)
	return p
}

func (p *pull) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { p.publishLoop(ctx) })
	p.socket.run(ctx)
	wg.Wait()
}

// serve reads the messages of one publisher.
func (p *pull) serve(ctx context.Context, from *peer) error {
	return forward(ctx, from, p.receivedCh)
}

// publishLoop publishes the items of all publishers.
func (p *pull) publishLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-p.receivedCh:
			p.handle(m)
		}
	}
}

func (p *pull) handle(m received) {
	if m.cut || len(m.frames) != 1 {
		p.socket.refuse(m, 1)
		return
	}
	it, err := grip.ParseMessage(m.frames[0], "")
	if err != nil {
		p.socket.complain("message skipped", "peer", m.peer, "err", err)
		return
	}
	p.publish([]grip.Item{it})
}

// forward sends what a peer says to whoever handles it.
func forward(ctx context.Context, from *peer, receivedCh chan<- received) error {
	for {
		m, err := from.readMessage()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case receivedCh <- received{m, from}:
		}
	}
}

// refuse logs why a message is skipped that is too long, or has not as many
// frames as it should.
func (s *socket) refuse(m received, frames int) {
	if m.cut {
		s.complain("message skipped: it is too long", "peer", m.peer, "limit", maxMessage)
		return
	}
	s.complain("message skipped: wrong number of frames", "peer", m.peer, "frames", len(m.frames), "want", frames)
}
