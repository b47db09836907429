package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asCommand, in the environment of a child, makes the test binary the bench
// command; asParent makes it a process that starts the shell script it holds as
// a child of its own and waits.
const (
	asCommand = "BENCH_TEST_AS_COMMAND"
	asParent  = "BENCH_TEST_AS_PARENT"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asCommand) != "":
		main()
	case os.Getenv(asParent) != "":
		if _, err := start(os.Stderr, program{path: "/bin/sh", args: []string{"-c", os.Getenv(asParent)}, stdout: os.Stdout}); err != nil {
			panic(err)
		}
		select {}
	default:
		goleak.VerifyTestMain(m)
	}
}

func shellScript(script string) program {
	return program{path: "/bin/sh", args: []string{"-c", script}}
}

// shell starts a shell script as a child.
func shell(t *testing.T, script string) *process {
	t.Helper()
	p, err := start(io.Discard, shellScript(script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.stop() })
	return p
}

func testLog(t *testing.T) *log.Logger { return log.New(t.Output(), "", 0) }

// alive says whether a process of the group exists, zombies included.
func alive(group int) bool {
	return !errors.Is(syscall.Kill(-group, 0), syscall.ESRCH)
}

const readyLine = `echo '{"level":"INFO","msg":"ready","listen":"127.0.0.1:1","control":"127.0.0.1:2"}' >&2; `

func TestStartServer(t *testing.T) {
	for _, test := range []struct {
		name, script string
		want         ready
		wantErr      string
	}{
		{"ready", readyLine + "exec sleep 1000", ready{Listen: "127.0.0.1:1", Control: "127.0.0.1:2"}, ""},
		{"ready after other lines", "echo hello >&2; echo '{\"msg\":\"starting\"}' >&2; " + readyLine + "exec sleep 1000", ready{Listen: "127.0.0.1:1", Control: "127.0.0.1:2"}, ""},
		{"line in two writes", `printf '{"msg":"re' >&2; printf 'ady","listen":"127.0.0.1:3"}\n' >&2; exec sleep 1000`, ready{Listen: "127.0.0.1:3"}, ""},
		{"ends in failure", "echo no luck >&2; exit 3", ready{}, "sh ended before it was ready (exit status 3):\n\tno luck"},
		{"ends in success", "exit 0", ready{}, "sh ended before it was ready (exit status 0)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, got, err := startServer(t.Context(), testLog(t), shellScript(test.script))
			if test.wantErr != "" {
				if err == nil || err.Error() != test.wantErr {
					t.Fatalf("startServer(%q) = %v, want error %q", test.script, err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatalf("startServer(%q): %v", test.script, err)
			}
			if got != test.want {
				t.Errorf("startServer(%q) = %+v, want %+v", test.script, got, test.want)
			}
			_ = p.stop() // the shell dies of the signal
			if alive(p.pid) {
				t.Errorf("process group %d is alive after stop", p.pid)
			}
		})
	}
}

func TestStartServerCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := startServer(ctx, testLog(t), shellScript("exec sleep 1000")); !errors.Is(err, context.Canceled) {
		t.Errorf("startServer with a cancelled context: got error %v, want %v", err, context.Canceled)
	}
}

func TestStartMissingProgram(t *testing.T) {
	if _, err := start(io.Discard, program{path: "/no/such/program"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("start of a missing program: got error %v, want %v", err, os.ErrNotExist)
	}
}

func TestStop(t *testing.T) {
	for _, test := range []struct {
		name, script, wantErr string
	}{
		{"leaves in order", `trap 'exit 0' TERM; ` + readyLine + `while :; do sleep 0.01; done`, ""},
		{"leaves with a failure", `trap 'exit 5' TERM; ` + readyLine + `while :; do sleep 0.01; done`, "did not leave in order (exit status 5)"},
		{"takes its children along", `trap 'exit 0' TERM; (trap - TERM; ` + readyLine + `exec sleep 1000) & while :; do sleep 0.01; done`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, _, err := startServer(t.Context(), testLog(t), shellScript(test.script))
			if err != nil {
				t.Fatal(err)
			}
			err = p.stop()
			if test.wantErr == "" && err != nil || test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("stop() of %q = %v, want %q", test.script, err, test.wantErr)
			}
		})
	}
}

func TestStopKillsTheStubborn(t *testing.T) {
	const script = `trap '' TERM; ` + readyLine + `while :; do sleep 0.01; done`
	p, _, err := startServer(t.Context(), testLog(t), shellScript(script))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stopWithin(time.Millisecond); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("stop() of %q = %v, want an error that says it was killed", script, err)
	}
}

func TestStopOfEndedProcess(t *testing.T) {
	p := shell(t, "exit 0")
	if err := p.wait(t.Context()); err != nil {
		t.Errorf("wait() = %v, want nil", err)
	}
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "ended too early") {
		t.Errorf("stop() after the end = %v, want an error that says so", err)
	}
}

func TestWaitCancelled(t *testing.T) {
	p := shell(t, "exec sleep 1000")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait() with a cancelled context = %v, want %v", err, context.Canceled)
	}
	if alive(p.pid) {
		t.Errorf("process group %d is alive after wait was cancelled", p.pid)
	}
}

func TestUntil(t *testing.T) {
	lasts, ends := shell(t, "exec sleep 1000"), shell(t, "exit 0")
	ctx, cancel := until(t.Context(), lasts, ends)
	defer cancel()
	<-ctx.Done()
	if got, want := context.Cause(ctx).Error(), "sh is gone"; got != want {
		t.Errorf("until ended by %q, want %q", got, want)
	}
	ctx, cancel = until(t.Context(), lasts)
	if err := ctx.Err(); err != nil {
		t.Errorf("until ended by %v while its process runs", err)
	}
	cancel()
	<-ctx.Done()
}

// When we are killed with SIGKILL, our children go too. The grandchild holds the
// write end of a pipe that ends when it is gone.
func TestKilledParentLeavesNoChild(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), asParent+"=echo $$; exec sleep 1000")
	parent.Stdout = w
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	line := make([]byte, 32)
	n, err := r.Read(line)
	if err != nil {
		t.Fatalf("read the grandchild's pid: %v", err)
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(line); err != io.EOF {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Errorf("grandchild %d outlives its killed parent: read %v, want %v", pid, err, io.EOF)
	}
}

func TestProcessLog(t *testing.T) {
	var out bytes.Buffer
	l := &processLog{name: "edge", log: log.New(&out, "", 0)}
	const info, warning = `{"level":"INFO","msg":"hello"}`, `{"level":"WARN","msg":"limit is low"}`
	fmt.Fprint(l, info+"\n"+warning+"\npanic: oh\n")
	for i := range 2 * maxComplaint {
		fmt.Fprintln(l, "frame", i)
	}
	if got, want := out.String(), "edge: "+warning+"\n"; got != want {
		t.Errorf("forwarded %q, want %q", got, want)
	}
	if len(l.complaint) != maxComplaint || l.complaint[0] != "panic: oh" {
		t.Errorf("the complaint is %q, want %d lines from the panic on", l.complaint, maxComplaint)
	}
}
