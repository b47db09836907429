package fanout

import "sync/atomic"

// Tally counts what clients were given, by what became of it. Safe from any
// goroutine.
type Tally struct{ by [outcomes]atomic.Int64 }

// Of returns how many deliveries had that outcome.
func (t *Tally) Of(o Outcome) int64 { return t.by[o].Load() }

// add adds what one loop did, as often as that. On a nil Tally it does nothing.
func (t *Tally) add(n tally, times int64) {
	if t == nil {
		return
	}
	for o, n := range n {
		if n != 0 && times != 0 {
			t.by[o].Add(n * times)
		}
	}
}

// tally is what one loop did, by outcome.
type tally [outcomes]int64
