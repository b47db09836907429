package fanout

import (
	"sync"
	"time"
)

// turnWrites is how many holds one turn of a loop writes to at the most, so
// that reads, accepts and timers go on between: about 5 ms of work.
const turnWrites = 512

// Standing is where a watch stands after Enter.
type Standing uint8

const (
	// Holding: registered, nothing was missed.
	Holding Standing = iota
	// AtHand: the item that the group waits for is there already. The group
	// is to be answered with it; the watch follows that answer.
	AtHand
	// Behind: the channel has moved on and the next item is not at hand. Not
	// registered: ask the origin again.
	Behind
)

// Shard holds for one event loop. Except where a method says otherwise, only
// that loop may use it.
type Shard struct {
	// Immutable.
	hub   *Hub
	index int
	wake  func() // makes the loop call Turn soon; safe from any goroutine

	// Loop only.
	channels map[string]*watches
	queue    []*Delivery // taken from the mailbox, not begun
	batches  []batch     // being written; batches[0] first
	tally    tally       // of the delivery being written
	passed   []*Watch    // scratch
	doubtful []*Watch    // to be rechecked, if still doubted
	turning  bool        // Turn is running

	mu   sync.Mutex  // mail
	mail []*Delivery // in the channel's order; bounded by what publishers may have unanswered
}

// batch is one group that gets one answer.
type batch struct {
	group    *Group
	next     int // first hold not looked at
	answer   *Answer
	delivery *Delivery // nil when the answer is no item's
	last     bool      // of its delivery on this loop
}

// post puts d into the mailbox and reports whether the loop must be woken.
// Safe from any goroutine.
func (s *Shard) post(d *Delivery) (wake bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mail = append(s.mail, d)
	return len(s.mail) == 1
}

// Behind reports whether items have been published that the loop has not taken
// account of yet: what it remembers may be outdated by them.
func (s *Shard) Behind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mail) > 0 || len(s.queue) > 0
}

// Enter registers w under its channels and then compares: what was published
// while the origin's answer was on its way is found either by the comparison
// or, published later, in the mailbox. With AtHand the answer is returned, and
// w.Group has been taken off w: the caller answers it.
func (s *Shard) Enter(w *Watch) (Standing, *Answer) {
	standing, d := s.hub.enter(s.index, w)
	if standing == Behind {
		return Behind, nil
	}
	w.places = make([]int32, len(w.Channels))
	for i, c := range w.Channels {
		ws := s.channels[c.Name]
		if ws == nil {
			ws = &watches{}
			s.channels[c.Name] = ws
		}
		ws.add(w, i)
	}
	if standing == AtHand {
		a := d.answer(w.Template)
		w.Group = nil
		w.follow(&d.item)
		return AtHand, a
	}
	return Holding, nil
}

// Moved returns when the last item went through the hub, on any channel. What
// the origin was asked before then may be outdated for who is Behind, or Missed
// something; what it was asked later is not.
func (s *Shard) Moved() time.Time { return s.hub.moved() }

// Want notes that a hold of w accepts the coding of v, so that items for its
// channels are made available in it.
func (s *Shard) Want(w *Watch, v Variant) {
	coding := v.Coding()
	if coding == 0 {
		return
	}
	for _, c := range w.Channels {
		if ws := s.channels[c.Name]; ws != nil && !ws.wanted[coding] {
			ws.wanted[coding] = true
			s.hub.want(c.Name, coding)
		}
	}
}

// Leave ends a watch; one that is not registered is left alone.
func (s *Shard) Leave(w *Watch) {
	if w.places == nil {
		return
	}
	for i, c := range w.Channels {
		ws := s.channels[c.Name]
		ws.remove(w, i)
		if len(ws.list) == 0 {
			delete(s.channels, c.Name)
			s.hub.leave(s.index, c.Name)
		}
	}
	w.places, w.doubted = nil, false
}

// Give answers every hold of g with a: at once, as far as one turn goes.
func (s *Shard) Give(g *Group, a *Answer) {
	g.answering = true
	s.batches = append(s.batches, batch{group: g, answer: a})
	if !s.turning && s.Turn() {
		s.wake()
	}
}

