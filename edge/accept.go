package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"marquee/fanout"
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
	_ = nc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount})
	return nc, nil
}

// setTCPKeepAlive makes the kernel find clients that vanished without a word,
// within three minutes: a held socket has nothing to send that would tell.
func setTCPKeepAlive(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAliveIdle / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAliveInterval / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("set TCP keep-alive: %w", err)
		}
	}
	return nil
}

// acceptLoop accepts clients until the listener closes. Running out of file
// descriptors or memory makes it wait, never end: those who are connected stay
// served, those who are not wait in the kernel's queue.
func (e *edge) acceptLoop(ln net.Listener) {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		nc, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			err = e.admit(nc)
		}
		if err != nil {
			if pause == shortest {
				e.log.Warn("cannot take a client, trying again", "err", err)
			}
			e.acceptErrors.Add(1)
			time.Sleep(pause)
			pause = min(2*pause, longest)
			continue
		}
		pause = shortest
	}
}

// admit takes a client in, or turns it away when there are enough.
func (e *edge) admit(nc net.Conn) error {
	if n := e.connections.Add(1); n > int64(e.maxConnections) {
		e.turnAway(nc)
		e.departed()
		return nil
	}
	e.accepted.Add(1)
	return e.enrol(nc, &conn{})
}

// enrol gives a connection to the reactor: to the loop that has the fewest. If
// it cannot, the connection is closed.
func (e *edge) enrol(nc net.Conn, c *conn) error {
	if _, err := e.reactor.EnrollContext(nc, c); err != nil {
		e.departed()
		return fmt.Errorf("enrol client: %w", err)
	}
	return nil
}

// turnAway answers a client for whom there is no room.
func (e *edge) turnAway(nc net.Conn) {
	e.refused.Add(1)
	_ = nc.SetWriteDeadline(time.Now().Add(time.Millisecond)) // an empty socket takes it at once
	_, _ = nc.Write(e.full.Wire(fanout.Close))
	nc.Close()
}

// fullAnswer is what a client gets for whom there is no room.
func fullAnswer() *fanout.Answer {
	r := plain(http.StatusServiceUnavailable, "No room for more connections.")
	r.Header = append(r.Header, field("Retry-After", "5"))
	return fanout.NewAnswer(r)
}

// departed notes that a client connection has ended. Safe from any goroutine.
func (e *edge) departed() {
	if e.connections.Add(-1) == 0 && e.draining.Load() {
		e.emptied.Do(func() { close(e.emptyCh) })
	}
}
