package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// lineage is a command in a process of its own and its successors, each of which
// takes over from the one before.
type lineage struct {
	rig
	path string // of the command
	pid  int    // of the newest
	at   ready  // where it listens
}

// startLineage starts the first one, from a copy of this binary that upgrades can
// replace.
func startLineage(t *testing.T, origin string, args ...string) *lineage {
	t.Helper()
	clearEnv(t)
	path := filepath.Join(t.TempDir(), "edge")
	install(t, path)
	cmd := exec.Command(path, slices.Concat(processArgs(origin, args), secureArgs(t))...)
	cmd.Env = append(os.Environ(), "TEST_BE_EDGE=1")
	return startLineageOf(t, cmd)
}

// startLineageOf starts the first one as cmd says, with a log in JSON. Those that
// still run at the end of the test are killed.
func startLineageOf(t *testing.T, cmd *exec.Cmd) *lineage {
	t.Helper()
	// Successors, whose parents end, become children of this process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	p := &lineage{rig: rig{t: t, log: &edgeLog{readyCh: make(chan ready, 1)}}, path: cmd.Path}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	_ = cmd.Process.Release()
	write.Close()
	var logged sync.WaitGroup
	logged.Go(func() {
		defer read.Close()
		for lines := bufio.NewReader(read); ; {
			line, err := lines.ReadBytes('\n')
			_, _ = p.log.Write(line)
			if err != nil {
				return // all of them have ended
			}
		}
	})
	t.Cleanup(func() {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(p.pid, nil, 0, nil)
		logged.Wait()
		if t.Failed() {
			t.Logf("the edges' log:\n%s", p.log)
		}
	})
	p.at = await(t, p.log.readyCh, "the edge's start")
	p.address, p.secure, p.control = p.at.Listen, p.at.ListenTLS, "http://"+p.at.Control
	if clientTLS != nil {
		p.address = p.secure
	}
	return p
}

// install puts this binary at a path, in place of what is there.
func install(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	next := path + ".next"
	if err := os.Link(self, next); err != nil { // or on another file system
		binary, err := os.ReadFile(self)
		if err == nil {
			err = os.WriteFile(next, binary, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// signal sends the newest one a signal.
func (p *lineage) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.pid, s); err != nil {
		p.t.Fatal(err)
	}
}

// upgrade has a successor take over, and returns the one before, which drains: who
// comes from then on comes to the successor.
func (p *lineage) upgrade() (before int) {
	p.t.Helper()
	drains := func() int { return strings.Count(p.log.String(), `"msg":"draining"`) }
	earlier := drains()
	before = p.pid
	p.signal(syscall.SIGUSR2)
	at := await(p.t, p.log.readyCh, "the successor's start")
	if at != p.at {
		p.t.Fatalf("the successor says %+v, want %+v", at, p.at)
	}
	eventually(p.t, func() error {
		p.pid = cmp.Or(p.heir(), p.pid)
		if p.pid == before || drains() == earlier {
			return fmt.Errorf("nothing has been handed over")
		}
		return nil
	})
	return before
}

// heir returns the process that has been handed over to, last; 0 for none.
func (p *lineage) heir() (pid int) {
	for line := range strings.Lines(p.log.String()) {
		var handed struct {
			Msg string
			PID int
		}
		if json.Unmarshal([]byte(line), &handed) == nil && handed.Msg == "handed over" {
			pid = handed.PID
		}
	}
	return pid
}

// wantExit waits until a process has ended with status 0.
func (p *lineage) wantExit(pid int) {
	p.t.Helper()
	exitCh := make(chan syscall.WaitStatus, 1)
	go func() {
		var status syscall.WaitStatus
		_, _ = syscall.Wait4(pid, &status, 0, nil)
		exitCh <- status
	}()
	if status := await(p.t, exitCh, "the end of a process"); !status.Exited() || status.ExitStatus() != 0 {
		p.t.Errorf("process %d ended with %#x", pid, status)
	}
}

// freeze stops a process, until SIGCONT, with all its threads.
func freeze(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range threads {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if !strings.Contains(string(text), ") T ") {
				return fmt.Errorf("a thread goes on: %s", text)
			}
		}
		return nil
	})
}
