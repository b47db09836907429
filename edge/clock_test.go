package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
)

// stepped returns what time.Now returns at the moment t when the machine's clock has
// been set ahead by d, whole seconds, since the process began: the wall clock reading
// moves, and the monotonic one does not.
func stepped(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	after := at
	// A bit that says that there are both, 33 of seconds, and 30 of nanoseconds.
	wall := (*uint64)(unsafe.Pointer(&after))
	*wall += uint64(d/time.Second) << 30
	if got := after.Round(0).Sub(at.Round(0)); got != d || after.Sub(at) != 0 {
		t.Fatalf("the wall clock was set ahead by %v and the monotonic one by %v, want %v and 0", got, after.Sub(at), d)
	}
	return after
}

// However the clock is set, a trouble is over when it has not been seen for a while,
// and no loop is stuck that has just come round.
func TestClockSet(t *testing.T) {
	for _, step := range []time.Duration{0, 5 * time.Hour, -5 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			var text bytes.Buffer
			log := slog.New(slog.NewTextHandler(&text, nil))
			tr := trouble{what: "rain"}
			tr.seen(log)
			now := time.Now()
			tr.sweep(log, stepped(t, now.Add(troubleOver/2), step))
			if strings.Contains(text.String(), "over") {
				t.Errorf("the trouble is over too soon:\n%s", &text)
			}
			tr.sweep(log, stepped(t, now.Add(2*troubleOver), step))
			if !strings.Contains(text.String(), "over") {
				t.Errorf("the trouble is not over:\n%s", &text)
			}

			ticked := stepped(t, now, step)
			l := &loop{}
			l.ticked.Store(&ticked)
			e := &edge{loops: map[gnet.EventLoop]*loop{nil: l}}
			if e.stuck(time.Minute) != nil {
				t.Error("a loop is stuck that has just come round")
			}
		})
	}
}
