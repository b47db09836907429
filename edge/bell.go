package main

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// bell makes a loop take a turn, from any goroutine: a socket pair, one end of
// which is a connection of the loop. Unlike a task that posts itself again, it
// takes its place among the other sockets that are ready, so that a long
// delivery lets reads and new clients through.
type bell struct {
	rung atomic.Bool // a byte is on its way
	fd   int         // the end to write to; immutable
	conn gnet.Conn   // the loop's end; immutable
}

// newBell hangs a bell into one of the reactor's loops: in a loop without
// connections, as long as there is one.
func newBell(reactor *gnet.Client) (*bell, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket pair: %w", err)
	}
	f := os.NewFile(uintptr(fds[1]), "bell")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		unix.Close(fds[0])
		return nil, fmt.Errorf("make connection of socket pair: %w", err)
	}
	b := &bell{fd: fds[0]}
	if b.conn, err = reactor.EnrollContext(c, b); err != nil {
		unix.Close(fds[0])
		return nil, fmt.Errorf("enrol socket pair: %w", err)
	}
	return b, nil
}

// ring asks for a turn. Safe from any goroutine; rings before the turn begins
// are one.
func (b *bell) ring() {
	if b.rung.CompareAndSwap(false, true) {
		_, _ = unix.Write(b.fd, []byte{1}) // one byte at a time: the buffer has room
	}
}

// answered takes the ring off. Loop only.
func (b *bell) answered() {
	_, _ = b.conn.Discard(-1)
	b.rung.Store(false)
}

// close ends the bell. The reactor must have stopped.
func (b *bell) close() { unix.Close(b.fd) }
