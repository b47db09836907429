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
)

// Client is the connection behind a hold. The shard calls it on its own loop,
// once per hold: the hold has left its group by then.
type Client interface {
	// Deliver ends the hold with the answer's bytes, which it must not keep or
	// change.
	Deliver(wire []byte) Outcome
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
	if g.answering {
		g.holds[h.index] = nil // somebody is walking the slice
		return
	}
	last := len(g.holds) - 1
	moved := g.holds[last]
	g.holds[h.index] = moved
	moved.index = h.index
	g.holds[last] = nil
	g.holds = g.holds[:last]
}

// Group is the holds of one loop that get equal answers. The zero value is an
// empty group. Loop only.
type Group struct {
	holds []*Hold
	size  int // holds that have not left
	// answering: the answer is being written. Nobody joins any more, and who
	// leaves leaves a gap.
	answering bool
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
