package main

import (
	"time"

	"marquee/bus"
)

// maxRuns is how many changes are remembered.
const maxRuns = 20

// A headline is what the origin serves.
type headline struct {
	ID   uint64 `json:"id"`
	Body string `json:"body"`
}

// A report is statistics of a group as they came in.
type report struct {
	bus.Stats
	// arrived is T, when the dashboard received them.
	arrived time.Time
	// originPing and groupPing are O and C, the newest round trips to the two
	// nodes; 0 when unknown.
	originPing, groupPing time.Duration
	// sameClock says that the group's clock is the dashboard's.
	sameClock bool
}

// clockSet is by how much more the times of a process on this machine differ from
// ours than they can, when the machine's clock has been set in between.
const clockSet = time.Minute

// first returns when the first client received the headline, by a group that has our
// clock. It can be compared with our times after the clock is set, too; when it has
// just been, it is when we heard of it.
func (r report) first() time.Time {
	since := r.FirstAt.Sub(r.arrived)
	if since > 0 || since < -clockSet {
		since = 0
	}
	return r.arrived.Add(since)
}

// deliveries follows headlines to the clients. It reads no clock; it is the
// dashboard's, under its mutex.
//
// A change has been made when it was triggered here and the origin has said its
// id, or when some group has it that was not triggered here: then it is not
// known when it began.
type deliveries struct {
	newest headline
	// newestAt is when it was triggered, or first heard of.
	newestAt time.Time
	// triggered is what is being posted, nil for nothing. Groups may have it
	// before the origin's answer is here.
	triggered *trigger
	// runs are the newest changes, the newest first. The newest headline is not
	// one of them if it was there before this dashboard.
	runs   []*change
	groups map[string]report // the newest of each
}

// A trigger is a change of which the origin has not said the id.
type trigger struct {
	body string
	at   time.Time
}

// trigger notes that body is about to be posted, now. One at a time.
func (d *deliveries) trigger(body string, now time.Time) { d.triggered = &trigger{body, now} }

// failed notes that the origin has not accepted what was posted.
func (d *deliveries) failed() { d.triggered = nil }

// made notes the origin's answer to what was posted. Groups may know more by
// now; otherwise the origin knows best, even when it counts from 1 again.
func (d *deliveries) made(h headline) {
	t := d.triggered
	d.triggered = nil
	if h.ID != d.newest.ID && !(h.ID < d.newest.ID && d.newestAt.After(t.at)) {
		d.begin(h, t.at, true)
	}
}

// found notes that the origin, asked at that time, served h.
func (d *deliveries) found(h headline, asked time.Time) {
	if h.ID != d.newest.ID && d.triggered == nil && !d.newestAt.After(asked) {
		d.newest, d.newestAt = h, asked
	}
}

// take takes statistics.
func (d *deliveries) take(r report) {
	h := headline{r.ID, r.Body}
	switch {
	case h.ID <= d.newest.ID:
	case d.triggered != nil && d.triggered.body == h.Body:
		d.begin(h, d.triggered.at, true)
	case d.newest.ID == 0:
		d.found(h, r.arrived)
	case r.sameClock:
		d.begin(h, r.first(), false)
	default:
		d.begin(h, r.arrived, false)
	}
	if d.groups == nil {
		d.groups = make(map[string]report)
	}
	d.groups[r.Group] = r
	if c := d.change(); c != nil && c.ID == h.ID {
		c.take(r)
	}
}

func (d *deliveries) left(group string) { delete(d.groups, group) }

// begin begins a change.
func (d *deliveries) begin(h headline, at time.Time, timed bool) {
	d.newest, d.newestAt = h, at
	c := &change{headline: h, at: at, timed: timed, receipts: make(map[string]*receipts)}
	for name, r := range d.groups {
		if r.Started > 0 {
			c.receipts[name] = &receipts{clients: r.Started}
			c.clients += r.Started
		}
	}
	d.runs = append([]*change{c}, d.runs[:min(len(d.runs), maxRuns-1)]...)
}

