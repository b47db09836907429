package main

import (
	"errors"
	"os"
	"time"

	"github.com/panjf2000/gnet/v2"

	"marquee/fanout"
	"marquee/grip"
	"marquee/httpparse"
)

// state is where a connection stands between two requests. In the order of a
// request's life:
//
//	reading → (body →) asking → held → reading …
//	                     └──────────→ reading …
//	asking → streaming → reading …
//	asking → moved      a goroutine has the socket, see lease.go
//	any    → flushing → lingering → closed
type state uint8

const (
	reading   state = iota // between requests, or in a head
	body                   // in a request's content
	asking                 // the origin is being asked
	held                   // waits for an item or its timeout
	streaming              // has the begin of an answer, gets the rest as it is published
	moved                  // handed to a goroutine: no longer ours
	flushing               // the last answer waits behind a slow client
	lingering              // answered and shut down; input is thrown away
	closed
)

// conn is one client connection while the reactor has it. Loop only, from open
// to gone.
type conn struct {
	gc      gnet.Conn
	loop    *loop
	session *session // nil without TLS
	source  *source  // where it comes from; nil for one without limits

	timer   timer[*conn]
	hold    fanout.Hold // the place among those who asked the same, or whose streams are the same
	ask     *ask        // what has been asked: asking and held
	pending *pending    // the request whose content is being read: body
	stream  *stream     // streaming
	sum     fanout.Sum  // of the content sent: streaming
	tail    *tail       // what waits while slow: streaming; nil for nothing
	id      uint64      // for the tracker; 0 while it does not know the client
	// farewell is what a client gets for whom there is no room, and no more; nil
	// for all others.
	farewell *fanout.Answer
	agent    string // the User-Agent of the last request; shared with others
	// unread are bytes that a goroutine read from the socket beyond its
	// request, to be parsed before what gnet has. With TLS they are all there
	// is: what has been decrypted.
	unread []byte
	scan   httpparse.Scan
	state  state
	// persistent 1.1 streams get chunks; a 1.0 client gets none.
	minor uint8
	// known: it has had an answer, from a lease.
	known bool
	// admitted: a request has been held, and further ones are even when memory is
	// scarce.
	admitted bool
	// inTraffic: traffic is running and will look at what is unread.
	inTraffic bool
	// waits: what is unread is not looked at before the connection has its turn
	// again, or its deadline has passed.
	waits bool
	// slow: an answer waits behind the client, who gets no further until it
	// has been taken. stalls counts ticks since backlog bytes were not taken.
	slow    bool
	stalls  uint8
	backlog int32
	// due is after how many pieces the stream is to end, as the edge drains; 0 for
	// not.
	due uint16
	// since is the tick with which the hold began, counted from 1; 0 while
	// nothing is held. One that is put to the origin again has not ended.
	since  uint32
	place  int32   // in loop.clients
	ahead  uint32  // place, from 1, among loop.ahead.sends; 0 when nothing was sent ahead
	record *record // of the request, for the access log; nil for none
}

// pending is a request whose content is still coming.
type pending struct {
	q       *question
	body    httpparse.Body
	content []byte
	most    int64 // how long the content may be, in bytes; 0 for any length
	pace    pace
	since   int64 // tick at which the edge began to wait for more
}

// deadline implements entry.
func (c *conn) deadline() *timer[*conn] { return &c.timer }

// open begins the connection's life on its loop.
func (c *conn) open(gc gnet.Conn, l *loop) {
	c.gc, c.loop = gc, l
	l.enlist(c)
	if c.session != nil {
		c.session.toLoop(gc)
	}
	if c.farewell != nil {
		c.hold.Variant = fanout.Close
		c.respond(c.farewell.Wire(fanout.Close))
		return
	}
	switch {
	case l.draining: // accepted just before the listener closed
		l.wheel.set(c, lingerTimeout)
	case c.known:
		l.wheel.set(c, idleTimeout)
	default:
		l.wheel.set(c, firstTimeout)
	}
	if len(c.unread) > 0 || c.session != nil { // with TLS, records may have been read too
		c.traffic()
	}
}

// gone ends it. gnet calls it inside of Write and Close too.
func (c *conn) gone() {
	was := c.state
	c.state = closed
	c.loop.wheel.remove(c)
	c.loop.unlist(c)
	c.leave(was)
	if c.record != nil {
		c.record.leave()
		c.log()
	}
	c.loop.edge.tracker.disconnected(c)
	c.pending, c.unread = nil, nil
	if c.session != nil {
		c.session.lost()
		c.session = nil
	}
	switch {
	case c.farewell != nil:
		c.loop.edge.refusing.Add(-1)
	case was != moved:
		c.source.leave()
		c.loop.edge.departed()
	}
}

// leave takes the connection out of what it has asked, if anything.
func (c *conn) leave(was state) {
	switch was {
	case streaming:
		c.leaveStream()
		return
	case held:
		c.ask.released(c)
	}
	a := c.ask
	c.ask = nil
	c.endHold(grip.HoldResponse)
	c.hold.Leave()
	if a != nil {
		a.left(c)
	}
}

// startHold notes that a hold begins, unless it goes on.
func (c *conn) startHold() {
	if c.since == 0 {
		c.since = uint32(c.loop.wheel.now) + 1
	}
}

// endHold notes that what was held, if anything, is held no more, and for how
// long it was.
func (c *conn) endHold(mode grip.HoldMode) {
	if c.since == 0 {
		return
	}
	d := c.holdTime()
	c.loop.held[mode].observe(d)
	if c.record != nil {
		c.record.mode, c.record.held = mode, d
	}
	c.since = 0
}

