package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"marquee/fanout"
	"marquee/grip"
	"marquee/httpparse"
	"marquee/upstream"
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

// lease is a connection that a goroutine has for the length of one exchange.
type lease struct {
	edge    *edge
	nc      net.Conn
	unread  []byte // read from the socket, not yet consumed
	buf     []byte // of fill; unread lies in it
	minor   uint8
	variant fanout.Variant
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
		edge: c.loop.edge, nc: nc, minor: c.minor, variant: c.hold.Variant,
		unread: append([]byte(nil), c.inbound()...),
	}
	s.edge.leases.add(s)
	c.state = moved
	c.close() // of the loop's descriptor: the connection lives on in nc
	return s, nil
}

// download gives the connection the answer whose body follows.
func (c *conn) download(answer *upstream.Answer) {
	s, err := c.detach()
	if err != nil {
		c.loop.edge.log.Debug("cannot stream to client", "err", err)
		answer.Body.Close()
		c.close()
		return
	}
	go s.end(func() bool { return s.relay(answer, true) })
}

// upload streams the content of the pending request to the origin.
func (c *conn) upload() {
	p := c.pending
	s, err := c.detach()
	if err != nil {
		c.loop.edge.log.Debug("cannot stream from client", "err", err)
		c.close()
		return
	}
	go s.end(func() bool { return s.exchange(p) })
}

// end runs an exchange on the lease's goroutine, which reports whether the
// connection can be used further, and returns it to the reactor or closes it.
func (s *lease) end(exchange func() (reusable bool)) {
	defer s.edge.leases.remove(s)
	reusable := exchange()
	if reusable && s.variant&fanout.Close == 0 && !s.edge.draining.Load() {
		s.edge.enrol(s.nc, &conn{unread: s.unread})
		return
	}
	if tc, ok := s.nc.(*net.TCPConn); ok && reusable {
		_ = tc.CloseWrite()
		timer := time.AfterFunc(lingerTimeout, func() { s.nc.Close() })
		_, _ = io.Copy(io.Discard, s.nc)
		timer.Stop()
	}
	s.nc.Close()
	s.edge.departed()
}

// exchange puts a request whose content is still arriving.
func (s *lease) exchange(p *pending) (reusable bool) {
	in := &content{lease: s, body: p.body, ready: p.content, endCh: make(chan struct{}), releaseCh: make(chan struct{})}
	p.req.Stream = in
	resultCh := make(chan upstream.Result, 1)
	ticket := s.edge.origin.Ask(p.req, time.Time{}, func(r upstream.Result) { resultCh <- r })
	giveUp := func() {
		if !ticket.Leave() {
			if r := <-resultCh; r.Answer != nil && r.Answer.Body != nil {
				r.Answer.Body.Close()
			}
		}
		close(in.releaseCh)
	}
	select {
	case r := <-resultCh:
		close(in.releaseCh)
		return s.settle(r, in)
	case <-in.endCh:
	}
	if in.err != io.EOF {
		giveUp()
		return s.blame(in.err)
	}
	goneCh := make(chan struct{})
	stop := s.watch(func() { close(goneCh) })
	select {
	case r := <-resultCh:
		stop()
		close(in.releaseCh)
		return s.settle(r, in)
	case <-goneCh:
		stop()
		giveUp()
		return false
	}
}

// blame answers a client whose content cannot be read to its end, if it is
// still there.
func (s *lease) blame(err error) bool {
	s.variant |= fanout.Close
	var malformed *httpparse.Error
	switch {
	case errors.As(err, &malformed):
		s.edge.malformed.Add(1)
		return s.write(plain(malformed.Status, malformed.Reason), -1)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return s.write(plain(http.StatusRequestTimeout, lateRequest), -1)
	}
	return false
}

// settle gives the client what came of its request. Where the content has not
// come to its end nobody reads the rest of it, so the connection ends.
func (s *lease) settle(r upstream.Result, in *content) bool {
	ended := in.ended()
	if !ended {
		s.variant |= fanout.Close
	}
	switch {
	case r.Failure != nil:
		return s.write(failureResponse(r.Failure), -1)
	case r.Answer.Hold != nil:
		return s.write(plain(http.StatusBadRequest, "Request too large to accept GRIP instruct."), -1)
	case r.Answer.Body != nil:
		return s.relay(r.Answer, ended)
	default:
		return s.write(r.Answer.Response, r.Answer.Length)
	}
}