// change returns the change that made the newest headline, nil for none.
func (d *deliveries) change() *change {
	if len(d.runs) == 0 || d.runs[0].ID != d.newest.ID {
		return nil
	}
	return d.runs[0]
}

// counts sums up the newest statistics: clients wanted, started, errored, and
// those that have the newest headline.
func (d *deliveries) counts() (clients, started, errored, received int) {
	for _, r := range d.groups {
		clients += r.Total
		started += r.Started
		errored += r.Errored
		if r.ID == d.newest.ID {
			received += r.Received
		}
	}
	return clients, started, errored, received
}

// A change is one headline on its way to the clients that were there when it
// began.
type change struct {
	headline
	at    time.Time // S
	timed bool      // whether at is when it was triggered
	// clients is how many there were, of the groups in receipts.
	clients   int
	receipts  map[string]*receipts
	histogram histogram
}

// receipts are those of a group.
type receipts struct {
	clients int // that waited for the change
	report      // the last one that told of more receipts
	// delivery is by the demonstration's formula, actual by the clients' own
	// clock: means since the change was triggered.
	delivery, actual time.Duration
}

// take takes statistics that are about this change. Those that tell of no more
// receipts than the ones before change nothing: they only arrive later. Those
// who came after the change are not waited for, so that a group is done when as
// many have it as were there.
func (c *change) take(r report) {
	g := c.receipts[r.Group]
	if g == nil || r.Received <= g.Received || g.Received >= g.clients {
		return
	}
	before := g.report
	g.report = r
	g.delivery = max(r.arrived.Sub(c.at)-r.originPing/2-r.groupPing/2-r.Latency, 0)
	g.actual = r.MeanAt.Sub(c.at)
	if (g.actual - g.delivery).Abs() > clockSet {
		g.sameClock = false
		r.sameClock = false
	}
	// Between two messages the group tells, by its clock, when it had as many
	// as it says. Where that is not our clock, the formula tells what it is off.
	off := time.Duration(0)
	if !r.sameClock {
		off = g.delivery - g.actual
	}
	from := r.FirstAt
	if before.Received > 0 {
		from = before.LastAt
	}
	c.histogram.spread(from.Sub(c.at)+off, r.LastAt.Sub(c.at)+off, r.Received-before.Received)
}

// received is how many clients received the change.
func (c *change) received() int {
	n := 0
	for _, g := range c.receipts {
		n += g.Received
	}
	return n
}

// delivery returns the demonstration's figures: smallest, largest and
// client-weighted mean of the groups' means. Nil when nobody has received the
// change or nobody knows when it began.
func (c *change) delivery() *span {
	if !c.timed {
		return nil
	}
	var s span
	var sum time.Duration
	n := 0
	for _, g := range c.receipts {
		if g.Received == 0 {
			continue
		}
		if n == 0 || g.delivery < s.min {
			s.min = g.delivery
		}
		s.max = max(s.max, g.delivery)
		sum += g.delivery * time.Duration(g.Received)
		n += g.Received
	}
	if n == 0 {
		return nil
	}
	s.avg = sum / time.Duration(n)
	return &s
}

// actual returns the first, the last and the mean delivery by the clients'
// clock. Nil where delivery is, and when some group has another clock.
func (c *change) actual() *span {
	if !c.timed {
		return nil
	}
	var s span
	var sum time.Duration
	n := 0
	for _, g := range c.receipts {
		if g.Received == 0 {
			continue
		}
		if !g.sameClock {
			return nil
		}
		if first := g.FirstAt.Sub(c.at); n == 0 || first < s.min {
			s.min = first
		}
		s.max = max(s.max, g.LastAt.Sub(c.at))
		sum += g.actual * time.Duration(g.Received)
		n += g.Received
	}
	if n == 0 {
		return nil
	}
	s.avg = sum / time.Duration(n)
	return &s
}
