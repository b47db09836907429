package main

import (
	"testing"
	"time"
)

func TestRampDue(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name          string
		clients, rate int
		elapsed       time.Duration
		begun         int
		n             int
		wait          time.Duration
	}{
		{"the first at once", 5000, 10000, 0, 0, 1, 100 * time.Microsecond},
		{"a millisecond's worth", 5000, 10000, ms, 1, 10, 100 * time.Microsecond},
		{"none due yet", 100, 10, 50 * ms, 1, 0, 50 * ms},
		{"slow", 100, 10, 100 * ms, 1, 1, 100 * ms},
		{"late: a batch, more at once", 5000, 10000, 100 * ms, 1, connectBatch, 0},
		{"the last", 100, 10, 9900 * ms, 99, 1, -1},
		{"all begun", 100, 10, 20 * time.Second, 100, 0, -1},
		{"one client", 1, 1, 0, 0, 1, -1},
		{"a day late", 1_000_000, 1_000_000, 24 * time.Hour, 999_999, 1, -1},
		{"as fast as possible", 5000, 0, 0, 0, connectBatch, 0},
		{"as fast as possible, the end", 300, 0, 0, 256, 44, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, wait := ramp{tt.clients, tt.rate}.due(tt.elapsed, tt.begun)
			if n != tt.n || wait != tt.wait {
				t.Errorf("due(%v, %d) = %d, %v, want %d, %v", tt.elapsed, tt.begun, n, wait, tt.n, tt.wait)
			}
		})
	}
}

// TestRampPace follows the waits from the first client to the last.
func TestRampPace(t *testing.T) {
	for _, rate := range []int{1, 7, 1000, 10000, 999_999} {
		r := ramp{2000, rate}
		var at, wait time.Duration
		begun := 0
		for turns := 0; wait >= 0; turns++ {
			if turns > 5000 {
				t.Fatalf("rate %d: %d begun after %d turns", rate, begun, turns)
			}
			// The wait may round down to just before the client is due.
			at += max(wait, time.Nanosecond)
			var n int
			n, wait = r.due(at, begun)
			begun += n
		}
		want := time.Duration(float64(r.clients-1) / float64(rate) * float64(time.Second))
		if begun != r.clients || at < want-time.Microsecond || at > want+time.Millisecond {
			t.Errorf("rate %d: %d begun in %v, want %d in %v", rate, begun, at, r.clients, want)
		}
	}
}
