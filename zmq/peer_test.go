package zmq

import (
	"bufio"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"marquee/grip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// libzmq is a socket of libzmq in a process of its own.
type libzmq struct {
	t        *testing.T
	endpoint string
	in       io.Writer
	lineCh   chan string // what it printed
}

// startLibzmq starts a socket of libzmq that binds or connects, and skips the
// test where there is none. It ends with the test.
func startLibzmq(t *testing.T, socketType, how, endpoint string) *libzmq {
	t.Helper()
	if out, err := exec.Command("python3", "-c", `import ctypes; ctypes.CDLL("libzmq.so.5")`).CombinedOutput(); err != nil {
		t.Skipf("no python3, or no libzmq.so.5: %v %s", err, out)
	}
	cmd := exec.Command("python3", "testdata/peer.py", socketType, how, endpoint)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	complaints := new(strings.Builder)
	cmd.Stderr = complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	z := &libzmq{t: t, in: in, lineCh: make(chan string, 1000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(z.lineCh)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			z.lineCh <- lines.Text()
		}
	})
	t.Cleanup(func() {
		in.Close()
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		for range z.lineCh {
		}
		wg.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s of libzmq: %v %s", socketType, err, complaints)
		}
		kill.Stop()
	})
	word, endpoint, _ := strings.Cut(z.line(), " ")
	if word != "ready" {
		t.Fatalf("%s of libzmq said %q %q", socketType, word, endpoint)
	}
	z.endpoint = endpoint
	return z
}

// line returns the next line that it prints.
func (z *libzmq) line() string {
	z.t.Helper()
	return wait(z.t, z.lineCh)
}

// frames returns the frames of the next message that it receives.
func (z *libzmq) frames() []string {
	z.t.Helper()
	fields := strings.Split(z.line(), " ")
	for i, field := range fields {
		frame, err := hex.DecodeString(field)
		if err != nil {
			z.t.Fatalf("libzmq printed %q", field)
		}
		fields[i] = string(frame)
	}
	return fields
}

// tell gives it a line: a word and frames.
func (z *libzmq) tell(word string, frames ...string) {
	z.t.Helper()
	for _, frame := range frames {
		word += " " + hex.EncodeToString([]byte(frame))
	}
	if _, err := io.WriteString(z.in, word+"\n"); err != nil {
		z.t.Fatal(err)
	}
}

// wait returns the next element of a Go channel.
func wait[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-ch:
		if !ok {
			t.Fatal("nothing more comes")
		}
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came for %v", patience)
	}
	panic("unreachable")
}

// desk is an edge's side of the inputs: it notes what it is called for.
type desk struct {
	*Inputs
	itemCh    chan grip.Item
	recoverCh chan struct{}
	log       *logbook
}

// startInputs runs inputs until the test ends.
func startInputs(t *testing.T, cfg Config) *desk {
	t.Helper()
	d := &desk{itemCh: make(chan grip.Item), recoverCh: make(chan struct{}, 10), log: &logbook{lineCh: make(chan string, 1000)}}
	ctx, cancel := context.WithCancel(context.Background())
	cfg.Log = slog.New(slog.NewTextHandler(d.log, nil))
	cfg.Publish = func(items []grip.Item) {
		for _, it := range items {
			select {
			case d.itemCh <- it:
			case <-ctx.Done():
			}
		}
	}
	cfg.Recover = func() { d.recoverCh <- struct{}{} }
	cfg.Conns = func(ids []string) []string {
		var live []string
		for _, id := range ids {
			if strings.HasPrefix(id, "live") {
				live = append(live, id)
			}
		}
		return live
	}
	var err error
	if d.Inputs, err = Listen(ctx, cfg); err != nil {
		cancel()
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { d.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return d
}

// logbook is where the log of a test goes.
type logbook struct{ lineCh chan string }

func (l *logbook) Write(line []byte) (int, error) {
	select {
	case l.lineCh <- string(line):
	default: // nobody waits for so many
	}
	return len(line), nil
}

// want waits for a line that contains text.
func (l *logbook) want(t *testing.T, text string) {
	t.Helper()
	for {
		if line := wait(t, l.lineCh); strings.Contains(line, text) {
			return
		}
	}
}

// raw is a connection on which a test writes what it likes.
type raw struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// dialRaw connects to tcp://ADDRESS.
func dialRaw(t *testing.T, endpoint string) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &raw{t, nc, bufio.NewReader(nc)}
}

// dialPeer connects and greets as a socket of a type.
func dialPeer(t *testing.T, endpoint, socketType string) *raw {
	t.Helper()
	c := dialRaw(t, endpoint)
	c.send(greeting, appendCommand(nil, "READY", property("Socket-Type", socketType)))
	if _, err := io.ReadFull(c.r, make([]byte, 64)); err != nil {
		t.Fatalf("read greeting: %v", err)
	}
	if _, err := readReady(c.r); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *raw) send(pieces ...[]byte) {
	c.t.Helper()
	for _, piece := range pieces {
		if _, err := c.Write(piece); err != nil {
			c.t.Fatal(err)
		}
	}
}

// wantClosed reads until the other side closes.
func (c *raw) wantClosed(name string) {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Errorf("%s: %v, want the connection to be closed", name, err)
	}
}
