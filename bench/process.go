package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// readyTimeout bounds the time from a child's start to its ready line.
	readyTimeout = 20 * time.Second
	// stopTimeout is how long a child may take to leave after SIGTERM. The
	// dashboard gives 15 s to those that it has started.
	stopTimeout = 20 * time.Second
	// outputDelay is how long after a child's end more of its output may come.
	outputDelay = time.Second
	// maxComplaint is how many lines of a child's complaint are kept. A panic
	// says what matters first.
	maxComplaint = 20
)

// A process is one child of ours. It never outlives us: stop ends it on every
// ordinary way out, and the kernel kills it (Pdeathsig) when we die without
// taking that way, by kill -9 for example, which only a data directory survives. It leads its own process group, so
// that a Ctrl-C in the terminal reaches only us and the children are stopped in
// order.
type process struct {
	name   string
	pid    int
	group  int           // of processes
	log    *processLog   // of a server, nil otherwise
	doneCh chan struct{} // closed when the child is gone and err is set
	err    error         // how the child ended; read after doneCh is closed
}

// A program is what to start, and how.
type program struct {
	name   string // in messages; empty for the last element of path
	path   string
	args   []string
	env    []string  // beside our own environment, KEY=value
	stdout io.Writer // nil discards it
	host   *host     // whose network it has; nil for our own
	disk   *disk     // that it sees; nil for those that we do
}

func (p program) title() string { return cmp.Or(p.name, filepath.Base(p.path)) }

// ready is the log line by which a server says that it accepts connections, and
// where.
type ready struct {
	Listen    string `json:"listen"`
	ListenTLS string `json:"listen_tls"`
	Control   string `json:"control"`
	NATS      string `json:"nats"`
}

// binary returns the path of a command that was built beside this one.
func binary(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	return filepath.Join(filepath.Dir(self), name), nil
}

// start starts a program.
func start(stderr io.Writer, program program) (*process, error) {
	p := &process{name: program.title(), doneCh: make(chan struct{})}
	cmd := exec.Command(program.path, program.args...)
	cmd.Env = append(cmd.Environ(), program.env...)
	cmd.Stdout = program.stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// Wait also waits for the end of the child's output, which a grandchild
	// may hold open.
	cmd.WaitDelay = outputDelay
	// Not so for errors: a successor of the child writes there, too, and would
	// not survive that it cannot.
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	defer write.Close()
	cmd.Stderr = write
	copiedCh := make(chan struct{})

	startedCh := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that forked ends, not the
		// process. This goroutine keeps its thread to itself from the fork
		// until the child is gone, so the two lives end together.
		runtime.LockOSThread()
		var err error
		if program.host == nil && program.disk == nil {
			defer runtime.UnlockOSThread()
		}
		// What it enters it never leaves: the thread ends with this goroutine.
		if program.host != nil {
			err = program.host.enter()
		}
		if program.disk != nil && err == nil {
			err = program.disk.enter()
		}
		if err == nil {
			err = cmd.Start()
		}
		startedCh <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		select {
		case <-copiedCh:
		case <-time.After(outputDelay):
		}
		close(p.doneCh)
	}()
	if err := <-startedCh; err != nil {
		read.Close()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() { // ends with the last who can write there
		defer close(copiedCh)
		defer read.Close()
		_, _ = io.Copy(stderr, read)
	}()
	p.pid = cmd.Process.Pid
	p.group = p.pid
	return p, nil
}

// startLogging starts a program whose log is to be in JSON. Its warnings and
// errors go to log, what its first ready line says to readyCh, which has room for
// one, or is nil.
func startLogging(log *log.Logger, program program, readyCh chan<- ready) (*process, error) {
	l := &processLog{name: program.title(), log: log, readyCh: readyCh}
	p, err := start(l, program)
	if err != nil {
		return nil, err
	}
	p.log = l
	return p, nil
}

