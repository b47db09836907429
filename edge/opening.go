package main

import (
	"net/http"
	"slices"

	"marquee/fanout"
	"marquee/upstream"
)

// An ask whose answer is a stream hold, or has a next link, begins streams.

// open begins streams for everybody who waits. The answer that they begin with
// stays for those who ask the same a little later, if nothing has come after it
// and its channels do not move on: so thousands of streams cost the origin one
// request. One that others are ahead of, as the answer to an old Last-Event-ID is,
// does not stay: to the hub a kept answer is the newest.
func (a *ask) open(answer *upstream.Answer) {
	l, g := a.loop, a.group
	response, err := a.service.begun(answer)
	if err != nil {
		l.unfiltered(a.service, err)
		a.give(fanout.NewAnswer(a.finish.On(a.service.failure(&upstream.Failure{
			Code: http.StatusBadGateway, Reason: "Error while proxying to origin.", Debug: err.Error(),
		}))))
		return
	}
	if a.finish == nil || !a.finish.Whole { // a stream is no script
		response = a.finish.On(response)
	}
	a.opening, a.instruct = fanout.NewOpening(response), answer
	var waiting []*conn
	g.Each(func(h *fanout.Hold, client fanout.Client) {
		h.Leave()
		c := client.(*conn)
		c.ask = nil // its leaving does not end the ask
		waiting = append(waiting, c)
	})
	a.withdraw() // until it is known whether this is the newest answer
	newest := false
	for _, c := range waiting {
		if s := a.beginStream(c); s != nil {
			newest = s.state == following && slices.EqualFunc(s.watch.Channels, a.channels(answer), sameChannel)
		}
	}
	if !newest || !a.keepsOpening() || l.asks[a.key] != nil {
		a.drop()
		return
	}
	a.watch = fanout.Watch{Channels: a.channels(answer), Asked: answer.Asked, Asker: a}
	if standing, _ := l.shard.Enter(&a.watch); standing != fanout.Holding {
		a.drop()
		return
	}
	l.asks[a.key] = a
	a.keep(nil, upstream.KeepNamed)
}

// keepsOpening reports whether the beginning of streams may be given to others.
func (a *ask) keepsOpening() bool {
	in := a.instruct
	return a.key != "" && in.Hold != nil && in.Body == nil && !in.Personal && len(in.Hold.Channels) > 0
}

// beginStream begins a stream for one client, who is in no group, and returns it; nil
// when there is only a head to answer with, or no memory for a stream.
func (a *ask) beginStream(c *conn) *stream {
	o := a.opening
	if c.hold.Variant&fanout.HeadOnly != 0 || o.Bodiless() {
		c.respond(o.Wire(o.Variant(c.hold.Variant)))
		if a.instruct.Body != nil {
			a.instruct.Body.Close()
		}
		return nil
	}
	if c.unwanted() {
		c.turnHoldAway()
		if a.instruct.Body != nil {
			a.instruct.Body.Close()
		}
		return nil
	}
	s, fresh := a.loop.streamOf(a, a.instruct)
	c.beginStream(s, o, fresh && a.instruct.Hold != nil && a.instruct.Body == nil)
	switch {
	case !fresh:
	case s.state != ended:
		s.begin(a.instruct)
		c.sendOpening()
	case a.instruct.Body != nil: // the client was gone when it was to get the head
		a.instruct.Body.Close()
	}
	if c.state == streaming && a.loop.draining {
		c.drain()
	}
	return s
}
