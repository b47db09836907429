package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// binary is the built command.
var binary string

// TestMain builds the command, and checks after all tests that no goroutine is
// left.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "origin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "origin")
	build := exec.Command("go", "build", "-ldflags", "-X main.version=v1.2.3-test", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build origin:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// A process is a running origin.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	base string // URL of the API
	// lineCh gets the log lines after "ready" and is closed at the end.
	lineCh chan string
}

// startOrigin runs the binary on any free port with those flags, and waits until
// it is ready. It is killed at the end of the test if it still runs.
func startOrigin(t testing.TB, args ...string) *process {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"-listen", "127.0.0.1:0", "-nats-listen", "127.0.0.1:0", "-log-format", "json"}, args...)...)
	cmd.Env = append(os.Environ(), "GRIP_URL=")
	return startCommand(t, cmd)
}

// startCommand is startOrigin of a command that becomes it.
func startCommand(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, lineCh: make(chan string, 1000)}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.end(syscall.SIGKILL)
		}
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var line struct{ Msg, Listen string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("log line %q: %v", lines.Text(), err)
		}
		if line.Msg == "ready" {
			p.base = "http://" + line.Listen
			go func() {
				defer close(p.lineCh)
				for lines.Scan() {
					p.lineCh <- lines.Text()
				}
			}()
			return p
		}
		t.Log(lines.Text())
	}
	t.Fatalf("origin ended before it was ready: %v", p.cmd.Wait())
	return nil
}

// end sends the signal, waits for the end of the process, and returns the log
// since it was ready and what Wait returns.
func (p *process) end(sig os.Signal) (log string, err error) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	var b strings.Builder
	for line := range p.lineCh {
		b.WriteString(line + "\n")
	}
	return b.String(), p.cmd.Wait()
}

// post changes the headline and returns the answer, whatever it says. An error
// means that there was none.
func (p *process) post(body string) (answer string, err error) {
	resp, err := noRedirect.Post(p.base+"/headline/value/", formType, strings.NewReader(form("body", body)))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// wantPost changes the headline and fails unless it gets that id.
func (p *process) wantPost(body string, id uint64) {
	p.t.Helper()
	answer, err := p.post(body)
	if want := string(newHeadline(id, body).json); err != nil || answer != want {
		p.t.Fatalf("POST %q = %q, %v, want %q", body, answer, err, want)
	}
}

// What was acknowledged is there after kill -9, and the ids go on.
func TestKill(t *testing.T) {
	// nth is what the nth change sets and answers.
	nth := func(n uint64) (body, answer string) {
		body = fmt.Sprintf("headline %d", n)
		return body, string(newHeadline(n, body).json)
	}
	dir := t.TempDir()
	acked := uint64(0) // the last id that a POST returned
	for round := range 4 {
		p := startOrigin(t, "-data", dir)
		if acked > 0 {
			// At most one change was under way: stored, perhaps, but not answered.
			_, last := nth(acked)
			_, unanswered := nth(acked + 1)
			switch _, got := exchange(t, http.MethodGet, p.base+"/headline/value/", nil, ""); got {
			case last:
			case unanswered:
				acked++
			default:
				t.Fatalf("round %d: after kill -9 the headline is %s, want %s, or perhaps %s", round, got, last, unanswered)
			}
		}
		// Change the headline without pause, and kill somewhere in the middle.
		enoughCh := make(chan struct{})
		doneCh := make(chan struct{})
		go func() {
			defer close(doneCh)
			for n := 1; ; n++ {
				body, want := nth(acked + 1)
				answer, err := p.post(body)
				if err != nil {
					return // killed
				}
				if answer != want {
					t.Errorf("round %d: POST %q = %q, want %q", round, body, answer, want)
					return
				}
				acked++
				if n == 20 {
					close(enoughCh)
				}
			}
		}()
		wait(t, enoughCh, "20 changes")
		p.end(syscall.SIGKILL)
		wait(t, doneCh, "the last change to fail")
	}
}

func TestSignalsStopInOrder(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			edge := newTestEdge(t, nil)
			p := startOrigin(t, "-data", t.TempDir(), "-edge", edge.url)
			p.wantPost("last", 1)
			begun := time.Now()
			log, err := p.end(sig)
			if err != nil {
				t.Errorf("origin ended with %v, log\n%s", err, log)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("origin took %s to stop", took)
			}
			if !strings.Contains(log, `"msg":"stopped"`) {
				t.Errorf("the log does not say that it stopped:\n%s", log)
			}
			edge.wantItem(t, 1, `{"id": 1, "body": "last"}`)
		})
	}
}

func TestSecondOriginOnSameData(t *testing.T) {
	dir := t.TempDir()
	first := startOrigin(t, "-data", dir)
	out, err := exec.Command(binary, "-listen", "127.0.0.1:0", "-nats-listen", "127.0.0.1:0", "-data", dir).CombinedOutput()
	if want := "origin: data directory " + dir + " is in use by another origin\n"; err == nil || string(out) != want {
		t.Errorf("the second origin ended with %v, %q, want an error and %q", err, out, want)
	}
	first.wantPost("unharmed", 1)
}

func TestVersion(t *testing.T) {
	out, err := exec.Command(binary, "-version").CombinedOutput()
	if want := "origin v1.2.3-test\n"; err != nil || string(out) != want {
		t.Errorf("origin -version = %q, %v, want %q", out, err, want)
	}
}

