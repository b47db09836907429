package fanout

import (
	"container/list"
	"sync"
	"time"

	"marquee/grip"
)

// What the hub keeps, and for how long (GRIP reference behaviour of Pushpin,
// which publishers know; the bounds on memory are ours).
const (
	// maxEarly is how many items of a channel may wait for the one they
	// follow; more are dropped with the fate Overflow.
	maxEarly = 100
	// earlyWait is how long they wait before they are delivered all the same.
	earlyWait = 5 * time.Second
	// seenFor is how long an id is remembered, to recognise a duplicate.
	seenFor = time.Minute
	// maxSeen bounds the ids remembered; the oldest is forgotten first.
	maxSeen = 1 << 18
	// linger is how long a channel counts as held after its last hold has
	// left: the gap between two polls of a client.
	linger = time.Minute
	// maxQuiet and maxQuietBytes bound the channels without holds of which the
	// last item is known: the longest quiet is forgotten first. A hold for a
	// forgotten channel is accepted without the comparison.
	maxQuiet      = 1 << 16
	maxQuietBytes = 64 << 20
	// maxUnderway is how many items may be on their way through the loops'
	// mailboxes; those that a filter keeps are not. Publish waits for room: a publisher that is faster than the
	// loops is slowed down, not buffered for.
	maxUnderway = 1024
	// MaxShards is how many loops a hub serves.
	MaxShards = 64
)

// Hub connects publishers to the shards of all loops. Its methods are safe from
// any goroutine. The lock is held for microseconds: nothing under it waits or
// compresses.
type Hub struct {
	now    func() time.Time
	done   func(Receipt)
	shards []*Shard // immutable after the last NewShard

	mu       sync.Mutex // all below
	sent     uint64     // items that went through, of all channels
	underway int
	room     sync.Cond // underway < maxUnderway; waits on mu
	channels map[string]*channel
	// quiet lists the channels that no loop holds for, longest quiet first.
	quiet      *list.List
	quietBytes int
	early      map[*channel]struct{} // channels with items that wait
	seen       map[itemKey]struct{}
	seenOrder  []seenItem // oldest first
}

// channel is what the hub knows of one channel. Hub lock.
type channel struct {
	name   string
	loops  uint64 // bit i: shard i holds for it
	wanted [codings]bool
	// lastID is the id of the last item that went through, "" is unknown; sent
	// is Hub.sent then, and sentAt the time.
	lastID string
	sent   uint64
	sentAt time.Time
	// moved is when an item went through last, be it outside of the sequence.
	moved time.Time
	// ahead is the id that the origin insisted on when it was asked after that
	// item: of one that is still on its way here, or lost; "" for none.
	ahead string
	// last is that item, for a hold that came a moment late; nil when it has no
	// id.
	last *Delivery
	// early are items that came before the one they follow, by their prev-id.
	early map[string]*Delivery
	// place in Hub.quiet and the time of entering it; nil while held for.
	place *list.Element
	since time.Time
}

// NewHub makes a hub. now is the clock, time.Now outside tests. done is called,
// on a loop, with the receipt of each item that some loop was given, after its
// last write.
func NewHub(now func() time.Time, done func(Receipt)) *Hub {
	h := &Hub{
		now:      now,
		done:     done,
		channels: make(map[string]*channel),
		quiet:    list.New(),
		early:    make(map[*channel]struct{}),
		seen:     make(map[itemKey]struct{}),
	}
	h.room.L = &h.mu
	return h
}

// NewShard adds the shard of one more loop, MaxShards at the most, before
// anything is published. wake must make the loop call Turn soon, from any
// goroutine, and must not block.
func (h *Hub) NewShard(wake func()) *Shard {
	if len(h.shards) == MaxShards {
		panic("fanout: more shards than MaxShards")
	}
	s := &Shard{hub: h, index: len(h.shards), wake: wake, channels: make(map[string]*watches)}
	h.shards = append(h.shards, s)
	return s
}

// Publish sends an item on its way. It waits only while too many items are
// underway; never call it on a loop. Items of one channel published one after
// the other reach each hold in that order.
func (h *Hub) Publish(item grip.Item) (*Delivery, Fate) {
	d := newDelivery(h, item)
	d.compress(h.wanted(item.Channel))
	h.mu.Lock()
	for h.underway >= maxUnderway {
		h.room.Wait()
	}
	fate, woken := h.sequence(d)
	if h.underway < maxUnderway {
		h.room.Signal() // d may have needed no room, and passed tells one only
	}
	h.mu.Unlock()
	h.wake(woken)
	return d, fate
}

// wanted returns the codings that holders of a channel accept.
func (h *Hub) wanted(name string) [codings]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.channels[name]; c != nil {
		return c.wanted
	}
	return [codings]bool{}
}

