package main

import "bytes"

// event is an event of an event stream (HTML Living Standard §9.2.6), without
// its type and retry time, which nobody here looks at.
type event struct {
	data     []byte // nil when the event has none: then it is not for the client
	id       []byte // nil when the event gives none
	comments int    // comment lines before and in it, such as a server sends to keep a stream alive
	size     int    // bytes of input that the event took, with the empty line after it
}

// eventParser parses event streams. It keeps no state between calls but the
// memory for data of several lines: the caller gives all bytes of an event again
// when more have come. Not safe for use by more than one goroutine.
type eventParser struct {
	joined []byte
}

// parse returns the event at the start of b, which is valid until the parser's
// next use or the input's next change, or errPartial when its end is not there
// yet. There is no other error: of a stream of events everything means something.
// Allocates nothing once the memory for data of several lines has grown.
func (p *eventParser) parse(b []byte) (event, error) {
	var e event
	lines := 0 // of data
	for {
		line, size, err := cutEventLine(b[e.size:])
		if err != nil {
			return event{}, err
		}
		e.size += size
		if len(line) == 0 {
			return e, nil
		}
		name, value, found := bytes.Cut(line, colon)
		if value = bytes.TrimPrefix(value, space); !found {
			value = line[len(line):] // empty, which is not the same as none
		}
		switch {
		case line[0] == ':':
			e.comments++
		case string(name) == "id" && bytes.IndexByte(value, 0) < 0:
			e.id = value
		case string(name) == "data":
			switch lines++; lines {
			case 1:
				e.data = value[:len(value):len(value)]
			case 2:
				p.joined = append(p.joined[:0], e.data...)
				fallthrough
			default:
				p.joined = append(append(p.joined, '\n'), value...)
				e.data = p.joined
			}
		}
	}
}

var (
	colon = []byte(":")
	space = []byte(" ")
)

// cutEventLine returns the line at the start of b without its end, CR, LF or
// CRLF, and its size with it; errPartial when its end is not there yet. An empty
// line ends with a CR at the end of b: an LF that follows is one more empty line,
// which means nothing after an event.
func cutEventLine(b []byte) (line []byte, size int, err error) {
	i := bytes.IndexByte(b, '\n')
	rest := b
	if i >= 0 {
		rest = b[:i]
	}
	if j := bytes.IndexByte(rest, '\r'); j >= 0 {
		i = j
	}
	switch {
	case i < 0, b[i] == '\r' && i+1 == len(b) && i > 0:
		return nil, 0, errPartial
	case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		return b[:i], i + 2, nil
	}
	return b[:i], i + 1, nil
}
