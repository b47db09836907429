package main

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"marquee/bus"
)

const ms = time.Millisecond

// start is when the headlines of these tests are triggered.
var start = time.Date(2013, 4, 1, 1, 43, 45, 0, time.UTC)

// A groupAt is a group's clients in a test: it reports as loadclient does.
type groupAt struct {
	name                  string
	total                 int
	originPing, groupPing time.Duration
	// clock is what the group's clock is ahead of ours.
	clock     time.Duration
	otherHost bool
}

// report returns what arrives at the dashboard at that time since start, when
// these receipts of headline id have been made by our clock. Half of the group's
// ping is its way.
func (g groupAt) report(arrived time.Duration, id uint64, body string, receipts ...time.Duration) report {
	sentAt := arrived - g.groupPing/2
	s := bus.Stats{Group: g.name, ID: id, Body: body, Total: g.total, Started: g.total, Received: len(receipts)}
	if n := time.Duration(len(receipts)); n > 0 {
		var sum time.Duration
		for _, at := range receipts {
			sum += at
		}
		clock := start.Add(g.clock)
		s.Latency = sentAt - sum/n
		s.FirstAt, s.LastAt, s.MeanAt = clock.Add(receipts[0]), clock.Add(receipts[n-1]), clock.Add(sum/n)
	}
	return report{Stats: s, arrived: start.Add(arrived), originPing: g.originPing, groupPing: g.groupPing, sameClock: !g.otherHost}
}

// waiting is the report of clients who all have a headline and wait for the next.
func (g groupAt) waiting(id uint64) report {
	r := g.report(-time.Minute, id, "before")
	r.Received = g.total
	return r
}

// times returns n times d.
func times(n int, d time.Duration) []time.Duration {
	var list []time.Duration
	for range n {
		list = append(list, d)
	}
	return list
}

// triggered returns deliveries where headline 2 was triggered at start, and the
// origin has answered.
func triggered(groups ...groupAt) *deliveries {
	d := &deliveries{}
	for _, g := range groups {
		d.take(g.waiting(1))
	}
	d.trigger("news", start)
	d.made(headline{2, "news"})
	return d
}

func TestDeliveryFormula(t *testing.T) {
	tests := []struct {
		name   string
		groups []groupAt
		// reports are taken in order.
		reports      func(g []groupAt) []report
		want         *span
		wantActual   *span
		wantReceived int
	}{
		{
			name:    "nobody yet",
			groups:  []groupAt{{name: "a", total: 2}},
			reports: func(g []groupAt) []report { return nil },
		}, {
			name:   "T - S - O/2 - C/2 - latency",
			groups: []groupAt{{name: "a", total: 4, originPing: 6 * ms, groupPing: 10 * ms}},
			reports: func(g []groupAt) []report {
				// Received at 53, sent at 95, arrived at 100: 100-3-5-42.
				return []report{g[0].report(100*ms, 2, "news", times(4, 53*ms)...)}
			},
			want:         &span{50 * ms, 50 * ms, 50 * ms},
			wantActual:   &span{53 * ms, 53 * ms, 53 * ms},
			wantReceived: 4,
		}, {
			name:   "minimum, maximum and client-weighted mean over groups",
			groups: []groupAt{{name: "a", total: 30}, {name: "b", total: 10}, {name: "c", total: 10}},
			reports: func(g []groupAt) []report {
				return []report{
					g[0].report(200*ms, 2, "news", times(30, 100*ms)...),
					g[1].report(200*ms, 2, "news", times(10, 180*ms)...),
					g[2].report(200*ms, 1, "before"),
				}
			},
			want:         &span{100 * ms, 180 * ms, 120 * ms},
			wantActual:   &span{100 * ms, 180 * ms, 120 * ms},
			wantReceived: 40,
		}, {
			name:   "the true figures see each client, the formula the means of groups",
			groups: []groupAt{{name: "a", total: 3}},
			reports: func(g []groupAt) []report {
				return []report{g[0].report(100*ms, 2, "news", 10*ms, 20*ms, 60*ms)}
			},
			want:         &span{30 * ms, 30 * ms, 30 * ms},
			wantActual:   &span{10 * ms, 60 * ms, 30 * ms},
			wantReceived: 3,
		}, {
			name:   "the same count once more restarts nothing",
			groups: []groupAt{{name: "a", total: 2, groupPing: 2 * ms}},
			reports: func(g []groupAt) []report {
				late := g[0].report(9000*ms, 2, "news", 10*ms, 20*ms)
				late.Latency = 0 // as the 2013 demonstration would have it
				return []report{g[0].report(100*ms, 2, "news", 10*ms, 20*ms), late}
			},
			want:         &span{15 * ms, 15 * ms, 15 * ms},
			wantActual:   &span{10 * ms, 20 * ms, 15 * ms},
			wantReceived: 2,
		}, {
			name:   "who came after the change does not count",
			groups: []groupAt{{name: "a", total: 2}},
			reports: func(g []groupAt) []report {
				grown := g[0]
				grown.total = 4
				return []report{
					g[0].report(100*ms, 2, "news", 10*ms, 20*ms),
					grown.report(9000*ms, 2, "news", 10*ms, 20*ms, 8900*ms, 8900*ms),
					groupAt{name: "new", total: 2}.report(9000*ms, 2, "news", 8900*ms, 8900*ms),
				}
			},
			want:         &span{15 * ms, 15 * ms, 15 * ms},
			wantActual:   &span{10 * ms, 20 * ms, 15 * ms},
			wantReceived: 2,
		}, {
			name:   "another clock tells no true figures",
			groups: []groupAt{{name: "a", total: 1}, {name: "b", total: 1, otherHost: true, clock: time.Hour}},
			reports: func(g []groupAt) []report {
				return []report{g[0].report(100*ms, 2, "news", 10*ms), g[1].report(100*ms, 2, "news", 30*ms)}
			},
			want:         &span{10 * ms, 30 * ms, 20 * ms},
			wantReceived: 2,
		}, {
			name:   "the clock has been set ahead since",
			groups: []groupAt{{name: "a", total: 1, clock: 5 * time.Hour}},
			reports: func(g []groupAt) []report {
				return []report{g[0].report(100*ms, 2, "news", 10*ms)}
			},
			want:         &span{10 * ms, 10 * ms, 10 * ms},
			wantReceived: 1,
		}, {
			name:   "the clock has been set back since",
			groups: []groupAt{{name: "a", total: 1, clock: -5 * time.Hour}},
			reports: func(g []groupAt) []report {
				return []report{g[0].report(100*ms, 2, "news", 10*ms)}
			},
			want:         &span{10 * ms, 10 * ms, 10 * ms},
			wantReceived: 1,
		}, {
			name:   "pings longer than the delivery",
			groups: []groupAt{{name: "a", total: 1, originPing: 500 * ms}},
			reports: func(g []groupAt) []report {
				return []report{g[0].report(100*ms, 2, "news", 10*ms)}
			},
			want:         &span{},
			wantActual:   &span{10 * ms, 10 * ms, 10 * ms},
			wantReceived: 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := triggered(tt.groups...)
			for _, r := range tt.reports(tt.groups) {
				d.take(r)
			}
			c := d.change()
			if got := c.delivery(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("delivery is %v, want %v", got, tt.want)
			}
			if got := c.actual(); !reflect.DeepEqual(got, tt.wantActual) {
				t.Errorf("true delivery is %v, want %v", got, tt.wantActual)
			}
			if got := c.received(); got != tt.wantReceived {
				t.Errorf("received is %d, want %d", got, tt.wantReceived)
			}
		})
	}
}