// startServer starts a program whose log is to be in JSON, and returns when it is
// ready. Its warnings and errors go to log.
func startServer(ctx context.Context, log *log.Logger, program program) (*process, ready, error) {
	readyCh := make(chan ready, 1)
	p, err := startLogging(log, program, readyCh)
	if err != nil {
		return nil, ready{}, err
	}
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case r := <-readyCh:
		return p, r, nil
	case <-p.doneCh:
		return nil, ready{}, p.failure("ended before it was ready")
	case <-timeout.C:
		return nil, ready{}, errors.Join(fmt.Errorf("%s was not ready within %v", p.name, readyTimeout), p.stop())
	case <-ctx.Done():
		return nil, ready{}, errors.Join(context.Cause(ctx), p.stop())
	}
}

// until returns a context that ends with ctx, or when one of the servers does;
// its cause then says which. The caller must call the function returned.
func until(ctx context.Context, servers ...*process) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	for _, p := range servers {
		go func() {
			select {
			case <-p.doneCh:
				cancel(fmt.Errorf("%s is gone", p.name))
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() { cancel(context.Canceled) }
}

// wait returns when the child has ended by itself, with its failure if it did
// not exit with status 0. When ctx ends first the child is stopped and the error
// is ctx's cause; that the child may complain of its end does not matter then.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.doneCh:
	case <-ctx.Done():
		_ = p.stop()
		return context.Cause(ctx)
	}
	if p.err != nil {
		return p.failure("failed")
	}
	return nil
}

// kill ends the child as a crash would, and returns when it is gone.
func (p *process) kill() {
	_ = syscall.Kill(-p.group, syscall.SIGKILL) // unless it is gone already
	<-p.doneCh
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
	_ = syscall.Kill(-p.group, syscall.SIGTERM)
	select {
	case <-p.doneCh:
	case <-timer.C:
		_ = syscall.Kill(-p.group, syscall.SIGKILL)
		<-p.doneCh
		return p.failure(fmt.Sprintf("still ran %v after SIGTERM and was killed", timeout))
	}
	if p.err != nil {
		return p.failure("did not leave in order")
	}
	return nil
}

// failure describes a child that is gone, with its complaint.
func (p *process) failure(what string) error {
	state := "exit status 0"
	if p.err != nil {
		state = p.err.Error()
	}
	complaint := ""
	if p.log != nil {
		p.log.mu.Lock()
		defer p.log.mu.Unlock()
		if len(p.log.complaint) > 0 {
			complaint = ":\n\t" + strings.Join(p.log.complaint, "\n\t")
		}
	}
	return fmt.Errorf("%s %s (%s)%s", p.name, what, state, complaint)
}

// A processLog reads what a server and its successors write to standard error. It
// is safe for several at once.
type processLog struct {
	name string
	log  *log.Logger

	mu        sync.Mutex
	readyCh   chan<- ready // room for one; nil when nobody waits for a ready line
	handedCh  chan<- int   // room for one; nil when nobody waits for a successor, whose number it gets
	partial   []byte       // a line whose end has not come yet
	complaint []string     // lines that are no log records: an error, a panic
}

// Write takes the next piece of the log. It never fails.
func (l *processLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
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

// line looks at one line: a record of slog in JSON, or plain text. The caller holds
// mu.
func (l *processLog) line(line []byte) {
	var record struct {
		Level slog.Level `json:"level"`
		Msg   string     `json:"msg"`
		PID   int        `json:"pid"`
		ready
	}
	if err := json.Unmarshal(line, &record); err != nil {
		if len(l.complaint) < maxComplaint {
			l.complaint = append(l.complaint, string(line))
		}
		return
	}
	if record.Level >= slog.LevelWarn {
		l.log.Printf("%s: %s", l.name, line)
	}
	if record.Msg == "ready" && l.readyCh != nil {
		l.readyCh <- record.ready
		l.readyCh = nil
	}
	if record.Msg == "handed over" && l.handedCh != nil {
		l.handedCh <- record.PID
		l.handedCh = nil
	}
}

// childLog returns what servers' warnings and errors are written to. It is safe
// for several at once.
func childLog(stderr io.Writer) *log.Logger { return log.New(stderr, "", 0) }
