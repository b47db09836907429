package hostile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. It is not reached
// unless something is broken.
const patience = 20 * time.Second

var update = flag.Bool("update", false, "write the tables of docs/hostile.md anew")

// binary is the edge, built once for all tests of the package.
var binary string

// builtAs is the environment variable that tells the workers of a fuzz test
// where it is.
const builtAs = "MARQUEE_HOSTILE_EDGE"

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" {
		_ = flag.Set("test.parallel", "64") // tests wait more than they work
	}
	os.Exit(withBinary(m.Run))
}

// withBinary builds the edge, runs the tests and returns the exit code.
func withBinary(run func() int) int {
	if binary = os.Getenv(builtAs); binary != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "marquee-hostile-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "edge")
	if out, err := exec.Command("go", "build", "-o", binary, "marquee/edge").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the edge: %v\n%s", err, out)
		return 1
	}
	os.Setenv(builtAs, binary)
	return run()
}

// edge is a running edge.
type edge struct {
	address string // for clients
	control string // for publishers
	log     edgeLog
	exitCh  chan struct{} // closed when the process has ended
}

// startEdge starts an edge in front of an origin. It has to be alive still at
// the end of the test.
func startEdge(t testing.TB, origin string, args ...string) *edge {
	t.Helper()
	e := &edge{exitCh: make(chan struct{})}
	cmd := exec.Command(binary, append([]string{"-origin", origin, "-listen", "127.0.0.1:0",
		"-control", "127.0.0.1:0", "-log-format", "json", "-drain-timeout", "0s"}, args...)...)
	cmd.Stderr = &e.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(e.exitCh)
	}()
	t.Cleanup(func() {
		select {
		case <-e.exitCh:
			t.Errorf("the edge has ended:\n%s", e.log.String())
		default:
			_ = cmd.Process.Kill()
			<-e.exitCh
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(e.log.String()) {
			var ready struct{ Msg, Listen, Control string }
			if json.Unmarshal([]byte(line), &ready) == nil && ready.Msg == "ready" {
				e.address, e.control = ready.Listen, ready.Control
				return e
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the edge is not ready:\n%s", e.log.String())
		}
	}
}

// edgeLog is what an edge logs.
type edgeLog struct {
	mu   sync.Mutex // text
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *edgeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *edgeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
