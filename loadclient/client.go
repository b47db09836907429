package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// state is where a client is in its round:
//
//	idle ──ramp──▶ connecting ──▶ sending ──▶ asking ──headline──▶ resting
//	                   ▲             ▲  └───▶ polling ─headline, {}──▶ │
//	                   │             └──────rest over, connected───────┤
//	                   └──────────rest over, not connected─────────────┘
//
// Any state but idle goes to resting on a failure, and rests for the backoff.
// A set-up takes clients from any state to idle, or to connecting elsewhere. In
// resting the connection may be open or not; in idle it is not; in the others
// it is.
//
// A foreign server (see dialect) is polled from the first request on.
//
// With -stream the answer to asking is a stream, whose end is one of the answer:
//
//	idle ──ramp──▶ connecting ──▶ sending ──▶ asking ──head──▶ streaming ──end──▶ resting
//	                   ▲                                                             │
//	                   └──────────────────────────rest over──────────────────────────┘
type state uint8

const (
	idle       state = iota // not begun yet, or ended
	connecting              // connect(2) under way
	sending                 // request not wholly written
	asking                  // first request, without last_id, or one for a stream is unanswered
	polling                 // request with last_id, or any to a foreign server, is unanswered
	streaming               // stream has begun
	resting                 // between an answer or failure and the next request
	states
)

func (s state) String() string {
	return [states]string{"idle", "connecting", "sending", "asking", "polling", "streaming", "resting"}[s]
}

// fault is a way in which a client can fail.
type fault uint8

const (
	connect fault = iota // no connection: refused, unreachable, no local port
	reset                // connection lost before a byte of the answer
	timeout              // request not answered in time
	status               // a whole answer, but not 200
	torn                 // an answer cut short or not parsable
	wrong                // a whole answer that says what was not published, or not then
	faults
)

func (f fault) String() string {
	return [faults]string{"connect", "reset", "timeout", "status", "torn", "wrong"}[f]
}

const (
	maxBackoff    = 64 * time.Second // after the 7th failure in a row; an audit's clients wait auditBackoff
	backoffJitter = time.Second
)

// client is one simulated client. Loop only.
type client struct {
	fd         int32 // -1: not connected
	state      state
	started    bool   // has had its first answer, or waits for what a foreign server has to tell
	failures   uint8  // in a row
	sent       int32  // bytes of the request written
	generation uint32 // of the target that it connected to last
	id         uint64 // newest headline it was answered, 0: none
	partial    []byte // of an answer, nil when none has begun, or of an event
	// validators are those of its last answer, for the next poll; nil: none, or the
	// server is not foreign.
	validators *validators
	framing    framing // of the stream, while streaming
	// reused is when the request was sent on a connection that had carried
	// another; 0 on a new one.
	reused time.Duration
}

// staleFor is how long after a request the end of a reused connection means that
// the server closed it while the client rested: then they have crossed.
const staleFor = time.Second

// request begins the client's next request, connecting first if need be.
func (p *pool) request(i int32) {
	p.timers.set(i, p.now()+p.cfg.requestTimeout)
	c := &p.clients[i]
	c.sent = 0
	if c.generation != p.generation {
		p.hangUp(i)
	}
	if c.fd < 0 {
		p.connect(i)
		return
	}
	if err := p.send(i); err != nil {
		// The server closed the connection while the client rested, and the
		// event that says so is still to come. Nothing was asked on it yet.
		p.hangUp(i)
		p.reconnects++
		p.connect(i)
		return
	}
	c.reused = p.now()
}

func (p *pool) connect(i int32) {
	c := &p.clients[i]
	c.generation, c.reused = p.generation, 0
	fd, err := p.target.dialer.dial(int(i))
	if err == nil {
		// Edge-triggered, so that one epoll_ctl lasts as long as the connection.
		err = p.poller.add(fd, i, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET)
		c.fd = int32(fd)
		p.connections++
	}
	if err != nil {
		p.fail(i, connect, err)
		return
	}
	p.enter(i, connecting)
}

