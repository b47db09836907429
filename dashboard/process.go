package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// stopTimeout is how long a process may take to leave after SIGTERM: an
	// edge drains, for 10 s unless told otherwise.
	stopTimeout = 15 * time.Second
	// Between two lives of a process, doubling for as long as they are short.
	restartMin = 250 * time.Millisecond
	restartMax = 10 * time.Second
	// maxLine bounds a line of a process's log; the rest of it is cut off.
	maxLine = 8 << 10
)

// A process is a command of ours that is kept running: it is started again when
// it dies. It never outlives us: ending run's context ends it, and the kernel
// kills it when we die without taking that way, by kill -9 for example. It
// leads its own process group, so that a Ctrl-C in the terminal reaches only us.
type process struct {
	name string // for the log
	path string
	args []string
	env  []string // all of it
	log  *slog.Logger
	// mustStart makes it an error of run when the first life ends before it is
	// ready.
	mustStart bool
	// ready is called with each ready line of its log. May be nil. It runs on
	// the goroutine that copies the log, which ends with the life: it may change
	// args for the next one.
	ready func(ready)
	// wasReady is set after the first ready line. Of that goroutine, too.
	wasReady bool
}

// A ready is the log line by which a server says that it accepts connections,
// and where.
type ready struct {
	Listen string `json:"listen"`
}

// binary returns the path of a command that was built beside this one.
func binary(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find %s beside %s: %w", name, filepath.Base(self), err)
	}
	return path, nil
}

// run keeps the process running until ctx ends, and returns when it is gone. Its
// error is that of mustStart.
//
// The kernel watches the thread that forked, not the process that it belongs to.
// So this goroutine keeps its thread to itself from the fork until the process
// is gone, and the two lives end together.
func (p *process) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pause := restartMin
	for {
		begun := time.Now()
		err := p.live(ctx)
		if ctx.Err() != nil {
			var failure *exec.ExitError
			if errors.As(err, &failure) {
				p.log.Warn("process did not leave in order", "node", p.name, "err", err)
			}
			return nil
		}
		if p.mustStart && !p.wasReady {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
		if time.Since(begun) > restartMax {
			pause = restartMin
		}
		p.log.Error("process ended, starting it again", "node", p.name, "err", err, "in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, restartMax)
	}
}

// live is one life of the process, and returns how it ended; run's goroutine
// only.
func (p *process) live(ctx context.Context) error {
	complaint := &processLog{process: p}
	cmd := exec.CommandContext(ctx, p.path, p.args...)
	cmd.Env = p.env
	cmd.Stdout = io.Discard
	cmd.Stderr = complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	if err := cmd.Start(); err != nil {
		return err
	}
	p.log.Debug("process started", "node", p.name, "pid", cmd.Process.Pid)
	return complaint.explain(cmd.Wait())
}

// A processLog reads what a process writes to standard error: records of slog
// in JSON, whose warnings and errors go to our log, or something else. Only the
// goroutine that copies it touches the fields, until the process is gone.
type processLog struct {
	process *process
	partial []byte // a line whose end has not come yet
	said    string // the first line that was no record: an error, a panic
}

// Write takes the next piece of the log. It never fails.
func (l *processLog) Write(b []byte) (int, error) {
	l.partial = append(l.partial, b...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte{'\n'})
		if !found {
			l.partial = l.partial[:min(len(l.partial), maxLine)]
			return len(b), nil
		}
		l.line(line)
		l.partial = rest
	}
}

func (l *processLog) line(line []byte) {
	var record struct {
		Level slog.Level `json:"level"`
		Msg   string     `json:"msg"`
		ready
	}
	p := l.process
	switch err := json.Unmarshal(line, &record); {
	case err != nil:
		text := strings.TrimSpace(string(line))
		l.said = cmp.Or(l.said, text)
		p.log.Debug("process says", "node", p.name, "text", text)
	case record.Msg == "ready":
		if p.ready != nil {
			p.ready(record.ready)
		}
		p.wasReady = true
	case record.Level >= slog.LevelWarn:
		p.log.Log(context.Background(), record.Level, record.Msg, append([]any{"node", p.name}, attributes(line)...)...)
	}
}

// attributes returns those of a record of slog, by name.
func attributes(line []byte) []any {
	var all map[string]any
	_ = json.Unmarshal(line, &all) // has been read before
	var list []any
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if key != slog.TimeKey && key != slog.LevelKey && key != slog.MessageKey {
			list = append(list, key, all[key])
		}
	}
	return list
}

// explain adds what the process said to how it ended.
func (l *processLog) explain(err error) error {
	if err == nil {
		err = errors.New("exit status 0")
	}
	if l.said == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, l.said)
}
