package fanout

import (
	"slices"

	"marquee/grip"
)

// A watch pauses, from pause or filter on, until Resume or Filtered. What comes
// meanwhile is in Watch.waiting.

// Pause makes the watch of streams pause as if it had missed something, without
// telling its Asker: the origin is going to be asked for them, and what is
// published from here on waits for its answer. It reports whether that can be:
// not while the watch pauses already, nor when it has ended.
func (s *Shard) Pause(w *Watch) bool {
	if w.places == nil || w.paused {
		return false
	}
	s.pause(w)
	return true
}

// Resume lets the streams of a watch that has paused, but not for Asker.Filter,
// go on from the state that channels say, be they its own or others: what came
// meanwhile is given to them as far as it follows, and the Asker may be told so.
// Want has to be told again of channels that are new. With Behind something is
// missing still: the watch pauses on, and the origin is to be asked again.
// Otherwise it returns Holding.
//
// Watch.Asked is to be set before to when the origin was asked.
func (s *Shard) Resume(w *Watch, channels []grip.Channel) Standing {
	outer := s.begin()
	defer s.end(outer)
	if !outer {
		s.collect()
		for len(s.queue) > 0 {
			s.beginNext() // so that all that has passed is known to the watch
		}
	}
	if w.places == nil {
		return Holding // who was told of those has ended it
	}
	s.move(w, channels)
	w.paused, w.uncompared, w.outdated = false, true, false
	s.replay(w)
	return s.compare(w)
}

// compare finds out what w has missed, unless it pauses again, and gives it what
// is at hand. With Behind it pauses.
func (s *Shard) compare(w *Watch) Standing {
	for w.uncompared && w.places != nil && !w.paused && w.Group != nil {
		standing, at := s.hub.standing(w)
		// A hold is given one item at a time: if that was not for the group, there
		// are other channels.
		w.uncompared = standing == AtHand && w.Mode != grip.HoldStream
		if standing == Behind || w.outdated {
			s.pause(w)
			return Behind
		}
		s.catchUp(w, at)
	}
	return Holding
}

// Filtered says what became of the item for which Asker.Filter was called: it is
// given to the group with this content, its own if that is nil, or with drop to
// nobody. Then the watch goes on. If it has left meanwhile, nothing happens.
func (s *Shard) Filtered(w *Watch, d *Delivery, content []byte, drop bool) {
	if w.filtering != d {
		return
	}
	outer := s.begin()
	defer s.end(outer)
	held := w.held
	w.paused, w.filtering, w.held = false, nil, nil
	w.follow(d)
	if !drop {
		action, _, _ := w.format(&d.item)
		s.send(w, d, held, w.sends(action), content)
	}
	held.answered()
	for len(w.waiting) > 0 && !w.paused && w.places != nil {
		d := w.next()
		s.apply(w, d, nil, w.verdict(d))
	}
	if s.compare(w) == Behind {
		s.missed(w)
	}
}

// replay gives w what came while it paused, as far as nothing makes it pause
// again or end. What does not follow is passed over: the origin's answer has it,
// or the comparison finds out; or that answer is outdated by an item that the
// comparison does not see.
func (s *Shard) replay(w *Watch) {
	for len(w.waiting) > 0 && !w.paused && w.places != nil {
		d := w.next()
		if !w.watches(d.item.Channel) {
			continue
		}
		v := w.verdict(d)
		if v == misses {
			unseen := w.hinted(&d.item) || d.item.ID == ""
			w.outdated = w.outdated || unseen && !d.start.Before(w.Asked)
			continue
		}
		s.apply(w, d, nil, v)
	}
}

// catchUp gives w the items that the hub has at hand for it.
func (s *Shard) catchUp(w *Watch, at []*Delivery) {
	for _, d := range at {
		if w.places == nil {
			return // has ended
		}
		if w.paused {
			w.wait(d)
		} else {
			s.apply(w, d, nil, w.verdict(d))
		}
	}
}

// move registers w for other channels. Those that stay keep what they know of
// what was sent.
func (s *Shard) move(w *Watch, channels []grip.Channel) {
	old, places := w.Channels, w.places
	next := make([]place, len(channels))
	for i, c := range old {
		if j := slices.IndexFunc(channels, func(o grip.Channel) bool { return o.Name == c.Name }); j >= 0 {
			next[j] = places[i]
			continue
		}
		s.unlist(w, i)
	}
	w.Channels = channels
	w.enter(next)
	s.hub.join(s.index, w)
	for j, c := range channels {
		if !slices.ContainsFunc(old, func(o grip.Channel) bool { return o.Name == c.Name }) {
			s.list(w, j)
		}
	}
}

// filter makes w pause until somebody else has been asked about d.
func (s *Shard) filter(w *Watch, d *Delivery, p *progress) {
	p.ask()
	w.paused, w.filtering, w.held = true, d, p
	w.Asker.Filter(d)
}

// missed tells who asked for w that its group has missed something.
func (s *Shard) missed(w *Watch) {
	s.pause(w)
	if w.Mode != grip.HoldStream {
		s.Leave(w)
	}
	w.Asker.Missed()
}

// pause makes w pause; the origin is asked from now on.
func (s *Shard) pause(w *Watch) {
	w.paused, w.doubted = true, false
	w.Group.asked = s.hub.position()
}
