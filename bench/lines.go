package main

import "bytes"

// maxLines bounds the lines that a child has written and nobody has read yet: more
// than it writes in a minute. Further ones are dropped.
const maxLines = 100

// lines takes what a child writes and gives it on by lines.
type lines struct {
	ch      chan string // without the ends of the lines
	partial []byte      // a line whose end has not come yet
}

func newLines() *lines { return &lines{ch: make(chan string, maxLines)} }

// Write takes the next piece. It never fails, and never waits.
func (l *lines) Write(b []byte) (int, error) {
	l.partial = append(l.partial, b...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte{'\n'})
		if !found {
			return len(b), nil
		}
		select {
		case l.ch <- string(line):
		default:
		}
		l.partial = rest
	}
}
