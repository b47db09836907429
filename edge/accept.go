package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptors is how many goroutines accept on one address: enrolling a
// connection waits for its loop, and meanwhile the other goes on.
const acceptors = 2

// When the kernel looks whether a client that says nothing is still there.
const (
	keepAliveIdle     = 90 * time.Second
	keepAliveInterval = 30 * time.Second
	keepAliveCount    = 3
)

const (
	// maxBackoff is how long at the most the kernel waits until it sends again what
	// a client has not acknowledged (TCP_RTO_MAX_MS, of Linux 6.15 and later; else it
	// is two minutes). Doubling the time without a bound, it would take as long again
	// as the network was away until it notices that it is back.
	maxBackoff = 3 * time.Second
	// giveUpAfter is when the kernel gives up a client that acknowledges nothing: by
	// that time, and no longer by a number of attempts, which are more often now
	// (TCP_USER_TIMEOUT, RFC 5482).
	giveUpAfter = keepAliveIdle + keepAliveCount*keepAliveInterval
)

// errUnwatched is why a connection was lost on its way to a loop, of which gnet
// says nothing: epoll did not take it, by its limit on watches or on memory.
var errUnwatched = errors.New("epoll does not take the socket")

// listener is an address for clients.
type listener struct {
	net.Listener
	secure bool // clients speak TLS
}

// clientListeners returns the listeners of both kinds.
func clientListeners(plain, secure []net.Listener) (all []listener) {
	for _, ln := range plain {
		all = append(all, listener{ln, false})
	}
	for _, ln := range secure {
		all = append(all, listener{ln, true})
	}
	return all
}

// addressesOf returns where listeners listen, those without and those with TLS.
func addressesOf(all []listener) (plain, secure []string) {
	for _, ln := range all {
		if ln.secure {
			secure = append(secure, ln.Addr().String())
		} else {
			plain = append(plain, ln.Addr().String())
		}
	}
	return plain, secure
}

// listen opens an address for clients. What is set on the listening socket is
// inherited by those it accepts, without a system call for each.
func listen(ctx context.Context, address string) (net.Listener, error) {
	config := net.ListenConfig{
		KeepAlive: -1,
		Control: func(_, _ string, rc syscall.RawConn) error {
			var err error
			if e := rc.Control(func(fd uintptr) { err = setTCPKeepAlive(int(fd)) }); e != nil {
				return e
			}
			return err
		},
	}
	ln, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for clients on %s: %w", address, err)
	}
	return ln, nil
}

// clientListener is a listening socket for clients that another process has
// opened: package net gives each connection of such a one keep-alive times of its
// own.
type clientListener struct{ *net.TCPListener }

// Accept implements net.Listener.
func (ln clientListener) Accept() (net.Conn, error) {
	nc, err := ln.AcceptTCP()
	if err != nil {
		return nil, err
	}
	rc, err := nc.SyscallConn()
	if err == nil {
		err = rc.Control(func(fd uintptr) { _ = setTCPKeepAlive(int(fd)) })
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// maxUnsent is how many bytes of what is written the kernel keeps for a client
// that has no window open for them: an answer to a hold, and more. Without a bound
// it keeps what it finds room for, 4 MB a client as Linux comes, which no limit of
// ours sees, and lacks it for others; and the policies for slow clients would
// begin only beyond that.
const maxUnsent = 128 << 10

// setTCPKeepAlive makes the kernel find clients that vanished without a word,
// within three minutes, as a held socket has nothing to send that would tell; and
// soon again those that were away for less.
func setTCPKeepAlive(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAliveIdle / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAliveInterval / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(giveUpAfter / time.Millisecond)},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("set TCP keep-alive: %w", err)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(maxBackoff/time.Millisecond)) // where the kernel knows it
	return nil
}

// acceptLoop accepts clients until the listener closes. Running out of file
// descriptors or memory makes it wait, never end: those who are connected stay
// served, those who are not wait in the kernel's queue.
func (e *edge) acceptLoop(ln listener) {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		nc, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			err = e.admit(nc, ln.secure)
		}
		if err != nil {
			e.acceptErrors.Add(1)
			e.unaccepted.seen(e.log, "err", err)
			time.Sleep(pause)
			pause = min(2*pause, longest)
			continue
		}
		pause = shortest
	}
}

// admit takes a client in, or turns it away when there are enough.
func (e *edge) admit(nc net.Conn, secure bool) error {
	if why := e.noRoom(nc, e.connections.Add(1)); why != "" {
		e.departed()
		e.turnAway(nc, secure, why)
		return nil
	}
	from, ok := e.sources.enter(nc.RemoteAddr())
	if !ok {
		e.limited[limitConnections].Add(1)
		e.departed()
		e.dismiss(nc, secure, e.tooMany)
		return nil
	}
	e.accepted.Add(1)
	if !prepare(nc) {
		nc.Close()
		from.leave()
		e.departed()
		return nil
	}
	if secure {
		e.handshakes.begin(nc, from)
		return nil
	}
	return e.enrol(nc, &conn{source: from})
}

// prepare readies the socket of a client that has just been accepted, and reports
// false when the client has left again. In a flood of connections most have: found
// here, they cost the loops nothing.
func prepare(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return true
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	here := true
	err = rc.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if n <= 0 && err != unix.EAGAIN && err != unix.EINTR {
			here = false
			return
		}
		// Not inherited from the listener. On a Unix socket there is no such option.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	})
	return here && err == nil
}

// enrol gives a connection to the reactor: to the loop that has the fewest. If
// it cannot, the connection is closed.
func (e *edge) enrol(nc net.Conn, c *conn) error {
	if err := e.toLoop(nc, c); err != nil {
		c.source.leave()
		e.departed()
		return fmt.Errorf("enrol client: %w", err)
	}
	return nil
}

// toLoop gives a connection to a loop, which may have closed it again when it
// returns.
func (e *edge) toLoop(nc net.Conn, c *conn) error {
	forgetZone(nc.LocalAddr())
	forgetZone(nc.RemoteAddr())
	_, err := e.reactor.EnrollContext(nc, c)
	if err == nil && c.loop == nil {
		err = errUnwatched
	}
	return err
}

// forgetZone takes the zone from a link-local IPv6 address (RFC 4007 §11): gnet would
// keep its bytes, which belong to package net, as a buffer to write to.
func forgetZone(a net.Addr) {
	if a, ok := a.(*net.TCPAddr); ok {
		a.Zone = ""
	}
}

// departed notes that a client connection has ended. Safe from any goroutine.
func (e *edge) departed() {
	if e.connections.Add(-1) == 0 && e.draining.Load() {
		e.emptied.Do(func() { close(e.emptyCh) })
	}
}
