package main

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"marquee/fanout"
	"marquee/upstream"
)

// linkTries is how many times a link is asked whose answers are of no use before
// the streams are ended. An origin that is not there is asked without end: that
// it is away for a while is no reason to let go of its clients.
const linkTries = 5

// ask asks for the next link, no earlier than notBefore; the origin learns how far
// each channel is known.
func (s *stream) ask(notBefore time.Time) { s.put(notBefore, true) }

// askAlone asks once more, for an answer that is shared with nobody.
func (s *stream) askAlone() { s.put(time.Time{}, false) }

func (s *stream) put(notBefore time.Time, shared bool) {
	l, void := s.loop, s.ticket
	service, host, target, err := s.service.resolve(s.base, s.at, s.next.URL)
	if err != nil {
		l.edge.log.Warn("a stream ends: its next link leads nowhere", "route", s.service.route.ID, "err", err)
		s.cut()
		return
	}
	s.state = linking
	s.asked++
	l.links.remove(s)
	req := &upstream.Request{
		Service: service, Method: "GET", Host: host, Target: target, Link: true,
		Last: s.service.known(s.watch.Channels),
	}
	if shared {
		req.Key = linkKey(req)
	}
	put := s.asked
	s.ticket = l.edge.origin.Ask(req, notBefore, func(r upstream.Result) {
		l.post(func() {
			if s.asked != put || s.state != linking {
				if r.Answer != nil && r.Answer.Body != nil {
					r.Answer.Body.Close()
				}
				return
			}
			s.linked(r)
		})
	})
	if void != nil {
		void.Leave()
	}
}

// linkKey is equal for equal questions of streams.
func linkKey(req *upstream.Request) string {
	var b strings.Builder
	b.WriteString("link ")
	b.WriteString(req.Host)
	b.WriteString(req.Target)
	for _, c := range req.Last {
		b.WriteByte('\n')
		b.WriteString(c.Last())
	}
	return b.String()
}

// linked acts on what the origin said to a link.
func (s *stream) linked(r upstream.Result) {
	switch {
	case r.Alone:
		s.askAlone()
	case r.Failure != nil:
		s.retry(r.Failure)
	case r.Answer.Hold != nil && !s.settled(r.Answer):
		s.await(r.Answer)
	default:
		s.append(r.Answer)
	}
}

// append sends an answer's body and does what comes after it.
func (s *stream) append(answer *upstream.Answer) {
	if u, err := s.at.Parse(s.next.URL); err == nil {
		s.at = u
	}
	s.obey(answer)
	if s.key != "" && answer.Hold != nil {
		s.unlist()
		s.list(s.service.streamKey(s.base, s.at, s.gone, answer))
	}
	begun, err := s.service.begun(answer)
	if err != nil {
		s.loop.unfiltered(s.service, err)
		if answer.Body != nil {
			answer.Body.Close()
		}
		s.cut()
		return
	}
	newPiece := fanout.NewPiece
	if answer.Body != nil { // the rest of it follows
		newPiece = fanout.NewFragment
	}
	if len(begun.Body) > 0 {
		s.loop.shard.Append(&s.group, newPiece(begun.Body))
	}
	if s.state != ended {
		s.begin(answer)
	} else if answer.Body != nil {
		answer.Body.Close()
	}
}

// settled reports whether nothing that was published to the channels of an
// answer since it was asked for can have been missed.
func (s *stream) settled(answer *upstream.Answer) bool {
	c := s.loop.edge.cluster
	return c == nil || c.settled(s.service.prefixed(answer.Hold.Channels), answer.Asked)
}

// await asks again when the edge is subscribed to the channels.
func (s *stream) await(answer *upstream.Answer) {
	if answer.Body != nil {
		answer.Body.Close()
	}
	c, put := s.loop.edge.cluster, s.asked
	c.await(s.service.prefixed(answer.Hold.Channels), func(confirmed time.Time, err error) {
		s.loop.post(func() {
			switch {
			case s.asked != put || s.state != linking:
			case err != nil:
				s.retryLater()
			default:
				s.ask(later(confirmed, c.cutOff()))
			}
		})
	})
}

// retry asks again some time later, or gives up.
func (s *stream) retry(f *upstream.Failure) {
	if f.Answered && s.failures >= linkTries {
		s.loop.edge.log.Warn("streams end: the answers to their next link are of no use",
			"route", s.service.route.ID, "link", s.next.URL, "clients", s.group.Len(), "err", f.Err)
		s.cut()
		return
	}
	s.retryLater()
}

func (s *stream) retryLater() {
	delay := min(retryFirst<<min(s.failures, 10), retryLast) + rand.N(time.Second)
	s.failures++
	put := s.asked
	time.AfterFunc(delay, func() {
		s.loop.post(func() {
			if s.asked == put && s.state == linking {
				s.ask(time.Time{})
			}
		})
	})
}

// tellGone lets the origin know that a client has left, if it wants to.
func (s *stream) tellGone() {
	s.service.tellGone(s.loop.edge.origin, s.base, s.gone)
}

// tellGone posts to a gone link of an answer to the request of that URL; "" is
// none.
func (s *service) tellGone(origin *upstream.Client, base *url.URL, link string) {
	if link == "" {
		return
	}
	if to, host, target, err := s.resolve(base, base, link); err == nil {
		origin.Tell(to, host, target)
	}
}

// urlOf returns the URL of a request; that of / for a target that is no path.
func urlOf(secure bool, host, target string) *url.URL {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		u = &url.URL{Path: "/"}
	}
	u.Scheme, u.Host = "http", host
	if secure {
		u.Scheme = "https"
	}
	return u
}

// resolve returns whom to ask for a link, which is relative to the URL at, on behalf
// of the request of the URL base: the service itself, if the link leads to the same
// host, or that of another one.
func (s *service) resolve(base, at *url.URL, link string) (up *upstream.Service, toHost, toTarget string, err error) {
	u, err := at.Parse(link)
	if err != nil {
		return nil, "", "", err
	}
	if u.Scheme == base.Scheme && sameHost(u, base) {
		toHost = u.Host
		if s.route.AsHost != "" {
			toHost = s.route.AsHost
		}
		return s.up, toHost, s.route.Target(u.RequestURI()), nil
	}
	up, err = s.up.Direct(u)
	return up, u.Host, u.RequestURI(), err
}

// sameHost reports whether two URLs of one scheme have the same host and port.
func sameHost(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		if u.Scheme == "https" {
			return "443"
		}
		return "80"
	}
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}