// Doubt says that items of the channel may have passed by unseen: what waits
// for it, or stands on it, is told so by and by (see Recheck).
func (s *Shard) Doubt(channel string) {
	if ws := s.channels[channel]; ws != nil {
		s.doubt(ws)
	}
}

// DoubtAll is Doubt for every channel.
func (s *Shard) DoubtAll() {
	for _, ws := range s.channels {
		s.doubt(ws)
	}
}

func (s *Shard) doubt(ws *watches) {
	for _, w := range ws.list {
		if !w.doubted {
			w.doubted = true
			s.doubtful = append(s.doubtful, w)
		}
	}
}

// Recheck tells at most n of the watches in doubt, so that the origin is not
// asked everything at once.
func (s *Shard) Recheck(n int) {
	for n > 0 && len(s.doubtful) > 0 {
		w := s.doubtful[0]
		s.doubtful[0] = nil
		s.doubtful = s.doubtful[1:]
		if !w.doubted {
			continue // left meanwhile
		}
		n--
		s.Leave(w)
		if w.Group == nil {
			w.Asker.Superseded()
		} else {
			w.Asker.Missed()
		}
	}
	if len(s.doubtful) == 0 {
		s.doubtful = nil
	}
}

// Turn does a bounded part of the work at hand and reports whether some is
// left: then it wants to be called again after other events have had their
// turn.
func (s *Shard) Turn() (more bool) {
	s.turning = true
	defer func() { s.turning = false }()

	s.mu.Lock()
	s.queue = append(s.queue, s.mail...)
	clear(s.mail)
	s.mail = s.mail[:0]
	s.mu.Unlock()

	budget := turnWrites
	for {
		for len(s.batches) > 0 {
			if budget = s.write(budget); budget == 0 {
				return true
			}
		}
		s.batches = nil
		if len(s.queue) == 0 {
			s.queue = nil
			return false
		}
		d := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.begin(d)
	}
}

// begin sorts out what d means for each watch of its channel. From here on the
// groups that it answers take no more joiners.
func (s *Shard) begin(d *Delivery) {
	s.tally = tally{}
	last := -1 // d's last batch; those who are told may add others between
	if ws := s.channels[d.item.Channel]; ws != nil {
		// A copy, because those who are told may come and go.
		s.passed = append(s.passed[:0], ws.list...)
		for _, w := range s.passed {
			if w.places == nil {
				continue // left meanwhile
			}
			switch w.judge(&d.item) {
			case answers:
				g, a := w.Group, d.answer(w.Template)
				w.Group = nil
				w.follow(&d.item)
				g.answering = true
				last = len(s.batches)
				s.batches = append(s.batches, batch{group: g, answer: a, delivery: d})
				w.Asker.Answered(a)
			case supersedes:
				s.Leave(w)
				w.Asker.Superseded()
			case misses:
				s.tally.missed += int64(w.Group.Len())
				s.Leave(w)
				w.Group.asked = max(w.Group.asked, d.sent)
				w.Asker.Missed()
			}
		}
		clear(s.passed)
	}
	if last < 0 {
		d.loopDone(s.tally)
		return
	}
	s.batches[last].last = true
}

// write gives the first batch's answer to as many holds as the budget allows,
// takes the batch off when it is done, and returns what is left of the budget.
func (s *Shard) write(budget int) int {
	b := s.batches[0] // a copy: what Deliver calls may add batches
	for ; b.next < len(b.group.holds) && budget > 0; b.next++ {
		outcome := Dropped // left meanwhile
		if h := b.group.holds[b.next]; h != nil {
			b.group.holds[b.next] = nil
			b.group.size--
			h.group = nil
			budget--
			outcome = h.client.Deliver(b.answer.Wire(h.Variant))
		}
		if b.delivery != nil {
			s.tally.count(outcome)
		}
	}
	if b.next < len(b.group.holds) {
		s.batches[0] = b
		return 0
	}
	s.batches[0] = batch{}
	s.batches = s.batches[1:]
	if b.last {
		b.delivery.loopDone(s.tally)
	}
	return budget
}
