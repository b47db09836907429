package main

import "time"

// connectBatch bounds how many clients begin in one turn of the loop, so that
// those already begun are served meanwhile.
const connectBatch = 256

// ramp says when clients begin: the first at once, then rate a second, or all
// as fast as turns allow when rate is 0. It reads no clock.
type ramp struct {
	clients int
	rate    int
}

// due returns how many clients to begin now, elapsed after the first, when
// begun of them have; and how long until there are more: 0 when at once, -1
// when all have begun.
func (r ramp) due(elapsed time.Duration, begun int) (n int, wait time.Duration) {
	allowed := r.clients
	if r.rate > 0 {
		allowed = int(min(float64(r.clients), 1+elapsed.Seconds()*float64(r.rate)))
	}
	n = min(max(allowed-begun, 0), connectBatch)
	begun += n
	switch {
	case begun >= r.clients:
		return n, -1
	case begun < allowed:
		return n, 0
	}
	// Client number begun (from 0) begins at begun/rate seconds.
	at := time.Duration(float64(begun) / float64(r.rate) * float64(time.Second))
	return n, max(at-elapsed, 0)
}
