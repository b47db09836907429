package main

import (
	"crypto/tls"
	"net"
	"os"
	"time"

	"github.com/panjf2000/gnet/v2"
)

const (
	// maxPlaintext is how many bytes fit into one TLS record (RFC 8446 §5.1).
	maxPlaintext = 16 << 10
	// keptRecords is how large a loop's buffer for the records of one answer may
	// be to be kept for the next.
	keptRecords = 1 << 20
)

// session is the TLS of one client's connection: crypto/tls drives it, and what
// crypto/tls reads and writes of records comes from and goes to whoever has the
// socket. That is the goroutine of a handshake or of a lease, with calls that
// block, or a loop, with calls that do not. Whoever has the socket has the session,
// and nobody else touches it.
//
// On a loop crypto/tls is told that a deadline has passed when no bytes are there:
// that is the one error after which it can read on, from the middle of a record.
type session struct {
	tls *tls.Conn
	// Conn is the socket, while a goroutine has it; nil else.
	net.Conn
	// gc is the socket, while a loop has it; nil else.
	gc gnet.Conn
	// turnCh, during the handshake, holds one element for each handshake that may
	// compute now: this one, unless it waits for its client.
	turnCh chan struct{}
	// gathered, if not nil, takes the records that are written.
	gathered *[]byte
}

// newSession makes the session of a client that has just been accepted. The
// handshake is to come.
func newSession(nc net.Conn, config *tls.Config) *session {
	s := &session{Conn: nc}
	s.tls = tls.Server(s, config)
	return s
}

// handshake does the handshake on the calling goroutine, computing only while
// it has one of the turns.
func (s *session) handshake(turnCh chan struct{}) error {
	turnCh <- struct{}{}
	s.turnCh = turnCh
	err := s.tls.Handshake()
	s.turnCh = nil
	<-turnCh
	return err
}

// toLoop gives the session to the loop that has the socket as gc.
func (s *session) toLoop(gc gnet.Conn) { s.gc, s.Conn = gc, nil }

// toGoroutine gives it to a goroutine that has the socket as nc.
func (s *session) toGoroutine(nc net.Conn) { s.gc, s.Conn = nil, nc }

// lost notes that the socket has been closed. It may be called while crypto/tls
// writes, and so calls nothing of it.
func (s *session) lost() { s.gc, s.Conn = nil, nil }

// send writes a run of bytes as records, in one system call however many they
// are: l is the loop that has the session.
func (s *session) send(p []byte, l *loop) {
	if len(p) <= maxPlaintext {
		_, _ = s.tls.Write(p)
		return
	}
	l.records = l.records[:0]
	s.gathered = &l.records
	_, err := s.tls.Write(p)
	s.gathered = nil
	if err == nil && s.gc != nil {
		_, _ = s.gc.Write(l.records)
	}
	if cap(l.records) > keptRecords {
		l.records = nil
	}
}

// closeNotify tells the client that nothing more will come (RFC 8446 §6.1), so
// that it can tell the end from a cut. Only the first call does.
func (s *session) closeNotify() { _ = s.tls.CloseWrite() }

// Read implements net.Conn for crypto/tls.
func (s *session) Read(p []byte) (int, error) {
	switch {
	case s.turnCh != nil:
		<-s.turnCh
		n, err := s.Conn.Read(p)
		s.turnCh <- struct{}{}
		return n, err
	case s.Conn != nil:
		return s.Conn.Read(p)
	case s.gc == nil:
		return 0, net.ErrClosed
	case s.gc.InboundBuffered() == 0:
		return 0, os.ErrDeadlineExceeded
	default:
		return s.gc.Read(p)
	}
}

// Write implements net.Conn for crypto/tls. On a loop it takes everything: what
// the client does not take waits in gnet.
func (s *session) Write(p []byte) (int, error) {
	switch {
	case s.gathered != nil:
		*s.gathered = append(*s.gathered, p...)
		return len(p), nil
	case s.Conn != nil:
		return s.Conn.Write(p)
	case s.gc == nil:
		return 0, net.ErrClosed
	default:
		return s.gc.Write(p)
	}
}

// SetWriteDeadline implements net.Conn for crypto/tls. Nothing on a loop has one.
func (s *session) SetWriteDeadline(t time.Time) error {
	if s.Conn == nil {
		return nil
	}
	return s.Conn.SetWriteDeadline(t)
}
