package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
)

const (
	// probePause is how often each loop is asked to come round while loops have
	// something to do: the longest time for which one can be blocked without
	// being noticed is this and blockedAfter together. While none has anything to
	// do but its ticks it is idlePause, so that an idle edge sleeps; what blocks a
	// loop just after that goes unnoticed if it is over before the next probe.
	probePause = 25 * time.Millisecond
	idlePause  = time.Second
	// blockedAfter is how long a probe may wait before its loop counts as
	// blocked: everybody on it has been kept waiting for as long.
	blockedAfter = 50 * time.Millisecond
	// hangsAfter is how long a probe waits before it is told of that it has not
	// come back.
	hangsAfter = time.Second
	// blockedPause is how long a loop that is told of is not told of again; what
	// comes meanwhile is told together.
	blockedPause = 10 * time.Second
)

// lagBounds are the buckets of a loop's lag.
var lagBounds = []time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second,
}

// lag is how late a loop is: how long a task waits until the loop comes round to
// it, as every readable socket does. A probe is posted every so often, and never
// before the last one has come back.
type lag struct {
	started time.Time     // what times are counted from; immutable
	task    gnet.Runnable // the probe; immutable

	// Any goroutine.
	stirred atomic.Bool  // the loop has got something to do but ticks since lagLoop looked
	posted  atomic.Int64 // when the probe underway was posted, in nanoseconds; 0 for none
	times   *histogram   // the loop observes
	blocked atomic.Int64 // probes that waited for more than blockedAfter
	longest atomic.Int64 // nanoseconds: of those that have not been told of

	// lagLoop only.
	toldAt  time.Duration // when the loop was told of last; 0 for never
	told    int64         // blocked then
	hanging int64         // the probe of that time has been told of
}

func newLag(started time.Time) *lag {
	l := &lag{started: started, times: newHistogram(lagBounds)}
	l.task = gnet.RunnableFunc(func(context.Context) error {
		l.arrived(time.Since(l.started))
		return nil
	})
	return l
}

// stir notes that the loop has got something to do. Safe from any goroutine.
func (l *lag) stir() {
	if !l.stirred.Load() { // which costs the loop less than to write
		l.stirred.Store(true)
	}
}

// arrived notes that the loop has come round. Loop only.
func (l *lag) arrived(now time.Duration) {
	waited := now - time.Duration(l.posted.Load())
	l.times.observe(waited)
	if waited > blockedAfter {
		l.longest.Store(max(l.longest.Load(), int64(waited)))
		l.blocked.Add(1)
	}
	l.posted.Store(0)
}

// lagLoop probes every loop until stopCh closes, and tells of those that are
// blocked. No loop logs: that could block it.
func (e *edge) lagLoop(stopCh <-chan struct{}) {
	timer := time.NewTimer(probePause)
	defer timer.Stop()
	for {
		select {
		case <-stopCh:
			return
		case <-timer.C:
		}
		pause := idlePause
		for _, l := range e.loops {
			if l.lag.stirred.Swap(false) {
				pause = probePause
			}
			now := time.Since(l.lag.started)
			e.tellLag(l, now)
			if l.lag.posted.Load() == 0 {
				l.lag.posted.Store(int64(now))
				_ = l.el.Execute(context.Background(), l.lag.task)
			}
		}
		timer.Reset(pause)
	}
}

// tellLag logs that a loop hangs, once for each time, or that it was blocked, at
// most once in blockedPause.
func (e *edge) tellLag(l *loop, now time.Duration) {
	g := l.lag
	posted := g.posted.Load()
	if waits := now - time.Duration(posted); posted != 0 && posted != g.hanging && waits > hangsAfter {
		g.hanging = posted
		e.log.Warn("an event loop hangs", "loop", l.index, "for", waits.Round(time.Millisecond).String())
	}
	blocked := g.blocked.Load()
	if blocked == g.told || g.toldAt != 0 && now-g.toldAt < blockedPause {
		return
	}
	longest := time.Duration(g.longest.Swap(0))
	e.log.Warn("an event loop was blocked", "loop", l.index,
		"for", longest.Round(time.Millisecond).String(), "times", blocked-g.told)
	g.told, g.toldAt = blocked, now
}
