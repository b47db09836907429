package main

import (
	"math/rand/v2"
	"net/http"
	"time"

	"marquee/fanout"
	"marquee/grip"
	"marquee/upstream"
)

// keepAnswered is how long an item that has answered an ask answers those who
// ask the same a moment later, if the channel does not move on.
const keepAnswered = 10 * time.Second

// The pauses before the origin is asked again for a group that was held, when it
// gives no good answer: from the first, doubling, to the last, less up to half.
const (
	retryFirst = time.Second
	retryLast  = 16 * time.Second
)

// askState is how far an ask has come:
//
//	waiting → holding → answered → dropped
//	   ↑         │ missed an item
//	   └─────────┘
type askState uint8

const (
	waiting  askState = iota // for the origin
	holding                  // the origin said so
	answered                 // what the next asker gets is at hand
	dropped                  // out of reach
)

// ask is one question to the origin on behalf of all connections of a loop that
// have the same question: a hundred thousand polls are a handful of asks. While
// it is holding, who comes with the same question joins without asking anybody.
// Loop only.
type ask struct {
	loop    *loop
	service *service
	req     *upstream.Request
	key     string // by which others find it; "" for nobody
	target  string // as the client wrote it
	secure  bool
	finish  *fanout.Finish // of every answer; nil for nothing
	state   askState

	ticket *upstream.Ticket
	asker  *conn         // whose request it is; nil when it has left
	put    int           // times asked: a result of an earlier time is void
	group  *fanout.Group // who waits; nil once answered
	watch  fanout.Watch  // of the channels, when holding or answered

	timeout  time.Duration    // of the hold
	response *fanout.Answer   // what the hold's timeout gives; nil before it is held
	cursor   bool             // names what the clients have had; holding
	gone     string           // what to tell when a client has left; "" for nobody
	answer   *fanout.Answer   // when answered
	opening  *fanout.Opening  // instead: when what was asked are streams
	instruct *upstream.Answer // of the streams
	until    time.Time        // after this nobody joins, and the origin is asked
	changes  int64            // upstream's count when asked
	failures int              // in a row, since the hold

	older, newer *ask // in loop.answered
}

// newAsk makes an ask of what a client asked for, that others with the same key
// can join, unless it has none.
func (l *loop) newAsk(q *question) *ask {
	a := &ask{
		loop: l, service: q.service, req: q.req, key: q.key, target: q.target, secure: q.secure, finish: q.finish,
		group: &fanout.Group{Tally: &q.service.counts.answers},
	}
	if a.key != "" {
		if old := l.asks[a.key]; old != nil {
			old.replaced()
		}
		l.asks[a.key] = a
	}
	return a
}

// joinable returns the ask that a request with this key may join, or nil.
func (l *loop) joinable(key []byte) *ask {
	a := l.asks[string(key)]
	switch {
	case a == nil,
		a.state != waiting && l.now.After(a.until),
		a.state != holding && a.changes != l.edge.origin.Changes(),
		a.state == answered && l.shard.Behind():
		return nil
	}
	return a
}

// join puts c's question to a, in whatever state that is.
func (a *ask) join(c *conn) {
	switch a.state {
	case waiting:
		c.ask, c.state = a, asking
		a.group.Join(&c.hold, c)
		c.loop.wheel.set(c, askingCheck)
	case holding:
		if c.unwanted() {
			c.turnHoldAway()
			return
		}
		c.ask = a
		a.group.Join(&c.hold, c)
		a.beginHold(c)
	case answered:
		a.loop.repeated.Add(1)
		if a.opening != nil {
			a.beginStream(c)
		} else {
			c.respond(a.answer.Wire(c.hold.Variant))
		}
	}
}

// send asks the origin; what it was asked before notBefore does not count.
func (a *ask) send(notBefore time.Time) {
	l, void := a.loop, a.ticket
	a.state, a.changes = waiting, l.edge.origin.Changes()
	a.put++
	put := a.put
	a.ticket = l.edge.origin.Ask(a.req, notBefore, func(r upstream.Result) {
		l.post(func() {
			if a.put != put || a.state != waiting {
				if r.Answer != nil && r.Answer.Body != nil {
					r.Answer.Body.Close()
				}
				return
			}
			a.settle(r)
		})
	})
	if void != nil {
		void.Leave()
	}
}

