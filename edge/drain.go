package main

import (
	"context"
	"math"
	"time"

	"marquee/fanout"
)

// When the edge drains, every answer closes its connection, and those who have
// none to wait for are given one: who holds, at a pace at which the service and
// the edges that the clients turn to next can take them in.

// leastPace is how many clients a loop lets go in a tick, though there were time
// for fewer: so few are no herd, and need not be waited for.
const leastPace = 32

// departure is how a loop lets those go who hold. Loop only.
type departure struct {
	queue   []*conn // in the order in which they go
	allowed int     // of them, now
	until   time.Time
	swept   bool // the time is over: all who are left go
}

// drain lets the clients go: those who hold with their hold's answer, spread over
// -drain-spread, then the idle ones, and the others when they have their answer.
// It returns when all have left, or when -drain-timeout is over, or, when it is a
// successor that makes it drain, when ctx ends, and the rest has been cut off.
func (e *edge) drain(ctx context.Context) {
	var hurryCh <-chan struct{}
	if e.successor.Load() {
		hurryCh = ctx.Done()
	}
	began, clients := time.Now(), e.connections.Load()
	spread := min(e.cfg.DrainSpread, e.cfg.DrainTimeout/2)
	e.draining.Store(true)
	e.log.Info("draining", "clients", clients, "held", e.held(), "spread", spread, "timeout", e.cfg.DrainTimeout)
	e.connections.Add(1) // so that the last one is not missed between these lines
	for _, l := range e.loops {
		l.post(func() { l.drain(began.Add(spread)) })
	}
	e.departed()
	e.awaitEmpty(spread, hurryCh)
	cutOff := e.connections.Load()
	e.leases.cut()
	e.log.Info("drained", "clients", clients, "cut_off", cutOff, "took", time.Since(began).Round(time.Millisecond))
}

// awaitEmpty waits until the last client has left, or time is over, or hurryCh is
// closed. TLS handshakes may come to their end as long as clients are let go.
func (e *edge) awaitEmpty(spread time.Duration, hurryCh <-chan struct{}) {
	let := time.NewTimer(spread)
	defer let.Stop()
	timer := time.NewTimer(e.cfg.DrainTimeout)
	defer timer.Stop()
	if e.handshakes != nil {
		defer e.handshakes.stop()
	}
	for {
		select {
		case <-let.C:
			if e.handshakes != nil {
				e.handshakes.stop()
			}
		case <-e.emptyCh:
			return
		case <-timer.C:
			return
		case <-hurryCh:
			return
		}
	}
}

// held returns how many requests are held, of both modes.
func (e *edge) held() (n int64) {
	for _, l := range e.loops {
		n += l.holds.Load()
	}
	return n
}

// drain begins to let the clients go; until is when the last of those who hold
// is to be answered.
func (l *loop) drain(until time.Time) {
	l.draining = true
	for l.expire() {
	}
	l.departure.until = until
	l.wheel.each(func(c *conn) {
		switch c.state {
		case body, asking:
			c.hold.Variant |= fanout.Close
		case held, streaming:
			c.hold.Variant |= fanout.Close
			l.departure.queue = append(l.departure.queue, c)
		}
	})
	l.pace(time.Now())
}

// pace lets some more go, as many as it takes to let all go in time. When the
// time is over that is everybody who is left: who has been idle all the while is
// not about to ask.
func (l *loop) pace(now time.Time) {
	d := &l.departure
	switch left := d.until.Sub(now); {
	case d.swept:
		return
	case left <= 0:
		d.swept = true
		for l.expire() {
		}
		d.queue = d.queue[:0]
		l.wheel.each(func(c *conn) { d.queue = append(d.queue, c) })
		d.allowed = len(d.queue)
	default:
		ticks := int(left/tick) + 1
		d.allowed = max(leastPace, (len(d.queue)+ticks-1)/ticks)
	}
	l.bell.ring()
}

// depart lets go who may go now, and reports whether some of them are left.
func (l *loop) depart() (more bool) {
	d := &l.departure
	n := min(d.allowed, len(d.queue), turnDeadlines)
	for i, c := range d.queue[:n] {
		d.queue[i] = nil
		c.drain()
	}
	d.queue = d.queue[n:]
	d.allowed -= n
	return d.allowed > 0 && len(d.queue) > 0
}

// drain ends the connection as soon as that loses nothing.
func (c *conn) drain() {
	switch c.state {
	case reading:
		if !c.slow && c.available() == 0 {
			c.close()
		}
	case body:
		c.hold.Variant |= fanout.Close
	case streaming:
		c.hold.Variant |= fanout.Close
		if c.stream.feed != nil { // in the middle of a message
			return
		}
		if c.due = uint16(min(c.loop.shard.Due(&c.hold), math.MaxUint16)); c.due == 0 {
			c.ends(endDrain)
			c.Finish()
		}
	case asking, held:
		c.hold.Variant |= fanout.Close
		if c.ask.response != nil && !c.hold.Group().Answering() {
			c.ends(endDrain)
			c.timeOut()
		}
	}
}
