package main

import (
	"fmt"
	"strings"
	"testing"
)

// readBody follows in as a socket would give it, in pieces that end at cuts, and
// returns the body, the bytes of in after its end, and where it stands then.
func readBody(h head, in string, cuts func(yield func(int) bool)) (body string, more int, f framing, err error) {
	f = newFraming(h)
	from := 0
	for to := range cuts {
		for b := []byte(in[from:to]); len(b) > 0; {
			data, n, err := f.next(b)
			if err != nil {
				return body, 0, f, err
			}
			if n == 0 {
				more += len(b)
				break
			}
			body += string(data)
			b = b[n:]
		}
		from = to
	}
	return body, more, f, nil
}

// TestFraming reads the bodies of the cases of whole responses, cut everywhere.
func TestFraming(t *testing.T) {
	for _, tt := range responseCases {
		t.Run(tt.name, func(t *testing.T) {
			h, size, err := parseHeads([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			in := tt.in[size:]
			cutEverywhere(in, func(split string, cuts func(yield func(int) bool)) {
				body, more, f, err := readBody(h, in, cuts)
				if err != nil || body != tt.body || more != tt.more || !f.whole() {
					t.Errorf("%q, %s: got %q, %d bytes more, whole %v, %v\nwant %q, %d", in, split, body, more, f.whole(), err, tt.body, tt.more)
				}
			})
		})
	}
}

// TestFramingBad reads the malformed bodies of the cases of responses.
func TestFramingBad(t *testing.T) {
	tested := 0
	for _, tt := range badResponses {
		h, size, err := parseHeads([]byte(tt.in))
		if err != nil || !h.chunked || strings.HasPrefix(tt.name, "7.1.2") {
			continue // a trailer field's form does not matter to the body
		}
		tested++
		t.Run(tt.name, func(t *testing.T) {
			in := tt.in[size:]
			_, _, _, err := readBody(h, in, func(yield func(int) bool) { yield(len(in)) })
			if err == nil {
				t.Fatalf("%.200q: got no error", in)
			}
			if len(in) > 1000 {
				return
			}
			cutEverywhere(in, func(split string, cuts func(yield func(int) bool)) {
				if _, _, _, got := readBody(h, in, cuts); fmt.Sprint(got) != err.Error() {
					t.Errorf("%q, %s: got %v, want %v", in, split, got, err)
				}
			})
		})
	}
	if tested < 7 {
		t.Errorf("%d cases have a malformed body, want 7 at least", tested)
	}
}

// TestFramingCut ends bodies early: only those that nothing promised more of are
// whole.
func TestFramingCut(t *testing.T) {
	for _, tt := range []struct {
		name  string
		head  head
		in    string
		whole bool
	}{
		{"6.3 until close", head{status: 200, length: -1}, "hel", true},
		{"6.3 counted", head{status: 200, length: 5}, "hell", false},
		{"7.1 between chunks", head{status: 200, length: -1, chunked: true}, "2\r\nhe\r\n", true},
		{"7.1 in a size", head{status: 200, length: -1, chunked: true}, "2\r\nhe\r\n2", false},
		{"7.1 in a chunk", head{status: 200, length: -1, chunked: true}, "2\r\nh", false},
		{"7.1 after a chunk's data", head{status: 200, length: -1, chunked: true}, "2\r\nhe", false},
		{"7.1 in the end", head{status: 200, length: -1, chunked: true}, "0\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, f, err := readBody(tt.head, tt.in, func(yield func(int) bool) { yield(len(tt.in)) })
			if err != nil || f.whole() != tt.whole {
				t.Errorf("%q: whole %v, %v, want %v", tt.in, f.whole(), err, tt.whole)
			}
		})
	}
}

// FuzzFraming checks that nothing makes a framing panic, that it does not matter
// how input is cut, and that what it accepts as chunked the response parser
// decodes alike.
func FuzzFraming(f *testing.F) {
	const prefix = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range responseCases {
		if body, ok := strings.CutPrefix(tt.in, prefix); ok {
			f.Add(body, 4)
		}
	}
	for _, tt := range badResponses {
		if body, ok := strings.CutPrefix(tt.in, prefix); ok && len(body) < 1000 {
			f.Add(body, 4)
		}
	}
	h := head{status: 200, length: -1, chunked: true}
	f.Fuzz(func(t *testing.T, in string, cut int) {
		whole, more, end, err := readBody(h, in, func(yield func(int) bool) { yield(len(in)) })
		cut = min(max(cut, 0), len(in))
		split, _, _, splitErr := readBody(h, in, func(yield func(int) bool) { _ = yield(cut) && yield(len(in)) })
		if whole != split || fmt.Sprint(err) != fmt.Sprint(splitErr) {
			t.Fatalf("%q cut at %d: got %q, %v, whole %q, %v", in, cut, split, splitErr, whole, err)
		}
		var p responseParser
		r, parseErr := p.parse([]byte(prefix+in), false)
		if parseErr == nil && (err != nil || !end.ended() || string(r.body) != whole || r.size+more != len(prefix+in)) {
			t.Fatalf("%q: got %q, %v, the response parser %q of %d bytes", in, whole, err, r.body, r.size)
		}
	})
}