// passed notes that an item has come through all loops.
func (h *Hub) passed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.underway--
	h.room.Signal()
}

// wake wakes the loops whose bits are set.
func (h *Hub) wake(loops uint64) {
	for i, s := range h.shards {
		if loops&(1<<i) != 0 {
			s.wake()
		}
	}
}

// sequence decides what becomes of d, and returns the loops to wake. Hub lock.
func (h *Hub) sequence(d *Delivery) (fate Fate, woken uint64) {
	item := &d.item
	if item.ID != "" && !h.firstSight(item) {
		d.finish()
		return Duplicate, 0
	}
	c := h.channels[item.Channel]
	if c == nil {
		c = h.open(item.Channel)
	}
	if item.NoSeq {
		return Delivered, h.send(c, d)
	}
	if c.lastID != "" && item.PrevID != "" && item.PrevID != c.lastID && item.PrevID != c.ahead && h.attended(c) {
		switch {
		case c.early[item.PrevID] != nil:
			d.finish()
			return Duplicate, 0
		case len(c.early) == maxEarly:
			d.finish()
			return Overflow, 0
		}
		if c.early == nil {
			c.early = make(map[string]*Delivery)
		}
		c.early[item.PrevID] = d
		h.early[c] = struct{}{}
		return Waiting, 0
	}
	return Delivered, h.pass(c, d)
}

// attended reports whether clients hold for c, or have done so lately: only
// then does order matter to anyone. Hub lock.
func (h *Hub) attended(c *channel) bool {
	return c.loops != 0 || len(c.early) > 0 || !c.since.IsZero() && h.now().Sub(c.since) < linger
}

// pass lets d through, and then those that waited for it. Hub lock.
func (h *Hub) pass(c *channel, d *Delivery) (woken uint64) {
	for d != nil {
		woken |= h.send(c, d)
		h.remember(c, d)
		next := c.early[d.item.ID]
		if d.item.ID == "" {
			next = nil
		}
		h.takeEarly(c, next)
		d = next
	}
	return woken
}

// send puts d into the mailboxes of the loops that hold for c, one task a loop.
// Hub lock: the mailboxes get a channel's items in their order.
func (h *Hub) send(c *channel, d *Delivery) (woken uint64) {
	h.sent, c.moved = h.sent+1, h.now()
	d.sent = h.sent
	n := int32(0)
	for i := range h.shards {
		if c.loops&(1<<i) != 0 {
			n++
		}
	}
	if n == 0 {
		d.finish()
		return 0
	}
	d.loops.Store(n)
	d.passing.Store(n)
	h.underway++
	for i, s := range h.shards {
		if c.loops&(1<<i) != 0 && s.post(d) {
			woken |= 1 << i
		}
	}
	return woken
}

// remember notes d as the last item of c. Hub lock.
func (h *Hub) remember(c *channel, d *Delivery) {
	h.weigh(c, -1)
	c.lastID, c.sent, c.sentAt, c.ahead, c.last = d.item.ID, d.sent, c.moved, "", nil
	if d.item.ID != "" {
		c.last = d
	}
	h.weigh(c, +1)
	if c.place != nil {
		h.quiet.MoveToBack(c.place)
		h.trim()
	}
}

// weigh adds or takes away what a quiet channel keeps. Hub lock.
func (h *Hub) weigh(c *channel, sign int) {
	if c.place != nil && c.last != nil {
		h.quietBytes += sign * c.last.weight()
	}
}

// trim forgets quiet channels beyond the bounds. Hub lock.
func (h *Hub) trim() {
	for h.quiet.Len() > maxQuiet || h.quietBytes > maxQuietBytes {
		h.close(h.quiet.Front().Value.(*channel))
	}
}

// open begins to know a channel: quiet, until somebody holds. Hub lock.
func (h *Hub) open(name string) *channel {
	c := &channel{name: name}
	h.channels[name] = c
	c.place = h.quiet.PushBack(c)
	h.trim()
	return c
}

// close forgets a quiet channel, with what waits on it. Hub lock.
func (h *Hub) close(c *channel) {
	h.weigh(c, -1)
	h.quiet.Remove(c.place)
	for _, d := range c.early {
		d.finish()
	}
	c.early = nil
	delete(h.early, c)
	delete(h.channels, c.name)
}

// enter is Shard.Enter's part under the lock: compare, and register unless the
// watch is behind. In one step, so that no item can pass between.
func (h *Hub) enter(shard int, w *Watch) (Standing, []*Delivery) {
	h.mu.Lock()
	standing, at, woken := h.compare(w)
	if standing != Behind || w.Mode == grip.HoldStream {
		h.attach(shard, w)
	}
	h.mu.Unlock()
	h.wake(woken)
	return standing, at
}