// ready handles what epoll reports for a client's socket.
func (p *pool) ready(i int32, events uint32) {
	c := &p.clients[i]
	if c.state == connecting {
		if events&unix.EPOLLERR != 0 {
			p.fail(i, connect, socketError(c.fd))
			return
		}
		if events&unix.EPOLLOUT == 0 {
			return
		}
	}
	if c.state == connecting || c.state == sending && events&unix.EPOLLOUT != 0 {
		if err := p.send(i); err != nil {
			p.fail(i, reset, err)
			return
		}
	}
	if events&^unix.EPOLLOUT != 0 {
		p.readable(i, events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	}
}

// send writes the client's request, or the rest of it.
func (p *pool) send(i int32) error {
	c := &p.clients[i]
	req := p.target.appendRequest(p.requestBuf[:0], i, c)
	p.requestBuf = req
	n, err := send(c.fd, req[c.sent:])
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return err
	}
	c.sent += int32(n)
	switch {
	case int(c.sent) < len(req):
		p.enter(i, sending)
	case p.cfg.stream:
		p.enter(i, asking)
	case p.cfg.dialect.foreign:
		p.startBlank(c)
		p.enter(i, polling)
	case c.started:
		p.enter(i, polling)
	default:
		p.enter(i, asking)
	}
	return nil
}

// readable reads what has come, to the end if the server has closed its side.
// A read that does not fill the buffer has emptied the socket (epoll(7)), so
// an answer costs one recv(2).
func (p *pool) readable(i int32, closed bool) {
	fd := p.clients[i].fd
	for {
		n, err := recv(fd, p.readBuf)
		switch {
		case err == unix.EAGAIN:
			return
		case err == unix.EINTR:
		case err != nil:
			p.ended(i, err)
			return
		case n == 0:
			p.ended(i, io.EOF)
			return
		default:
			more := p.received(i, p.readBuf[:n], closed)
			if !more || n < len(p.readBuf) && !closed {
				return
			}
		}
	}
}

// received handles the next bytes of an answer; closed says that the server
// closes the connection after them. It reports whether the answer goes on;
// otherwise the connection may be another one afterwards, or none.
func (p *pool) received(i int32, b []byte, closed bool) (more bool) {
	now := p.now()
	c := &p.clients[i]
	if c.state == resting {
		p.fail(i, torn, fmt.Errorf("%d bytes that no request asked for", len(b)))
		return false
	}
	if p.cfg.stream {
		return p.streamed(i, b)
	}
	if c.partial != nil {
		c.partial = append(c.partial, b...)
		b = c.partial
	}
	r, err := p.parser.parse(b, false)
	switch {
	case err == errPartial:
		if c.partial == nil {
			c.partial = append(make([]byte, 0, max(len(b), r.size)), b...)
		}
		return true
	case err == nil && r.size < len(b):
		err = fmt.Errorf("%d bytes after the end of the answer", len(b)-r.size)
	}
	if err != nil {
		p.fail(i, torn, err)
		return false
	}
	r.persistent = r.persistent && !closed
	p.answered(i, r, now)
	return false
}

// ended handles the end of the connection: io.EOF or an error of recv(2).
func (p *pool) ended(i int32, cause error) {
	c := &p.clients[i]
	if c.state == resting {
		p.hangUp(i)
		p.reconnects++
		return
	}
	if p.cfg.stream {
		p.streamEnded(i, cause)
		return
	}
	if len(c.partial) == 0 && c.reused > 0 && p.now()-c.reused < staleFor {
		p.hangUp(i)
		p.reconnects++
		p.request(i)
		return
	}
	if len(c.partial) == 0 {
		p.fail(i, reset, fmt.Errorf("connection ended before the answer: %w", cause))
		return
	}
	r, err := p.parser.parse(c.partial, cause == io.EOF)
	if err != nil {
		p.fail(i, torn, fmt.Errorf("answer ended after %d bytes: %w", len(c.partial), cause))
		return
	}
	p.answered(i, r, p.now())
}

// answered handles a whole response, complete at now.
func (p *pool) answered(i int32, r response, now time.Duration) {
	c := &p.clients[i]
	c.partial = nil // r.body may be part of it, and keeps it alive
	if !r.persistent {
		p.hangUp(i)
		if !p.cfg.reconnect {
			p.reconnects++
		}
	}
	h, f, err := p.headlineOf(r, now)
	if err != nil {
		p.fail(i, f, err)
		return
	}
	switch {
	case h == noChange && !c.started:
		p.fail(i, torn, errors.New("first answer holds no headline"))
		return
	case h == noChange:
		p.timeoutsHeld++
	case !c.started:
		p.audited(c, h, now)
		c.started, c.id = true, h.id
		p.ledger.startedAt(h)
		p.tally.receive(h, now)
		p.countStarted(now)
	case h.id <= c.id:
		p.disordered(i, h)
		p.fail(i, wrong, fmt.Errorf("headline %d in answer to last_id=%d", h.id, c.id))
		return
	default:
		p.audited(c, h, now)
		c.id = h.id
		p.deliveries++
		p.ledger.receive(h, now)
		p.tally.receive(h, now)
	}
	if p.cfg.dialect.foreign && h != noChange {
		c.validators = h.validatorsOf(r)
	}
	p.succeed(c)
	p.rest(i, now, p.cfg.repollDelay+jitter(p.cfg.repollJitter))
}

