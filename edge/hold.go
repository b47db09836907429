package main

import (
	"net/url"
	"slices"
	"strings"

	"marquee/fanout"
	"marquee/grip"
	"marquee/upstream"
)

// An ask whose answer is a hold of mode response waits for an item, together with
// all who have asked the same.

// hold begins the hold, unless an item has passed since the origin was asked.
func (a *ask) hold(r upstream.Result) {
	l, hold := a.loop, r.Answer.Hold
	a.watch = fanout.Watch{
		Channels: a.channels(r.Answer),
		Mode:     grip.HoldResponse,
		Meta:     hold.Meta,
		Template: fanout.NewTemplate(r.Answer.Response, a.finish),
		Group:    a.group,
		Asked:    r.Answer.Asked,
		Asker:    a,
	}
	a.gone = r.Answer.Gone
	a.cursor = a.key != "" && a.names(a.watch.Channels)
	standing, at := l.shard.Enter(&a.watch)
	switch standing {
	case fanout.Behind:
		a.again(l.shard.Moved(&a.watch))
	case fanout.AtHand:
		g := a.group
		a.Answered(at)
		l.shard.Give(g, at)
	case fanout.Holding:
		a.state, a.response, a.failures = holding, a.newAnswer(r.Answer), 0
		a.timeout = l.edge.origin.HoldTimeout(hold)
		a.until = l.now.Add(a.timeout)
		a.group.Each(func(_ *fanout.Hold, client fanout.Client) {
			if c := client.(*conn); c.unwanted() {
				c.turnHoldAway()
			} else {
				a.beginHold(c)
			}
		})
	}
}

// beginHold makes a connection of the group one that is held; for no longer than
// this when the edge drains.
func (a *ask) beginHold(c *conn) {
	c.state, c.admitted = held, true
	c.startHold()
	a.loop.holds.Add(1)
	a.loop.counts(a.service).holds.Add(1)
	a.loop.edge.tracker.hold(grip.HoldResponse, a.watch.Channels, 1)
	a.loop.wheel.set(c, a.timeout)
	a.loop.shard.Want(&a.watch, c.hold.Variant)
	if a.loop.draining {
		c.ends(endDrain)
		c.timeOut()
	}
}

// released notes that a connection is held no more, for whatever reason.
func (a *ask) released(c *conn) {
	c.loop.holds.Add(-1)
	c.loop.counts(a.service).holds.Add(-1)
	c.loop.edge.tracker.hold(grip.HoldResponse, a.watch.Channels, -1)
}

// Answered implements fanout.Asker. The answer stays for those who come a moment
// later, if they say by their request that they do not have it: who has it would get
// it again and again.
func (a *ask) Answered(answer *fanout.Answer) {
	news := a.cursor && !a.names(a.watch.Channels) && !slices.ContainsFunc(a.watch.Channels, unnumbered)
	if !news || a.loop.asks[a.key] != a {
		a.drop()
		return
	}
	a.keep(answer, keepAnswered)
}

// unnumbered reports whether it is not known which item of a channel was the last.
func unnumbered(c grip.Channel) bool { return c.PrevID == "" }

// names reports whether the request says which item of each channel was the last that
// the client has had: as a step of the path, a value in the query, or a field's value.
func (a *ask) names(channels []grip.Channel) bool {
	for _, c := range channels {
		if unnumbered(c) || !a.has(c.PrevID) {
			return false
		}
	}
	return true
}

// has reports whether a step of the path, a value in the query, or the value of a field
// is this.
func (a *ask) has(value string) bool {
	path, query, _ := strings.Cut(a.target, "?")
	for step := range strings.SplitSeq(path, "/") {
		if s, err := url.PathUnescape(step); err == nil && s == value {
			return true
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		_, v, _ := strings.Cut(pair, "=")
		if s, err := url.QueryUnescape(v); err == nil && s == value {
			return true
		}
	}
	return slices.ContainsFunc(a.req.Header, func(f grip.Field) bool { return f.Value == value })
}

// Superseded implements fanout.Asker.
func (a *ask) Superseded() { a.drop() }

// Missed implements fanout.Asker.
func (a *ask) Missed() {
	a.group.Each(func(_ *fanout.Hold, client fanout.Client) {
		client.(*conn).state = asking
		a.released(client.(*conn))
	})
	notBefore := a.loop.shard.Moved(&a.watch)
	if c := a.loop.edge.cluster; c != nil {
		notBefore = later(notBefore, c.cutOff())
	}
	a.again(notBefore)
}

// Closed implements fanout.Asker: no item closes a long poll.
func (a *ask) Closed() {}

// Filter implements fanout.Asker.
func (a *ask) Filter(d *fanout.Delivery) {
	put := a.put
	at := urlOf(a.secure, a.req.Host, a.target)
	a.loop.filter(a.service, at, at, &a.watch, d, func(content []byte, drop bool) {
		if a.put == put && a.state == holding {
			a.loop.shard.Filtered(&a.watch, d, content, drop)
		}
	})
}

// Unfiltered implements fanout.Asker.
func (a *ask) Unfiltered(err error) { a.loop.unfiltered(a.service, err) }