// write writes a complete answer; length is that of a HEAD's content, -1 for
// the body's own.
func (s *lease) write(r grip.Response, length int64) bool {
	s.closeIfDraining()
	a := fanout.NewAnswer(r)
	if s.variant&fanout.HeadOnly != 0 && length >= 0 {
		a = fanout.NewHeadAnswer(r, length)
	}
	_ = s.nc.SetWriteDeadline(time.Now().Add(streamStall))
	_, err := s.nc.Write(a.Wire(s.variant))
	return err == nil
}

// relay writes an answer whose body follows, as it comes. It reports whether
// the answer has come to its proper end. quiet says that the client has nothing
// more to send, and is watched: one whose content is still being read is missed
// by who reads it.
func (s *lease) relay(a *upstream.Answer, quiet bool) bool {
	defer a.Body.Close()
	s.closeIfDraining()
	chunked := a.Length < 0 && s.minor > 0
	if a.Length < 0 && !chunked {
		s.variant |= fanout.Close // its end is the connection's
	}
	if quiet {
		stop := s.watch(func() { a.Body.Close() })
		defer stop()
	}
	head := fanout.Head{Response: a.Response, Length: a.Length, Chunked: chunked, Variant: s.variant}
	out := net.Buffers{head.Append(nil)}
	if s.piece(out, a.Response.Body, chunked) != nil {
		return false
	}
	sent := int64(len(a.Response.Body))
	buf := make([]byte, 32<<10)
	for {
		n, err := a.Body.Read(buf)
		if n > 0 {
			if s.piece(nil, buf[:n], chunked) != nil {
				return false
			}
			sent += int64(n)
		}
		switch {
		case err == io.EOF && chunked:
			return s.piece(net.Buffers{[]byte("0\r\n\r\n")}, nil, chunked) == nil
		case err == io.EOF:
			return a.Length < 0 || sent == a.Length
		case err != nil:
			return false // cut off, so that the client can tell
		}
	}
}

// closeIfDraining makes the answer that begins the connection's last.
func (s *lease) closeIfDraining() {
	if s.edge.draining.Load() {
		s.variant |= fanout.Close
	}
}

// piece writes what is to go before, and a run of the body, in one writev.
func (s *lease) piece(before net.Buffers, data []byte, chunked bool) error {
	out := before
	switch {
	case len(data) == 0:
	case chunked:
		size := append(strconv.AppendInt(nil, int64(len(data)), 16), "\r\n"...)
		out = append(out, size, data, []byte("\r\n"))
	default:
		out = append(out, data)
	}
	_ = s.nc.SetWriteDeadline(time.Now().Add(streamStall))
	_, err := out.WriteTo(s.nc)
	return err
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
				gone()
				return
			}
		}
		gone()
	}()
	return func() {
		_ = s.nc.SetReadDeadline(time.Unix(1, 0))
		<-doneCh
		_ = s.nc.SetReadDeadline(time.Time{})
	}
}

// content reads a request's content from the client, as it arrives, for the
// goroutine that writes to the origin.
type content struct {
	lease *lease
	body  httpparse.Body
	ready []byte // decoded, not read
	// endCh is closed when the content has come to its end, or has broken off:
	// err is io.EOF or says why. From then on the lease is not touched here.
	endCh chan struct{}
	err   error // set before endCh is closed
	// releaseCh is closed by the exchange when it knows what becomes of the
	// request: until then it does not break off, so that the origin is not
	// held to have failed.
	releaseCh chan struct{}
}

// ended reports whether the content has come to its end.
func (r *content) ended() bool {
	select {
	case <-r.endCh:
		return r.err == io.EOF
	default:
		return false
	}
}

// Read implements io.Reader.
func (r *content) Read(p []byte) (int, error) {
	for len(r.ready) == 0 && r.err == nil {
		r.next()
	}
	if len(r.ready) == 0 {
		if r.err != io.EOF {
			<-r.releaseCh
		}
		return 0, r.err
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// next decodes a run of the content. It ends with the run that is the last one
// of a sized content, for the origin may answer as soon as it has that.
func (r *content) next() {
	s := r.lease
	data, n, err := r.body.Next(s.unread)
	r.ready, s.unread = data, s.unread[n:]
	if err == nil && n == 0 && !r.body.Done() {
		if err = s.fill(); err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	if err == nil && r.body.Done() {
		err = io.EOF
	}
	if err != nil {
		r.err = err
		close(r.endCh)
	}
}

// fill reads more from the client, behind what is unread.
func (s *lease) fill() error {
	if len(s.unread) == cap(s.buf) {
		s.buf = make([]byte, 2*len(s.unread)+32<<10)
	}
	kept := copy(s.buf, s.unread)
	_ = s.nc.SetReadDeadline(time.Now().Add(streamStall))
	n, err := s.nc.Read(s.buf[kept:])
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
		s.nc.Close()
	}
}