// headlineOf returns the headline of a whole response, complete at now, noChange
// when there was none; otherwise the fault in it.
func (p *pool) headlineOf(r response, now time.Duration) (*headline, fault, error) {
	switch {
	case r.status == 200:
		return p.read(r.body, r.gzip && p.cfg.gzip, now)
	case p.cfg.dialect.foreign && (r.status == 304 || r.status == 408):
		return noChange, 0, nil
	}
	return nil, status, fmt.Errorf("answer with status %d", r.status)
}

// read returns the headline of a body, or of an event's data, noChange when there
// is none; otherwise the fault in it. What came before is not decoded again.
func (p *pool) read(body []byte, gzipped bool, now time.Duration) (*headline, fault, error) {
	if h := p.ledger.known(body); h != nil {
		return h, 0, nil
	}
	json := body
	var err error
	if gzipped {
		json, err = gunzip(json)
	}
	if unwrap := p.cfg.dialect.unwrap; unwrap != nil && err == nil {
		json, err = unwrap(json)
	}
	if err != nil {
		return nil, torn, err
	}
	return p.ledger.learn(body, json, now, p.olderThan)
}

// startBlank has the client be started, unless it is, without a headline: its
// server is foreign.
func (p *pool) startBlank(c *client) {
	if !c.started {
		c.started = true
		p.countStarted(p.now())
	}
}

// fail counts what befell the client and lets it try again after the backoff:
// 1, 2, 4, ... s, at most config.maxBackoff, and up to a second more. Of each kind of fault, five are
// logged, then one a minute.
func (p *pool) fail(i int32, f fault, err error) {
	c := &p.clients[i]
	p.faults[f]++
	p.complaints[f].Do(func() {
		p.log.Warn("client failed", "fault", f, "client", i, "state", c.state, "error", err, "faults", p.faults[f])
	})
	if f != status && f != wrong { // those two are whole answers, after which a connection is good
		p.hangUp(i)
	}
	if c.failures == 0 {
		p.errored++
	}
	backoff := time.Second << c.failures
	if c.failures < 6 {
		c.failures++
	}
	p.rest(i, p.now(), min(backoff, p.cfg.maxBackoff)+jitter(backoffJitter))
}

// audited tells the audit, if there is one, that the client received h, before it
// counts as the client's newest.
func (p *pool) audited(c *client, h *headline, now time.Duration) {
	if p.audit != nil {
		p.audit.receive(c.id, h, now, func(id uint64) int { return p.started - p.olderThan(id) })
		if len(p.audit.reached) > 0 {
			p.signalNews()
		}
	}
}

// succeed ends the client's failures in a row.
func (p *pool) succeed(c *client) {
	if c.failures > 0 {
		p.errored--
		c.failures = 0
	}
}

// rest lets the client do nothing for d from now on, then ask again.
func (p *pool) rest(i int32, now, d time.Duration) {
	p.enter(i, resting)
	if d > 0 {
		p.timers.set(i, now+d)
		return
	}
	p.request(i)
}

// timedOut handles the end of the one thing the client was waiting for.
func (p *pool) timedOut(i int32) {
	if s := p.clients[i].state; s != resting {
		p.fail(i, timeout, fmt.Errorf("request not answered within %v", p.cfg.requestTimeout))
		return
	}
	p.request(i)
}

// hangUp closes the client's connection, if there is one.
func (p *pool) hangUp(i int32) {
	c := &p.clients[i]
	c.partial = nil
	if c.fd >= 0 {
		unix.Close(int(c.fd)) // which takes it out of epoll
		c.fd = -1
		p.connections--
	}
}

// enter moves the client to a state, and counts.
func (p *pool) enter(i int32, s state) {
	c := &p.clients[i]
	p.inState[c.state]--
	c.state = s
	p.inState[s]++
	if s == polling || s == streaming {
		p.signalWaiting()
	}
}

// jitter is a random time of at least 0 and less than d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// socketError is why a connect failed.
func socketError(fd int32) error {
	n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	return unix.Errno(n)
}
