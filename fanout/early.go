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

// giveUpEarly drops the items that wait on c since before the origin was asked:
// its answer is as new as they are. Delivered late, they would tell every hold
// that it had missed something. Hub lock.
func (h *Hub) giveUpEarly(c *channel, asked time.Time) {
	for _, d := range c.early {
		if d.start.Before(asked) {
			h.takeEarly(c, d)
			d.finish()
		}
	}
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
