package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestTimers compares with the plain way: look at every deadline.
func TestTimers(t *testing.T) {
	const clients = 50
	r := rand.New(rand.NewPCG(1, 2))
	timers := newTimers(clients)
	deadlines := map[int32]time.Duration{}
	earliest := func() (at time.Duration, ok bool) {
		for _, d := range deadlines {
			if !ok || d < at {
				at, ok = d, true
			}
		}
		return at, ok
	}
	for step := range 20000 {
		now := time.Duration(step)
		if r.IntN(3) > 0 {
			client, at := r.Int32N(clients), now+time.Duration(r.IntN(200))
			timers.set(client, at)
			deadlines[client] = at
		} else {
			client := r.Int32N(clients)
			timers.remove(client)
			delete(deadlines, client)
		}
		for {
			at, ok := earliest()
			if got, gotOK := timers.next(); got != at || gotOK != ok {
				t.Fatalf("step %d: next() = %v, %v, want %v, %v", step, got, gotOK, at, ok)
			}
			client, due := timers.expired(now)
			if want := ok && at <= now; due != want {
				t.Fatalf("step %d: expired = %v, want %v", step, due, want)
			}
			if !due {
				break
			}
			if deadlines[client] != at {
				t.Fatalf("step %d: client %d expired, its deadline is %v, the earliest %v", step, client, deadlines[client], at)
			}
			delete(deadlines, client)
		}
	}
}
