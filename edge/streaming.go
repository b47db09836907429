package main

import (
	"marquee/fanout"
	"marquee/grip"
)

// The connection's side of a stream: what is sent, and what is not taken.

// beginStream begins the client's stream, and makes it one of s. With follows the
// opening is left to sendOpening, when s follows its channels.
func (c *conn) beginStream(s *stream, o *fanout.Opening, follows bool) {
	l := c.loop
	c.hold.Variant = o.Variant(c.hold.Variant)
	c.stream, c.state, c.sum = s, streaming, o.Sum()
	c.admitted = true
	c.startHold()
	l.holds.Add(1)
	l.counts(s.service).streams.Add(1)
	l.edge.tracker.hold(grip.HoldStream, s.tracked, 1)
	s.group.Join(&c.hold, c)
	l.wheel.set(c, askingCheck)
	wire := o.Wire(c.hold.Variant)
	if follows {
		s.opening = wire
		return
	}
	if c.push(wire); c.state == closed {
		return
	}
	if s.state == following {
		l.shard.Want(&s.watch, c.hold.Variant)
		c.armKeepAlive()
	}
}

// sendOpening writes the opening that was left to it.
func (c *conn) sendOpening() {
	if s := c.stream; s != nil && s.opening != nil {
		wire := s.opening
		s.opening = nil
		c.push(wire)
	}
}

// Append implements fanout.Client.
func (c *conn) Append(p *fanout.Piece) fanout.Outcome {
	outcome := c.append(p)
	if c.due > 0 && c.state == streaming {
		// Behind a fragment the rest is to come, unless that was the last one.
		if c.due--; c.due == 0 && (!p.Fragment() || c.stream.state == following) {
			c.ends(endDrain)
			c.Finish()
		}
	}
	return outcome
}

// append writes a piece to the stream, or lets it wait.
func (c *conn) append(p *fanout.Piece) fanout.Outcome {
	if c.sendOpening(); c.state != streaming || c.tail != nil && c.tail.ends {
		return fanout.Dropped
	}
	if c.slow {
		if c.gc.OutboundBuffered() > 0 {
			return c.queue(p)
		}
		c.taken()
		if c.state != streaming {
			return fanout.Dropped
		}
		if c.slow || c.tail != nil && len(c.tail.pieces) > 0 {
			return c.queue(p)
		}
	}
	return c.write(p)
}

// write appends a piece to the stream.
func (c *conn) write(p *fanout.Piece) fanout.Outcome {
	if c.hold.Variant.Coding() == fanout.Gzip {
		c.sum = c.sum.Then(p.Sum())
	}
	if c.push(p.Wire(c.hold.Variant)); c.state == closed {
		return fanout.Dropped
	}
	if c.slow {
		return fanout.Queued
	}
	if k := c.stream.keepAlive; k != nil && !k.interval {
		c.loop.wheel.set(c, k.pause())
	}
	return fanout.Written
}

// push writes bytes of a stream, and notes when the client does not take them.
func (c *conn) push(wire []byte) {
	if len(wire) == 0 {
		return
	}
	if c.record != nil {
		c.record.sent(wire)
	}
	if c.send(wire); c.state == closed {
		return
	}
	if c.gc.OutboundBuffered() > 0 {
		c.slow, c.stalls, c.backlog = true, 0, c.untaken()
		c.loop.wheel.set(c, nextTick)
	}
}

// taken notes that the client has taken what gnet had for it.
func (c *conn) taken() {
	c.slow = false
	if c.tail != nil {
		c.takeTail()
	}
	if c.state == streaming && !c.slow {
		c.armKeepAlive()
	}
}

// armKeepAlive sets the time of the stream's next keep-alive.
func (c *conn) armKeepAlive() {
	switch k := c.stream.keepAlive; {
	case c.slow: // nothing is sent behind what waits; the backlog is checked
	case k == nil:
		c.loop.wheel.set(c, askingCheck)
	default:
		c.loop.wheel.set(c, k.pause())
	}
}

// keepStreamAlive sends a keep-alive, but not between the parts of a body.
func (c *conn) keepStreamAlive() {
	k := c.stream.keepAlive
	if k == nil || c.stream.state == ended || c.stream.feed != nil {
		c.loop.wheel.set(c, askingCheck)
		return
	}
	if c.write(k.piece); c.state == streaming {
		c.armKeepAlive()
	}
}

// Finish implements fanout.Client: it ends the stream, when the client has been
// given all of it.
func (c *conn) Finish() {
	if c.sendOpening(); c.state != streaming {
		return
	}
	if t := c.tail; c.slow && t != nil && len(t.pieces) > 0 {
		t.ends = true
		return
	}
	end := fanout.End(c.hold.Variant, c.sum)
	c.ends(endStream)
	c.leaveStream()
	c.respond(end)
}

// leaveStream takes the connection out of its stream.
func (c *conn) leaveStream() {
	s := c.stream
	c.stream, c.tail, c.due = nil, nil, 0
	c.endHold(grip.HoldStream)
	c.hold.Leave()
	s.left()
}
