package main

import (
	"slices"

	"marquee/fanout"
	"marquee/route"
)

// tail is what waits for a stream's client behind the message that is being sent:
// the client reads more slowly than messages come. The bytes are those that all
// streams share, and the stream's policy bounds how many may wait; one message may
// wait however long it is. Loop only.
type tail struct {
	pieces []*fanout.Piece
	bytes  int
	// lost is how many messages the client has lost; the first one is logged.
	lost int
	// ends: the stream ends when all has been taken.
	ends bool
}

// queue lets a piece wait for a slow client, or does what the policy says when
// as much as may wait is waiting. Whatever the policy, the client is cut off where
// it would get a longer content with a gap.
func (c *conn) queue(p *fanout.Piece) fanout.Outcome {
	if c.tail == nil {
		c.tail = new(tail)
	}
	t, s := c.tail, c.stream
	bound, lost := s.slowBytes, 0
	switch s.slow {
	case route.SlowConflate:
		if !p.Fragment() {
			lost, p = p.Items()-1, p.Newest()
		}
		lost += t.drop(-1)
	case route.SlowDropOldest:
		lost = t.drop(bound - p.Len())
	}
	if len(t.pieces) > 0 && t.bytes+p.Len() > bound {
		c.logSlow("a slow client is cut off")
		s.service.counts.cutOff.Add(1)
		c.loop.edge.cutSlow.Add(1)
		c.cutOff(endSlow)
		return fanout.Shed
	}
	t.pieces, t.bytes = append(t.pieces, p), t.bytes+p.Len()
	return c.shed(lost)
}

// drop drops what has waited longest, but no fragments, until at most so many bytes
// wait, and returns how many messages that were; all for -1.
func (t *tail) drop(most int) (lost int) {
	for i := 0; i < len(t.pieces) && t.bytes > most; {
		p := t.pieces[i]
		switch {
		case p.Fragment():
			i++
			continue
		case i == 0:
			t.pieces[0] = nil
			t.pieces = t.pieces[1:]
		default:
			t.pieces = slices.Delete(t.pieces, i, i+1)
		}
		lost += p.Items()
		t.bytes -= p.Len()
	}
	return lost
}

// shed counts messages that a slow client does not get any more.
func (c *conn) shed(lost int) fanout.Outcome {
	if lost == 0 {
		return fanout.Queued
	}
	if c.tail.lost == 0 {
		c.logSlow("a slow client loses messages")
	}
	c.tail.lost += lost
	c.stream.service.counts.lost.Add(int64(lost))
	c.loop.edge.shedMessages.Add(int64(lost))
	return fanout.Shed
}

// logSlow says who is slow, once in the life of a stream.
func (c *conn) logSlow(what string) {
	c.loop.edge.log.Warn(what, "client", c.gc.RemoteAddr().String(), "route", c.stream.service.route.ID,
		"user_agent", c.agent, "policy", c.stream.slow.String(),
		"waiting", c.waiting())
}

// takeTail gives the client what waits for it, as far as it goes, and ends the
// stream if that is what comes next.
func (c *conn) takeTail() {
	t := c.tail
	for len(t.pieces) > 0 {
		p := t.pieces[0]
		t.pieces[0] = nil
		t.pieces = t.pieces[1:]
		t.bytes -= p.Len()
		if c.write(p); c.state == closed || c.slow {
			return
		}
	}
	if t.ends {
		c.Finish()
	}
}
