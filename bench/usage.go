package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A process's memory has settled when settledSamples of it, taken every
	// settleEvery, differ by settledSpread at most.
	settleEvery    = 500 * time.Millisecond
	settledSamples = 10
	settledSpread  = 0.01
	// settleTimeout bounds the wait for that. It leaves time to measure holds at
	// rest before they time out, 55 s old.
	settleTimeout = 30 * time.Second
)

// memory returns the bytes of the child that are in memory. The kernel is asked,
// since an edge that is asked for its metrics uses some for the answer.
func (p *process) memory() (float64, error) {
	// proc_pid_statm(5): sizes in pages, the second is the resident one.
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of %s: %w", p.name, err)
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0, fmt.Errorf("read the memory of %s: unexpected %q", p.name, statm)
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0, fmt.Errorf("read the memory of %s: %w", p.name, err)
	}
	return float64(pages * os.Getpagesize()), nil
}

// settledMemory waits until the child's memory has settled, or for
// settleTimeout, and returns it.
func (p *process) settledMemory(ctx context.Context) (float64, error) {
	timeout := time.NewTimer(settleTimeout)
	defer timeout.Stop()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	var seen samples
	for {
		now, err := p.memory()
		if err != nil {
			return 0, err
		}
		seen = append(seen, now)
		if seen.stable(settledSamples, settledSpread) {
			return now, nil
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			return now, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// cpuTime returns the CPU time that the child has used.
func (p *process) cpuTime() (time.Duration, error) {
	// The clock of another process, as clock_getcpuclockid(3) makes it: to the
	// nanosecond, where /proc counts ticks of 10 ms.
	const schedClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.pid<<3|schedClock), &t); err != nil {
		return 0, fmt.Errorf("read the CPU time of %s: %w", p.name, err)
	}
	return time.Duration(t.Nano()), nil
}
