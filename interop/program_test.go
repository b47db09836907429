package interop

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen. Pushpin asks again
// only 15 s after an origin that is down for so long.
const patience = 30 * time.Second

// A program is a process that a test has started, with those that it has started
// itself. It is killed at the end of the test.
type program struct {
	name   string
	cmd    *exec.Cmd
	doneCh chan struct{} // closed when the process is gone and err is set
	err    error         // how it ended; read after doneCh is closed

	mu  sync.Mutex
	log bytes.Buffer // what it wrote for people; guarded by mu
}

// A command is what to start, and who reads what it says.
type command struct {
	path string
	args []string
	dir  string   // ours if empty
	env  []string // in addition to ours
	// stdout and stderr are called with each line, each by one goroutine. The
	// log has the lines of standard error in any case, and those of standard
	// output if nobody reads them.
	stdout, stderr func(line string)
}

// start starts a program.
func start(t *testing.T, c command) *program {
	t.Helper()
	p := &program{name: filepath.Base(c.path), cmd: exec.Command(c.path, c.args...), doneCh: make(chan struct{})}
	p.cmd.Dir = c.dir
	p.cmd.Env = append(os.Environ(), c.env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	told := c.stdout
	if told == nil {
		told = p.note
	}
	var readers sync.WaitGroup
	readers.Go(func() { eachLine(stdout, told) })
	readers.Go(func() {
		eachLine(stderr, func(line string) {
			p.note(line)
			if c.stderr != nil {
				c.stderr(line)
			}
		})
	})
	go func() {
		readers.Wait()
		p.err = p.cmd.Wait()
		close(p.doneCh)
	}()
	t.Cleanup(func() {
		p.kill()
		p.mu.Lock()
		defer p.mu.Unlock()
		if t.Failed() && p.log.Len() > 0 {
			t.Logf("%s wrote:\n%s", p.name, &p.log)
		}
	})
	return p
}

// note keeps a line for the log of a test that fails.
func (p *program) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.WriteString(line + "\n")
}

// kill kills the program and returns when it is gone.
func (p *program) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.doneCh
}

// wait returns when the program has ended by itself, with the error of its exit
// status.
func (p *program) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-p.doneCh:
		return p.err
	case <-time.After(patience):
		t.Fatalf("%s did not end within %v", p.name, patience)
		return nil
	}
}

// eachLine calls line with each line that comes from r, until its end.
func eachLine(r io.Reader, line func(string)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line(lines.Text())
	}
	_, _ = io.Copy(io.Discard, r) // lest the program blocks on a line that is too long
}

// find returns the path of a command that is installed, or skips the test.
func find(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: there is no %s here", name)
	}
	return path
}

// eventually waits until done returns nil, and fails with its last error.
func eventually(t *testing.T, done func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
