package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	t, err := cpuTime(p.pid)
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of %s: %w", p.name, err)
	}
	return t, nil
}

func cpuTime(pid int) (time.Duration, error) {
	// The clock of another process, as clock_getcpuclockid(3) makes it: to the
	// nanosecond, where /proc counts ticks of 10 ms.
	const schedClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}

// A member is a process of a family.
type member struct {
	command string
	pid     int
}

// family returns a process with all that descend of it. The command of the first is
// left empty.
func family(pid int) ([]member, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := make(map[int][]member)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		pid, command, parent, err := parseStat(string(text))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		children[parent] = append(children[parent], member{command, pid})
	}
	members := []member{{pid: pid}}
	for i := 0; i < len(members); i++ {
		members = append(members, children[members[i].pid]...)
	}
	return members, nil
}

// cpuByCommand returns the seconds of CPU time that we and our descendants have
// used, by the name of the command. A process that ends takes its time away.
func cpuByCommand() (map[string]float64, error) {
	members, err := family(os.Getpid())
	if err != nil {
		return nil, err
	}
	members[0].command = "bench"
	seconds := make(map[string]float64)
	for _, m := range members {
		if t, err := cpuTime(m.pid); err == nil { // else it has ended
			seconds[m.command] += t.Seconds()
		}
	}
	return seconds, nil
}

// parseStat reads the beginning of /proc/PID/stat: "pid (command) state parent".
// The command may have spaces and parentheses itself.
func parseStat(text string) (pid int, command string, parent int, err error) {
	first, rest, found := strings.Cut(text, " (")
	command, rest, foundEnd := cutLast(rest, ") ")
	fields := strings.Fields(rest)
	if !found || !foundEnd || len(fields) < 2 {
		return 0, "", 0, fmt.Errorf("unexpected %.100q", text)
	}
	if pid, err = strconv.Atoi(first); err == nil {
		parent, err = strconv.Atoi(fields[1])
	}
	return pid, command, parent, err
}

// droppedPackets returns how many packets have found the queue of a CPU full
// since the machine started.
func droppedPackets() (int64, error) {
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return 0, fmt.Errorf("read the count of dropped packets: %w", err)
	}
	return parseDropped(string(text))
}

// parseDropped adds up the second column, in hex, of /proc/net/softnet_stat,
// which has a line for each CPU.
func parseDropped(text string) (int64, error) {
	var sum int64
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			return 0, fmt.Errorf("count dropped packets: unexpected line %q", line)
		}
		n, err := strconv.ParseInt(fields[1], 16, 64)
		if err != nil {
			return 0, fmt.Errorf("count dropped packets: %w", err)
		}
		sum += n
	}
	return sum, nil
}
