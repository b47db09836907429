package main

import (
	"fmt"
	"slices"
	"testing"
)

func TestLines(t *testing.T) {
	const text = "one\n\ntwo\nthree"
	for n := range len(text) + 1 {
		l := newLines()
		for _, piece := range []string{text[:n], text[n:]} {
			if k, err := l.Write([]byte(piece)); k != len(piece) || err != nil {
				t.Errorf("Write(%q) = %d, %v", piece, k, err)
			}
		}
		close(l.ch)
		var got []string
		for line := range l.ch {
			got = append(got, line)
		}
		if want := []string{"one", "", "two"}; !slices.Equal(got, want) {
			t.Errorf("%q cut at %d: got %q, want %q", text, n, got, want)
		}
	}
}

// Who does not read holds nobody up.
func TestLinesUnread(t *testing.T) {
	l := newLines()
	for i := range maxLines + 10 {
		fmt.Fprintln(l, i)
	}
	if len(l.ch) != maxLines || <-l.ch != "0" {
		t.Errorf("%d lines are kept, want the first %d", len(l.ch), maxLines)
	}
}
