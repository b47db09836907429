package main

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"marquee/fanout"
	"marquee/grip"
	"marquee/httpparse"
	"marquee/upstream"
)

// noRoute is what a client is told for whose request there is no route.
const noRoute = "Route not found"

// noEvents is what a client is told that speaks as a GRIP proxy which carries a
// WebSocket over HTTP: to such a target only proxies may.
const noEvents = "Client not allowed to send WebSocket events directly."

// way is where a request goes.
type way struct {
	service *service // nil for nowhere
	secure  bool     // it counts as one over TLS
	trusted bool     // another GRIP proxy has signed it
	events  bool     // it is refused with noEvents
}

// question is what a client wants to know, made of its request: what others who
// ask the same have in common.
type question struct {
	service *service
	req     *upstream.Request
	key     string         // equal for those who may share answers, byte for byte; "" for none
	target  string         // as the client wrote it
	secure  bool           // the request counts as one over TLS
	finish  *fanout.Finish // of every answer; nil for nothing
}

// way finds a request's route, and notes who asks.
func (l *loop) way(c *conn, req *httpparse.Request) way {
	e := l.edge
	w := way{secure: c.session != nil}
	if e.cfg.Forwarding.AcceptProto {
		w.secure = e.cfg.Forwarding.secure(l.header(req), w.secure)
	}
	w.service = e.routing.Load().service(w.secure, req)
	if w.service == nil {
		return w
	}
	l.counts(w.service).requests.Add(1)
	e.tracker.requested(c, w)
	c.agent = ""
	signed := false
	for _, f := range req.Fields {
		switch {
		case equalFold(f.Name, "user-agent"):
			c.agent = l.agent(f.Value)
		case equalFold(f.Name, "grip-sig"):
			// To check one takes time. A proxy sends one, and takes off those of clients.
			w.trusted = w.trusted || !signed && l.trusts(f.Value)
			signed = true
		case equalFold(f.Name, "content-type"):
			w.events = w.events || w.service.overHTTP && isEvents(f.Value)
		}
	}
	w.events = w.events && !w.trusted
	if r := c.record; r != nil {
		r.route, r.agent = w.service.route.ID, c.agent
	}
	return w
}

// isEvents reports whether a content is what a GRIP proxy tells of a WebSocket.
func isEvents(contentType []byte) bool {
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	return bytes.EqualFold(bytes.TrimSpace(kind), []byte("application/websocket-events"))
}

// maxAgents bounds the User-Agent values that a loop keeps; with one more it
// forgets all, and those who have one keep it.
const maxAgents = 1024

// agent returns a User-Agent as a string, the same one for equal values.
func (l *loop) agent(value []byte) string {
	const longest = 256
	if len(value) > longest {
		value = value[:longest]
	}
	if s, ok := l.agents[string(value)]; ok {
		return s
	}
	if len(l.agents) == maxAgents {
		clear(l.agents)
	}
	s := string(value)
	l.agents[s] = s
	return s
}

// trusts reports whether a Grip-Sig is that of a GRIP proxy in front. The last
// good one is remembered for a while: a proxy uses it for many requests.
func (l *loop) trusts(sig []byte) bool {
	key := l.edge.cfg.upstreamKey
	if key.IsZero() {
		return false
	}
	if string(sig) == l.trustedSig && l.now.Before(l.trustedUntil) {
		return true
	}
	if grip.Verify(string(sig), key, time.Now()) != nil {
		return false
	}
	l.trustedSig, l.trustedUntil = string(sig), l.now.Add(10*time.Second)
	return true
}

// question makes a client's question. An error is for the client: a bad request.
func (l *loop) question(c *conn, req *httpparse.Request, w way) (*question, error) {
	q := &question{service: w.service, target: string(req.Target), secure: w.secure}
	asked := method(req.Method)
	came := l.header(req).Without(func(name string) bool { return strings.EqualFold(name, "Host") })
	if !w.service.crossOrigin {
		q.req = l.request(c, req, w, asked, q.target, came)
		return q, nil
	}
	cross := newCrossOrigin(came)
	q.finish = &fanout.Finish{
		Key:   strings.Join(append([]string{"cors", cross.origin, cross.method}, cross.headers...), "\n"),
		Apply: cross.apply,
	}
	var script *jsonpRequest
	if !req.HasBody() {
		var err error
		if script, err = readJSONP(&w.service.route.JSONP, asked, q.target, came); err != nil {
			return nil, err
		}
	}
	if script == nil {
		q.req = l.request(c, req, w, asked, q.target, came)
		return q, nil
	}
	q.target = script.target
	q.req = l.request(c, req, w, script.method, script.target, script.header)
	q.req.Body = script.body
	q.finish = &fanout.Finish{
		Key:   "jsonp\n" + script.answer.callback + "\n" + string(rune('a'+script.answer.mode)),
		Whole: true, Apply: script.answer.wrap,
	}
	return q, nil
}

// share lets others share the answer.
func (q *question) share(l *loop) {
	if q.req.Method != http.MethodGet && q.req.Method != http.MethodHead || len(q.req.Body) > 0 {
		return
	}
	if q.finish == nil {
		q.key = string(l.key)
		q.req.Key = q.key
		return
	}
	var b strings.Builder
	b.WriteString(q.req.Method)
	b.WriteByte(' ')
	b.WriteString(strings.ToLower(q.req.Host))
	b.WriteString(q.req.Target)
	for _, f := range q.req.Header {
		name := strings.ToLower(f.Name)
		if upstream.InKey([]byte(name)) {
			b.WriteByte('\n')
			b.WriteString(name)
			b.WriteByte(':')
			b.WriteString(f.Value)
		}
	}
	q.req.Key = b.String()
	q.key = string(appendSerial(nil, q.service, q.secure)) + q.req.Key + "\n\n" + q.finish.Key
}
