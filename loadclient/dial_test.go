package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestDialSources checks that clients are spread over source addresses.
func TestDialSources(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := newDialer(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d.perSource = 2
	for client, want := range []string{"127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"} {
		fd, err := d.dial(client)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := netip.MustParseAddrPort(c.RemoteAddr().String()).Addr().String(); got != want {
			t.Errorf("client %d connects from %s, want %s", client, got, want)
		}
	}
}

// TestDialPortsUsedUp dials from a network namespace with ten local ports an
// address, though the dialer believes there are enough.
func TestDialPortsUsedUp(t *testing.T) {
	runtime.LockOSThread() // and never unlock: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); errors.Is(err, unix.EPERM) {
		t.Skip("a network namespace of its own needs CAP_SYS_ADMIN")
	} else if err != nil {
		t.Fatal(err)
	}
	loopbackUp(t)
	if err := os.WriteFile(portRangeFile, []byte("40000 40009"), 0); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := newDialer(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d.perSource = 1000
	from := map[[4]byte]int{}
	for client := range 25 {
		fd, err := d.dial(client)
		if err != nil {
			t.Fatalf("client %d: %v", client, err)
		}
		defer unix.Close(fd)
		local, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		from[local.(*unix.SockaddrInet4).Addr]++
	}
	for address, want := range map[[4]byte]int{{127, 0, 0, 1}: 10, {127, 0, 0, 2}: 10, {127, 0, 0, 3}: 5} {
		if from[address] != want {
			t.Errorf("%d connections from %v, want %d (all: %v)", from[address], address, want, from)
		}
	}
}

// loopbackUp starts the loopback interface of the thread's network namespace.
func loopbackUp(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(request))); errno != 0 {
		t.Fatal(errno)
	}
}

func TestCheckPorts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		address string
		clients int
		want    string
	}{
		{"loopback: several sources", "127.0.0.1:80", 2500, ""},
		{"loopback: too many for all sources", "127.0.0.1:80", 2501, "2501 clients need a local port each, net.ipv4.ip_local_port_range has 10"},
		{"one source", "192.0.2.1:80", 10, ""},
		{"too many for one source", "192.0.2.1:80", 11, "11 clients need a local port each"},
		{"IPv6 loopback has one source", "[::1]:80", 11, "11 clients"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := newDialer(t.Context(), tt.address)
			if err != nil {
				t.Fatal(err)
			}
			d.ports = 10
			err = d.checkPorts(tt.clients)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("checkPorts(%d): %v, want %q", tt.clients, err, tt.want)
			}
		})
	}
}
