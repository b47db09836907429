package main

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	const ms = time.Millisecond
	one, two := &headline{id: 1}, &headline{id: 2}
	half, all := standing{total: 4, newest: one, received: 2}, standing{total: 4, newest: one, received: 4}
	for _, tt := range []struct {
		name      string
		last, now standing
		after     time.Duration
		wait      time.Duration
	}{
		{"nothing changes", half, half, 0, 1000 * ms},
		{"nothing changed for a second", half, half, 1000 * ms, 0},
		{"nothing changed for longer", half, half, 1500 * ms, 0},
		{"one more", half, standing{total: 4, newest: one, received: 3}, 30 * ms, 70 * ms},
		{"one more, after 100 ms", half, standing{total: 4, newest: one, received: 3}, 100 * ms, 0},
		{"another fails", half, standing{total: 4, errored: 1, newest: one, received: 2}, 0, 100 * ms},
		{"newer headline", all, standing{total: 4, newest: two, received: 1}, 1 * ms, 99 * ms},
		{"the last one", half, all, 0, 0},
		{"the last one has the newer", all, standing{total: 4, newest: two, received: 4}, 1 * ms, 0},
		{"still all", all, all, 1 * ms, 999 * ms},
		{"still all, and one fails", all, standing{total: 4, errored: 1, newest: one, received: 4}, 1 * ms, 99 * ms},
		{"all of none", standing{total: 4}, standing{}, 1 * ms, 99 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p pace
			p.sent(tt.last, time.Hour)
			if wait := p.wait(tt.now, time.Hour+tt.after); wait != tt.wait {
				t.Errorf("%+v, then %v later %+v: wait %v, want %v", tt.last, tt.after, tt.now, wait, tt.wait)
			}
		})
	}
}

// TestReport checks that a snapshot nobody took gives way to the next.
func TestReport(t *testing.T) {
	p := newIdlePool(t, 2, refusing(t))
	p.snapshotCh = make(chan snapshot, 1)
	p.report(0) // 0 s after nothing: not due
	if len(p.snapshotCh) != 0 {
		t.Fatal("snapshot before it was due")
	}
	p.tally.receive(&headline{id: 7}, time.Second)
	if wait := p.report(time.Second); wait != statsAtLeastEvery {
		t.Errorf("wait %v after a snapshot, want %v", wait, statsAtLeastEvery)
	}
	p.tally.receive(p.tally.newest, 2*time.Second)
	p.fail(0, timeout, errLoopEnded)
	p.report(2 * time.Second)
	want := snapshot{standing{total: 2, errored: 1, newest: p.tally.newest, received: 2}, time.Second, 2 * time.Second, 1500 * time.Millisecond}
	if got := <-p.snapshotCh; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if n := p.gauges.faults.Load(); n != 1 {
		t.Errorf("%d faults, want 1", n)
	}
}