// settle acts on what the origin said.
func (a *ask) settle(r upstream.Result) {
	answer := r.Answer
	if answer != nil && (answer.Personal || answer.Body != nil) {
		a.part()
		if a.asker == nil {
			if answer.Body != nil {
				answer.Body.Close()
			}
			return
		}
	}
	switch {
	case r.Failure != nil && a.response != nil:
		a.retry()
	case r.Failure != nil:
		a.give(fanout.NewAnswer(a.finish.On(a.service.failure(r.Failure))))
	case r.Alone: // another's request was put
		a.part()
		if a.asker != nil {
			a.send(time.Time{})
		}
	case answer.Hold != nil, answer.Next != nil:
		a.enter(r)
	case answer.Body != nil:
		a.relay(answer)
	default:
		a.complete(r)
	}
}

// failure is what clients get in place of an answer.
func (s *service) failure(f *upstream.Failure) grip.Response {
	line := f.Reason
	if s.debug && f.Debug != "" {
		line = f.Debug
	}
	r := plain(f.Code, line)
	if f.RetryAfter != "" {
		r.Header = append(r.Header, field("Retry-After", f.RetryAfter))
	}
	return r
}

// enter begins the hold, when the edge is subscribed to its channels.
func (a *ask) enter(r upstream.Result) {
	switch {
	case r.Answer.Hold != nil && !a.settled(a.channels(r.Answer), r.Answer.Asked):
		a.await(r)
	default:
		a.begin(r)
	}
}

// begin begins the hold, of whichever mode.
func (a *ask) begin(r upstream.Result) {
	if h := r.Answer.Hold; h != nil && h.Mode == grip.HoldResponse {
		a.hold(r)
	} else {
		a.open(r.Answer)
	}
}

// channels returns the channels of an answer's hold as the hub knows them.
func (a *ask) channels(answer *upstream.Answer) []grip.Channel {
	return a.service.prefixed(answer.Hold.Channels)
}

// settled reports whether nothing that was published to the channels since the
// origin was asked can have been missed.
func (a *ask) settled(channels []grip.Channel, asked time.Time) bool {
	c := a.loop.edge.cluster
	return c == nil || c.settled(channels, asked)
}

// await asks again when the edge is subscribed to the channels of the hold. If
// that fails, the hold begins with the answer that there is: what is published
// elsewhere does not reach it, unless the connection is to blame, and then all
// is asked again when it is back. A request that may change something is not put
// twice for this either (RFC 9110 §9.2.2): who sent it may miss what was
// published before the edge was subscribed.
func (a *ask) await(r upstream.Result) {
	c, put := a.loop.edge.cluster, a.put
	once := a.req.Method != http.MethodGet && a.req.Method != http.MethodHead
	c.await(a.channels(r.Answer), func(confirmed time.Time, err error) {
		a.loop.post(func() {
			cutOff := c.cutOff()
			void := a.put != put || a.state != waiting
			if !void && (err != nil || once) && r.Answer.Asked.After(cutOff) {
				a.begin(r)
				return
			}
			if r.Answer.Body != nil {
				r.Answer.Body.Close()
			}
			switch {
			case void:
			case r.Answer.Hold.Mode == grip.HoldStream:
				// Nobody has been given its beginning, so that is asked for, and not
				// what comes after it.
				a.send(later(confirmed, cutOff))
			default:
				a.watch = fanout.Watch{Channels: a.channels(r.Answer)}
				a.again(later(confirmed, cutOff))
			}
		})
	})
}

// newAnswer makes the bytes of an answer that the origin gave.
func (a *ask) newAnswer(from *upstream.Answer) *fanout.Answer {
	if a.req.Method == http.MethodHead && (a.finish == nil || !a.finish.Whole) { // a script has content
		return fanout.NewHeadAnswer(a.finish.On(from.Response), from.Length)
	}
	return fanout.NewAnswer(a.finish.On(from.Response))
}