// However the clock of the machine is set, what the origin is asked later counts.
func TestFoundAfterClockSet(t *testing.T) {
	for _, clock := range []time.Duration{0, 5 * time.Hour, -5 * time.Hour} {
		group := groupAt{name: "a", total: 1, clock: clock}
		d := &deliveries{}
		d.take(group.waiting(1))
		d.take(group.report(100*ms, 2, "heard of", 90*ms))
		d.found(headline{3, "found"}, start.Add(200*ms))
		if want := (headline{3, "found"}); d.newest != want {
			t.Errorf("with a clock that is %v ahead of what it was, the newest is %v, want %v", clock, d.newest, want)
		}
	}
}

// A headline may be heard of by a trigger's answer, by groups or at the origin,
// in any order.
func TestDeliveriesBegin(t *testing.T) {
	group := groupAt{name: "a", total: 1}
	tests := []struct {
		name       string
		do         func(d *deliveries)
		wantNewest headline
		wantRuns   []string // id, and S when known
	}{
		{"nothing", func(d *deliveries) {}, headline{1, "before"}, nil},
		{"answer first", func(d *deliveries) {
			d.trigger("news", start)
			d.made(headline{2, "news"})
			d.take(group.report(50*ms, 2, "news", 10*ms))
		}, headline{2, "news"}, []string{"2 at 0s"}},
		{"group first", func(d *deliveries) {
			d.trigger("news", start)
			d.take(group.report(50*ms, 2, "news", 10*ms))
			d.made(headline{2, "news"})
		}, headline{2, "news"}, []string{"2 at 0s"}},
		{"made elsewhere", func(d *deliveries) {
			d.take(group.report(50*ms, 2, "news", 10*ms))
		}, headline{2, "news"}, []string{"2 unknown"}},
		{"made elsewhere while one is posted", func(d *deliveries) {
			d.trigger("news", start)
			d.take(group.report(50*ms, 2, "other news", 10*ms))
			d.made(headline{3, "news"})
		}, headline{3, "news"}, []string{"3 at 0s", "2 unknown"}},
		{"made elsewhere after ours, and heard of first", func(d *deliveries) {
			d.trigger("news", start)
			d.take(group.report(50*ms, 3, "newer", 10*ms))
			d.made(headline{2, "news"})
		}, headline{3, "newer"}, []string{"3 unknown"}},
		{"refused", func(d *deliveries) {
			d.trigger("news", start)
			d.failed()
			d.take(group.report(50*ms, 2, "news", 10*ms))
		}, headline{2, "news"}, []string{"2 unknown"}},
		{"a group is late", func(d *deliveries) {
			d.trigger("news", start)
			d.made(headline{2, "news"})
			d.take(group.report(50*ms, 1, "before"))
		}, headline{2, "news"}, []string{"2 at 0s"}},
		{"the origin lost its data", func(d *deliveries) {
			d.found(headline{9, "old"}, start.Add(-time.Second))
			d.trigger("news", start)
			d.made(headline{1, "news"})
		}, headline{1, "news"}, []string{"1 at 0s"}},
		{"the origin was asked before", func(d *deliveries) {
			d.trigger("news", start)
			d.made(headline{2, "news"})
			d.found(headline{1, "before"}, start.Add(-time.Second))
		}, headline{2, "news"}, []string{"2 at 0s"}},
		{"the origin has another one", func(d *deliveries) {
			d.found(headline{5, "found"}, start)
		}, headline{5, "found"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &deliveries{}
			d.take(group.waiting(1))
			tt.do(d)
			var runs []string
			for _, c := range d.runs {
				if c.timed {
					runs = append(runs, fmt.Sprintf("%d at %v", c.ID, c.at.Sub(start)))
				} else {
					runs = append(runs, fmt.Sprintf("%d unknown", c.ID))
				}
				if !c.timed && c.delivery() != nil {
					t.Errorf("change %d has a delivery time, and nobody knows when it began", c.ID)
				}
			}
			if d.newest != tt.wantNewest || !reflect.DeepEqual(runs, tt.wantRuns) {
				t.Errorf("newest %v, runs %q; want %v, %q", d.newest, runs, tt.wantNewest, tt.wantRuns)
			}
		})
	}
}

