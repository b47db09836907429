package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this binary be the command itself, for tests that need an edge
// in a process of its own: to send it signals, or to see what memory it takes.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_BE_EDGE") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is an edge in a process of its own.
type process struct {
	rig
	cmd    *exec.Cmd
	exitCh chan error // gets how it ended
}

// startProcess starts one. It is killed at the end of the test if it still runs.
func startProcess(t *testing.T, origin string, args ...string) *process {
	t.Helper()
	clearEnv(t)
	return startCommand(t, exec.Command(os.Args[0], slices.Concat(processArgs(origin, args), secureArgs(t))...))
}

// processArgs are the arguments of such an edge.
func processArgs(origin string, args []string) []string {
	return append([]string{
		"-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-origin", origin, "-log-format", "json"}, args...)
}

// startCommand starts a command that becomes the edge.
func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	cmd.Env = append(os.Environ(), "TEST_BE_EDGE=1")
	log := &edgeLog{readyCh: make(chan ready, 1)}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{rig: rig{t: t, log: log}, cmd: cmd, exitCh: make(chan error, 1)}
	go func() {
		for lines := bufio.NewReader(pipe); ; {
			line, err := lines.ReadBytes('\n')
			_, _ = log.Write(line)
			if err != nil {
				break
			}
		}
		p.exitCh <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the edge's log:\n%s", log)
		}
	})
	at := await(t, log.readyCh, "the edge's start")
	p.address, p.secure, p.control = at.Listen, at.ListenTLS, "http://"+at.Control
	if clientTLS != nil {
		p.address = at.ListenTLS
	}
	return p
}

// memory returns the resident memory of the process in bytes.
func (p *process) memory() int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(text, []byte("VmRSS:"))
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	kb, err := strconv.Atoi(string(bytes.TrimSpace(line)))
	if err != nil {
		p.t.Fatalf("VmRSS %q: %v", line, err)
	}
	return kb << 10
}

// slowly is h with a request for /slow, which closes startedCh and waits for goCh.
func slowly(h http.Handler, startedCh chan<- struct{}, goCh <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(startedCh)
			hang(r, goCh)
		}
		h.ServeHTTP(w, r)
	})
}

// A terminated edge answers what it holds and ends well, in time.
func TestTerminate(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			startedCh, goCh := make(chan struct{}), make(chan struct{})
			h := &headline{id: 1}
			p := startProcess(t, serve(t, slowly(h, startedCh, goCh)), "-share-all", "-drain-spread", "1s", "-drain-timeout", "30s")
			idle := p.dial()
			idle.get(headlinePath)
			idle.wantAnswer(200, headlineBody(1))
			held := p.poll(100, 1)
			p.waitHolds(100)
			slow := p.dial()
			slow.get("/slow")
			await(t, startedCh, "the slow request")
			began := time.Now()
			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			for _, c := range held {
				c.wantStatus(200)
				c.wantHeader("Connection", "close")
				c.wantBody("{}")
				c.wantClosed()
			}
			idle.wantClosed()
			if nc, err := net.DialTimeout("tcp", p.address, patience); err == nil {
				nc.Close()
				t.Error("a new connection is taken")
			}
			close(goCh)
			slow.wantAnswer(200, headlineBody(1))
			slow.wantClosed()
			if err := await(t, p.exitCh, "the end of the process"); err != nil {
				t.Errorf("the edge ended with %v", err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v although everybody had left", took)
			}
		})
	}
}

// A mistake is told on standard error, and by the exit status.
func TestExitStatus(t *testing.T) {
	clearEnv(t)
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"no origin", nil, 1, "edge: -origin is"},
		{"help", []string{"-help"}, 0, "-share-all"},
		{"version", []string{"-version"}, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], tt.args...)
			cmd.Env = append(os.Environ(), "TEST_BE_EDGE=1")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			_ = cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != tt.status || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("edge %q: exit status %d, %q, want %d, %q", tt.args, got, stderr.String(), tt.status, tt.stderr)
			}
		})
	}
}

// The big transfers are this long, and may not make the edge's memory grow by
// more than that: buffers of sockets do not count as its memory.
const (
	bigTransfer = 1 << 30
	bigGrowth   = 32 << 20
)

// pattern is what big transfers repeat.
var pattern = func() []byte {
	p := make([]byte, 1<<20)
	for i := range p {
		p[i] = byte(i * i >> 3)
	}
	return p
}()

