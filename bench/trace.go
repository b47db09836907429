package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A trace counts the system calls of processes that are about files and sockets, by
// strace(1). Others, by which threads wait for each other, are left alone: how many
// there are depends on how slow the trace makes them.
type trace struct {
	process *process
	dir     string
}

// errNoStrace says how to get it.
var errNoStrace = errors.New("system calls are counted by strace, which is not installed: make bench-setup")

// startTrace starts to count those of all threads of pids, and returns when it does.
func startTrace(stderr io.Writer, pids []int) (_ *trace, err error) {
	path, err := exec.LookPath("strace")
	if err != nil {
		return nil, errNoStrace
	}
	t := &trace{}
	if t.dir, err = os.MkdirTemp("", "marquee-"); err != nil {
		return nil, fmt.Errorf("make a directory for the trace: %w", err)
	}
	args := []string{"-f", "-c", "-e", "trace=%desc,%network", "-o", filepath.Join(t.dir, "counts")}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	attached := newLines()
	if t.process, err = start(attached, program{path: path, args: args}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(t.dir))
	}
	timeout := time.NewTimer(awaitTimeout)
	defer timeout.Stop()
	for n := 0; n < len(pids); {
		select {
		case line := <-attached.ch:
			if strings.Contains(line, " attached") {
				n++
			} else {
				fmt.Fprintln(stderr, line)
			}
		case <-t.process.doneCh:
			return nil, errors.Join(t.process.failure("ended too early"), os.RemoveAll(t.dir))
		case <-timeout.C:
			return nil, errors.Join(errors.New("strace does not attach itself"), t.process.stop(), os.RemoveAll(t.dir))
		}
	}
	return t, nil
}

// end ends the counting and returns how many calls there were.
func (t *trace) end() (calls float64, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(t.dir)) }()
	if err := syscall.Kill(t.process.pid, syscall.SIGINT); err != nil {
		return 0, fmt.Errorf("end strace: %w", err)
	}
	_ = t.process.wait(context.Background()) // it ends as if by the signal
	file, err := os.Open(filepath.Join(t.dir, "counts"))
	if err != nil {
		return 0, fmt.Errorf("read the trace: %w", err)
	}
	defer file.Close()
	return countCalls(file)
}

// countCalls reads strace's table, whose last line has the number of calls in the
// column "calls".
func countCalls(r io.Reader) (float64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[len(fields)-1] != "total" {
			continue
		}
		calls, err := strconv.ParseFloat(fields[3], 64)
		if err != nil {
			return 0, fmt.Errorf("read the trace: unexpected line %q", lines.Text())
		}
		return calls, nil
	}
	return 0, errors.New("read the trace: it has no total")
}
