package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"marquee/fanout"
	"marquee/grip"
	"marquee/httpparse"
	"marquee/route"
	"marquee/upstream"
)

// maxContent is how long a request's content may be, in bytes, to be collected
// on the loop. A longer one is streamed to the origin, and cannot be held.
const maxContent = grip.MaxInstructBody

// viaEntry is what the edge adds to Via (RFC 9110 §7.6.3).
const viaEntry = "1.1 marquee"

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

// removed reports whether a request field, its name in lower case, ends at the
// edge, whoever has put it there: it is for this connection only, or the edge writes it itself, or it
// would let a client speak as a GRIP proxy, or it poses as one of these.
func removed(name []byte) bool {
	switch string(name) {
	case "host", "content-length", "expect", "accept-encoding", "via":
		return true
	}
	return ofProxy(name) || disguised(name) || httpparse.HopByHop(name)
}

// ofProxy reports whether only GRIP proxies send a field of that name, in lower
// case: to say who they are and how far they are (GRIP §1.1), or, in requests of
// their own, what they know of a subscription (the filters http-check and
// http-modify) or of a WebSocket.
func ofProxy(name []byte) bool {
	switch string(name) {
	case "sub-meta", "pub-meta":
		return true
	}
	return bytes.HasPrefix(name, []byte("grip-")) || bytes.HasPrefix(name, []byte("meta-"))
}

// disguised reports whether a name in lower case stands for that of a field which
// proxies write or remove, where - and _ are the same: such is what programs see
// of a request that are run by CGI's rules (RFC 3875 §4.1.18), and many frameworks
// keep to them.
func disguised(name []byte) bool {
	if bytes.IndexByte(name, '_') < 0 {
		return false
	}
	var buf [32]byte // longer than what is looked for
	plain := buf[:copy(buf[:], name)]
	for i, c := range plain {
		if c == '_' {
			plain[i] = '-'
		}
	}
	switch string(plain) {
	case "content-length", "transfer-encoding", "accept-encoding", "keep-alive",
		"proxy-connection", "proxy-authorization", "cdn-loop":
		return true
	}
	return ofProxy(plain) || bytes.HasPrefix(plain, []byte("x-forwarded-")) || bytes.HasPrefix(plain, []byte(origPrefix))
}

// header returns a request's fields as they came, apart from the connection's
// buffers: all text in one string.
func (l *loop) header(req *httpparse.Request) grip.Header {
	text := l.field[:0]
	for _, f := range req.Fields {
		text = append(text, f.Name...)
		text = append(text, f.Value...)
	}
	rest := string(text)
	l.field = text
	next := func(n int) (s string) {
		s, rest = rest[:n], rest[n:]
		return s
	}
	h := make(grip.Header, 0, len(req.Fields)+4)
	for _, f := range req.Fields {
		h = append(h, grip.Field{Name: next(len(f.Name)), Value: next(len(f.Value))})
	}
	return h
}

// request makes what the origin is asked (GRIP §1.1), of what the client has asked:
// req is where that comes from, and came its fields without Host.
func (l *loop) request(c *conn, req *httpparse.Request, w way, method, target string, came grip.Header) *upstream.Request {
	cfg, rt := l.edge.cfg, w.service.route
	host := string(req.Host)
	// What the client takes away is its own, not what the route adds.
	h := withFields(came.Without(func(name string) bool { return req.Nominates([]byte(name)) }), rt.Headers)
	if rt.OrigHeaders && !w.trusted {
		h = withOrig(h, host, cfg.Forwarding.NeedMark)
	} else if slices.ContainsFunc(h, func(f grip.Field) bool { return isOrig(f.Name) }) {
		h = withoutOrig(h)
	}
	h = h.Without(func(name string) bool {
		l.field = appendLower(l.field[:0], []byte(name))
		return removed(l.field) && !(w.trusted && ofProxy(l.field))
	})
	h = cfg.Forwarding.apply(h, peerOf(c), w.secure, w.trusted)
	h = append(h, field("Via", strings.Join(append(came.Values("Via"), viaEntry), ", ")))
	if rt.AsHost != "" {
		host = rt.AsHost
	}
	return &upstream.Request{
		Service: w.service.up,
		Method:  method,
		Target:  rt.Target(target),
		Host:    host,
		Header:  h,
		Trusted: w.trusted,
	}
}

// ownRequest makes what the origin is asked for c alone, of a request without a key
// that was another's until now, whose answer c was to share. In what tells requests
// apart (upstream.InKey) both are equal. For the rest there is c's address, what
// the route sets, and its User-Agent as far as the edge has kept it; whatever else
// c sent of that kind is not known any more, and left out.
func (l *loop) ownRequest(c *conn, rt *route.Route, others *upstream.Request) *upstream.Request {
	ofOthers := func(name string) bool {
		l.field = appendLower(l.field[:0], []byte(name))
		return !upstream.InKey(bytes.TrimPrefix(l.field, []byte(origPrefix)))
	}
	own := *others
	own.Header = others.Header.Without(ofOthers)
	var mine grip.Header
	if c.agent != "" {
		mine = grip.Header{field("User-Agent", c.agent)}
	}
	mine = withFields(mine, rt.Headers)
	if rt.OrigHeaders {
		mine = withOrig(mine, "", l.edge.cfg.Forwarding.NeedMark)
	}
	for _, f := range mine {
		if ofOthers(f.Name) && !removed(l.field) {
			own.Header = append(own.Header, f)
		}
	}
	own.Header = l.edge.cfg.Forwarding.For.apply(own.Header, peerOf(c))
	own.Header = append(own.Header, field("Via", viaEntry))
	return &own
}

// peerOf returns a client's address without its port.
func peerOf(c *conn) string {
	host, _, err := net.SplitHostPort(c.gc.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return host
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
