package main

import (
	"bytes"
	"net"
	"slices"
	"strings"

	"marquee/grip"
	"marquee/httpparse"
	"marquee/route"
	"marquee/upstream"
)

// What the origin is asked, of what a client has asked.

// viaEntry is what the edge adds to Via (RFC 9110 §7.6.3).
const viaEntry = "1.1 marquee"

// removed reports whether a request field, its name in lower case, ends at the
// edge, whoever has put it there: it is for this connection only, or the edge
// writes it itself, or it would let a client speak as a GRIP proxy, or it poses as
// one of these.
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
