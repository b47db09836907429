package main

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
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
	d, err := newDialer(l.Addr().String(), 6, testLog(io.Discard))
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
	d, err := newDialer(l.Addr().String(), 25, testLog(io.Discard))
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