func TestDeliveriesCounts(t *testing.T) {
	a, b := groupAt{name: "a", total: 3}, groupAt{name: "b", total: 2}
	d := triggered(a, b)
	r := a.report(50*ms, 2, "news", 10*ms, 10*ms)
	r.Errored, r.Started = 1, 2
	d.take(r)
	check := func(what string, want [4]int) {
		t.Helper()
		clients, started, errored, received := d.counts()
		if got := [4]int{clients, started, errored, received}; got != want {
			t.Errorf("%s: clients, started, errored, received are %v, want %v", what, got, want)
		}
	}
	check("one group has some", [4]int{5, 4, 1, 2})
	d.take(b.report(60*ms, 2, "news", 10*ms, 10*ms))
	check("both", [4]int{5, 4, 1, 4})
	d.left("b")
	check("one has left", [4]int{3, 2, 1, 2})
	if got := d.change().received(); got != 4 {
		t.Errorf("the run has %d receipts after a group has left, want 4 as before", got)
	}
}

func TestRunsAreBounded(t *testing.T) {
	d := &deliveries{}
	for id := range uint64(50) {
		d.trigger("news", start)
		d.made(headline{id + 1, "news"})
	}
	if len(d.runs) != maxRuns || d.runs[0].ID != 50 || d.runs[maxRuns-1].ID != 31 {
		t.Errorf("%d runs from %d to %d, want %d from 50 to 31", len(d.runs), d.runs[0].ID, d.runs[len(d.runs)-1].ID, maxRuns)
	}
}

// The histogram knows the time of each message's last receipt exactly, also where
// the clock is another one.
func TestDeliveryHistogram(t *testing.T) {
	for _, g := range []groupAt{
		{name: "same clock", total: 6},
		{name: "another clock", total: 6, otherHost: true, clock: -time.Hour},
		{name: "far away", total: 6, otherHost: true, clock: time.Hour, groupPing: 8 * ms},
	} {
		t.Run(g.name, func(t *testing.T) {
			d := triggered(g)
			d.take(g.report(100*ms, 2, "news", 20*ms, 40*ms))
			d.take(g.report(200*ms, 2, "news", 20*ms, 40*ms, 100*ms, 160*ms))
			d.take(g.report(205*ms, 2, "news", 20*ms, 40*ms, 100*ms, 160*ms, 204*ms))
			want := histogram{30: 1, 40: 1, 100: 1, 160: 1, 204: 1}
			if got := d.change().histogram; !reflect.DeepEqual(got, want) {
				t.Errorf("histogram is %v, want %v", got, want)
			}
		})
	}
}

// Where nobody knows when a change began, it began with its first receipt.
func TestDeliveryMadeElsewhere(t *testing.T) {
	g := groupAt{name: "a", total: 3}
	d := &deliveries{}
	d.take(g.waiting(1))
	d.take(g.report(100*ms, 2, "news", 20*ms, 40*ms, 60*ms))
	c := d.change()
	if want := (histogram{13: 1, 26: 1, 40: 1}); !reflect.DeepEqual(c.histogram, want) {
		t.Errorf("histogram is %v, want %v", c.histogram, want)
	}
	if !c.at.Equal(start.Add(20 * ms)) {
		t.Errorf("it began %v after the start, want 20ms", c.at.Sub(start))
	}
}
