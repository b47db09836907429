package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// maxSpare bounds the memory, in bytes, that a stream keeps for the parts of events
// to come while it has none.
const maxSpare = 4 << 10

// order counts the headlines that did not come once each and in the order of their
// ids.
type order struct {
	gaps     int // ids that a stream went past; polls do
	repeats  int // headlines that were the client's newest already
	reorders int // headlines older than the client's newest
}

// streamCounts are how the streams of a pool stand.
type streamCounts struct {
	streams    int // that have begun, and not ended
	messages   int // received since the start
	keepAlives int // likewise: comments
}

func (p *pool) streamCounts() streamCounts {
	return streamCounts{p.inState[streaming], p.deliveries, p.keepAlives}
}

// streamed handles the next bytes of an answer that is to be a stream. It reports
// whether the stream goes on; otherwise the client has no connection any more.
func (p *pool) streamed(i int32, b []byte) (more bool) {
	c := &p.clients[i]
	if c.state == asking {
		if c.partial != nil {
			c.partial = append(c.partial, b...)
			b = c.partial
		}
		h, size, err := parseHeads(b)
		switch {
		case err == errPartial:
			if c.partial == nil {
				c.partial = append([]byte(nil), b...)
			}
			return true
		case err != nil:
			return p.breakOff(i, torn, err)
		case h.status != 200:
			return p.breakOff(i, status, fmt.Errorf("answer with status %d", h.status))
		case !h.events:
			return p.breakOff(i, torn, errors.New("the answer is no text/event-stream"))
		}
		c.partial = nil // b may be part of it, and keeps it alive
		c.framing = newFraming(h)
		p.timers.remove(i)
		p.succeed(c)
		if d := p.cfg.dialect; d.foreign && !d.greets {
			p.startBlank(c)
		}
		p.enter(i, streaming)
		b = b[size:]
	}
	now := p.now()
	for len(b) > 0 && !c.framing.ended() {
		data, n, err := c.framing.next(b)
		if err != nil {
			return p.breakOff(i, torn, err)
		}
		b = b[n:]
		if len(data) > 0 && !p.events(i, data, now) {
			return false
		}
	}
	switch {
	case !c.framing.ended():
		return true
	case len(b) > 0:
		return p.breakOff(i, torn, fmt.Errorf("%d bytes after the end of the stream", len(b)))
	}
	return p.over(i)
}

// events handles the next bytes of the stream itself, and keeps the beginning of
// an event that has not come to its end. It reports whether the stream goes on.
func (p *pool) events(i int32, b []byte, now time.Duration) (more bool) {
	c := &p.clients[i]
	if len(c.partial) > 0 {
		c.partial = append(c.partial, b...)
		b = c.partial
	}
	for len(b) > 0 {
		e, err := p.eventParser.parse(b)
		if err == errPartial {
			break
		}
		b = b[e.size:]
		p.keepAlives += e.comments
		if e.data != nil && !p.event(i, e, now) {
			return false
		}
	}
	if len(b) > maxBody {
		return p.breakOff(i, torn, fmt.Errorf("event of more than %d bytes", maxBody))
	}
	c.partial = append(c.partial[:0], b...)
	if len(b) == 0 && cap(c.partial) > maxSpare {
		c.partial = nil
	}
	return true
}

// event handles an event that came at now. It reports whether the stream goes on.
func (p *pool) event(i int32, e event, now time.Duration) (more bool) {
	c := &p.clients[i]
	h, f, err := p.read(e.data, false, now)
	if err != nil {
		return p.breakOff(i, f, err)
	}
	d := p.cfg.dialect
	if d.foreign {
		p.startBlank(c)
	}
	switch {
	case h == noChange && d.unwrap != nil: // a message of another kind
		return true
	case h == noChange:
		return p.breakOff(i, torn, errors.New("event without a headline"))
	case !d.foreign:
		// Last-Event-ID is to say which headline the client has.
		if id := strconv.AppendUint(p.idBuf[:0], h.id, 10); string(e.id) != string(id) {
			return p.breakOff(i, wrong, fmt.Errorf("headline %s in an event with id %q", id, e.id))
		}
	}
	if !c.started {
		p.audited(c, h, now)
		c.started, c.id = true, h.id
		p.ledger.startedAt(h)
		p.tally.receive(h, now)
		p.countStarted(now)
		return true
	}
	if c.id > 0 && h.id != c.id+1 {
		p.disordered(i, h)
	}
	if h.id <= c.id {
		return true
	}
	p.audited(c, h, now)
	c.id = h.id
	p.deliveries++
	p.ledger.receive(h, now)
	p.tally.receive(h, now)
	return true
}

// disordered counts that the client was sent h when that did not follow its newest
// headline, and logs it: five times, then once a minute.
func (p *pool) disordered(i int32, h *headline) {
	newest := p.clients[i].id
	switch {
	case h.id == newest:
		p.order.repeats++
	case h.id < newest:
		p.order.reorders++
	default:
		p.order.gaps += int(h.id - newest - 1)
	}
	p.disorder.Do(func() {
		p.log.Warn("headline out of order", "client", i, "newest", newest, "headline", h.id,
			"gaps", p.order.gaps, "repeats", p.order.repeats, "reorders", p.order.reorders)
	})
}

// streamEnded handles the end of the connection of a client that wants a stream:
// io.EOF or an error of recv(2).
func (p *pool) streamEnded(i int32, cause error) {
	c := &p.clients[i]
	switch {
	case c.state != streaming && len(c.partial) == 0:
		p.breakOff(i, reset, fmt.Errorf("connection ended before the answer: %w", cause))
	case c.state != streaming:
		p.breakOff(i, torn, fmt.Errorf("answer ended after %d bytes: %w", len(c.partial), cause))
	case !c.framing.whole() || len(c.partial) > 0:
		p.breakOff(i, torn, fmt.Errorf("stream ended in the middle of an event: %w", cause))
	case c.framing.state == untilClose && cause == io.EOF:
		p.over(i)
	default:
		p.breakOff(i, reset, fmt.Errorf("connection ended before the stream: %w", cause))
	}
}

// over ends a stream as the server did, in order, and has the client ask for the
// next one after a rest. It returns false.
func (p *pool) over(i int32) (more bool) {
	p.hangUp(i)
	p.reconnects++
	p.rest(i, p.now(), p.cfg.repollDelay+jitter(p.cfg.repollJitter))
	return false
}

// breakOff closes the client's connection for a fault. It returns false.
func (p *pool) breakOff(i int32, f fault, err error) (more bool) {
	p.fail(i, f, err)
	p.hangUp(i) // which fail leaves to us after a whole answer
	return false
}
