package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"marquee/uring"
)

// gateClients is how many polls, and as many streams, are held.
const gateClients = 500

// What the edge asks of the kernel for a delivery and for a poll is counted, which
// is the same on a slow machine: hundreds of sends by one call where there is io_uring,
// one write each where there is none; one read each; and hardly a wait, since what is
// ready is taken together. The kernel counts reads and writes itself; strace, if it is
// there, counts all.
func TestGateSyscalls(t *testing.T) {
	t.Parallel()
	const deliveries = 2 * gateClients
	type counted struct {
		name  string
		calls func(*gateHouse, func()) map[string]int
		// bounds of calls by name, "all" for their sum
		delivery, poll map[string]bound
	}
	for _, way := range []struct {
		name   string
		args   []string
		ring   bool
		counts []counted
	}{
		{"io_uring", nil, true, []counted{
			{
				"the kernel's", (*gateHouse).readsAndWrites,
				// Measured: 3 or 4 writes for 1,000 deliveries and 5 or 6 reads: the sends are
				// none of them.
				map[string]bound{"writes": {0, 0.03 * deliveries}, "reads": {0, 0.1 * deliveries}},
				gatePollReads,
			},
			{
				"strace's", (*gateHouse).strace,
				// Measured: 19 to 31 for 1,000 deliveries: 4 of them io_uring_enter, one for the
				// polls and one for the streams of each loop, and 6 to 16 waits.
				map[string]bound{"all": {2, 0.15 * deliveries}, "io_uring_enter": {2, 0.02 * deliveries}, "epoll_pwait": {0, 0.1 * deliveries}},
				gatePollCalls,
			},
		}},
		{"write", []string{"-io-uring=false"}, false, []counted{
			{
				"the kernel's", (*gateHouse).readsAndWrites,
				// Measured: 1,003 writes for 1,000 deliveries and 6 reads.
				map[string]bound{"writes": {deliveries, 1.3 * deliveries}, "reads": {0, 0.3 * deliveries}},
				gatePollReads,
			},
			{
				"strace's", (*gateHouse).strace,
				// Measured: 1,015 to 1,047 for 1,000 deliveries, 6 to 32 of them waits.
				map[string]bound{"all": {deliveries, 1.3 * deliveries}, "epoll_pwait": {0, 0.2 * deliveries}, "io_uring_enter": {0, 0}},
				gatePollCalls,
			},
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			if way.ring {
				r, err := uring.New()
				if err != nil {
					t.Skipf("this kernel lets nobody have an io_uring (sysctl kernel.io_uring_disabled): %v", err)
				}
				r.Close()
			}
			h := newGateHouse(t, way.args...)
			// Measured: 2 to 4 more, of connections to the service and to the control endpoint.
			before, after := h.goroutines, h.scrape()[goroutines]
			t.Logf("%v goroutines, %v before there were clients", after, before)
			if after > before+10 {
				t.Errorf("there are %v goroutines with %d clients held, %v without them, want no more", after, 2*gateClients, before)
			}
			for _, count := range way.counts {
				t.Run(count.name, func(t *testing.T) {
					h.t = t
					for range 2 { // the first is not measured
						h.deliver()
						h.pollAgain()
					}
					wantCalls(t, "a change", count.calls(h, h.deliver), count.delivery)
					wantCalls(t, "polls", count.calls(h, h.pollAgain), count.poll)
				})
			}
		})
	}
}

var (
	// gatePollReads bounds what polls cost by the kernel's count. Measured: 523 to 543
	// reads for 500 polls and 13 to 26 writes, of which our asking for metrics, once or
	// twice, has a part. A loop wakes for its clock, too: the slower the machine, the more.
	gatePollReads = map[string]bound{"reads": {gateClients, 1.5 * gateClients}, "writes": {0, 0.5 * gateClients}}
	// gatePollCalls bounds it by strace's. Measured: 599 to 703 for 500 polls, 25 to 59 of
	// them waits.
	gatePollCalls = map[string]bound{"all": {gateClients, 2 * gateClients}, "epoll_pwait": {0, 0.6 * gateClients}}
)

// A bound is how many calls there may be.
type bound struct{ least, most float64 }

func wantCalls(t *testing.T, what string, calls map[string]int, bounds map[string]bound) {
	t.Helper()
	t.Logf("%s to or of %d polls and %d streams: %v", what, gateClients, gateClients, calls)
	for name, b := range bounds {
		if got := float64(calls[name]); got < b.least || got > b.most {
			t.Errorf("%s took %v system calls (%s), want from %v to %v", what, got, name, b.least, b.most)
		}
	}
}

// A gateHouse is an edge in a process of its own that holds clients.
type gateHouse struct {
	t              *testing.T // the one that runs now
	edge           *process
	at             ready
	goroutines     float64 // without clients
	polls, streams []net.Conn
	changes        int
}

