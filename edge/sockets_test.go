package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// activate starts an edge as systemd does, with sockets of these names, and
// returns what it says when it ends, if it does. With no names it has none.
func activate(t *testing.T, sockets []*os.File, names []string, args ...string) *exec.Cmd {
	t.Helper()
	clearEnv(t)
	// LISTEN_PID must be that of the edge, which the shell becomes.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0]}, args...)...)
	cmd.Env = append(os.Environ(), "TEST_BE_EDGE=1",
		"LISTEN_FDS="+strconv.Itoa(len(sockets)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	cmd.ExtraFiles = sockets
	return cmd
}

// listening opens a TCP socket, and returns it as a file.
func listening(t *testing.T) (f *os.File, address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if f, err = duplicate("", ln); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, ln.Addr().String()
}

// Sockets that systemd has opened are served in place of those of the flags, and
// successors get them, too. Who came before the edge ran is served.
func TestSocketActivation(t *testing.T) {
	origin := serve(t, http.HandlerFunc(hi))
	first, firstAt := listening(t)
	second, secondAt := listening(t)
	control, controlAt := listening(t)
	early := dial(t, secondAt)
	early.get("/early")
	cmd := activate(t, []*os.File{first, second, control}, []string{"clients", "clients", "control"},
		"-origin", origin, "-listen", "192.0.2.1:1", "-control", "192.0.2.1:1", "-log-format", "json", "-drain-spread", "0s")
	p := startLineageOf(t, cmd)
	if p.address != firstAt+","+secondAt || p.control != "http://"+controlAt {
		t.Fatalf("the edge listens on %s and %s, want %s and %s, and http://%s", p.address, p.control, firstAt, secondAt, controlAt)
	}
	early.wantAnswer(200, "hi /early")
	for range 2 {
		for _, address := range []string{firstAt, secondAt} {
			c := dial(t, address)
			c.get("/")
			c.wantAnswer(200, "hi /")
			c.leave()
		}
		p.wantExit(p.upgrade())
	}
	early.wantClosed()
	p.signal(unix.SIGTERM)
	p.wantExit(p.pid)
}

// A socket that cannot be served is told, and by whose mistake.
func TestSocketMistakes(t *testing.T) {
	tcp, _ := listening(t)
	more, _ := listening(t)
	local, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	unixSocket, err := duplicate("", local)
	if err != nil {
		t.Fatal(err)
	}
	defer unixSocket.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range []struct {
		name    string
		sockets []*os.File
		names   []string
		want    string
	}{
		{"without a name", []*os.File{tcp}, []string{"marquee-edge.socket"}, `called "marquee-edge.socket": FileDescriptorName= takes clients, clients-tls, control`},
		{"not of TCP", []*os.File{unixSocket}, []string{"clients"}, "socket clients: it is of unix, not of TCP"},
		{"no socket", []*os.File{null}, []string{"clients"}, "take over socket clients"},
		{"two for control", []*os.File{tcp, more}, []string{"control", "control"}, "there are 2 sockets control"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := activate(t, tt.sockets, tt.names, "-origin", "localhost:1", "-listen", "127.0.0.1:0")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			_ = cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != 1 || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("exit status %d, %q, want 1, %q", got, stderr.String(), tt.want)
			}
		})
	}
}

// A process that another one's environment reaches by mistake takes nothing for a
// hand-over.
func TestStrayPredecessor(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-origin", "localhost:1")
	cmd.Env = append(os.Environ(), "TEST_BE_EDGE=1", predecessorEnv+"=1")
	text, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(text), predecessorEnv+` is "1"`) {
		t.Errorf("%v, %q, want an error that names %s", err, text, predecessorEnv)
	}
}

// Clients of inherited sockets are looked after by the kernel as those of others.
func TestInheritedKeepAlive(t *testing.T) {
	f, address := listening(t)
	named := os.NewFile(uintptr(mustDup(t, f)), clientsSocket)
	defer named.Close()
	s := newSockets()
	defer s.close()
	if err := s.inherit(named); err != nil {
		t.Fatal(err)
	}
	own, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	options := func(ln net.Listener, address string) string {
		c := dial(t, address)
		defer c.leave()
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		var all []int
		rc, err := nc.(*net.TCPConn).SyscallConn()
		if err == nil {
			err = rc.Control(func(fd uintptr) {
				for _, o := range [][2]int{
					{unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
					{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
					{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}, {unix.IPPROTO_TCP, unix.TCP_NODELAY},
				} {
					v, err := unix.GetsockoptInt(int(fd), o[0], o[1])
					if err != nil {
						t.Error(err)
					}
					all = append(all, v)
				}
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(all)
	}
	want := options(own, own.Addr().String())
	if got := options(s.inherited(clientsSocket)[0], address); got != want {
		t.Errorf("keep-alive options %s, want %s", got, want)
	}
}

func mustDup(t *testing.T, f *os.File) int {
	t.Helper()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
