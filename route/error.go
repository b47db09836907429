package route

import (
	"fmt"
	"strings"
)

// maxReported is how many bad lines an Error names. Whoever has more than these
// has named the wrong file.
const maxReported = 20

// Error refuses a routes file as a whole.
type Error struct {
	// File is the name that the file was given to Parse with.
	File string
	// Lines are the bad lines in order, the first maxReported of them.
	Lines []LineError
	// More is how many bad lines there are beyond Lines.
	More int
}

// LineError says what is wrong with one line.
type LineError struct {
	// Line counts from 1; 0 is the file itself.
	Line   int
	Reason string
}

// Error returns one line for each bad line, "FILE:LINE: REASON". No key is
// shown.
func (e *Error) Error() string {
	var s strings.Builder
	for i, l := range e.Lines {
		if i > 0 {
			s.WriteByte('\n')
		}
		s.WriteString(e.File)
		if l.Line > 0 {
			fmt.Fprintf(&s, ":%d", l.Line)
		}
		s.WriteString(": " + l.Reason)
	}
	if e.More > 0 {
		fmt.Fprintf(&s, "\n%s: and %d bad lines more", e.File, e.More)
	}
	return s.String()
}

// add notes that a line is bad.
func (e *Error) add(line int, reason string) {
	if len(e.Lines) == maxReported {
		e.More++
		return
	}
	e.Lines = append(e.Lines, LineError{line, reason})
}