// complete passes on an answer that is no hold. If it names the channels that
// it was made from, it stays for those who ask until one of them moves on.
func (a *ask) complete(r upstream.Result) {
	answer := a.newAnswer(r.Answer)
	if r.Answer.Named == nil || a.key == "" {
		a.give(answer)
		return
	}
	named := a.service.prefixed(r.Answer.Named)
	if !a.settled(named, r.Answer.Asked) {
		// Good for who asked, but not to be kept before the edge is subscribed.
		a.loop.edge.cluster.await(named, nil)
		if r.Kept {
			a.send(time.Now())
		} else {
			a.give(answer)
		}
		return
	}
	a.watch = fanout.Watch{Channels: named, Asked: r.Answer.Asked, Asker: a}
	standing, _ := a.loop.shard.Enter(&a.watch)
	switch {
	case standing == fanout.Holding:
		g := a.group
		a.keep(answer, upstream.KeepNamed)
		a.loop.shard.Give(g, answer)
	case r.Kept && r.Answer.Asked.Before(a.loop.shard.Moved(&a.watch)):
		a.send(a.loop.shard.Moved(&a.watch))
	default:
		a.give(answer)
	}
}

// keep makes a an answered ask, for others to join.
func (a *ask) keep(answer *fanout.Answer, d time.Duration) {
	a.state, a.answer, a.group, a.response = answered, answer, nil, nil
	a.until = a.loop.now.Add(d)
	a.loop.answered.push(a)
}

// give answers the group, and nobody after it.
func (a *ask) give(answer *fanout.Answer) {
	g := a.group
	a.drop()
	a.loop.shard.Give(g, answer)
}

// part makes all of the group but the asker ask for themselves, each in its own
// name (see loop.ownRequest): the answer is meant for one alone. Nobody joins the
// one who is left, if anybody is.
func (a *ask) part() {
	a.withdraw()
	alone := *a.req
	alone.Key = ""
	a.req, a.key = &alone, ""
	var others []*conn
	a.group.Each(func(h *fanout.Hold, client fanout.Client) {
		if c := client.(*conn); c != a.asker {
			h.Leave()
			others = append(others, c)
		}
	})
	if a.asker == nil {
		a.drop()
	}
	for _, c := range others {
		req := c.loop.ownRequest(c, a.service.route, a.req)
		c.put(&question{service: a.service, req: req, target: a.target, secure: a.secure, finish: a.finish})
	}
}

// relay gives the asker, who is the whole group, the answer whose body follows.
func (a *ask) relay(answer *upstream.Answer) {
	c := a.asker
	c.hold.Leave()
	c.ask = nil
	a.drop()
	if a.finish != nil && a.finish.Whole {
		answer.Body.Close()
		c.reply(http.StatusBadGateway, "The origin's answer is too long for this kind of request.")
		return
	}
	c.download(answer, a.finish)
}

// again asks the origin anew, no earlier than notBefore, on behalf of a group
// that may have missed something; the origin learns how far each channel was
// known.
func (a *ask) again(notBefore time.Time) {
	req := *a.req
	req.Last = a.service.known(a.watch.Channels)
	a.req = &req
	a.send(notBefore)
}

// retry asks again some time later, for a group that was held already: that the
// origin is away for a while is no reason to let go of its clients. They wait on
// under the deadline that they have.
func (a *ask) retry() {
	delay := min(retryFirst<<min(a.failures, 10), retryLast)
	delay -= rand.N(delay / 2)
	a.failures++
	put := a.put
	time.AfterFunc(delay, func() {
		a.loop.post(func() {
			if a.put == put && a.state == waiting {
				a.send(time.Now())
			}
		})
	})
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// left notes that a connection has left the group.
func (a *ask) left(c *conn) {
	if a.asker == c {
		a.asker = nil
	}
	if a.response != nil && a.gone != "" {
		a.service.tellGone(a.loop.edge.origin, urlOf(a.secure, a.req.Host, a.target), a.gone)
	}
	if (a.state == waiting || a.state == holding) && a.group.Len() == 0 {
		a.drop()
	}
}

// replaced notes that a newer ask has taken the key over: who is in the group
// stays in it.
func (a *ask) replaced() {
	a.withdraw()
	if a.state == answered {
		a.drop()
	}
}

// drop ends the ask. Its group, if it is being answered, is the shard's.
func (a *ask) drop() {
	l := a.loop
	a.withdraw()
	if a.state == answered {
		l.answered.remove(a)
	}
	a.state, a.group, a.answer, a.opening = dropped, nil, nil, nil
	l.shard.Leave(&a.watch)
	if a.ticket != nil {
		a.ticket.Leave()
	}
}

// withdraw puts the ask out of the reach of those who come later.
func (a *ask) withdraw() {
	if a.key != "" && a.loop.asks[a.key] == a {
		delete(a.loop.asks, a.key)
	}
}
