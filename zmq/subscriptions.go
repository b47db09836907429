package zmq

import (
	"maps"
	"slices"
	"sync"
)

// maxPending is how many changes can wait for a publisher that does not read
// them. At more it is disconnected: once it is back it gets what holds then.
const maxPending = 1 << 16

// subscriptions are the channels that are held, "" for all that there are, and
// what the publishers have still to be told of that. All its methods are safe from
// any goroutine.
type subscriptions struct {
	mu       sync.Mutex
	channels map[string]struct{}
	feeds    map[*feed]struct{}
}

// feed is what one publisher has to be told.
type feed struct {
	wakeCh chan struct{} // has an element when there is something to take

	// Guarded by the mu of the subscriptions.
	pending map[string]bool // channels, and whether they are wanted; last word only
	late    bool            // more than maxPending
}

func newSubscriptions() *subscriptions {
	return &subscriptions{channels: make(map[string]struct{}), feeds: make(map[*feed]struct{})}
}

func (s *subscriptions) add(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.channels[channel]; !ok {
		s.channels[channel] = struct{}{}
		s.tell(channel, true)
	}
}

func (s *subscriptions) remove(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.channels[channel]; ok {
		delete(s.channels, channel)
		s.tell(channel, false)
	}
}

// has reports whether a channel is subscribed to, which "" is not: it is no
// channel, and every channel begins with it.
func (s *subscriptions) has(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, one := s.channels[channel]
	_, all := s.channels[""]
	return channel != "" && (one || all)
}

// open returns the feed of a new publisher, and the channels that it is to
// begin with. They are not counted by maxPending.
func (s *subscriptions) open() (*feed, []string) {
	f := &feed{wakeCh: make(chan struct{}, 1), pending: make(map[string]bool)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds[f] = struct{}{}
	return f, slices.Collect(maps.Keys(s.channels))
}

func (s *subscriptions) close(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.feeds, f)
}

// take empties a feed. It is false when the publisher has been too slow.
func (s *subscriptions) take(f *feed) (map[string]bool, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending := f.pending
	f.pending = make(map[string]bool)
	return pending, !f.late
}

// tell puts a change into all feeds; mu is held.
func (s *subscriptions) tell(channel string, wanted bool) {
	for f := range s.feeds {
		if f.late {
			continue
		}
		f.pending[channel] = wanted
		if len(f.pending) > maxPending {
			f.late, f.pending = true, nil
		}
		select {
		case f.wakeCh <- struct{}{}:
		default:
		}
	}
}
