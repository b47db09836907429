package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

// outagePause is how long the end of an outage and the begin of the next one are
// not told, after an outage has been told of: of a service that now answers and
// now does not, one of each a second is enough.
const outagePause = time.Second

// outage is a service's run of failures, from the first request to which there
// was no answer to the next one to which there is. The zero value is none.
type outage struct {
	on atomic.Bool // so that good answers take no lock

	mu       sync.Mutex // all below
	failures int
	since    time.Time
	toldAt   time.Time // of the last begin that was told of
}

// lost notes that a request had no answer, and reports whether that is news: the
// first one of an outage. What follows is not, however long it lasts.
func (s *Service) lost(now time.Time) (first bool) {
	o := &s.outage
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failures++; o.failures > 1 {
		return false
	}
	if now.Sub(o.toldAt) < outagePause {
		o.failures = 0
		return false
	}
	o.since, o.toldAt = now, now
	o.on.Store(true)
	return true
}

// back notes that there is an answer, and returns how many failures came before
// it, since when: none if no outage has been told of.
func (s *Service) back() (failures int, since time.Time) {
	o := &s.outage
	if !o.on.Load() {
		return 0, time.Time{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	failures, o.failures = o.failures, 0
	o.on.Store(false)
	return failures, o.since
}
