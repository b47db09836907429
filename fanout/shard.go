package fanout

import (
	"sync"
	"time"

	"marquee/grip"
)

// turnItems is how many items for streams a loop looks at before it writes them:
// what they have for the same streams leaves in one write. An item that answers
// holds is written before the next one is looked at.
const turnItems = 64

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
	// ahead and given are those of SendAhead, nil without.
	ahead func(sends []Send)
	given func()

	// Loop only.
	channels map[string]*watches
	queue    []*Delivery // taken from the mailbox, not begun
	batches  []batch     // to be written; batches[0] first
	written  uint64      // batches taken off so far: the number of batches[0]
	answers  int         // batches that are answers
	passed   []*Watch    // scratch
	doubtful []*Watch    // to be rechecked, if still doubted
	sends    []Send      // scratch
	turning  bool        // Turn is running, or something else that Turn must not run in

	mu   sync.Mutex  // mail
	mail []*Delivery // in the channel's order; bounded by what publishers may have unanswered
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

// Mail returns how many items lie in the mailbox. Safe from any goroutine.
func (s *Shard) Mail() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mail)
}

// Backlog returns how many items have been taken from the mailbox and not begun,
// and how many batches are being written or wait for it.
func (s *Shard) Backlog() (items, batches int) { return len(s.queue), len(s.batches) }

// Enter registers w under its channels and then compares: what was published
// while the origin's answer was on its way is found either by the comparison
// or, published later, in the mailbox. With AtHand the answer is returned, and
// w.Group has been taken off w: the caller answers it. What is at hand for
// streams is written to them, or ends them, before Enter returns, and the Asker
// may be told so.
//
// A watch of streams is registered in any case: with Behind it pauses, and what
// comes meanwhile waits for Resume.
func (s *Shard) Enter(w *Watch) (Standing, *Answer) {
	standing, at := s.hub.enter(s.index, w)
	if standing == Behind && w.Mode != grip.HoldStream {
		return Behind, nil
	}
	w.enter(make([]place, len(w.Channels)))
	for i := range w.Channels {
		s.list(w, i)
	}
	switch {
	case standing == Behind:
		s.pause(w)
		return Behind, nil
	case standing == Holding:
		return Holding, nil
	case w.Mode == grip.HoldStream:
		outer := s.begin()
		s.catchUp(w, at)
		s.end(outer)
		return Holding, nil
	}
	for standing == AtHand {
		d := at[0]
		if v := w.verdict(d); v != answers {
			s.apply(w, d, nil, v)
		} else if a := s.answerNow(w, d); a != nil {
			return AtHand, a
		}
		if w.paused {
			w.uncompared = true
			return Holding, nil
		}
		standing, at = s.hub.standing(w) // d was not for the group: there are other channels
	}
	if standing == Behind {
		s.Leave(w)
	}
	return standing, nil
}

// answerNow takes the group off w, which d answers, and returns the answer; nil
// when a filter cannot be applied to d.
func (s *Shard) answerNow(w *Watch, d *Delivery) *Answer {
	w.follow(d)
	body, err := s.filtered(w, d)
	if err != nil {
		w.Asker.Unfiltered(err)
		return nil
	}
	a := s.answer(w, d, body)
	w.settle(d)
	return a
}

// list puts w into the list of its channel i.
func (s *Shard) list(w *Watch, i int) {
	name := w.Channels[i].Name
	ws := s.channels[name]
	if ws == nil {
		ws = &watches{}
		s.channels[name] = ws
	}
	ws.add(w, i)
}

// unlist takes w out of the list of its channel i.
func (s *Shard) unlist(w *Watch, i int) {
	name := w.Channels[i].Name
	ws := s.channels[name]
	ws.remove(w, i)
	if len(ws.list) == 0 {
		delete(s.channels, name)
		s.hub.leave(s.index, name)
	}
}

// Moved returns when the last item went through the hub on a channel of w. What
// the origin was asked before then may be outdated for w when it is Behind, or
// has Missed something; what it was asked later is not.
func (s *Shard) Moved(w *Watch) time.Time { return s.hub.moved(w) }

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
	for i := range w.Channels {
		s.unlist(w, i)
	}
	w.held.answered()
	w.places, w.doubted, w.paused, w.waiting, w.filtering, w.held = nil, false, false, nil, nil, nil
	w.uncompared, w.outdated = false, false
}

// Give answers every hold of g with a: at once, as far as one turn goes.
func (s *Shard) Give(g *Group, a *Answer) {
	g.answering = true
	s.push(batch{group: g, answer: a}, addition{})
	s.turnNow()
}

// Append gives every stream of g more content, as Give does.
func (s *Shard) Append(g *Group, p *Piece) {
	s.add(g, addition{piece: p}, false)
	s.turnNow()
}

// Finish ends every stream of g, as Give does.
func (s *Shard) Finish(g *Group) {
	s.add(g, addition{}, true)
	s.turnNow()
}

// Written reports whether nothing is on its way to the group any more.
func (s *Shard) Written(g *Group) bool { return g.walks == 0 }

// Due returns how often the hold is to be given something of what is on its way to
// its group now.
func (s *Shard) Due(h *Hold) (n int) {
	if h.group == nil || h.group.walks == 0 {
		return 0
	}
	for i := range s.batches {
		if b := &s.batches[i]; b.group == h.group && b.next <= int(h.index) && int(h.index) < b.end {
			n++
		}
	}
	return n
}

// Turn does a bounded part of the work at hand and reports whether some is
// left: then it wants to be called again after other events have had their
// turn.
func (s *Shard) Turn() (more bool) {
	s.turning = true
	defer func() { s.turning = false }()
	s.collect()
	budget := turnWrites
	for {
		for n := 0; n < turnItems && len(s.queue) > 0 && s.answers == 0; n++ {
			s.beginNext()
		}
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
	}
}

