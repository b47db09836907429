package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"marquee/fanout"
	"marquee/grip"
)

// The loops hold; goroutines stream. A request or an answer that is too long to
// be kept in memory, or of unknown length, takes its connection off the reactor:
// one goroutine drives it with blocking reads and writes, so that the slower
// side sets the pace and nothing piles up between. Afterwards the connection
// goes back to a loop. There are as many of these goroutines as requests may be
// open at the origin.

// streamStall is how long a client may take nothing of an answer, or send
// nothing of a content, while it is streamed.
const streamStall = time.Minute

// noStream is what a client is told whose connection cannot be taken off the
// reactor: there are no file descriptors.
const noStream = "There is no room for so long a transfer."

// lease is a connection that a goroutine has for the length of one exchange.
type lease struct {
	edge    *edge
	socket  net.Conn
	session *session // nil without TLS
	nc      net.Conn // what is read and written: the socket, or its TLS
	source  *source
	unread  []byte // read from nc, not yet consumed
	buf     []byte // of fill; unread lies in it
	joined  []byte // of piece, with TLS
	minor   uint8
	variant fanout.Variant
	pace    pace        // of what the client sends
	record  *record     // of the request, for the access log; nil for none
	left    atomic.Bool // the client has left, or does not take any more
}

// detach takes the connection off its loop. Whatever follows is the lease's.
func (c *conn) detach() (*lease, error) {
	if c.gc.OutboundBuffered() > 0 {
		return nil, errors.New("an interim answer has not been taken")
	}
	fd, err := c.gc.Dup()
	if err != nil {
		return nil, fmt.Errorf("duplicate socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "client")
	nc, err := net.FileConn(f)
	_ = setTCPKeepAlive(fd) // as it was: package net has set its own
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("take socket over: %w", err)
	}
	s := &lease{
		edge: c.loop.edge, socket: nc, nc: nc, source: c.source, minor: c.minor, variant: c.hold.Variant,
		unread: append([]byte(nil), c.inbound()...),
		pace:   newPace(streamStall),
		record: c.record,
	}
	if c.session != nil {
		s.session, c.session = c.session, nil
		s.session.toGoroutine(nc)
		s.nc = s.session.tls
	}
	c.record = nil
	s.edge.leases.add(s)
	c.state = moved
	c.close() // of the loop's descriptor: the connection lives on in nc
	return s, nil
}

// end runs an exchange on the lease's goroutine, which reports whether the
// connection can be used further, and returns it to the reactor or closes it.
func (s *lease) end(exchange func() (reusable bool)) {
	defer s.edge.leases.remove(s)
	reusable := exchange()
	s.log(reusable)
	if reusable && s.variant&fanout.Close == 0 && !s.edge.draining.Load() {
		if err := s.edge.enrol(s.socket, &conn{source: s.source, known: true, unread: s.unread, session: s.session}); err != nil {
			s.edge.log.Debug("cannot return a client to the reactor", "err", err)
		}
		return
	}
	if tc, ok := s.socket.(*net.TCPConn); ok && reusable {
		if s.session != nil {
			s.session.closeNotify()
		}
		_ = tc.CloseWrite()
		timer := time.AfterFunc(lingerTimeout, func() { tc.Close() })
		_, _ = io.Copy(io.Discard, tc)
		timer.Stop()
	}
	s.socket.Close()
	s.source.leave()
	s.edge.departed()
}

// write writes a complete answer; length is that of a HEAD's content, -1 for
// the body's own.
func (s *lease) write(r grip.Response, length int64) bool {
	s.closeIfDraining()
	a := fanout.NewAnswer(r)
	if s.variant&fanout.HeadOnly != 0 && length >= 0 {
		a = fanout.NewHeadAnswer(r, length)
	}
	wire := a.Wire(s.variant)
	if s.record != nil {
		s.record.sent(wire)
	}
	_ = s.nc.SetWriteDeadline(time.Now().Add(streamStall))
	_, err := s.nc.Write(wire)
	if err != nil {
		s.left.Store(true)
	}
	return err == nil
}

// log counts an answer that was broken off, and gives the record to the access
// log. whole says that the client has got an answer to its end.
func (s *lease) log(whole bool) {
	how := endAnswer
	switch {
	case whole:
	case s.left.Load():
		how = endLeft
	default:
		s.edge.brokenOff.Add(1)
		how = endOrigin
	}
	if s.record != nil {
		s.record.ends(how)
		s.edge.accessLog.add(s.record)
	}
}

// watch reads from a client that has nothing to say, in order to learn when it
// leaves: then gone is called. What it says nevertheless is kept, up to a
// bound, for the next request. stop must be called before the socket is read
// again; it waits until the watch has ended.
func (s *lease) watch(gone func()) (stop func()) {
	doneCh := make(chan struct{})
	go func() {
		defer close(doneCh)
		buf := make([]byte, 4<<10)
		for len(s.unread) <= maxPipelined {
			n, err := s.nc.Read(buf)
			s.unread = append(s.unread, buf[:n]...)
			switch {
			case err == nil:
			case errors.Is(err, os.ErrDeadlineExceeded):
				return // stopped
			default:
				s.left.Store(true)
				gone()
				return
			}
		}
		s.left.Store(true)
		s.edge.limited[limitAhead].Add(1)
		gone()
	}()
	return func() {
		_ = s.nc.SetReadDeadline(time.Unix(1, 0))
		<-doneCh
		_ = s.nc.SetReadDeadline(time.Time{})
	}
}

// fill reads more from the client, behind what is unread. The error is
// os.ErrDeadlineExceeded when the client sends too slowly.
func (s *lease) fill() error {
	if len(s.unread) == cap(s.buf) {
		s.buf = make([]byte, 2*len(s.unread)+32<<10)
	}
	kept := copy(s.buf, s.unread)
	began := time.Now()
	_ = s.nc.SetReadDeadline(began.Add(s.pace.left))
	n, err := s.nc.Read(s.buf[kept:])
	s.pace.came(n, time.Since(began))
	s.unread = s.buf[:kept+n]
	if err == nil {
		_ = s.nc.SetReadDeadline(time.Time{})
	}
	return err
}

// leases is every lease there is, so that none outlives the edge. Safe from any
// goroutine.
type leases struct {
	mu  sync.Mutex
	all map[*lease]struct{}
}

func (ls *leases) add(s *lease) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.all == nil {
		ls.all = make(map[*lease]struct{})
	}
	ls.all[s] = struct{}{}
}

func (ls *leases) remove(s *lease) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.all, s)
}

// cut ends every lease by closing its socket.
func (ls *leases) cut() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for s := range ls.all {
		s.socket.Close()
	}
}