func newGateHouse(t *testing.T, args ...string) *gateHouse {
	h := &gateHouse{t: t}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Grip-Channel", "gate")
		w.Header().Set("Grip-Hold", strings.TrimPrefix(r.URL.Path, "/"))
		_, _ = io.WriteString(w, "begun\n")
	}))
	t.Cleanup(origin.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	path := filepath.Join(t.TempDir(), "edge")
	if out, err := exec.Command("go", "build", "-o", path, "marquee/edge").CombinedOutput(); err != nil {
		t.Fatalf("build the edge: %v\n%s", err, out)
	}
	var err error
	h.edge, h.at, err = startServer(t.Context(), testLog(t), program{
		path: path,
		args: append([]string{"-origin", origin.Listener.Addr().String(), "-share-all", "-loops", "2",
			"-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-log-format", "json"}, args...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.edge.stop(); err != nil {
			t.Error(err)
		}
	})
	h.goroutines = h.scrape()[goroutines]
	for range gateClients {
		h.streams = append(h.streams, h.dial("stream"))
		h.polls = append(h.polls, h.dial("response"))
	}
	for _, c := range h.streams {
		h.read(c, "begun\n")
	}
	h.awaitHeld()
	return h
}

// dial connects a client that asks for a hold of that kind.
func (h *gateHouse) dial(hold string) net.Conn {
	c, err := net.DialTimeout("tcp", h.at.Listen, awaitTimeout)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	h.ask(c, hold)
	return c
}

func (h *gateHouse) ask(c net.Conn, hold string) {
	if _, err := fmt.Fprintf(c, "GET /%s?last_id=%d HTTP/1.1\r\nHost: gate\r\n\r\n", hold, h.changes); err != nil {
		h.t.Fatal(err)
	}
}

// read reads until text has come.
func (h *gateHouse) read(c net.Conn, text string) {
	if err := c.SetReadDeadline(time.Now().Add(awaitTimeout)); err != nil {
		h.t.Fatal(err)
	}
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(got, []byte(text)) {
		n, err := c.Read(buf)
		if err != nil {
			h.t.Fatalf("read %q: %v after %q", text, err, got)
		}
		got = append(got, buf[:n]...)
	}
}

func (h *gateHouse) scrape() metrics {
	m, err := scrape(h.t.Context(), "http://"+h.at.Control)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// awaitHeld returns when all clients are held.
func (h *gateHouse) awaitHeld() {
	s := &stack{control: "http://" + h.at.Control}
	if _, err := s.await(h.t.Context(), 500*time.Millisecond, "all clients are held", func(m metrics) bool {
		return m[holds] == 2*gateClients
	}); err != nil {
		h.t.Fatal(err)
	}
}

// deliver publishes, and returns when all clients have it.
func (h *gateHouse) deliver() {
	h.changes++
	text := fmt.Sprintf("change %d.\n", h.changes)
	item := fmt.Sprintf(`{"items": [{"channel": "gate", "formats": {"http-response": {"body": %q}, "http-stream": {"content": %q}}}]}`, text, text)
	resp, err := http.Post("http://"+h.at.Control+"/publish/", "application/json", strings.NewReader(item))
	if err != nil {
		h.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		h.t.Fatalf("publish: %s", resp.Status)
	}
	for _, c := range append(h.polls[:gateClients:gateClients], h.streams...) {
		h.read(c, text)
	}
}

// pollAgain has all polls asked again while the edge stands still, so that it finds
// them together, and returns when they are held.
func (h *gateHouse) pollAgain() {
	if err := unix.Kill(h.edge.pid, unix.SIGSTOP); err != nil {
		h.t.Fatal(err)
	}
	// Ends when all its threads stand still.
	if err := unix.Waitid(unix.P_PID, h.edge.pid, nil, unix.WSTOPPED, nil); err != nil {
		h.t.Fatal(err)
	}
	for _, c := range h.polls {
		h.ask(c, "response")
	}
	if err := unix.Kill(h.edge.pid, unix.SIGCONT); err != nil {
		h.t.Fatal(err)
	}
	h.awaitHeld()
}

// readsAndWrites counts the edge's while f runs.
func (h *gateHouse) readsAndWrites(f func()) map[string]int {
	count := func() (reads, writes int) {
		// proc_pid_io(5): all of the process's threads.
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", h.edge.pid))
		if err != nil {
			h.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			n, _ := strconv.Atoi(value)
			switch name {
			case "syscr":
				reads = n
			case "syscw":
				writes = n
			}
		}
		return reads, writes
	}
	reads, writes := count()
	f()
	readsNow, writesNow := count()
	return map[string]int{"reads": readsNow - reads, "writes": writesNow - writes}
}

// scheduling are the system calls of Go's scheduler, whose number depends on how long
// something takes.
var scheduling = []string{"futex", "nanosleep", "sched_yield", "restart_syscall", "tgkill", "getpid", "rt_sigreturn"}

// strace counts the edge's system calls while f runs, but for those of the scheduler.
func (h *gateHouse) strace(f func()) map[string]int {
	path, err := exec.LookPath("strace")
	if err != nil {
		h.t.Skip("not all system calls are counted: that wants strace (apt-get install strace)")
	}
	file := filepath.Join(h.t.TempDir(), "strace")
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-f", "-c", "-o", file, "-p", strconv.Itoa(h.edge.pid))
	says, err := cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	lines := bufio.NewScanner(says)
	if !lines.Scan() || !strings.Contains(lines.Text(), "attached") {
		_ = cmd.Wait()
		h.t.Skipf("not all system calls are counted: strace may not look at other processes here (%s)", lines.Text())
	}
	f()
	_ = cmd.Process.Signal(syscall.SIGINT)
	_, _ = io.Copy(io.Discard, says) // until it has let go of the edge
	_ = cmd.Wait()                   // with the signal
	table, err := os.ReadFile(file)
	if err != nil {
		h.t.Fatal(err)
	}
	return parseStrace(string(table))
}

// parseStrace reads the table of strace -c, whose fourth column is the number of
// calls and whose last is their name.
func parseStrace(table string) map[string]int {
	calls := make(map[string]int)
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		name := fields[len(fields)-1]
		n, err := strconv.Atoi(fields[3])
		if err != nil || name == "total" || slices.Contains(scheduling, name) {
			continue
		}
		calls[name] = n
		calls["all"] += n
	}
	return calls
}
