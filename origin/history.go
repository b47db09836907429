package main

import (
	"slices"

	"marquee/grip"
)

// historySize bounds the past headlines that are kept for streams that have missed
// some, by the bytes of their events: they go out in one instruct, of which every
// GRIP proxy buffers that much. The longest headline fits, and a thousand of usual
// length. A stream that has missed more goes on with the oldest that is left, and
// its client sees by the ids that some are gone.
const historySize = grip.MaxInstructBody

// A history is the newest headlines, as many as historySize allows. It is
// immutable. Nil is an empty one.
type history struct {
	headlines []*headline // by id; at least one
	size      int         // of their events
}

// with returns the history that has h after those in s.
func (s *history) with(h *headline) *history {
	next := &history{headlines: []*headline{h}, size: len(h.event)}
	if s == nil {
		return next
	}
	kept := len(s.headlines)
	for kept > 0 && next.size+len(s.headlines[kept-1].event) <= historySize {
		kept--
		next.size += len(s.headlines[kept].event)
	}
	next.headlines = append(slices.Clone(s.headlines[kept:]), h)
	return next
}

// newest returns the newest headline, nil of an empty history.
func (s *history) newest() *headline {
	if s == nil {
		return nil
	}
	return s.headlines[len(s.headlines)-1]
}

// after returns the headlines that follow the one with that id, which need not be
// in the history. One from the future is of another history than ours, and the
// newest follows it.
func (s *history) after(id uint64) []*headline {
	if s == nil {
		return nil
	}
	if id > s.newest().id {
		return s.headlines[len(s.headlines)-1:]
	}
	for i, h := range s.headlines {
		if h.id > id {
			return s.headlines[i:]
		}
	}
	return nil
}