// holdTime returns how long the hold has lasted, to the tick.
func (c *conn) holdTime() time.Duration {
	return time.Duration(uint32(c.loop.wheel.now)+1-c.since) * tick
}

// close closes the socket.
func (c *conn) close() {
	if c.session != nil {
		if c.session.closeNotify(); c.state == closed {
			return
		}
	}
	_ = c.loop.el.Close(c.gc)
}

// cutOff closes it with a reset: what the peer has not taken is thrown away.
func (c *conn) cutOff(why ending) {
	if c.record != nil {
		c.record.cut(why)
	}
	_ = c.gc.SetLinger(0)
	c.close()
}

// traffic deals with everything that is unread, as far as the state allows: a
// request is looked at only after the one before it has been answered, and after
// some the connection lets others have their turn.
func (c *conn) traffic() {
	if c.session != nil && c.state < flushing && !c.decrypt() {
		return
	}
	c.inTraffic = true
	heads := 0
	for more := true; more; {
		switch c.state {
		case reading:
			if heads > 0 && !c.waits && !c.loop.goOn(heads) {
				c.yield()
				more = false
				break
			}
			heads++
			more = c.readHead()
		case body:
			more = c.readBody()
		case lingering:
			c.consume(c.available())
			more = false
		case closed:
			return
		default:
			c.limitAhead()
			more = false
		}
	}
	c.inTraffic = false
}

// yield lets the connection wait for its next turn, if there is something to do
// then.
func (c *conn) yield() {
	if c.available() > 0 {
		c.waits = true
		c.loop.waiting = append(c.loop.waiting, c)
		c.loop.bell.ring()
	}
}

// resume takes up what the connection has sent while it waited.
func (c *conn) resume() {
	if !c.waits || c.state == closed {
		return
	}
	c.waits = false
	c.traffic()
	if c.loop.draining {
		c.drain()
	}
}

// decrypt adds to the unread bytes what has come in whole records. It reports
// whether the connection goes on: not when the client has said that it ends, nor
// when it has broken the rules, of which crypto/tls has told it.
func (c *conn) decrypt() bool {
	buf := c.loop.plain
	for {
		n, err := c.session.tls.Read(buf)
		if c.state == closed { // by what crypto/tls had to answer
			return false
		}
		c.unread = append(c.unread, buf[:n]...)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return true
		default:
			c.close()
			return false
		}
	}
}

// limitAhead cuts off a client that sends too much while it waits for its
// answer, or for its turn, or does not take its answer.
func (c *conn) limitAhead() {
	if c.available() > maxPipelined {
		c.loop.edge.limited[limitAhead].Add(1)
		c.cutOff(endAhead)
	}
}

// available returns how many bytes are unread.
func (c *conn) available() int { return len(c.unread) + c.gc.InboundBuffered() }

// inbound returns the unread bytes, valid until consume or the end of traffic.
func (c *conn) inbound() []byte {
	in, _ := c.gc.Peek(-1)
	if c.unread == nil {
		return in
	}
	c.unread = append(c.unread, in...)
	if len(in) > 0 {
		_, _ = c.gc.Discard(len(in))
	}
	return c.unread
}

// consume takes n bytes off the front of what is unread.
func (c *conn) consume(n int) {
	if n == 0 {
		return // gnet's Discard would take all
	}
	if c.unread == nil {
		_, _ = c.gc.Discard(n)
		return
	}
	if len(c.unread) < n { // all: of both
		_, _ = c.gc.Discard(-1)
		c.unread = nil
		return
	}
	if c.unread = c.unread[n:]; len(c.unread) == 0 {
		c.unread = nil
	}
}

// Deliver implements fanout.Client: the answer to the request that the
// connection waits with.
func (c *conn) Deliver(wire []byte) fanout.Outcome {
	if c.state == held {
		c.ask.released(c)
		c.ends(endItem)
	}
	c.ask = nil
	return c.respond(wire)
}

// send writes bytes to the client, in one system call: as records with TLS. What
// the client does not take at once waits in gnet. When it cannot be written the
// connection is closed afterwards.
func (c *conn) send(p []byte) {
	if c.session != nil {
		c.session.send(p, c.loop)
		return
	}
	if c.ahead > 0 {
		if p = c.rest(p); len(p) == 0 {
			return
		}
	}
	_, _ = c.gc.Write(p)
}

// respond writes a complete answer and makes the connection ready for the next
// request, or ends it if the hold's variant says so.
func (c *conn) respond(wire []byte) fanout.Outcome {
	c.state = reading
	c.endHold(grip.HoldResponse)
	if c.record != nil {
		c.record.sent(wire)
	}
	if c.send(wire); c.state == closed {
		return fanout.Dropped
	}
	c.ends(endAnswer)
	outcome := fanout.Written
	if c.gc.OutboundBuffered() > 0 {
		outcome = fanout.Queued
		c.slow, c.stalls, c.backlog = true, 0, c.untaken()
	} else if c.record != nil {
		c.log()
	}
	switch {
	case c.hold.Variant&fanout.Close != 0:
		c.end()
	case c.slow:
		c.loop.wheel.set(c, nextTick)
	default:
		c.loop.wheel.set(c, idleTimeout)
		if !c.inTraffic && c.available() > 0 {
			_ = c.gc.Wake(nil)
		}
	}
	return outcome
}
