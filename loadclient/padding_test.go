package main

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

func TestPadded(t *testing.T) {
	const text = "Headline 1 of run 0000: Flight 123 arriving in terminal A."
	for _, size := range []int{0, 10, len(text), len(text) + 1, 100, 4 << 10, 64 << 10} {
		got := padded(text, size, 1)
		if len(got) != max(size, len(text)) || !strings.HasPrefix(got, text) || strings.TrimSpace(got) != got {
			t.Errorf("to %d: got %d bytes, %.80q", size, len(got), got)
		}
		if padded(text, size, 1) != got {
			t.Errorf("to %d: another text with the same seed", size)
		}
		if size > len(text)+20 && padded(text, size, 2) == got {
			t.Errorf("to %d: the same text with another seed", size)
		}
	}
}

// TestPaddedCompresses checks that the text is worth about what prose is, to a
// third or a quarter of its size.
func TestPaddedCompresses(t *testing.T) {
	for _, size := range []int{4 << 10, 64 << 10} {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(padded("", size, 1))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if ratio := float64(size) / float64(b.Len()); ratio < 2 || ratio > 4.5 {
			t.Errorf("%d bytes compress to %d, 1 in %.1f, want 2 to 4.5", size, b.Len(), ratio)
		} else {
			t.Logf("%d bytes compress to %d", size, b.Len())
		}
	}
}
