package main

import (
	"sync/atomic"
	"time"
)

// standing is how the clients stand, as far as statistics tell.
type standing struct {
	total    int       // clients wanted
	started  int       // clients that have had their first answer
	errored  int       // clients whose last request failed
	newest   *headline // of the highest id that any client was answered; nil: none
	received int       // clients that have it
}

// complete reports whether all clients have the newest headline.
func (s standing) complete() bool { return s.total > 0 && s.received == s.total }

// snapshot is what statistics are made of. Times are of the pool's clock.
type snapshot struct {
	standing
	first, last, mean time.Duration // of the receipts of newest
}

// gauges are what the pool has to do. The loop writes it in each turn, anybody
// reads it.
type gauges struct {
	held        atomic.Int64 // polls in flight
	connections atomic.Int64
	deliveries  atomic.Int64 // since the start, and so are faults
	faults      atomic.Int64
}

const (
	statsAtMostEvery  = 100 * time.Millisecond // while something changes
	statsAtLeastEvery = time.Second
)

// pace says when statistics are due: 100 ms after the last ones if something
// has changed since, after a second if nothing has, and at once when all clients
// have the newest headline. It reads no clock.
type pace struct {
	last   standing
	lastAt time.Duration
}

// wait returns how long until statistics are due, 0 when they are.
func (p *pace) wait(s standing, now time.Duration) time.Duration {
	every := statsAtLeastEvery
	if s != p.last {
		every = statsAtMostEvery
		if s.complete() && !(p.last.complete() && p.last.newest == s.newest) {
			return 0
		}
	}
	return max(p.lastAt+every-now, 0)
}

// sent notes that statistics that say s were sent.
func (p *pace) sent(s standing, now time.Duration) { p.last, p.lastAt = s, now }

// report tells the group how the pool stands at now: its load always, the rest
// if that is due. It returns how long until the rest is, if nothing happens.
func (p *pool) report(now time.Duration) (wait time.Duration) {
	faults := 0
	for _, n := range p.faults {
		faults += n
	}
	p.gauges.held.Store(int64(p.inState[polling]))
	p.gauges.connections.Store(int64(p.connections))
	p.gauges.deliveries.Store(int64(p.deliveries))
	p.gauges.faults.Store(int64(faults))
	s := standing{p.wanted, p.started, p.errored, p.tally.newest, p.tally.have}
	if wait := p.pace.wait(s, now); wait > 0 {
		return wait
	}
	p.pace.sent(s, now)
	select {
	case <-p.snapshotCh: // nobody has taken the one before, and now nobody should
	default:
	}
	// There is room: only the loop sends.
	p.snapshotCh <- snapshot{s, p.tally.first, p.tally.last, p.tally.mean()}
	return p.pace.wait(s, now)
}
