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

// maxUnsent is how many bytes of what is written the kernel keeps for a client
// that has no window open for them: an answer to a hold, and more. Without a bound
// it keeps what it finds room for, 4 MB a client as Linux comes, which no limit of
// ours sees, and lacks it for others; and the policies for slow clients would
// begin only beyond that.
const maxUnsent = 128 << 10

// setTCPKeepAlive makes the kernel find clients that vanished without a word,
// within three minutes: a held socket has nothing to send that would tell.
func setTCPKeepAlive(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 90},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 30},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
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
	from, ok := e.sources.enter(nc.RemoteAddr())
	if !ok {
		e.limited[limitConnections].Add(1)
		answer(nc, e.crowded)
		e.departed()
		return nil
	}
	e.accepted.Add(1)
	if !prepare(nc) {
		nc.Close()
		from.leave()
		e.departed()
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
	if _, err := e.reactor.EnrollContext(nc, c); err != nil {
		c.source.leave()
		e.departed()
		return fmt.Errorf("enrol client: %w", err)
	}
	return nil
}

// turnAway answers a client for whom there is no room.
func (e *edge) turnAway(nc net.Conn) {
	e.refused.Add(1)
	answer(nc, e.full)
}

// answer gives a client that is not let in its only answer.
func answer(nc net.Conn, a *fanout.Answer) {
	_ = nc.SetWriteDeadline(time.Now().Add(time.Millisecond)) // an empty socket takes it at once
	_, _ = nc.Write(a.Wire(fanout.Close))
	nc.Close()
}

// fullAnswer is what a client gets for whom there is no room.
func fullAnswer() *fanout.Answer {
	r := plain(http.StatusServiceUnavailable, "No room for more connections.")
	r.Header = append(r.Header, field("Retry-After", "5"))
	return fanout.NewAnswer(r)
}

// crowdedAnswer is what a client gets whose address has all the connections that
// it may have.
func crowdedAnswer() *fanout.Answer {
	r := plain(http.StatusTooManyRequests, "Too many connections from your address.")
	r.Header = append(r.Header, field("Retry-After", "5"))
	return fanout.NewAnswer(r)
}

// departed notes that a client connection has ended. Safe from any goroutine.
func (e *edge) departed() {
	if e.connections.Add(-1) == 0 && e.draining.Load() {
		e.emptied.Do(func() { close(e.emptyCh) })
	}
}
