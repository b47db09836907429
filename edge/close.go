package main

import (
	"net/http"
	"time"

	"github.com/valyala/bytebufferpool"
	"golang.org/x/sys/unix"

	"marquee/fanout"
	"marquee/grip"
)

// The times that a client may take.
const (
	// firstTimeout: from the beginning of a connection to its first request. Who
	// connects has something to say, or connected ahead and connects again.
	firstTimeout = 30 * time.Second
	// idleTimeout: between two requests on a connection.
	idleTimeout = 2 * time.Minute
	// headTimeout: from the first byte of a head to its last.
	headTimeout = 10 * time.Second
	// bodyTimeout: between two reads of a request's content, if the client has
	// kept pace before.
	bodyTimeout = 30 * time.Second
	// refusedPause: until the next request of a connection is looked at after one
	// that was refused for its address's rate. So a client that does not heed
	// Retry-After gets one refusal a second and not as many as it asks for.
	refusedPause = time.Second
	// stallTimeout: without taking as much of an answer that waits for it as
	// leastRate makes in that time.
	stallTimeout = 30 * time.Second
	// lingerTimeout: to read the last answer, while it may still be sending.
	lingerTimeout = 2 * time.Second
	// askingCheck: how often the deadline of a connection that has none of
	// its own comes round.
	askingCheck = time.Minute
)

// maxPipelined is how many bytes a client may send ahead while its request is
// being answered or waits for its turn; who sends more is cut off, since the
// reactor cannot leave them in the socket.
const maxPipelined = 64 << 10

// lateRequest is what a client is told that is too slow with its request.
const lateRequest = "The request did not come to its end in time."

// expired acts on a deadline that has passed, and sets the next.
func (c *conn) expired() {
	wheel := &c.loop.wheel
	switch c.state {
	case reading:
		switch {
		case c.slow:
			c.checkBacklog()
		case c.waits:
			wheel.set(c, idleTimeout)
			c.resume()
		case c.available() > 0:
			c.refuseLate()
		default:
			c.close()
		}
	case body:
		c.refuseLate()
	case asking, held:
		switch {
		case c.hold.Group().Answering():
			wheel.set(c, nextTick) // the answer is on its way, in this or the next turns
		case c.ask.response == nil:
			wheel.set(c, askingCheck)
		default:
			c.timeOut() // also when the origin is being asked again meanwhile
		}
	case streaming:
		if c.slow {
			c.checkBacklog()
		} else {
			c.keepStreamAlive()
		}
	case flushing:
		c.checkBacklog()
	case lingering:
		c.close()
	}
}

// timeOut ends a hold with the answer that the origin gave for this case.
func (c *conn) timeOut() {
	wire := c.ask.response.Wire(c.hold.Variant)
	c.ends(endTimeout)
	c.leave(c.state)
	c.respond(wire)
}

// checkBacklog looks once a tick at what waits behind a slow client: when it
// has been taken the connection goes on, when too little is taken for too long it
// ends.
func (c *conn) checkBacklog() {
	switch {
	case c.gc.OutboundBuffered() == 0:
		c.slow = false
		c.logEnded()
		switch c.state {
		case flushing:
			c.end()
			return
		case streaming:
			c.taken()
			return
		}
		c.loop.wheel.set(c, idleTimeout)
		c.traffic()
		if c.loop.draining {
			c.drain()
		}
		return
	case c.stalls < uint8(stallTimeout/tick):
		c.stalls++
	default:
		const least = leastRate * int32(stallTimeout/time.Second)
		untaken := c.untaken()
		if c.backlog-untaken < least {
			c.loop.edge.stalled.Add(1)
			c.cutOff(endStalled)
			return
		}
		c.stalls, c.backlog = 0, untaken
	}
	c.loop.slow.clients++
	c.loop.slow.bytes += int64(c.waiting())
	c.loop.wheel.set(c, nextTick)
}

// untaken returns how many bytes the client has been sent and has not taken: in
// gnet's buffer, and in the kernel's, which lets gnet see it in large steps only.
func (c *conn) untaken() int32 {
	n, err := unix.IoctlGetInt(c.gc.Fd(), unix.SIOCOUTQ)
	if err != nil {
		n = 0
	}
	return int32(n + c.gc.OutboundBuffered())
}

// waiting returns how many bytes wait for the client.
func (c *conn) waiting() int {
	n := c.gc.OutboundBuffered()
	if c.tail != nil {
		n += c.tail.bytes
	}
	return n
}

// refuse answers a request that cannot be carried out, and ends the
// connection: what follows on it cannot be trusted to be a request.
func (c *conn) refuse(code int, reason string) {
	if c.record == nil {
		c.record = c.loop.edge.accessLog.begin(c, nil)
	}
	c.ends(endRefused)
	c.hold.Variant = fanout.Close
	c.reply(code, reason)
}

// refuseLate refuses a request that does not come to its end.
func (c *conn) refuseLate() {
	c.loop.edge.limited[limitTime].Add(1)
	c.refuse(http.StatusRequestTimeout, lateRequest)
}

// reply answers with one plain line.
func (c *conn) reply(code int, line string) { c.replyWith(plain(code, line)) }

// replyWith answers with a response of the edge's own.
func (c *conn) replyWith(r grip.Response) {
	buf := replyBuffers.Get()
	defer replyBuffers.Put(buf)
	buf.B = fanout.Head{Response: r, Length: int64(len(r.Body)), Variant: c.hold.Variant.Uncoded()}.Append(buf.B)
	if c.hold.Variant&fanout.HeadOnly == 0 {
		buf.B = append(buf.B, r.Body...)
	}
	c.respond(buf.B)
}

var replyBuffers bytebufferpool.Pool

// plain makes a response of one plain line.
func plain(code int, line string) grip.Response {
	return grip.Response{
		Code:   code,
		Header: grip.Header{field("Content-Type", "text/plain")},
		Body:   []byte(line + "\n"),
	}
}

func field(name, value string) grip.Field { return grip.Field{Name: name, Value: value} }

// end closes the connection after its last answer: when the client has taken
// it, and without a reset that could overtake it (RFC 9112 §9.6).
func (c *conn) end() {
	if c.session != nil && c.gc.OutboundBuffered() == 0 {
		if c.session.closeNotify(); c.state == closed {
			return
		}
	}
	if c.gc.OutboundBuffered() > 0 {
		c.state = flushing
		c.loop.wheel.set(c, nextTick)
		return
	}
	if err := unix.Shutdown(c.gc.Fd(), unix.SHUT_WR); err != nil {
		c.close()
		return
	}
	c.state = lingering
	c.consume(c.available())
	c.loop.wheel.set(c, lingerTimeout)
}
