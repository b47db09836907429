package main

import (
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"marquee/fanout"
)

const (
	// spareFiles is how many of the file descriptors clients never get, however
	// many there may be: those who publish, and requests to the origin, need some
	// when the clients have taken all others.
	spareFiles = 64
	// politeRefusals is how many clients who are turned away may stay until they
	// have read why, for lingerTimeout at most. Those beyond it get the same
	// answer and are closed at once: if more of their request comes after that,
	// their kernel may throw the answer away. Half of spareFiles.
	politeRefusals = spareFiles / 2
)

// Why a client is turned away, in the log.
const (
	noConnections = "-max-connections is reached"
	noMemory      = "memory is scarce"
	noFiles       = "file descriptors are scarce, raise LimitNOFILE or ulimit -n"
)

// noRoom returns why there is no room for a client who would make it n
// connections, "" when there is.
func (e *edge) noRoom(nc net.Conn, n int64) string {
	switch {
	case n > int64(e.maxConnections):
		return noConnections
	case e.memory.scarce.Load():
		return noMemory
	case !filesLeft(nc, spareFiles):
		return noFiles
	}
	return ""
}

// filesLeft reports whether a client may have one more descriptor, the one that
// the reactor makes, so that the highest spare numbers are not given to clients.
// The kernel gives the lowest that is free: so nobody has to count, and whoever
// else has taken some, or changed the limit, is reckoned with.
func filesLeft(nc net.Conn, spare uint64) bool {
	left := true
	withDescriptor(nc, func(fd int) {
		next, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			left = false
			return
		}
		unix.Close(next)
		var files unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
			left = uint64(next)+spare < files.Cur
		}
	})
	return left
}

// withDescriptor calls f with the descriptor of a connection that has one and is open.
func withDescriptor(nc net.Conn, f func(fd int)) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	if rc, err := sc.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// turnAway answers a client for whom there is no room.
func (e *edge) turnAway(nc net.Conn, secure bool, why string) {
	e.refused.Add(1)
	e.crowded.seen(e.log, "reason", why, "connections", e.connections.Load())
	e.dismiss(nc, secure, e.full)
}

// dismiss gives a client that is not let in its only answer, and closes the
// connection (RFC 9112 §9.6): without a reset if it can. One who speaks TLS gets no
// answer: a handshake for each of them would take the time of those inside.
func (e *edge) dismiss(nc net.Conn, secure bool, farewell *fanout.Answer) {
	if secure {
		nc.Close()
		return
	}
	if e.refusing.Add(1) <= politeRefusals && filesLeft(nc, spareFiles-politeRefusals) {
		if err := e.toLoop(nc, &conn{farewell: farewell}); err != nil {
			e.refusing.Add(-1)
		}
		return
	}
	e.refusing.Add(-1)
	defer nc.Close()
	_ = nc.SetWriteDeadline(time.Now().Add(time.Millisecond)) // an empty socket takes it at once
	_, _ = nc.Write(farewell.Wire(fanout.Close))
	// What is unread when a socket is closed makes the kernel reset it.
	withDescriptor(nc, func(fd int) {
		var request [4 << 10]byte
		_, _ = unix.Read(fd, request[:])
	})
}

// unwanted reports whether there is no memory to hold a request of a client who
// has not been held before.
func (c *conn) unwanted() bool { return !c.admitted && c.loop.edge.memory.scarce.Load() }

// turnHoldAway answers a client whose request would have to be held, and for
// which there is no memory, and closes the connection, which takes some too.
func (c *conn) turnHoldAway() {
	e := c.loop.edge
	e.memory.refused.Add(1)
	c.ends(endRefused)
	c.leave(c.state)
	c.hold.Variant |= fanout.Close
	c.respond(e.full.Wire(c.hold.Variant))
}

// fullAnswer is what a client gets for whom there is no room.
func fullAnswer() *fanout.Answer {
	r := plain(http.StatusServiceUnavailable, "No room for more clients.")
	r.Header = append(r.Header, field("Retry-After", "5"))
	return fanout.NewAnswer(r)
}

// tooManyAnswer is what a client gets whose address has all the connections that
// it may have (RFC 6585 §4).
func tooManyAnswer() *fanout.Answer {
	r := plain(http.StatusTooManyRequests, "Too many connections from your address.")
	r.Header = append(r.Header, field("Retry-After", "5"))
	return fanout.NewAnswer(r)
}
