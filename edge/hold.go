package main

import (
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

// Answered implements fanout.Asker.
func (a *ask) Answered(answer *fanout.Answer) {
	if a.key == "" || a.loop.asks[a.key] != a {
		a.drop()
		return
	}
	a.keep(answer, keepAnswered)
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
