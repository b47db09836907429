package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errStale is why nothing is asked on a connection that was kept: the origin has
// closed it, or has sent something since its last answer. net/http asks on
// another one.
var errStale = errors.New("the connection cannot be used again")

// originConn is a connection to the origin, as net/http uses it. The origin has
// to take what is written within the timeout: net/http would wait for ever. And
// of what the origin sends, net/http gets one answer for each request and no
// byte more: a connection on which there is more is not used again, so that
// nobody is given what was sent behind another's answer (RFC 9112 §9.2).
//
// What the origin sends by itself can be told from an answer as long as it has
// arrived before the next request goes out; what is on its way by then cannot,
// HTTP/1.1 has nothing to tell it by. With TLS neither can what has arrived, but
// has not been read yet.
type originConn struct {
	net.Conn
	timeout time.Duration
	surplus func(n int)     // told of bytes that belong to no answer
	raw     syscall.RawConn // of an unencrypted connection; nil otherwise

	mu      sync.Mutex // all below
	framing framing
	ended   error // what every further Read returns
	stale   bool  // the request that is to be asked cannot be
	written bool  // some of it has been
}

func newOriginConn(nc net.Conn, timeout time.Duration, surplus func(n int)) *originConn {
	oc := &originConn{Conn: nc, timeout: timeout, surplus: surplus}
	if tcp, ok := nc.(*net.TCPConn); ok {
		oc.raw, _ = tcp.SyscallConn()
	}
	return oc
}

// traced returns a context for a request of that method, whose connection will
// know that something is asked on it.
func traced(ctx context.Context, method string) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if oc, ok := info.Conn.(*originConn); ok {
				oc.begin(method == http.MethodHead)
			}
		},
	})
}

// begin says that a request, a HEAD or not, will be written next.
func (oc *originConn) begin(head bool) {
	oc.mu.Lock()
	defer oc.mu.Unlock()
	oc.stale = oc.framing.state != answered
	oc.written = false
	oc.framing.begin(head)
}

// Read implements net.Conn.
func (oc *originConn) Read(p []byte) (n int, err error) {
	if ended := oc.hasEnded(); ended != nil {
		return 0, ended
	}
	if oc.raw == nil {
		n, err = oc.Conn.Read(p)
		oc.mu.Lock()
		defer oc.mu.Unlock()
		return oc.judge(p, n, err)
	}
	// Reading and judging are one: in between, a request could be written.
	closed := oc.raw.Read(func(fd uintptr) (done bool) {
		oc.mu.Lock()
		defer oc.mu.Unlock()
		for n, err = unix.Read(int(fd), p); err == unix.EINTR; {
			n, err = unix.Read(int(fd), p)
		}
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil:
			n, err = 0, os.NewSyscallError("read", err)
		case n == 0 && len(p) > 0:
			err = io.EOF
		}
		n, err = oc.judge(p, n, err)
		return true
	})
	if closed != nil {
		return 0, closed
	}
	return n, err
}

// Write implements net.Conn.
func (oc *originConn) Write(p []byte) (int, error) {
	_ = oc.SetWriteDeadline(time.Now().Add(oc.timeout))
	if oc.begun() {
		return oc.Conn.Write(p)
	}
	return oc.writeFirst(p)
}

// hasEnded returns what there is instead of more to read; nil, there is more.
func (oc *originConn) hasEnded() error {
	oc.mu.Lock()
	defer oc.mu.Unlock()
	return oc.ended
}

// judge makes of what has been read what net/http gets. With mu.
func (oc *originConn) judge(p []byte, n int, err error) (int, error) {
	passed, malformed := 0, error(nil)
	if oc.written {
		passed, malformed = oc.framing.next(p[:n])
	}
	switch {
	case malformed != nil:
		oc.ended = malformed
		if passed > 0 {
			return passed, nil // or net/http would take the connection for a broken one, and ask again
		}
		return 0, malformed
	case passed < n:
		oc.surplus(n - passed)
		oc.ended = io.EOF // at once, so that the connection is not kept
		return passed, io.EOF
	}
	oc.ended = err
	return n, err
}

// begun reports whether some of the request has been written.
func (oc *originConn) begun() bool {
	oc.mu.Lock()
	defer oc.mu.Unlock()
	return oc.written
}

// writeFirst writes the beginning of a request, or nothing: then net/http asks on
// another connection. Looking for what must not be there and writing are one, and
// short: on a connection where nothing is asked a write does not wait.
func (oc *originConn) writeFirst(p []byte) (int, error) {
	oc.mu.Lock()
	defer oc.mu.Unlock()
	if oc.stale || oc.ended != nil || oc.pending() {
		oc.stale = true
		if oc.ended != nil && oc.ended != io.EOF { // as an alert (RFC 8446 §6.2): why may help
			return 0, fmt.Errorf("%w: %w", errStale, oc.ended)
		}
		return 0, errStale
	}
	oc.written = true
	return oc.Conn.Write(p)
}

// pending reports whether there is something to be read, or will never be.
func (oc *originConn) pending() bool {
	if oc.raw == nil {
		return false
	}
	var err error
	closed := oc.raw.Control(func(fd uintptr) {
		_, _, err = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return closed != nil || err != unix.EAGAIN && err != unix.EINTR
}
