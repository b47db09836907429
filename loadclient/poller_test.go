package main

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns two connected sockets that do not block.
func pair(tb testing.TB) (ours, theirs int) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return fds[0], fds[1]
}

func startPoller(t *testing.T) *poller {
	t.Helper()
	q, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.close)
	return q
}

// TestPollerEvents takes more events than fit at a time, and then one that comes
// while it waits.
func TestPollerEvents(t *testing.T) {
	const sockets = eventBatch + 10
	q := startPoller(t)
	var last int
	for i := range sockets {
		ours, theirs := pair(t)
		if err := q.add(ours, int32(i), unix.EPOLLIN|unix.EPOLLET); err != nil {
			t.Fatal(err)
		}
		unix.Write(theirs, []byte("1"))
		last = theirs
	}
	taken := map[int32]int{}
	err := q.run(func(events []unix.EpollEvent) (next time.Time, done bool) {
		for _, e := range events {
			taken[e.Fd]++
		}
		if len(taken) == sockets && taken[sockets-1] == 1 {
			time.AfterFunc(10*time.Millisecond, func() { unix.Write(last, []byte("2")) })
		}
		return time.Time{}, taken[sockets-1] == 2
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range int32(sockets - 1) {
		if taken[i] != 1 {
			t.Errorf("%d events of socket %d, want 1", taken[i], i)
		}
	}
}

// TestPollerTimes has it come back at times, of which each may be earlier or
// later than was said before.
func TestPollerTimes(t *testing.T) {
	q := startPoller(t)
	begun := time.Now()
	waits := []time.Duration{time.Hour, 20 * time.Millisecond, 0, -time.Second, 5 * time.Millisecond}
	var due time.Time
	err := q.run(func(events []unix.EpollEvent) (next time.Time, done bool) {
		now := time.Now()
		if len(events) != 0 || now.Before(due) {
			t.Errorf("%d events, %v before the time", len(events), due.Sub(now))
		}
		if len(waits) == 1 {
			return time.Time{}, true
		}
		if waits[0] == time.Hour {
			q.arm(now.Add(time.Hour)) // as an earlier call may have
		}
		waits = waits[1:]
		due = now.Add(waits[0])
		return due, false
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begun); d < 20*time.Millisecond || d > 10*time.Second {
		t.Errorf("took %v, want about 20 ms", d)
	}
}

func TestPollerAllocs(t *testing.T) {
	q := startPoller(t)
	ours, theirs := pair(t)
	if err := q.add(ours, 0, unix.EPOLLIN|unix.EPOLLET); err != nil {
		t.Fatal(err)
	}
	const rounds = 1000
	var before, after runtime.MemStats
	n, buf := 0, make([]byte, 8)
	err := q.run(func([]unix.EpollEvent) (next time.Time, done bool) {
		switch n++; n {
		case 10:
			runtime.ReadMemStats(&before)
		case rounds:
			runtime.ReadMemStats(&after)
			return time.Time{}, true
		}
		recv(int32(ours), buf)
		if n%2 == 0 {
			send(int32(theirs), []byte("1"))
			return time.Time{}, false
		}
		return time.Now().Add(time.Microsecond), false
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Mallocs - before.Mallocs; got > rounds/10 {
		t.Errorf("%d allocations in %d waits, want none to speak of", got, rounds)
	}
}
