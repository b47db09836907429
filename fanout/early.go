package fanout

import "time"

// Items that came before the one they follow wait in channel.early, by the
// prev-id that they wait for.

// takeEarly removes d from those that wait. Hub lock.
func (h *Hub) takeEarly(c *channel, d *Delivery) {
	if d == nil {
		return
	}
	delete(c.early, d.item.PrevID)
	if len(c.early) == 0 {
		c.early = nil
		delete(h.early, c)
	}
}

// letThrough lets d pass, which waits. Hub lock.
func (h *Hub) letThrough(c *channel, d *Delivery) (woken uint64) {
	h.takeEarly(c, d)
	return h.pass(c, d)
}

// outdate marks the items that wait on c since before the origin was asked, which
// has gone on without them. Whoever has come to the state before one still gets
// it, in its turn or when it is overdue; but it does not lead the channel back then,
// and whoever has asked the origin since misses nothing (see Watch.verdict). Hub
// lock.
func (h *Hub) outdate(c *channel, asked time.Time) {
	for _, d := range c.early {
		d.outdated = d.outdated || d.start.Before(asked)
	}
}

// letOverdue lets d through, which has waited long enough, and those behind it.
// Hub lock.
func (h *Hub) letOverdue(c *channel, d *Delivery) (woken uint64) {
	for d != nil && d.outdated {
		h.takeEarly(c, d)
		woken |= h.send(c, d)
		d = c.early[d.item.ID]
	}
	if d != nil {
		woken |= h.letThrough(c, d)
	}
	return woken
}

// overdue returns the item of c that has waited longest, if longer than
// earlyWait: of those, one that follows none of the others. Hub lock.
func (h *Hub) overdue(c *channel, now time.Time) *Delivery {
	var oldest *Delivery
	for _, d := range c.early {
		if oldest == nil || d.start.Before(oldest.start) {
			oldest = d
		}
	}
	if oldest == nil || now.Sub(oldest.start) < earlyWait {
		return nil
	}
	before := make(map[string]*Delivery, len(c.early)) // by the id that they lead to
	for _, d := range c.early {
		before[d.item.ID] = d
	}
	for range len(c.early) { // ids that lead in a circle end it
		d := before[oldest.item.PrevID]
		if d == nil || now.Sub(d.start) < earlyWait {
			break
		}
		oldest = d
	}
	return oldest
}
