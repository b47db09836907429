package main

import "time"

// tally counts who has the newest headline, and when they received it. Loop
// only.
type tally struct {
	newest      *headline // of the highest id that any client was answered; nil: none
	have        int       // clients that have it
	receipts    int       // clients that ever received it
	first, last time.Duration
	sum         time.Duration // of the receipts' times, each since first
}

// receive counts that a client was answered h at now.
func (t *tally) receive(h *headline, now time.Duration) {
	switch {
	case t.newest == nil || h.id > t.newest.id:
		*t = tally{newest: h, first: now}
	case h.id < t.newest.id:
		return
	}
	t.have++
	t.receipts++
	t.last = now
	t.sum += now - t.first
}

// leave counts that a client ends whose headline is id.
func (t *tally) leave(id uint64) {
	if t.newest != nil && t.newest.id == id {
		t.have--
	}
}

// mean is the mean time of the receipts, 0 when there was none.
func (t *tally) mean() time.Duration {
	if t.receipts == 0 {
		return 0
	}
	return t.first + t.sum/time.Duration(t.receipts)
}
