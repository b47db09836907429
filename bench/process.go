package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// readyTimeout bounds the time from a child's start to its ready line.
	readyTimeout = 20 * time.Second
	// stopTimeout is how long a child may take to leave after SIGTERM.
	stopTimeout = 10 * time.Second
	// logTail is how many of a child's last log lines an error shows.
	logTail = 10
)

// A process is one child of ours. It never outlives us: stop ends it on every
// ordinary way out, and the kernel kills it (Pdeathsig) when we die without
// taking that way, by kill -9 for example. It leads its own process group, so
// that a Ctrl-C in the terminal reaches only us and the children are stopped in
// order.
type process struct {
	name    string
	pid     int
	log     *processLog
	readyCh chan ready    // sent to once at most, by the log
	doneCh  chan struct{} // closed when the child is gone and err is set
	err     error         // how the child ended; read after doneCh is closed
}

// ready is the log line by which a server says that it accepts connections, and
// where.
type ready struct {
	Listen  string `json:"listen"`
	Control string `json:"control"`
}

// binary returns the path of a command that was built beside this one.
func binary(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	return filepath.Join(filepath.Dir(self), name), nil
}

// start starts the program at path. What it writes to standard error is taken
// for its log: the ready line is looked for, lines below warning are dropped,
// the others go to log.
func start(log *slog.Logger, stdout io.Writer, path string, args ...string) (*process, error) {
	name := filepath.Base(path)
	p := &process{
		name:    name,
		readyCh: make(chan ready, 1),
		doneCh:  make(chan struct{}),
	}
	p.log = &processLog{log: log.With("from", name), readyCh: p.readyCh}
	cmd := exec.Command(path, args...)
	cmd.Stdout = stdout
	cmd.Stderr = p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// Wait also waits for the end of the child's output, which a grandchild
	// may hold open.
	cmd.WaitDelay = time.Second

	startedCh := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that forked ends, not the
		// process. This goroutine keeps its thread to itself from the fork
		// until the child is gone, so the two lives end together.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		startedCh <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.doneCh)
	}()
	if err := <-startedCh; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.pid = cmd.Process.Pid
	return p, nil
}

// startServer starts the program at path and returns when it is ready.
func startServer(ctx context.Context, log *slog.Logger, path string, args ...string) (*process, ready, error) {
	p, err := start(log, io.Discard, path, args...)
	if err != nil {
		return nil, ready{}, err
	}
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case r := <-p.readyCh:
		return p, r, nil
	case <-p.doneCh:
		return nil, ready{}, p.failure("ended before it was ready")
	case <-timeout.C:
		p.stop()
		return nil, ready{}, p.failure(fmt.Sprintf("not ready within %v", readyTimeout))
	case <-ctx.Done():
		p.stop()
		return nil, ready{}, ctx.Err()
	}
}

// wait returns when the child has ended by itself, with its failure if it did
// not exit with status 0. When ctx ends first the child is stopped.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.doneCh:
	case <-ctx.Done():
		p.stop()
		return ctx.Err()
	}
	if p.err != nil {
		return p.failure("failed")
	}
	return nil
}

// stop ends the child and its process group, by SIGTERM first, and returns when
// it is gone. The error says that it did not leave in order, or that it had
// ended before stop was called.
func (p *process) stop() error {
	return p.stopWithin(stopTimeout)
}

// stopWithin is stop with SIGKILL after timeout.
func (p *process) stopWithin(timeout time.Duration) error {
	select {
	case <-p.doneCh:
		return p.failure("ended too early")
	default:
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	// Both signals may find the group gone already, which is what they are for.
	_ = syscall.Kill(-p.pid, syscall.SIGTERM)
	select {
	case <-p.doneCh:
	case <-timer.C:
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		<-p.doneCh
		return p.failure(fmt.Sprintf("still ran %v after SIGTERM and was killed", timeout))
	}
	if p.err != nil {
		return p.failure("did not leave in order")
	}
	return nil
}

// failure describes a child that is gone, with the end of its log.
func (p *process) failure(what string) error {
	<-p.doneCh
	state := "exit status 0"
	if p.err != nil {
		state = p.err.Error()
	}
	tail := strings.Join(p.log.tail, "\n\t")
	if tail != "" {
		tail = ", its last log lines:\n\t" + tail
	}
	return fmt.Errorf("%s %s (%s)%s", p.name, what, state, tail)
}

// A processLog reads a child's log as it is written. Only the goroutine that
// copies the child's standard error touches it, until the child is gone.
type processLog struct {
	log     *slog.Logger
	readyCh chan<- ready // nil once the ready line was seen
	partial []byte       // a line whose end has not come yet
	tail    []string     // the last lines, oldest first
}

// Write takes the next piece of the log. It never fails.
func (l *processLog) Write(b []byte) (int, error) {
	l.partial = append(l.partial, b...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte{'\n'})
		if !found {
			return len(b), nil
		}
		l.line(line)
		l.partial = rest
	}
}

// line looks at one line: a JSON record of slog, or, from a panic or the
// runtime, plain text.
func (l *processLog) line(line []byte) {
	if len(l.tail) == logTail {
		l.tail = l.tail[1:]
	}
	l.tail = append(l.tail, string(line))

	var record struct {
		Level slog.Level `json:"level"`
		Msg   string     `json:"msg"`
		ready
	}
	if err := json.Unmarshal(line, &record); err != nil || record.Level >= slog.LevelWarn {
		l.log.Warn(string(line))
		return
	}
	if record.Msg == "ready" && l.readyCh != nil {
		l.readyCh <- record.ready
		l.readyCh = nil
	}
}
