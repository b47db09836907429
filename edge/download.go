package main

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"marquee/fanout"
	"marquee/upstream"
)

// download gives the connection the answer whose body follows.
func (c *conn) download(answer *upstream.Answer, finish *fanout.Finish) {
	s, err := c.detach()
	if err != nil {
		c.loop.edge.log.Debug("cannot stream to client", "err", err)
		answer.Body.Close()
		c.refuse(http.StatusServiceUnavailable, noStream)
		return
	}
	finished := *answer
	finished.Response = finish.On(answer.Response)
	go s.end(func() bool { return s.relay(&finished, true) })
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
	head := fanout.Head{Response: a.Response, Length: a.Length, Chunked: chunked, Variant: s.variant.Uncoded()}
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

// piece writes what is to go before, and a run of the body, in one writev, or with
// TLS in as few records as can be.
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
	if s.record != nil {
		for _, wire := range out {
			s.record.sent(wire)
		}
	}
	_ = s.nc.SetWriteDeadline(time.Now().Add(streamStall))
	err := s.send(out)
	if err != nil {
		s.left.Store(true)
	}
	return err
}

// send writes in one system call: with TLS, as records of what is joined.
func (s *lease) send(out net.Buffers) error {
	if s.session == nil {
		_, err := out.WriteTo(s.nc)
		return err
	}
	s.joined = s.joined[:0]
	for _, part := range out {
		s.joined = append(s.joined, part...)
	}
	_, err := s.nc.Write(s.joined)
	return err
}
