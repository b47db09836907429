package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// eventCases are streams of events and what they mean; case names carry the
// section of the HTML Living Standard.
var eventCases = []struct {
	name, in string
	want     []string // events that have data, as id=data
	comments int
}{
	{"9.2.6 one event", "data: hello\n\n", []string{"=hello"}, 0},
	{"9.2.6 id and data", "id: 7\ndata: hello\n\n", []string{"7=hello"}, 0},
	{"9.2.6 data before id", "data: hello\nid: 7\n\n", []string{"7=hello"}, 0},
	{"9.2.6 lines joined by LF", "data: a\ndata:b\ndata\ndata:  c\n\n", []string{"=a\nb\n\n c"}, 0},
	{"9.2.6 one space at most is cut", "data:  x \n\n", []string{"= x "}, 0},
	{"9.2.6 data of no bytes", "data\n\ndata:\n\n", []string{"=", "="}, 0},
	{"9.2.6 no data, no event", "id: 7\n\nevent: x\n\n", nil, 0},
	{"9.2.6 id with NUL is ignored", "id: 7\x00\ndata: x\n\n", []string{"=x"}, 0},
	{"9.2.6 id of no bytes", "id\ndata: x\n\n", []string{"=x"}, 0},
	{"9.2.6 type, retry time and unknown fields", "event: x\nretry: 10\nother: y\nDATA: z\ndata: x\n\n", []string{"=x"}, 0},
	{"9.2.6 the end is not dispatched", "data: a\n\ndata: b\n", []string{"=a"}, 0},
	{"9.2.5 ends of lines", "data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\r\n\ndata: e\n\r\n", []string{"=a", "=b", "=c", "=d", "=e"}, 0},
	{"9.2.5 CR inside an event", "id: 1\rdata: a\rdata: b\r\r", []string{"1=a\nb"}, 0},
	{"9.2.5 comments", ":\n\n: keep-alive\n\n:x\ndata: a\n:y\n\n", []string{"=a"}, 4},
	{"9.2.7 comment of 2 KB", ":" + strings.Repeat(" ", 2048) + "\n\ndata: a\n\n", []string{"=a"}, 1},
	{"keep-alive of GRIP", "\n\n\ndata: a\n\n\n", []string{"=a"}, 0},
}

// readEvents gives in to a parser as a socket would, in pieces that end at cuts.
func readEvents(in string, cuts func(yield func(int) bool)) (got []string, comments int) {
	var p eventParser
	var partial []byte
	from := 0
	for to := range cuts {
		partial = append(partial, in[from:to]...)
		from = to
		for {
			e, err := p.parse(partial)
			if err != nil {
				break
			}
			if e.data != nil {
				got = append(got, fmt.Sprintf("%s=%s", e.id, e.data))
			}
			comments += e.comments
			partial = partial[e.size:]
		}
	}
	return got, comments
}

func TestParseEvents(t *testing.T) {
	for _, tt := range eventCases {
		t.Run(tt.name, func(t *testing.T) {
			cutEverywhere(tt.in, func(split string, cuts func(yield func(int) bool)) {
				if got, comments := readEvents(tt.in, cuts); !slices.Equal(got, tt.want) || comments != tt.comments {
					t.Errorf("%q, %s: got %q and %d comments, want %q and %d", tt.in, split, got, comments, tt.want, tt.comments)
				}
			})
		})
	}
}

// cutEverywhere calls f with the cuts of in whole, byte by byte, and cut in two
// at each offset.
func cutEverywhere(in string, f func(split string, cuts func(yield func(int) bool))) {
	f("whole", func(yield func(int) bool) { yield(len(in)) })
	f("byte by byte", func(yield func(int) bool) {
		for n := 0; n <= len(in) && yield(n); n++ {
		}
	})
	for n := range in {
		f(fmt.Sprintf("cut at %d", n), func(yield func(int) bool) { _ = yield(n) && yield(len(in)) })
	}
}

// FuzzParseEvents checks that nothing makes the parser panic, and that it does
// not matter how input is cut.
func FuzzParseEvents(f *testing.F) {
	for _, tt := range eventCases {
		f.Add(tt.in, 5)
	}
	f.Fuzz(func(t *testing.T, in string, cut int) {
		whole, comments := readEvents(in, func(yield func(int) bool) { yield(len(in)) })
		cut = min(max(cut, 0), len(in))
		split, splitComments := readEvents(in, func(yield func(int) bool) { _ = yield(cut) && yield(len(in)) })
		if !slices.Equal(whole, split) || comments != splitComments {
			t.Fatalf("%q cut at %d: got %q and %d comments, whole %q and %d", in, cut, split, splitComments, whole, comments)
		}
	})
}
