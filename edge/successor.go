package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// successorTimeout is how long a new process may take to be ready.
const successorTimeout = 30 * time.Second

// program is how to start the command once more: what is at the path by which it
// was started, which may be something newer by now.
type program struct {
	path    string
	args    []string // with the command's own name
	timeout time.Duration
}

// thisProgram returns how this process was started. Call it before the working
// directory changes.
func thisProgram() program {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path = os.Args[0] // to start it will fail, and say why
	}
	return program{path: path, args: os.Args, timeout: successorTimeout}
}

// awaitUpgrades returns where SIGUSR2 comes from now on, until stop: before, it
// would end the process.
func awaitUpgrades() (signalCh chan os.Signal, stop func()) {
	signalCh = make(chan os.Signal, 1)
	signal.Notify(signalCh, syscall.SIGUSR2)
	return signalCh, func() { signal.Stop(signalCh) }
}

// successionLoop starts a successor whenever a signal comes, and returns when one
// has taken over, true, or when ctx ends.
func (e *edge) successionLoop(ctx context.Context, signalCh <-chan os.Signal) (succeeded bool) {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-signalCh:
		}
		began := time.Now()
		e.log.Info("starting a successor", "path", e.program.path)
		pid, err := e.handOver(ctx)
		if err == nil {
			e.log.Info("handed over", "pid", pid, "took", time.Since(began).Round(time.Millisecond))
			return true
		}
		if ctx.Err() != nil {
			e.log.Info("no successor, told to stop", "err", err)
			return false
		}
		select { // what came meanwhile meant this one
		case <-signalCh:
		default:
		}
		e.log.Error("no successor, serving on", "err", err)
	}
}

// handOver starts a successor and hands everything over to it when it is ready.
// After an error nothing has changed.
func (e *edge) handOver(ctx context.Context) (pid int, err error) {
	h, files, err := newHandover()
	if err != nil {
		return 0, err
	}
	own, err := e.sockets.duplicates()
	files = append(files, own...)
	defer closeFiles(files)
	if err != nil {
		h.close()
		return 0, err
	}
	cmd := e.program.command(files)
	if err := cmd.Start(); err != nil {
		h.close()
		return 0, fmt.Errorf("start successor: %w", err)
	}
	closeFiles(files) // so that the hand-over ends with the successor
	h.pid = cmd.Process.Pid
	exitCh := make(chan error, 1)
	go func() { exitCh <- cmd.Wait() }() // if all is well, it outlives this process
	if err := e.agree(ctx, h); err != nil {
		h.close()
		_ = cmd.Process.Kill()
		if exit := <-exitCh; errors.Is(err, io.EOF) {
			err = fmt.Errorf("it ended before it was ready: %v", exit)
		}
		return 0, fmt.Errorf("successor %d: %w", h.pid, err)
	}
	return h.pid, nil
}

// agree waits until the successor is ready, and lets it take over.
func (e *edge) agree(ctx context.Context, h *handover) error {
	stop := context.AfterFunc(ctx, func() { h.in.Close() })
	defer stop()
	_ = h.in.SetDeadline(time.Now().Add(e.program.timeout))
	switch _, err := h.hear(); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it was not ready within %v", e.program.timeout)
	case err != nil:
		return err
	case !stop():
		return context.Cause(ctx)
	}
	_ = h.in.SetDeadline(time.Time{})
	// From here on it hears of what is published here, and then clients and
	// publishers may come to it.
	e.handovers.add(e, h)
	e.supervisor.mainProcess(h.pid) // before it has anything to say itself
	if err := h.answer(); err != nil {
		e.supervisor.mainProcess(os.Getpid())
		return err
	}
	e.successor.Store(true)
	e.sockets.leaveFiles()
	return nil
}

// command returns how to start the program with these files.
func (p program) command(files []*os.File) *exec.Cmd {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name()
	}
	cmd := exec.Command(p.path)
	cmd.Args = p.args
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "WATCHDOG_PID" { // it names this process
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env,
		predecessorEnv+"="+strconv.Itoa(os.Getpid()),
		"LISTEN_FDS="+strconv.Itoa(len(files)),
		"LISTEN_FDNAMES="+strings.Join(names, ":"))
	return cmd
}

// takeOver tells the predecessor that this process is ready, and returns when
// that has let go: from then on clients and publishers come here.
func (e *edge) takeOver() error {
	h := e.sockets.predecessor
	if h == nil {
		return nil
	}
	e.handovers.add(e, h)
	if err := h.tell(nil, handoverTimeout); err != nil {
		if os.Getppid() == h.pid {
			return fmt.Errorf("take over: %w", err)
		}
		e.log.Warn("the predecessor has ended without handing over", "pid", h.pid, "err", err)
	}
	return nil
}

// awaitPredecessor waits in a process that has a successor until its predecessor has
// ended, or ctx: what is published to one of those two reaches the other through
// this one, and so does the name in the cluster.
func (e *edge) awaitPredecessor(ctx context.Context) {
	h := e.sockets.predecessor
	if h == nil || !e.successor.Load() {
		return
	}
	select {
	case <-h.goneCh:
		return
	default:
	}
	e.log.Info("waiting for the predecessor to end", "pid", h.pid)
	select {
	case <-h.goneCh:
	case <-ctx.Done():
	}
}
