package fanout

// Outcome is what became of the bytes given to one client.
type Outcome uint8

const (
	// Written: the kernel has taken all of them.
	Written Outcome = iota
	// Queued: some wait behind a client that reads slowly.
	Queued
	// Dropped: the client was gone.
	Dropped
	// Shed: the client reads too slowly to be given everything: what it was given
	// pushed something out, or it was cut off.
	Shed

	outcomes = 4
)

// Client is the connection behind a hold. The shard calls it on its own loop.
type Client interface {
	// Deliver ends the hold with the answer's bytes, which it must not keep or
	// change. The hold has left its group by then.
	Deliver(wire []byte) Outcome
	// Append gives a stream more content. It may make the hold leave.
	Append(p *Piece) Outcome
	// Finish ends a stream, unless Append has just said that the client is gone.
	// The hold has left its group by then.
	Finish()
}

// Hold is one client's place in a group. It lives inside the connection's own
// state, so that holding allocates nothing. Loop only.
type Hold struct {
	// Variant is the form of the answer that this client gets. It may change
	// until the answer is given.
	Variant Variant

	index  int32 // place in group.holds
	group  *Group
	client Client
}

// Group returns the group that the hold is in, nil for none.
func (h *Hold) Group() *Group { return h.group }

// Leave takes the hold out of its group, if it is in one.
func (h *Hold) Leave() {
	g := h.group
	if g == nil {
		return
	}
	h.group = nil
	g.size--
	g.holds[h.index] = nil
	if g.walks == 0 {
		g.fill(h.index)
	}
}

// Group is the holds of one loop that get equal answers, or whose streams are
// equal from here on. The zero value is an empty group. Loop only.
type Group struct {
	// Tally counts what the group's holds are given; nil for nowhere.
	Tally *Tally

	holds []*Hold
	size  int // holds that have not left
	// answering: the answer is being written, or the end of the streams. Nobody
	// joins any more.
	answering bool
	// walks is how many batches are going through holds: meanwhile who leaves
	// leaves a gap, and who joins comes after the last one's end.
	walks int32
	// newest is the number of the group's newest batch, by Shard.written.
	newest uint64
	// asked is Hub.sent when the group was last found to be behind: the origin
	// is asked after all those items.
	asked uint64
}

// Join puts h, on behalf of client, into the group.
func (g *Group) Join(h *Hold, client Client) {
	h.group, h.client, h.index = g, client, int32(len(g.holds))
	g.holds = append(g.holds, h)
	g.size++
}

// Len returns the number of holds in the group.
func (g *Group) Len() int { return g.size }

// Answering reports whether the group is being answered: its holds will be
// delivered to within this or the next turns of the loop.
func (g *Group) Answering() bool { return g.answering }

// Each calls f for every hold. f may make that hold leave, and no other.
func (g *Group) Each(f func(h *Hold, client Client)) {
	for i := len(g.holds) - 1; i >= 0; i-- {
		if h := g.holds[i]; h != nil {
			f(h, h.client)
		}
	}
}

// fill closes the gap at i with the last hold.
func (g *Group) fill(i int32) {
	last := len(g.holds) - 1
	moved := g.holds[last]
	g.holds[last] = nil
	g.holds = g.holds[:last]
	if int(i) < last {
		g.holds[i] = moved
		moved.index = i
	}
}

// walked notes that a batch has gone through the holds, while these wait, none of
// which has begun. It closes the gaps if no other goes through them, and if most
// of the places are gaps: there may be no end of batches.
func (g *Group) walked(waiting []batch) {
	g.walks--
	if g.size == len(g.holds) || g.walks > 0 && g.size > len(g.holds)/2 {
		return
	}
	// In order, because who joined after a batch comes after its end.
	kept, seen := 0, 0
	if g.walks > 0 {
		for i := range waiting {
			if b := &waiting[i]; b.group == g {
				kept = g.moveDown(g.holds[seen:b.end], kept)
				seen, b.end = b.end, kept
			}
		}
	}
	kept = g.moveDown(g.holds[seen:], kept)
	clear(g.holds[kept:])
	g.holds = g.holds[:kept]
}

// moveDown moves some of the holds to where the first kept of them end, and
// returns how many are kept then.
func (g *Group) moveDown(some []*Hold, kept int) int {
	for _, h := range some {
		if h != nil {
			g.holds[kept], h.index = h, int32(kept)
			kept++
		}
	}
	return kept
}
