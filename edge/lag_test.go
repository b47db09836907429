package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A loop that is blocked is told of by its number, while it is and afterwards,
// and is counted.
func TestBlockedLoop(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	var stuck *loop
	for _, l := range r.edge.loops {
		if l.index == 1 {
			stuck = l
		}
	}
	goCh := make(chan struct{})
	stuck.post(func() { <-goCh })
	r.waitLog(`"an event loop hangs"`, `"loop":1`)
	close(goCh)
	r.waitLog(`"an event loop was blocked"`, `"loop":1`, `"times":`)
	r.turn()
	if n := r.metric(`marquee_loop_blocked_total{loop="1"}`); n == 0 {
		t.Error("the blocked loop is not counted")
	}
	for i := range 2 {
		if n := r.metric(`marquee_loop_lag_seconds_count{loop="` + strconv.Itoa(i) + `"}`); n == 0 {
			t.Errorf("the lag of loop %d is not measured", i)
		}
	}
}

func TestLag(t *testing.T) {
	const ms = time.Millisecond
	g := newLag(time.Now())
	for _, tt := range []struct {
		name    string
		posted  time.Duration
		arrived time.Duration
		blocked int64
		longest time.Duration
	}{
		{"at once", 1 * ms, 1 * ms, 0, 0},
		{"just in time", 10 * ms, 60 * ms, 0, 0},
		{"too late", 100 * ms, 160 * ms, 1, 60 * ms},
		{"later", 200 * ms, 300 * ms, 2, 100 * ms},
		{"less late", 400 * ms, 470 * ms, 3, 100 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.posted.Store(int64(tt.posted))
			g.arrived(tt.arrived)
			if got := g.blocked.Load(); got != tt.blocked {
				t.Errorf("%d times blocked, want %d", got, tt.blocked)
			}
			if got := time.Duration(g.longest.Load()); got != tt.longest {
				t.Errorf("longest %v, want %v", got, tt.longest)
			}
			if g.posted.Load() != 0 {
				t.Error("the probe is still underway")
			}
		})
	}
	if n := testing.AllocsPerRun(100, func() { g.arrived(time.Minute) }); n != 0 {
		t.Errorf("a probe allocates %v times", n)
	}
}

// A loop that is blocked again and again is told of once in a while.
func TestBlockedLoopIsToldOfSeldom(t *testing.T) {
	log := &edgeLog{readyCh: make(chan ready, 1)}
	e := &edge{log: newLogger(&Config{LogLevel: "info", LogFormat: "json"}, log)}
	l := &loop{index: 7, lag: newLag(time.Now())}
	told := func(at time.Duration, want int) {
		t.Helper()
		l.lag.posted.Store(int64(at - time.Second/10))
		l.lag.arrived(at)
		e.tellLag(l, at)
		if got := strings.Count(log.String(), "an event loop was blocked"); got != want {
			t.Errorf("after %v it is told %d times, want %d:\n%s", at, got, want, log)
		}
	}
	told(time.Second, 1)
	told(2*time.Second, 1)
	told(10*time.Second, 1)
	told(11*time.Second, 2)
	if got := strings.Count(log.String(), `"loop":7,"for":"100ms","times":3`); got != 1 {
		t.Errorf("the three times together are told %d times, want 1:\n%s", got, log)
	}
}
