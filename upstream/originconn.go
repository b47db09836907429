package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
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
// HTTP/1.1 has nothing to tell it by.
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
	oc.stale = oc.framing.state != answered || oc.pending()
	oc.written = false
	oc.framing.begin(head)
}

// pending reports whether there is something to be read, or will never be.
func (oc *originConn) pending() bool {
	if oc.raw == nil {
		return false
	}
	var err error
	controlErr := oc.raw.Control(func(fd uintptr) {
		_, _, err = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return controlErr != nil || err != unix.EAGAIN && err != unix.EINTR
}

// Read implements net.Conn.
func (oc *originConn) Read(p []byte) (int, error) {
	oc.mu.Lock()
	ended := oc.ended
	oc.mu.Unlock()
	if ended != nil {
		return 0, ended
	}
	n, err := oc.Conn.Read(p)
	oc.mu.Lock()
	defer oc.mu.Unlock()
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

// Write implements net.Conn.
func (oc *originConn) Write(p []byte) (int, error) {
	if !oc.usable() {
		return 0, errStale
	}
	_ = oc.SetWriteDeadline(time.Now().Add(oc.timeout))
	return oc.Conn.Write(p)
}

// usable reports whether a request can be written, and notes that it is.
func (oc *originConn) usable() bool {
	oc.mu.Lock()
	defer oc.mu.Unlock()
	if !oc.written {
		oc.stale = oc.stale || oc.ended != nil
		oc.written = !oc.stale
	}
	return !oc.stale
}
