package fanout

// progress is how far one loop has come with one delivery: it is done when every
// batch that carries the item has been written. Loop only.
type progress struct {
	delivery *Delivery
	given    tally
	missed   int64
	open     int // batches, and whoever else has not done with it
}

// release notes that one of those is done. On nil, for what is no item's, it does
// nothing.
func (p *progress) release() {
	if p == nil {
		return
	}
	if p.open--; p.open == 0 {
		p.delivery.loopDone(p.given, p.missed)
	}
}

// addition is content of a batch beside its first.
type addition struct {
	piece    *Piece // nil for none
	progress *progress
	items    int64 // 1 if it is an item's
}

// batch is what one group is given at a time: an answer, or content for its
// streams. What is published while a batch waits to be begun is added to it, so
// that it leaves in the same write.
type batch struct {
	group     *Group
	next, end int     // first hold not looked at; those from end on joined later
	answer    *Answer // nil for streams
	piece     *Piece  // nil for no content
	progress  *progress
	more      []addition
	items     int64 // how many of all that are items
	closes    bool  // and the streams end
	begun     bool
	given     tally
}

// begin makes one piece of all content.
func (b *batch) begin() {
	b.begun = true
	if len(b.more) == 0 {
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
	h.client.Finish()
	return outcome
}

// done adds up what the batch did.
func (b *batch) done() {
	b.group.walked()
	b.group.Tally.add(b.given, b.items)
	b.settle(b.progress)
	for _, a := range b.more {
		b.settle(a.progress)
	}
}

func (b *batch) settle(p *progress) {
	if p == nil {
		return
	}
	for o, n := range b.given {
		p.given[o] += n
	}
	p.release()
}
