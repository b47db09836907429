package main

import (
	"testing"
	"time"
)

// TestTally counts receipts of two headlines that overtake each other.
func TestTally(t *testing.T) {
	const ms = time.Millisecond
	one, two := &headline{id: 1}, &headline{id: 2}
	var y tally
	if y.mean() != 0 {
		t.Errorf("mean %v of nothing", y.mean())
	}
	for _, step := range []struct {
		what   string
		do     func()
		newest *headline
		have   int
		first  time.Duration
		last   time.Duration
		mean   time.Duration
	}{
		{"first", func() { y.receive(one, 10*ms) }, one, 1, 10 * ms, 10 * ms, 10 * ms},
		{"second", func() { y.receive(one, 30*ms) }, one, 2, 10 * ms, 30 * ms, 20 * ms},
		{"newer", func() { y.receive(two, 40*ms) }, two, 1, 40 * ms, 40 * ms, 40 * ms},
		{"older", func() { y.receive(one, 41*ms) }, two, 1, 40 * ms, 40 * ms, 40 * ms},
		{"one with the older leaves", func() { y.leave(1) }, two, 1, 40 * ms, 40 * ms, 40 * ms},
		{"newer again", func() { y.receive(two, 60*ms) }, two, 2, 40 * ms, 60 * ms, 50 * ms},
		{"one with the newer leaves: its receipt was one", func() { y.leave(2) }, two, 1, 40 * ms, 60 * ms, 50 * ms},
		{"and comes again", func() { y.receive(two, 80*ms) }, two, 2, 40 * ms, 80 * ms, 60 * ms},
	} {
		step.do()
		if y.newest != step.newest || y.have != step.have || y.first != step.first || y.last != step.last || y.mean() != step.mean {
			t.Errorf("%s: headline %d at %d, first %v, last %v, mean %v, want %d at %d, %v, %v, %v", step.what,
				y.newest.id, y.have, y.first, y.last, y.mean(), step.newest.id, step.have, step.first, step.last, step.mean)
		}
	}
}
