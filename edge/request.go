package main

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"marquee/fanout"
	"marquee/grip"
	"marquee/httpparse"
	"marquee/upstream"
)

// maxContent is how long a request's content may be, in bytes, to be collected
// on the loop. A longer one is streamed to the origin, and cannot be held.
const maxContent = grip.MaxInstructBody

// readHead reads one request head and acts on it. It reports whether there may
// be more to do on the connection right now.
func (c *conn) readHead() bool {
	if c.slow || c.waits {
		c.limitAhead()
		return false // the deadline takes it up again, or its turn
	}
	in := c.inbound()
	if len(in) == 0 {
		return false
	}
	fresh := c.scan == httpparse.Scan{}
	req, n, err := c.loop.parser.Parse(&c.scan, in)
	switch e := err.(type) {
	case nil:
	case *httpparse.Error:
		c.loop.edge.malformed.Add(1)
		if e.Status == http.StatusRequestHeaderFieldsTooLarge {
			c.loop.edge.limited[limitHead].Add(1)
		}
		c.refuse(e.Status, e.Reason)
		return true
	default: // httpparse.ErrNeedMore
		if fresh {
			c.loop.wheel.set(c, headTimeout)
		}
		return false
	}
	c.loop.requests.Add(1)
	c.record = c.loop.edge.accessLog.begin(c, req)
	c.minor = uint8(req.Minor)
	c.hold.Variant = c.loop.variant(req)
	wait := c.source.take()
	switch {
	case wait > 0:
		c.tooMany(req, n, wait)
	case req.HasBody():
		c.beginBody(req, n)
	default:
		c.begin(req, n)
	}
	return true
}

