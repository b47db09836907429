package zmq

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
)

const (
	// maxPrefixes is how many subscriptions a subscriber can have, and maxPrefix
	// how long one can be. More ends the connection.
	maxPrefixes = 1000
	maxPrefix   = 1024
	// maxOutbox is how many bytes wait for a subscriber that does not read. What
	// comes when there are as many is dropped for that subscriber, and counted.
	maxOutbox = 16 << 20
)

// errPrefixes ends a subscriber.
var errPrefixes = errors.New("too many subscriptions, or one that is too long")

// pub is a socket that sends each message to all who have subscribed to how it
// begins. The message has one frame.
type pub struct {
	socket  *socket
	dropped atomic.Uint64 // messages, once for each subscriber that missed one

	mu          sync.Mutex
	subscribers map[*subscriber]struct{}
}

// subscriber is a peer with what it wants and what waits for it.
type subscriber struct {
	wakeCh chan struct{} // has an element when the outbox is not empty

	// Guarded by the mu of the pub.
	prefixes map[string]struct{}
	outbox   []byte // frames
}

func newPub(log *slog.Logger) *pub {
	p := &pub{subscribers: make(map[*subscriber]struct{})}
	p.socket = newSocket("PUB", log, p.serve)
	return p
}

// send sends a message that make makes, if anybody listens at all. It never
// blocks. Safe from any goroutine.
func (p *pub) send(make func() []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var body []byte
	for s := range p.subscribers {
		if len(s.prefixes) == 0 {
			continue
		}
		if body == nil {
			body = make()
		}
		if !s.wants(body) {
			continue
		}
		if len(s.outbox)+len(body) > maxOutbox {
			p.dropped.Add(1)
			continue
		}
		s.outbox = appendFrame(s.outbox, 0, body)
		select {
		case s.wakeCh <- struct{}{}:
		default:
		}
	}
}

// serve sends to one subscriber while it reads what that wants.
func (p *pub) serve(ctx context.Context, to *peer) error {
	s := &subscriber{wakeCh: make(chan struct{}, 1), prefixes: make(map[string]struct{})}
	p.mu.Lock()
	p.subscribers[s] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.subscribers, s)
	}()
	return to.talk(ctx,
		func() error { return p.listenLoop(to, s) },
		func(ctx context.Context) error { return p.sendLoop(ctx, to, s) })
}

// listenLoop reads the subscriptions of s until the connection ends. Other
// messages mean nothing.
func (p *pub) listenLoop(from *peer, s *subscriber) error {
	for {
		m, err := from.readMessage()
		if err != nil {
			return err
		}
		if m.cut || len(m.frames) != 1 || len(m.frames[0]) == 0 || m.frames[0][0] > 1 {
			continue
		}
		wanted, prefix := m.frames[0][0] == 1, string(m.frames[0][1:])
		p.mu.Lock()
		if wanted {
			s.prefixes[prefix] = struct{}{}
		} else {
			delete(s.prefixes, prefix)
		}
		tooMany := len(s.prefixes) > maxPrefixes || len(prefix) > maxPrefix
		p.mu.Unlock()
		if tooMany {
			return errPrefixes
		}
	}
}

// sendLoop writes what waits for s until ctx ends.
func (p *pub) sendLoop(ctx context.Context, to *peer, s *subscriber) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wakeCh:
		}
		p.mu.Lock()
		frames := s.outbox
		s.outbox = nil
		p.mu.Unlock()
		if err := to.write(frames); err != nil {
			return err
		}
	}
}

// wants reports whether s has subscribed to messages that begin like body.
func (s *subscriber) wants(body []byte) bool {
	for prefix := range s.prefixes {
		if bytes.HasPrefix(body, []byte(prefix)) {
			return true
		}
	}
	return false
}