// pour writes bigTransfer bytes of pattern to nc. When the first write blocks,
// it calls blocked, once: then everything between here and a reader who does
// not read is full.
func pour(nc net.Conn, blocked func()) (sum uint32, err error) {
	hash := crc32.NewIEEE()
	for sent := 0; sent < bigTransfer; {
		rest := pattern[sent%len(pattern):]
		limit := patience
		if blocked != nil {
			limit = 500 * time.Millisecond
		}
		_ = nc.SetWriteDeadline(time.Now().Add(limit))
		n, err := nc.Write(rest)
		_, _ = hash.Write(rest[:n])
		sent += n
		if nerr, ok := err.(net.Error); ok && nerr.Timeout() && blocked != nil {
			blocked()
			blocked = nil
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("after %d bytes: %w", sent, err)
		}
	}
	if blocked != nil {
		return 0, fmt.Errorf("%d bytes were taken while nobody read", bigTransfer)
	}
	return hash.Sum32(), nil
}

// drink reads bigTransfer bytes and returns their checksum.
func drink(r io.Reader) (uint32, error) {
	hash := crc32.NewIEEE()
	n, err := io.CopyBuffer(struct{ io.Writer }{hash}, io.LimitReader(r, bigTransfer), make([]byte, 64<<10))
	if err == nil && n < bigTransfer {
		err = fmt.Errorf("%d bytes: %w", n, io.ErrUnexpectedEOF)
	}
	return hash.Sum32(), err
}

// watchMemory looks at the edge's memory until stop, which returns the most.
func (p *process) watchMemory() (stop func() int) {
	stopCh, mostCh := make(chan struct{}), make(chan int)
	go func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for most := 0; ; {
			most = max(most, p.memory())
			select {
			case <-ticker.C:
			case <-stopCh:
				mostCh <- most
				return
			}
		}
	}()
	return func() int {
		close(stopCh)
		return <-mostCh
	}
}

// A download by a client that reads slowly leaves the edge's memory flat.
func TestBigDownload(t *testing.T) {
	blockedCh, sumCh := make(chan struct{}), make(chan uint32, 1)
	p := startProcess(t, serveRaw(t, func(nc net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(nc))
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", bigTransfer)
		if req.URL.Path != "/big" {
			return
		}
		sum, err := pour(nc, func() { close(blockedCh) })
		if err != nil {
			t.Errorf("origin writes: %v", err)
		}
		sumCh <- sum
		_, _ = io.Copy(io.Discard, nc)
	}))
	before := p.memory()
	stop := p.watchMemory()
	c := p.dial()
	c.get("/big")
	await(t, blockedCh, "the answer at a standstill")
	c.wantStatus(200)
	_ = c.nc.SetReadDeadline(time.Now().Add(3 * patience))
	got, err := drink(c.in)
	if err != nil {
		t.Fatal(err)
	}
	if want := await(t, sumCh, "the end at the origin"); got != want {
		t.Errorf("checksum %08x, want %08x", got, want)
	}
	if most := stop(); most-before > bigGrowth {
		t.Errorf("the edge grew from %d MB to %d MB", before>>20, most>>20)
	} else {
		t.Logf("the edge grew from %d MB to %d MB", before>>20, most>>20)
	}
}

// An upload to an origin that reads slowly does so too.
func TestBigUpload(t *testing.T) {
	blockedCh := make(chan struct{})
	p := startProcess(t, serveRaw(t, func(nc net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(nc))
		if err != nil {
			return
		}
		<-blockedCh
		sum, err := drink(req.Body)
		if err != nil {
			t.Errorf("origin reads: %v", err)
		}
		answer, _ := json.Marshal(sum)
		_, _ = fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		_, _ = io.Copy(io.Discard, nc)
	}))
	before := p.memory()
	stop := p.watchMemory()
	c := p.dial()
	c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", bigTransfer))
	sum, err := pour(c.nc, func() { close(blockedCh) })
	if err != nil {
		t.Fatal(err)
	}
	c.wantAnswer(200, fmt.Sprint(sum))
	if most := stop(); most-before > bigGrowth {
		t.Errorf("the edge grew from %d MB to %d MB", before>>20, most>>20)
	} else {
		t.Logf("the edge grew from %d MB to %d MB", before>>20, most>>20)
	}
}

// While it is about to drain the edge serves as before, but says that it is not well
// to whoever sends clients; a second signal ends it at once.
func TestDrainDelay(t *testing.T) {
	h := &headline{id: 1}
	p := startProcess(t, serve(t, h), "-drain-delay", "10m")
	early := p.poll(1, 1)[0]
	p.waitHolds(1)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		resp, err := web.Get(p.control + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 503 {
			return fmt.Errorf("/healthz says %d, want 503", resp.StatusCode)
		}
		return nil
	})
	late := p.poll(1, 1)[0]
	p.waitHolds(2)
	p.publish(headlineItem(h.change()))
	for _, c := range []*client{early, late} {
		c.wantStatus(200)
		c.wantHeader("Connection")
		c.wantBody(headlineBody(2))
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	early.wantCut()
	await(t, p.exitCh, "the end of the process")
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, want it ended by the second signal", p.cmd.ProcessState)
	}
}
