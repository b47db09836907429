package main

import (
	"unsafe"

	"marquee/fanout"
	"marquee/uring"
)

// ahead is what a loop has the kernel send before the clients are given it, for many
// of them by one system call: io_uring(7) takes a quarter off the time of a write(2)
// for each. Who is given it then finds that it has been sent, or how much of it.
// Loop only.
type ahead struct {
	ring  *uring.Ring // nil: the kernel has none for us
	sends []aheadSend // of the ring, in its order, until all have been given them
	taken func(i, n int)
}

// An aheadSend is what was sent to one connection.
type aheadSend struct {
	c    *conn
	wire []byte
	n    int // bytes that the socket has taken; 0 or less for none
}

// startAhead has the loop send ahead, if the kernel has a ring for it.
func (l *loop) startAhead() error {
	ring, err := uring.New()
	if err != nil {
		return err
	}
	l.ahead.ring = ring
	l.ahead.taken = func(i, n int) {
		s := &l.ahead.sends[i]
		if s.n = n; n > 0 {
			s.c.ahead = uint32(i + 1)
		}
	}
	l.shard.SendAhead(l.sendAhead, l.settleAhead)
	return nil
}

// sendAhead sends what clients are about to be given to those who are ready for it.
func (l *loop) sendAhead(sends []fanout.Send) {
	a := &l.ahead
	if a.ring == nil {
		return
	}
	for _, s := range sends {
		c := s.Client.(*conn)
		if len(s.Wire) == 0 || !c.readyAhead() {
			continue
		}
		if !a.ring.Queue(c.gc.Fd(), s.Wire) {
			break // the others are written to
		}
		a.sends = append(a.sends, aheadSend{c: c, wire: s.Wire})
	}
	if err := a.ring.Submit(a.taken); err != nil {
		// Those of whom it is not known are written to one by one, as all are from
		// now on.
		l.edge.log.Error("the kernel's ring has failed: sending by one system call for each client", "loop", l.index, "err", err)
		a.ring.Close()
		a.ring = nil
	}
}

// settleAhead forgets what was sent, when clients have been given it. Who was sent something and was not given it, but
// goes on, would get the next answer in a place that is not its own: that cannot be,
// and is cut off.
func (l *loop) settleAhead() {
	a := &l.ahead
	for i := range a.sends {
		if c := a.sends[i].c; c.ahead > 0 {
			c.ahead = 0
			if c.state != closed {
				l.edge.log.Error("a client was sent what it was not given: cut off", "client", c.gc.RemoteAddr().String())
				c.cutOff(endFault)
			}
		}
	}
	clear(a.sends)
	a.sends = a.sends[:0]
}

// readyAhead reports whether what is sent to the connection now comes next: in clear,
// and with nothing that waits before it.
func (c *conn) readyAhead() bool {
	if c.session != nil || c.slow || c.gc.OutboundBuffered() > 0 {
		return false
	}
	switch c.state {
	case held, asking:
		return true
	case streaming:
		return c.stream.opening == nil && (c.tail == nil || len(c.tail.pieces) == 0 && !c.tail.ends)
	}
	return false
}

// rest returns what is left to be sent of p, of which some or all was sent ahead.
func (c *conn) rest(p []byte) []byte {
	s := &c.loop.ahead.sends[c.ahead-1]
	c.ahead = 0
	if len(s.wire) != len(p) || unsafe.SliceData(s.wire) != unsafe.SliceData(p) {
		c.loop.edge.log.Error("a client was sent what it was not given: cut off", "client", c.gc.RemoteAddr().String())
		c.cutOff(endFault)
		return nil
	}
	return p[s.n:]
}
