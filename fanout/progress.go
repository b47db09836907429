package fanout

// progress is how far one loop has come with one delivery: it is done when every
// batch that carries the item has been written. Loop only.
type progress struct {
	delivery *Delivery
	given    tally
	streams  int64 // of given, those of streams
	missed   int64
	open     int // batches, and whoever else has not done with it
	asked    int // of those, watches that pause because of it
	passed   bool
}

// release notes that one of those is done. On nil, for what is no item's, it does
// nothing.
func (p *progress) release() {
	if p == nil {
		return
	}
	p.open--
	if p.open == p.asked && !p.passed {
		p.passed = true
		p.delivery.loopPassed()
	}
	if p.open == 0 {
		p.delivery.loopDone(p.given, p.streams, p.missed)
	}
}

// ask notes that a watch pauses because of it, until answered is called. Neither
// does anything on nil.
func (p *progress) ask() {
	if p != nil {
		p.open++
		p.asked++
	}
}

func (p *progress) answered() {
	if p != nil {
		p.asked--
		p.release()
	}
}

// addition is a part of a batch.
type addition struct {
	piece    *Piece // for streams; nil for none
	progress *progress
	items    int64 // 1 if it is an item's
	holds    int   // in the group when it was added
}

// to returns a as it is added to what g is given.
func (a addition) to(g *Group) addition {
	a.holds = g.size
	if a.progress != nil {
		a.progress.open++
	}
	return a
}

// batch is what one group is given at a time: an answer, or content for its
// streams. What is published while a batch waits to be begun is added to it, so
// that it leaves in the same write.
type batch struct {
	group     *Group
	next, end int     // first hold not looked at; those from end on joined later
	answer    *Answer // nil for streams
	first     addition
	more      []addition // bounded as the items underway are, and by who appends
	closes    bool       // and the streams end
	begun     bool
	piece     *Piece // for streams, when begun; nil for no content
	given     tally
}

// begin makes one piece of all content.
func (b *batch) begin() {
	b.begun = true
	if b.piece = b.first.piece; len(b.more) == 0 {
		return
	}
	var parts []*Piece
	if b.piece != nil {
		parts = append(parts, b.piece)
	}
	for _, a := range b.more {
		if a.piece != nil {
			parts = append(parts, a.piece)
		}
	}
	if len(parts) > 0 {
		b.piece = joinPieces(parts)
	}
}

// give gives the batch to one hold, which is in the group.
func (b *batch) give(h *Hold) Outcome {
	if b.answer == nil && !b.closes {
		return h.client.Append(b.piece)
	}
	b.group.holds[b.next] = nil
	b.group.size--
	h.group = nil
	if b.answer != nil {
		return h.client.Deliver(b.answer.Wire(h.Variant))
	}
	outcome := Written
	if b.piece != nil {
		outcome = h.client.Append(b.piece)
	}
	if outcome != Dropped {
		h.client.Finish()
	}
	return outcome
}

// done adds up what the batch did.
func (b *batch) done() {
	b.settle(b.first)
	for _, a := range b.more {
		b.settle(a)
	}
}

// settle adds up what a part of the batch did. Holds that have left since it was
// added have dropped it.
func (b *batch) settle(a addition) {
	given := b.given
	for _, n := range b.given {
		a.holds -= int(n)
	}
	given[Dropped] += int64(a.holds)
	b.group.Tally.add(given, a.items)
	if p := a.progress; p != nil {
		for o, n := range given {
			p.given[o] += n
			if b.answer == nil {
				p.streams += n
			}
		}
		p.release()
	}
}
