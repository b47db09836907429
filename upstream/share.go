package upstream

import (
	"context"
	"maps"
	"slices"
	"time"

	"marquee/grip"
)

// KeepNamed is how long an answer that names its channels may be given to those
// who ask later, if none of the channels moves on: the bound on what a lost
// publish can do.
const KeepNamed = 10 * time.Second

// Result is what an asker gets.
type Result struct {
	// Answer is what the origin said; nil with Failure and with Alone.
	Answer *Answer
	// Failure is set when there is no answer.
	Failure *Failure
	// Alone: the answer went to somebody for whom alone it was meant. Ask
	// again with a request without a key.
	Alone bool
	// Kept: the answer was there before it was asked for. Whoever finds it
	// outdated asks again.
	Kept bool
}

// Ticket is one asker's interest in a request.
type Ticket struct {
	call   *call
	done   func(Result)
	inTime bool // left before there was a result; Client.mu
}

// callKey is what calls must have in common to be one.
type callKey struct {
	service       *Service
	link, trusted bool
	key           string // Request.Key, not empty
}

// call is one request to the origin, on behalf of one ticket or more.
type call struct {
	client *Client
	req    *Request
	first  *Ticket // whose request it is
	job    job
	cancel context.CancelFunc

	// Client.mu.
	tickets []*Ticket // who have not left
	answer  *Answer   // once there, while it may be given to others
	settled bool
	until   time.Time // end of the time for which answer may be given
	asked   time.Time // when the origin was asked; zero while in line
	changes int64     // Client.changes then
}

// Ask puts a request, or joins an equal one that is open or whose answer still
// stands, unless the origin was asked before notBefore, or before a change that
// passed through here; the zero time rules out nothing. done is called once, on
// some other goroutine, unless the ticket is left in time. Safe from any
// goroutine; never blocks.
func (c *Client) Ask(req *Request, notBefore time.Time, done func(Result)) *Ticket {
	t := &Ticket{done: done}
	c.mu.Lock()
	defer c.mu.Unlock()
	if req.Key != "" {
		if old := c.calls[req.callKey()]; old != nil && old.stands(notBefore) {
			t.call = old
			old.tickets = append(old.tickets, t)
			c.joined.Add(1)
			if old.settled {
				go done(Result{Answer: old.answer, Kept: true})
			}
			return t
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cl := &call{client: c, req: req, cancel: cancel, first: t, tickets: []*Ticket{t}}
	t.call = cl
	cl.job = job{
		streams: req.Stream != nil,
		run:     func() { cl.run(ctx) },
		refused: func() {
			c.refused.Add(1)
			c.failed(ctx, req.Service, busy)
			cl.settle(nil, busy)
		},
	}
	if req.Key != "" {
		c.calls[req.callKey()] = cl
	}
	c.limit.start(&cl.job)
	return t
}

// stands reports whether the call's answer, there or to come, serves who may be
// told only what the origin knew at notBefore or later. Client.mu.
func (cl *call) stands(notBefore time.Time) bool {
	switch {
	case cl.asked.IsZero():
		return true // it is still to be asked
	case cl.asked.Before(notBefore):
		return false
	case cl.settled && cl.answer.Hold != nil:
		return time.Now().Before(cl.until) // its ids tell whether it is outdated
	}
	// Who asks for a link has changed nothing himself; what others change is
	// published.
	unchanged := cl.req.Link || cl.changes == cl.client.changes.Load()
	return unchanged && (!cl.settled || time.Now().Before(cl.until))
}

// Outdate lets nobody who asks from now on have what the origin was asked before:
// it may have changed, and nothing else would tell.
func (c *Client) Outdate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.calls, func(_ callKey, cl *call) bool { return !cl.asked.IsZero() })
}

// run is the goroutine of an open request.
func (cl *call) run(ctx context.Context) {
	c := cl.client
	c.requests.Add(1)
	c.mu.Lock()
	cl.asked, cl.changes = time.Now(), c.changes.Load()
	c.mu.Unlock()
	a, f := c.fetch(ctx, cl.req)
	if a != nil {
		a.Asked = cl.asked
	}
	if !safe(cl.req.Method) {
		c.changes.Add(1)
	}
	if f == nil && a.Body != nil && !c.limit.stream(&cl.job) {
		a.Body.Close()
		a, f = nil, busy
	}
	if f != nil {
		c.failed(ctx, cl.req.Service, f)
	} else {
		c.answered(cl.req.Service)
	}
	if f == nil && a.Body != nil {
		a.Body = &openBody{ReadCloser: a.Body, closed: func() { c.limit.done(&cl.job) }}
	} else {
		c.limit.done(&cl.job)
	}
	cl.settle(a, f)
}

// settle gives the result to those who wait for it.
func (cl *call) settle(a *Answer, f *Failure) {
	c := cl.client
	c.mu.Lock()
	cl.settled = true
	tickets := slices.Clone(cl.tickets)
	alone := a != nil && (a.Body != nil || a.Personal)
	switch {
	case alone || f != nil:
	case a.Hold != nil:
		// What a stream without channels begins with may be outdated, and nothing
		// would tell.
		endless := a.Hold.Mode == grip.HoldStream && len(a.Hold.Channels) == 0
		if identified(a.Hold.Channels) && !endless {
			cl.keep(a, c.HoldTimeout(a.Hold))
		}
	case a.Named != nil:
		cl.keep(a, KeepNamed)
	}
	if cl.answer == nil {
		c.forget(cl)
	}
	c.mu.Unlock()

	if a != nil && a.Body != nil && !slices.Contains(tickets, cl.first) {
		a.Body.Close()
	}
	for _, t := range tickets {
		if alone && t != cl.first {
			t.done(Result{Alone: true})
		} else {
			t.done(Result{Answer: a, Failure: f})
		}
	}
}

// identified reports whether each channel has an id, by which it can be seen
// later whether the answer that names it has missed an item.
func identified(channels []grip.Channel) bool {
	return !slices.ContainsFunc(channels, func(ch grip.Channel) bool { return ch.PrevID == "" })
}

// keep lets the answer be given to those who ask later and find the call: not
// to anybody if it has no key, or if all have left. Client.mu.
func (cl *call) keep(a *Answer, d time.Duration) {
	cl.answer, cl.until = a, time.Now().Add(d)
}

// Leave ends the interest. When all have left, a request that is open is given
// up, and an answer is no longer kept. It reports whether it came in time:
// then done is not called. Calling it again does nothing.
func (t *Ticket) Leave() (inTime bool) {
	cl := t.call
	c := cl.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(cl.tickets, t); i >= 0 {
		t.inTime = !cl.settled
		cl.tickets = slices.Delete(cl.tickets, i, i+1)
		if len(cl.tickets) == 0 {
			c.forget(cl)
			if !cl.settled {
				c.limit.cancel(&cl.job)
				cl.cancel()
			}
		}
	}
	return t.inTime
}

// forget takes the call out of the reach of those who ask later. Client.mu.
func (c *Client) forget(cl *call) {
	if key := cl.req.callKey(); c.calls[key] == cl {
		delete(c.calls, key)
	}
}