// tooMany refuses a request, whose head is n bytes long, because its address has
// made too many. There will be room in wait.
func (c *conn) tooMany(req *httpparse.Request, n int, wait time.Duration) {
	c.loop.edge.limited[limitRequests].Add(1)
	if req.HasBody() {
		c.hold.Variant |= fanout.Close
	}
	c.consume(n)
	c.ends(endRefused)
	r := plain(http.StatusTooManyRequests, "Too many requests from your address.")
	r.Header = append(r.Header, field("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second))))
	if c.replyWith(r); c.state == reading && !c.slow {
		c.waits = true
		c.loop.wheel.set(c, refusedPause)
	}
}

// begin acts on a request without content, whose head is n bytes long.
func (c *conn) begin(req *httpparse.Request, n int) {
	l := c.loop
	way := l.way(c, req)
	if way.service == nil {
		c.consume(n)
		c.reply(http.StatusBadGateway, noRoute)
		return
	}
	if way.events {
		c.consume(n)
		c.reply(http.StatusForbidden, noEvents)
		return
	}
	if way.service.refusesHead(n) {
		c.consume(n)
		c.refuseHead(way.service)
		return
	}
	shared := l.edge.cfg.ShareAll && shareable(req) && !way.trusted
	if shared && !way.service.crossOrigin {
		l.appendKey(req, way)
		if a := l.joinable(l.key); a != nil {
			c.consume(n)
			l.joined.Add(1)
			a.join(c)
			return
		}
	}
	q, err := l.question(c, req, way)
	c.consume(n)
	if err != nil {
		c.reply(http.StatusBadRequest, err.Error())
		return
	}
	if shared {
		q.share(l)
	}
	c.put(q)
}

// put asks on behalf of c, or joins those who have asked the same.
func (c *conn) put(q *question) {
	if q.key != "" {
		if a := c.loop.joinable([]byte(q.key)); a != nil {
			c.loop.joined.Add(1)
			a.join(c)
			return
		}
	}
	a := c.loop.newAsk(q)
	a.asker = c
	a.join(c)
	a.send(time.Time{})
}

// shareable reports whether the answer to a request can serve for an equal
// one: only where asking changes nothing.
func shareable(req *httpparse.Request) bool {
	return string(req.Method) == http.MethodGet || string(req.Method) == http.MethodHead
}

// beginBody acts on the head of a request with content.
func (c *conn) beginBody(req *httpparse.Request, n int) {
	way := c.loop.way(c, req)
	if way.service == nil {
		c.consume(n)
		c.refuse(http.StatusBadGateway, noRoute)
		return
	}
	if way.events {
		c.consume(n)
		c.refuse(http.StatusForbidden, noEvents)
		return
	}
	s := way.service
	switch {
	case s.refusesHead(n):
		c.consume(n)
		c.refuseHead(s)
		return
	case s.maxBody > 0 && req.ContentLength > s.maxBody:
		c.consume(n)
		c.refuseBody(s.maxBody)
		return
	}
	q, err := c.loop.question(c, req, way)
	if err != nil {
		c.consume(n)
		c.refuse(http.StatusBadRequest, err.Error())
		return
	}
	c.pending = &pending{q: q, body: req.Body(), most: s.maxBody, pace: newPace(bodyTimeout), since: c.loop.wheel.now}
	length := req.ContentLength
	expects := req.ExpectContinue
	c.consume(n)
	if expects {
		// The content is wanted in any case: the origin will be asked.
		if c.send([]byte("HTTP/1.1 100 Continue\r\n\r\n")); c.state == closed {
			return
		}
	}
	if length > maxContent {
		c.pending.q.req.StreamLength = length
		c.upload()
		return
	}
	c.pending.q.req.StreamLength = length
	c.state = body
	c.loop.wheel.set(c, bodyTimeout)
}

// refuseHead answers a request whose head is longer than its route takes.
func (c *conn) refuseHead(s *service) {
	c.loop.edge.limited[limitHead].Add(1)
	c.refuse(http.StatusRequestHeaderFieldsTooLarge,
		fmt.Sprintf("The request head is longer than %d bytes.", s.route.MaxHead))
}

// refuseBody answers a request whose content is longer than most bytes. The
// connection ends, and what is still to come of the content is not waited for
// (RFC 9110 §15.5.14).
func (c *conn) refuseBody(most int64) {
	c.loop.edge.limited[limitBody].Add(1)
	c.refuse(http.StatusRequestEntityTooLarge, longContent(most).Error())
}

// readBody collects content. It reports whether there may be more to do on the
// connection right now.
func (c *conn) readBody() bool {
	p := c.pending
	in, came := c.inbound(), 0
	for !p.body.Done() {
		data, n, err := p.body.Next(in[came:])
		came += n
		p.content = append(p.content, data...)
		switch e, malformed := err.(*httpparse.Error); {
		case malformed:
			c.consume(came)
			c.loop.edge.malformed.Add(1)
			c.pending = nil
			c.refuse(e.Status, e.Reason)
			return true
		case p.most > 0 && int64(len(p.content)) > p.most:
			c.consume(came)
			c.pending = nil
			c.refuseBody(p.most)
			return true
		case len(p.content) > maxContent:
			c.consume(came)
			c.upload()
			return false
		case n == 0 && !p.body.Done():
			c.consume(came)
			if came > 0 {
				now := c.loop.wheel.now
				p.pace.came(came, time.Duration(now-p.since)*tick)
				p.since = now
				c.loop.wheel.set(c, p.pace.left)
			}
			return false
		}
	}
	c.consume(came)
	c.pending = nil
	p.q.req.Body = p.content
	c.put(p.q)
	return true
}

// variant returns the form of answer that a request gets.
func (l *loop) variant(req *httpparse.Request) fanout.Variant {
	var v fanout.Variant
	if !req.Persistent || req.Minor == 0 || l.draining {
		v = fanout.Close
	}
	if req.Minor == 0 {
		v |= fanout.Raw
	}
	if string(req.Method) == http.MethodHead {
		v |= fanout.HeadOnly
	}
	var accepted acceptedCodings
	for _, f := range req.Fields {
		if equalFold(f.Name, "accept-encoding") {
			accepted.read(f.Value)
		}
	}
	return v | accepted.best()
}

// appendKey makes, in l.key, what requests must have in common to share an
// answer: the service, method, host, target, and every field that can change it.
func (l *loop) appendKey(req *httpparse.Request, w way) {
	k := appendSerial(l.key[:0], w.service, w.secure)
	k = append(k, req.Method...)
	k = append(k, ' ')
	k = appendLower(k, req.Host)
	k = append(k, req.Target...)
	for _, f := range req.Fields {
		name := appendLower(l.field[:0], f.Name)
		l.field = name
		if !upstream.InKey(name) || removed(name) || req.Nominates(name) {
			continue
		}
		k = append(k, '\n') // in no name and no value
		k = append(k, name...)
		k = append(k, ':')
		k = append(k, f.Value...)
	}
	l.key = k
}

// method returns a method as a string, without making one for the usual ones.
func method(m []byte) string {
	for _, known := range [...]string{http.MethodGet, http.MethodHead, http.MethodPost} {
		if string(m) == known {
			return known
		}
	}
	return string(m)
}

// appendLower appends b with ASCII letters in lower case.
func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// equalFold reports whether name is the given lower-case name.
func equalFold(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
