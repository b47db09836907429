package main

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// epoch is where times begin that are kept as numbers. They are of the monotonic
// clock: the wall clock may be set meanwhile.
var epoch = time.Now()

// troubleOver is how long a trouble must not have been seen to be over.
const troubleOver = 10 * time.Second

// trouble is something that goes wrong again and again once it does: it is
// logged when it begins and when it is over. Safe from any goroutine.
type trouble struct {
	what  string       // immutable
	last  atomic.Int64 // nanoseconds from epoch when it was seen; 0 while there is none
	times atomic.Int64 // seen since it began
}

// seen notes that it has happened; args are logged if it begins with that.
func (t *trouble) seen(log *slog.Logger, args ...any) {
	t.times.Add(1)
	if t.last.Swap(int64(time.Since(epoch))) == 0 {
		log.Warn(t.what, args...)
	}
}

// sweep notes that it is over, if it is. Called now and then.
func (t *trouble) sweep(log *slog.Logger, now time.Time) {
	last := t.last.Load()
	if last == 0 || now.Sub(epoch)-time.Duration(last) < troubleOver {
		return
	}
	if t.last.CompareAndSwap(last, 0) {
		log.Info("over: "+t.what, "times", t.times.Swap(0))
	}
}
