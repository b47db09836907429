package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// open counts the file descriptors of the process.
func (p *process) open() int {
	p.t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(fds)
}

// none is a limit below all descriptors that may be free.
const none = 3

// limitFiles changes how many files the process may open, and returns what undoes
// it.
func (p *process) limitFiles(n int) (undo func()) {
	p.t.Helper()
	var old unix.Rlimit
	set := func(limit, before *unix.Rlimit) {
		p.t.Helper()
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, limit, before); err != nil {
			p.t.Fatal(err)
		}
	}
	set(nil, &old)
	set(&unix.Rlimit{Cur: uint64(n), Max: old.Max}, nil)
	return func() { set(&old, nil) }
}

// wantLogged waits until the edge has logged a text, and checks that it says so
// once.
func (r *rig) wantLogged(text string) {
	r.t.Helper()
	eventually(r.t, func() error {
		if !strings.Contains(r.log.String(), text) {
			return fmt.Errorf("the edge does not log %q", text)
		}
		return nil
	})
	if n := strings.Count(r.log.String(), text); n != 1 {
		r.t.Errorf("the edge logs %q %d times, want once", text, n)
	}
}

// When files become scarce, those who are in stay served, the others are told to
// come again, and a publish and a request to the origin still find a descriptor.
func TestFilesScarce(t *testing.T) {
	const room, surplus = 20, 100
	h := &headline{id: 1}
	p := startProcess(t, serve(t, h), "-share-all", "-max-connections", "1000")
	undo := p.limitFiles(p.open() + room + spareFiles)
	var in []*client
	refused := 0
	for range room + surplus {
		c := p.dial()
		c.get(headlinePath)
		switch status, err := c.readHead(); {
		case err != nil:
			t.Fatalf("client %d of those in, %d refused, gets no answer with %d files open: %v", len(in), refused, p.open(), err)
		case status == 200:
			c.wantBody(headlineBody(1))
			in = append(in, c)
		case status == 503:
			refused++
			c.wantHeader("Retry-After", "5")
			c.wantHeader("Connection", "close")
			c.wantBody("No room for more clients.\n")
			c.wantClosed()
		default:
			t.Fatalf("status %d, want 200 or 503", status)
		}
	}
	if len(in) < room/2 || refused < surplus-room/2 { // some of the files that were open may be closed now
		t.Errorf("%d clients are in and %d refused, want about %d and %d", len(in), refused, room, surplus)
	}
	for _, c := range in {
		c.get(headlinePath + "?last_id=1")
	}
	p.waitHolds(len(in))
	h.change()
	p.publish(headlineItem(2))
	for _, c := range in {
		c.wantAnswer(200, headlineBody(2))
	}
	p.wantLogged("clients are turned away")
	if got := p.metric("marquee_connections_refused_total"); got != float64(refused) {
		t.Errorf("%v refusals are counted, want %d", got, refused)
	}
	for _, c := range in[:room/4] {
		c.leave()
	}
	p.waitMetric("marquee_connections", float64(len(in)-room/4))
	again := p.dial()
	again.get(headlinePath)
	again.wantStatus(200)
	undo()
	for range surplus {
		c := p.dial()
		c.get(headlinePath)
		c.wantStatus(200)
	}
}

// Running out of file descriptors altogether ends nothing but what there is no
// descriptor for: those who are in stay served, the others wait.
func TestOutOfFiles(t *testing.T) {
	p := startProcess(t, serve(t, http.HandlerFunc(hi)))
	first := p.dial()
	first.get("/first")
	first.wantAnswer(200, "hi /first")
	undo := p.limitFiles(none)
	crowd := make([]*client, 20)
	for i := range crowd {
		crowd[i] = p.dial() // into the kernel's queue
		crowd[i].get("/crowd")
	}
	p.wantLogged("too many open files")
	first.get("/again")
	first.wantAnswer(200, "hi /again")
	undo()
	for _, c := range crowd {
		c.wantAnswer(200, "hi /crowd")
	}
	p.wantLogged("too many open files")
	if p.metric("marquee_accept_errors_total") == 0 {
		t.Error("no error is counted")
	}
}

// A request waits for a descriptor with which to ask the origin.
func TestOutOfFilesForOrigin(t *testing.T) {
	p := startProcess(t, serve(t, http.HandlerFunc(hi)))
	c := p.dial()
	c.send("GET /ag") // the edge has no connection to the origin yet
	p.waitMetric("marquee_connections", 1)
	undo := p.limitFiles(none)
	c.send(strings.TrimPrefix(request("GET", "/again"), "GET /ag"))
	c.wantNothing()
	undo()
	c.wantAnswer(200, "hi /again")
}

// Routes that cannot be read are read as soon as it is possible.
func TestOutOfFilesForRoutes(t *testing.T) {
	one, two := serve(t, named("one")), serve(t, named("two"))
	file := filepath.Join(t.TempDir(), "routes")
	write := func(origin string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("* "+origin+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(one)
	p := startProcess(t, "", "-routes", file)
	c := p.dial()
	c.get("/")
	c.wantAnswer(200, "one")
	undo := p.limitFiles(none)
	write(two)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.wantLogged("the old ones stay until it succeeds")
	c.get("/")
	c.wantAnswer(200, "one")
	undo()
	eventually(t, func() error {
		if !strings.Contains(p.log.String(), "routes loaded") {
			return fmt.Errorf("the routes are not read")
		}
		return nil
	})
	c.get("/")
	c.wantAnswer(200, "two")
	p.wantLogged("the old ones stay until it succeeds")
}

// Without a local port for another connection to the origin, who asks is told
// so, and it goes on as soon as there is one.
func TestOutOfPorts(t *testing.T) {
	const ports = 8
	narrow := ownNetwork(t)
	askedCh, goCh := make(chan struct{}, 2*ports), make(chan struct{})
	p := startProcess(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			askedCh <- struct{}{}
			hang(r, goCh)
		}
		_, _ = io.WriteString(w, "done")
	})), "-listen", "127.0.0.1:0", "-listen", "127.0.0.1:0")
	listen := strings.Split(p.address, ",")
	narrow(ports)
	var slow []*client
	for i := range ports {
		c := dial(t, listen[0])
		c.get("/slow")
		await(t, askedCh, fmt.Sprintf("request %d at the origin", i))
		slow = append(slow, c)
	}
	c := dial(t, listen[1]) // each address has ports of its own
	c.get("/")
	c.wantStatus(502)
	c.wantBody("There is no local port left for another connection to the origin.\n")
	close(goCh)
	for _, c := range slow {
		c.wantAnswer(200, "done")
	}
	c.get("/")
	c.wantAnswer(200, "done")
}

// ownNetwork puts the test, and the processes that it starts, in a network of
// their own. narrow leaves it so many local ports for the connections to one
// address.
func ownNetwork(t *testing.T) (narrow func(ports int)) {
	t.Helper()
	runtime.LockOSThread() // for ever: it ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		t.Skipf("a network of one's own needs root: %v", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
	return func(ports int) {
		t.Helper()
		const first = 61000                                   // beyond what the listeners have got
		const name = "/proc/sys/net/ipv4/ip_local_port_range" // the one of the thread that opens it
		if err := os.WriteFile(name, fmt.Appendf(nil, "%d %d\n", first, first+ports-1), 0); err != nil {
			t.Skipf("the local ports cannot be narrowed: %v", err)
		}
	}
}