// begin keeps those who are told something from taking a turn in the midst of
// what begins now; outer is for end.
func (s *Shard) begin() (outer bool) {
	outer, s.turning = s.turning, true
	return outer
}

// end ends what began with begin, and takes the turn.
func (s *Shard) end(outer bool) {
	s.turning = outer
	s.turnNow()
}

// turnNow takes a turn at once, unless one is being taken.
func (s *Shard) turnNow() {
	if !s.turning && s.Turn() {
		s.wake()
	}
}

// collect empties the mailbox.
func (s *Shard) collect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, s.mail...)
	clear(s.mail)
	s.mail = s.mail[:0]
}

// beginNext sorts out what the next item means for each watch of its channel.
// From here on the groups that it answers take no more joiners, and those that
// join streams do not get it.
func (s *Shard) beginNext() {
	d := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	p := &progress{delivery: d, open: 1}
	if ws := s.channels[d.item.Channel]; ws != nil {
		// A copy, because those who are told may come and go. Those who pause do
		// not get it in this delivery, whatever they get of it later.
		s.passed = append(s.passed[:0], ws.list...)
		for _, w := range s.passed {
			switch {
			case w.places == nil: // left meanwhile
			case w.paused:
				p.missed += int64(w.Group.Len())
				if !w.wait(d) {
					w.Group.Tally.add(tally{Shed: int64(w.Group.Len())}, maxWaiting)
				}
			default:
				s.apply(w, d, p, w.verdict(d))
			}
		}
		clear(s.passed)
	}
	p.release()
}

// apply does what the verdict on d says for w.
func (s *Shard) apply(w *Watch, d *Delivery, p *progress, v verdict) {
	switch v {
	case skips:
		w.follow(d)
	case answers, appends, closes:
		w.follow(d)
		content, err := s.filtered(w, d)
		if err != nil {
			w.Asker.Unfiltered(err)
			return
		}
		s.send(w, d, p, v, content)
	case filters:
		s.filter(w, d, p)
	case misses:
		if p != nil {
			p.missed += int64(w.Group.Len())
		}
		s.missed(w)
	case supersedes:
		s.Leave(w)
		w.Asker.Superseded()
	}
}

// filtered returns the content that the item has for w when its filters have
// been applied, nil when they change nothing.
func (s *Shard) filtered(w *Watch, d *Delivery) ([]byte, error) {
	names := w.Channels[w.index(d.item.Channel)].Filters
	if len(names) == 0 {
		return nil, nil
	}
	content := d.content(w.Template, w.Mode)
	out, err := grip.Rewrite(names, w.Meta, w.Channels, content)
	if err != nil || len(out) == len(content) && (len(out) == 0 || &out[0] == &content[0]) {
		return nil, err
	}
	return out, nil
}

// answer returns the answer that d is to w's group, with the given body unless
// that is nil.
func (s *Shard) answer(w *Watch, d *Delivery, body []byte) *Answer {
	if body == nil {
		return d.answer(w.Template)
	}
	return d.answerWith(w.Template, body)
}

// send puts d on its way to w's group, with other content than its own unless
// that is nil.
func (s *Shard) send(w *Watch, d *Delivery, p *progress, v verdict, content []byte) {
	g := w.Group
	switch v {
	case answers:
		a := s.answer(w, d, content)
		w.settle(d)
		g.answering = true
		s.push(batch{group: g, answer: a}, addition{progress: p, items: 1})
		w.Asker.Answered(a)
	case appends:
		piece := d.piece
		if content != nil {
			piece = NewPiece(content)
		}
		s.add(g, addition{piece: piece, progress: p, items: 1}, false)
	case closes:
		s.add(g, addition{progress: p, items: 1}, true)
		s.Leave(w)
		w.Asker.Closed()
	}
}

// add puts more content on its way to the streams of g, if they do not end
// anyway: in the batch that waits for them already, if nobody has joined since.
func (s *Shard) add(g *Group, a addition, closes bool) {
	if g.answering {
		return
	}
	g.answering = closes
	if g.walks > 0 {
		b := &s.batches[g.newest-s.written]
		if !b.begun && b.end == len(g.holds) {
			b.closes = closes
			b.more = append(b.more, a.to(g))
			return
		}
	}
	s.push(batch{group: g, closes: closes}, a)
}

// push puts a batch with that as its first content in line.
func (s *Shard) push(b batch, first addition) {
	b.end = len(b.group.holds)
	b.group.walks++
	b.group.newest = s.written + uint64(len(s.batches))
	b.first = first.to(b.group)
	if b.answer != nil {
		s.answers++
	}
	s.batches = append(s.batches, b)
}

// write gives the first batch to as many holds as the budget allows, takes the
// batch off when it is done, and returns what is left of the budget.
func (s *Shard) write(budget int) int {
	if !s.batches[0].begun {
		s.batches[0].begin()
	}
	b := s.batches[0] // a copy: what Deliver calls may add batches
	if s.ahead != nil {
		s.sendAhead(&b, budget)
		defer s.sentAhead()
	}
	for ; b.next < b.end && budget > 0; b.next++ {
		if h := b.group.holds[b.next]; h != nil {
			budget--
			b.given[b.give(h)]++
		}
	}
	if b.next < b.end {
		s.batches[0] = b
		return 0
	}
	s.batches[0] = batch{}
	s.batches = s.batches[1:]
	s.written++
	if b.answer != nil {
		s.answers--
	}
	b.done()
	b.group.walked(s.batches)
	return budget
}
