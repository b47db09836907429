package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// manager is the socket on which systemd is told how its services are.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := t.TempDir() + "/notify"
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn, path}
}

// wantMatch reads messages until one matches a pattern, and returns what is in its
// parentheses. Others may come before: a status, a sign of life.
func (m *manager) wantMatch(pattern string) string {
	m.t.Helper()
	want := regexp.MustCompile(`(?m)^(?:` + pattern + `)$`)
	var others []string
	buf := make([]byte, 4096)
	_ = m.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("no message matches %s: %v, after %q", pattern, err, others)
		}
		if found := want.FindSubmatch(buf[:n]); found != nil {
			return string(found[len(found)-1])
		}
		others = append(others, string(buf[:n]))
	}
}

// The supervisor learns when the edge serves, what it does, that it lives, when it
// reads its routes again, who succeeds it, and when it ends.
func TestSupervisor(t *testing.T) {
	m := newManager(t)
	h := &headline{id: 1}
	origin := serve(t, h)
	t.Setenv("NOTIFY_SOCKET", m.path)
	t.Setenv("WATCHDOG_USEC", "3000000")
	p := startLineage(t, origin, "-drain-spread", "0s")
	m.wantMatch("READY=1")
	m.wantMatch("WATCHDOG=1")
	held := p.poll(3, 1)
	m.wantMatch("STATUS=serving: 3 clients, 3 requests held")

	p.signal(syscall.SIGHUP)
	m.wantMatch(`RELOADING=1\nMONOTONIC_USEC=[0-9]+`)
	m.wantMatch("READY=1")

	before := p.upgrade()
	if got, want := m.wantMatch("MAINPID=([0-9]+)"), p.pid; got != strconv.Itoa(want) {
		t.Errorf("the main process is %s, want %d", got, want)
	}
	m.wantMatch("READY=1")
	for _, c := range held {
		c.wantAnswer(200, "{}")
	}
	p.wantExit(before)
	m.wantMatch("WATCHDOG=1") // of the successor
	p.signal(syscall.SIGTERM)
	m.wantMatch("STOPPING=1")
	p.wantExit(p.pid)
}

// A successor is the main process before it can say anything; and not any more if it
// does not take over.
func TestMainProcess(t *testing.T) {
	const pid = 1 << 30 // of nobody
	m := newManager(t)
	t.Setenv("NOTIFY_SOCKET", m.path)
	r := newRig(t, http.HandlerFunc(hi))
	m.wantMatch("READY=1")
	r.waitHolds(0) // all that runs has begun: the hand-overs are to leave no more

	ours, theirs := pairedHandover(t)
	ours.pid = pid
	if _, err := theirs.out.Write(make([]byte, 4)); err != nil { // it is ready
		t.Fatal(err)
	}
	theirs.close()
	if err := r.edge.agree(t.Context(), ours); err == nil {
		t.Error("a process that has ended is a successor")
	}
	ours.close()
	m.wantMatch("MAINPID=" + strconv.Itoa(pid))
	m.wantMatch("MAINPID=" + strconv.Itoa(os.Getpid()))

	ours, theirs = pairedHandover(t)
	ours.pid = pid
	agreedCh := make(chan error, 1)
	go func() { agreedCh <- r.edge.agree(t.Context(), ours) }()
	if err := theirs.tell(nil, patience); err != nil {
		t.Fatal(err)
	}
	r.edge.supervisor.ready() // as the successor is now
	if err := await(t, agreedCh, "the hand-over"); err != nil {
		t.Fatal(err)
	}
	m.wantMatch("MAINPID=" + strconv.Itoa(pid))
	m.wantMatch("READY=1")
}

// An edge of which a loop hangs gives no sign of life.
func TestHangingLoop(t *testing.T) {
	m := newManager(t)
	t.Setenv("NOTIFY_SOCKET", m.path)
	t.Setenv("WATCHDOG_USEC", "1500000")
	r := newRig(t, http.HandlerFunc(hi))
	m.wantMatch("WATCHDOG=1")
	hangsCh, hangCh := make(chan struct{}), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(hangCh) })
	defer goOn()
	var hanging *loop
	for _, hanging = range r.edge.loops {
		break
	}
	hanging.post(func() {
		close(hangsCh)
		<-hangCh
	})
	await(t, hangsCh, "a loop that hangs")
	eventually(t, func() error {
		if r.edge.stuck(r.edge.supervisor.watchdog/2) != hanging {
			return os.ErrDeadlineExceeded
		}
		return nil
	})
	// A sign of life may be on its way still; but whoever counts these clients looks
	// at the loops afterwards, and would give the sign with their number.
	for n := range acceptors { // each of which may wait for the loop
		r.dial()
		m.wantMatch(fmt.Sprintf(`\ASTATUS=serving: %d clients, 0 requests held\z`, n+1))
	}
	goOn()
	m.wantMatch("WATCHDOG=1")
}

// A supervisor that does not listen holds nothing up.
func TestDeafSupervisor(t *testing.T) {
	m := newManager(t)
	for {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		_, err = conn.Write([]byte("x"))
		conn.Close()
		if err != nil {
			break // its queue is full
		}
	}
	t.Setenv("NOTIFY_SOCKET", m.path)
	saidCh := make(chan struct{})
	go func() {
		newSupervisor(slog.New(slog.DiscardHandler)).ready()
		close(saidCh)
	}()
	await(t, saidCh, "the end of a message that nobody reads")
}
