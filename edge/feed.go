package main

import (
	"io"

	"marquee/fanout"
	"marquee/upstream"
)

// feedPiece is how many bytes of a body are read at a time.
const feedPiece = 64 << 10

// feed is a goroutine that appends the rest of a body to streams, as it comes, at
// the pace of the slowest client, within feedPatience: it reads on when what it
// read before has been taken.
type feed struct {
	stream *stream
	answer *upstream.Answer
	onCh   chan struct{} // one message a piece, from the loop; closed by stop
}

// feedBody appends the rest of an answer's body and then goes on with it.
func (s *stream) feedBody(answer *upstream.Answer) {
	s.feed = &feed{stream: s, answer: answer, onCh: make(chan struct{}, 1)}
	go s.feed.readLoop()
}

// readLoop ends with the body, or after stop.
func (f *feed) readLoop() {
	for {
		buf := make([]byte, feedPiece)
		n, err := f.answer.Body.Read(buf)
		f.stream.loop.post(func() { f.got(buf[:n], err) })
		if err != nil {
			return
		}
		if _, on := <-f.onCh; !on {
			return
		}
	}
}

// got takes what was read. Loop only.
func (f *feed) got(data []byte, err error) {
	s := f.stream
	if s.feed != f {
		return // stopped
	}
	if len(data) > 0 {
		s.loop.shard.Append(&s.group, fanout.NewFragment(data))
	}
	if s.feed != f {
		return // all have left over it
	}
	if err == nil {
		s.whenTaken(func() { f.onCh <- struct{}{} })
		return
	}
	s.feed = nil
	f.answer.Body.Close()
	switch {
	case err != io.EOF:
		s.cut()
	case s.loop.draining && s.loop.departure.swept:
		s.end()
		s.loop.shard.Finish(&s.group)
	default:
		s.goOn(f.answer)
	}
}

// stop ends the feed, with a read that is going on. Loop only.
func (f *feed) stop() {
	f.stream.feed = nil
	f.answer.Body.Close()
	close(f.onCh)
}