// join registers a watch whose channels are others now.
func (h *Hub) join(shard int, w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attach(shard, w)
}

// standing compares for a watch that is registered, and stays so.
func (h *Hub) standing(w *Watch) (Standing, []*Delivery) {
	h.mu.Lock()
	standing, at, woken := h.compare(w)
	h.mu.Unlock()
	h.wake(woken)
	return standing, at
}

// compare says where w stands, and which items are to be given to it then: none,
// one for a hold that they answer, or one a channel. It returns the loops to wake,
// because what w says of the origin may let items through. Hub lock, on the loop
// of w.
func (h *Hub) compare(w *Watch) (standing Standing, at []*Delivery, woken uint64) {
	behind := false
	for i := 0; i < len(w.Channels); i++ {
		want := &w.Channels[i]
		c := h.channels[want.Name]
		if c == nil || c.lastID == "" || want.PrevID == "" || c.lastID == want.PrevID || c.ahead == want.PrevID {
			continue
		}
		if w.Group == nil {
			if !w.Asked.After(c.sentAt) {
				return Behind, nil, woken // perhaps not the newest answer
			}
			c.ahead = want.PrevID // of its item
			if next := c.early[c.ahead]; next != nil {
				woken |= h.letThrough(c, next)
				i-- // the channel has moved on
			}
			continue
		}
		if d := c.last; d != nil && d.item.PrevID == want.PrevID && !w.hinted(&d.item) && h.now().Sub(d.start) < seenFor {
			if w.places != nil && w.places[i].sent == c.sent {
				// The streams have had that item: the origin answered from what it
				// knew before.
				want.PrevID = c.lastID
				continue
			}
			at = append(at, d)
			if w.Mode != grip.HoldStream {
				return AtHand, at, woken
			}
			continue
		}
		if c.sent <= w.Group.asked && !w.Asked.Before(c.sentAt) {
			// Asked after the last item, the origin insists. It is believed,
			// whatever ids it gives: ids that do not fit cost one request, not
			// a loop.
			c.ahead = want.PrevID
			h.outdate(c, w.Asked)
			if next := c.early[c.ahead]; next != nil {
				woken |= h.letThrough(c, next)
				i--
			}
			continue
		}
		behind = true
	}
	switch {
	case behind:
		w.Group.asked = h.sent
		return Behind, nil, woken
	case at != nil:
		return AtHand, at, woken
	default:
		return Holding, nil, woken
	}
}

// attach notes that a shard holds for w's channels. Hub lock.
func (h *Hub) attach(shard int, w *Watch) {
	for _, want := range w.Channels {
		c := h.channels[want.Name]
		if c == nil {
			c = h.open(want.Name)
		}
		if c.place != nil {
			h.weigh(c, -1)
			h.quiet.Remove(c.place)
			c.place, c.since = nil, time.Time{}
		}
		c.loops |= 1 << shard
	}
}

// want notes that a holder of the channel accepts a coding.
func (h *Hub) want(name string, coding Variant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.channels[name]; c != nil {
		c.wanted[coding] = true
	}
}

// Holds reports whether some loop holds for the channel.
func (h *Hub) Holds(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channels[name]
	return c != nil && c.loops != 0
}

// Load is what a hub has to do, and what it knows.
type Load struct {
	Underway int // items on their way through the loops' mailboxes
	Early    int // items that wait for the one they follow
	Channels int // channels that are held, and those without holds that are known still
}

// Load returns it.
func (h *Hub) Load() Load {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := Load{Underway: h.underway, Channels: len(h.channels)}
	for c := range h.early {
		l.Early += len(c.early)
	}
	return l
}

// position returns how many items have gone through, of all channels.
func (h *Hub) position() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent
}

// moved returns when the last item of w's channels went through.
func (h *Hub) moved(w *Watch) (at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, want := range w.Channels {
		if c := h.channels[want.Name]; c != nil && c.moved.After(at) {
			at = c.moved
		}
	}
	return at
}

// leave notes that a shard no longer holds for a channel.
func (h *Hub) leave(shard int, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channels[name]
	c.loops &^= 1 << shard
	if c.loops == 0 {
		c.place, c.since = h.quiet.PushBack(c), h.now()
		h.weigh(c, +1)
		h.trim()
	}
}

// Tick delivers items that have waited long enough and forgets old ids. Call it
// about once a second.
func (h *Hub) Tick() {
	now := h.now()
	var woken uint64
	h.mu.Lock()
	for len(h.seenOrder) > 0 && now.Sub(h.seenOrder[0].at) >= seenFor {
		h.unsee()
	}
	for c := range h.early {
		for d := h.overdue(c, now); d != nil; d = h.overdue(c, now) {
			woken |= h.letOverdue(c, d)
		}
	}
	h.mu.Unlock()
	h.wake(woken)
}