// run in this process, so that the race detector and the leak check see it.
func TestRun(t *testing.T) {
	clearEnv(t)
	edge := newTestEdge(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	logReader, logWriter := io.Pipe()
	endedCh := make(chan error, 1)
	args := []string{"-listen", "127.0.0.1:0", "-nats-listen", "127.0.0.1:0", "-data", t.TempDir(), "-edge", edge.url, "-log-format", "json", "-hold-timeout", "30s"}
	go func() {
		err := run(ctx, args, io.Discard, logWriter)
		logWriter.CloseWithError(io.EOF)
		endedCh <- err
	}()
	log := bufio.NewReader(logReader)
	var ready struct{ Msg, Listen, Version string }
	for ready.Msg != "ready" {
		line, err := log.ReadBytes('\n')
		if err != nil {
			t.Fatalf("log ends with %q, %v, want ready", line, err)
		}
		if err := json.Unmarshal(line, &ready); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
	}
	if ready.Version != version {
		t.Errorf("version is %q, want %q", ready.Version, version)
	}
	go io.Copy(io.Discard, log)

	p := &process{t: t, base: "http://" + ready.Listen}
	p.wantPost("a", 1)
	edge.wantItem(t, 1, `{"id": 1, "body": "a"}`)
	resp, body := exchange(t, "GET", p.base+"/headline/value?last_id=1", http.Header{"Grip-Feature": {"status"}}, "")
	if body != "{}" || resp.Header.Get("Grip-Timeout") != "30" {
		t.Errorf("poll: got %q, Grip-Timeout %q, want {} and 30", body, resp.Header.Get("Grip-Timeout"))
	}
	cancel()
	select {
	case err := <-endedCh:
		if err != nil {
			t.Errorf("run: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("run did not end")
	}
}

func TestRunRefuses(t *testing.T) {
	clearEnv(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	data := filepath.Join(t.TempDir(), "data")
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"a flag", []string{"-log-level", "loud"}, "-log-level"},
		{"address in use", []string{"-listen", listener.Addr().String(), "-data", data}, "listen: "},
		{"data is a file", []string{"-listen", "127.0.0.1:0", "-nats-listen", "127.0.0.1:0", "-data", binary}, "create data directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := run(t.Context(), tt.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run(%q) = %v, want an error with %q", tt.args, err, tt.want)
			}
		})
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("with the address in use, the data directory was touched: %v", err)
	}
}

func TestRunHelp(t *testing.T) {
	clearEnv(t)
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, &stdout, io.Discard); err != nil || !strings.Contains(stdout.String(), "-listen") {
		t.Errorf("run(-help) = %v, printed %q", err, &stdout)
	}
}

// A write that fails changes nothing, and when writes succeed again so do changes,
// by the same process. What was confirmed is there, also after a restart.
func TestStoreFails(t *testing.T) {
	dir := t.TempDir()
	p := startOrigin(t, "-data", dir)
	p.wantPost("kept", 1)
	limit := func(bytes uint64) {
		t.Helper()
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(0) // no file may grow: EFBIG
	for range 2 {
		if answer, err := p.post("refused"); err != nil || !strings.Contains(answer, "has not changed") {
			t.Errorf("a change whose write fails is answered %q, %v, want that nothing has changed", answer, err)
		}
	}
	limit(unix.RLIM_INFINITY)
	answer, err := p.post("kept too")
	if want := `"body": "kept too"}`; err != nil || !strings.Contains(answer, want) {
		t.Fatalf("a change after the failure: %q, %v, want %s", answer, err, want)
	}
	log, err := p.end(syscall.SIGTERM)
	if err != nil {
		t.Errorf("exit: %v", err)
	}
	if want := unix.EFBIG.Error(); !strings.Contains(log, want) {
		t.Errorf("the log does not say %q:\n%s", want, log)
	}
	again := startOrigin(t, "-data", dir)
	if _, got := exchange(t, http.MethodGet, again.base+"/headline/value/", nil, ""); got != answer {
		t.Errorf("after a restart the headline is %s, want %s", got, answer)
	}
}

// An origin that systemd starts serves the socket that it gets, also for who came
// before, and says when it is ready and when it stops.
func TestSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	wantState := func(want string) {
		t.Helper()
		buf := make([]byte, 1024)
		_ = manager.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := manager.Read(buf); err != nil || string(buf[:n]) != want {
			t.Fatalf("it says %q, %v, want %q", buf[:n], err, want)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := listener.(*net.TCPListener).File()
	listener.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	early, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	// LISTEN_PID must be that of the origin, which the shell becomes.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary,
		"-listen", "192.0.2.1:1", "-nats-listen", "127.0.0.1:0", "-log-format", "json", "-data", t.TempDir())
	cmd.Env = append(os.Environ(), "GRIP_URL=", "LISTEN_FDS=1", "NOTIFY_SOCKET="+path)
	cmd.ExtraFiles = []*os.File{socket}
	p := startCommand(t, cmd)
	wantState("READY=1")
	_, _ = io.WriteString(early, "GET /headline/value/ HTTP/1.1\r\nHost: h\r\n\r\n")
	_ = early.SetReadDeadline(time.Now().Add(20 * time.Second))
	if resp, err := http.ReadResponse(bufio.NewReader(early), nil); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("who came before is answered %v, %v, want 404", resp, err)
	}
	log, err := p.end(syscall.SIGTERM)
	wantState("STOPPING=1")
	if err != nil {
		t.Errorf("it ended with %v:\n%s", err, log)
	}
}
