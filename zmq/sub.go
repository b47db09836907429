package zmq

import (
	"context"
	"errors"
	"slices"
	"sync"

	"marquee/grip"
)

// subscribeBatch is how many bytes of subscriptions are written at once.
const subscribeBatch = 64 << 10

// errLate ends a publisher that does not read what it is told.
var errLate = errors.New("publisher does not read its subscriptions")

// sub is the socket to whose channels publishers publish: messages of two
// frames, the channel and the item. ZeroMQ compares channels as prefixes, so
// there comes more than was asked for, which is ignored.
type sub struct {
	socket        *socket
	publish       func([]grip.Item)
	subscriptions *subscriptions
	receivedCh    chan received // peers → publishLoop; unbuffered, so that peers wait
}

func newSub(cfg Config) *sub {
	s := &sub{publish: cfg.Publish, subscriptions: newSubscriptions(), receivedCh: make(chan received)}
	s.socket = newSocket("SUB", cfg.Log, s.serve)
	return s
}

func (s *sub) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.publishLoop(ctx) })
	s.socket.run(ctx)
	wg.Wait()
}

// serve tells one publisher the subscriptions while it reads its messages.
func (s *sub) serve(ctx context.Context, to *peer) error {
	return to.talk(ctx,
		func() error { return forward(ctx, to, s.receivedCh) },
		func(ctx context.Context) error { return s.subscribeLoop(ctx, to) })
}

// subscribeLoop writes subscriptions until ctx ends. Several changes of one
// channel that come while the publisher does not read become one.
func (s *sub) subscribeLoop(ctx context.Context, to *peer) error {
	f, channels := s.subscriptions.open()
	defer s.subscriptions.close(f)
	var batch []byte
	tell := func(channel string, wanted bool) error {
		batch = appendSubscription(batch, channel, wanted)
		if len(batch) < subscribeBatch {
			return nil
		}
		err := to.write(batch)
		batch = batch[:0]
		return err
	}
	for _, channel := range channels {
		if err := tell(channel, true); err != nil {
			return err
		}
	}
	for {
		if len(batch) > 0 {
			if err := to.write(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.wakeCh:
		}
		pending, ok := s.subscriptions.take(f)
		if !ok {
			return errLate
		}
		for channel, wanted := range pending {
			if err := tell(channel, wanted); err != nil {
				return err
			}
		}
	}
}

// appendSubscription appends the message that subscribes to a channel, or ends
// that.
func appendSubscription(dst []byte, channel string, wanted bool) []byte {
	op := byte(0)
	if wanted {
		op = 1
	}
	return appendFrame(dst, 0, slices.Concat([]byte{op}, []byte(channel)))
}

// publishLoop publishes the items of all publishers.
func (s *sub) publishLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-s.receivedCh:
			s.handle(m)
		}
	}
}

func (s *sub) handle(m received) {
	if m.cut || len(m.frames) != 2 {
		s.socket.refuse(m, 2)
		return
	}
	channel := string(m.frames[0])
	if !s.subscriptions.has(channel) {
		return
	}
	it, err := grip.ParseMessage(m.frames[1], channel)
	if err != nil {
		s.socket.complain("message skipped", "peer", m.peer, "channel", channel, "err", err)
		return
	}
	s.publish([]grip.Item{it})
}
