package fanout

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
)

// What is joined with a fragment may be dropped no more than that.
func TestPieceFragment(t *testing.T) {
	whole, part := NewPiece([]byte("a")), NewFragment([]byte("b"))
	for _, tt := range []struct {
		name  string
		piece *Piece
		want  bool
	}{
		{"whole", whole, false}, {"fragment", part, true}, {"two whole ones", joinPieces([]*Piece{whole, whole}), false},
		{"fragment first", joinPieces([]*Piece{part, whole}), true}, {"fragment last", joinPieces([]*Piece{whole, part}), true},
	} {
		if got := tt.piece.Fragment(); got != tt.want {
			t.Errorf("%s: Fragment() is %v, want %v", tt.name, got, tt.want)
		}
	}
}

// variantsOfStreams are the forms that a stream can have.
func variantsOfStreams() (vs []Variant) {
	for coding := range Variant(codings) {
		vs = append(vs, coding, coding|Raw, coding|Close, coding|Raw|Close)
	}
	return vs
}

func TestPieceWire(t *testing.T) {
	long := bytes.Repeat(text, 50)
	parts := func(contents ...string) *Piece {
		var ps []*Piece
		for _, c := range contents {
			ps = append(ps, NewPiece([]byte(c)))
		}
		return joinPieces(ps)
	}
	for _, tt := range []struct {
		name   string
		piece  *Piece
		want   string
		chunks int
		items  int
		newest string
	}{
		{"one byte", NewPiece([]byte("x")), "x", 1, 1, "x"},
		{"line ends", NewPiece([]byte("data: a\r\n\r\n")), "data: a\r\n\r\n", 1, 1, "data: a\r\n\r\n"},
		{"what looks like the last chunk", NewPiece([]byte("0\r\n\r\n")), "0\r\n\r\n", 1, 1, "0\r\n\r\n"},
		{"a length of several digits", NewPiece(long), string(long), 1, 1, string(long)},
		{"RFC 9112 §7.1 nothing would be the last chunk", NewPiece(nil), "", 0, 1, ""},
		{"several pieces", parts("a", "bc", "d"), "abcd", 3, 3, "d"},
		{"several pieces, one of them empty", parts("a", "", "d", ""), "ad", 2, 4, ""},
		{"one of one", parts("a"), "a", 1, 1, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.piece.Items(); got != tt.items {
				t.Errorf("made of %d, want %d", got, tt.items)
			}
			if got := string(tt.piece.Newest().Wire(Raw)); got != tt.newest {
				t.Errorf("the last is %.40q, want %.40q", got, tt.newest)
			}
			if got, want := tt.piece.Sum(), sumOf([]byte(tt.want)); got != want || tt.piece.Len() != len(tt.want) {
				t.Errorf("got length %d and sum %+v, want %d and %+v", tt.piece.Len(), got, len(tt.want), want)
			}
			for _, v := range variantsOfStreams() {
				wire := tt.piece.Wire(v)
				if got := tt.piece.Wire(v | HeadOnly | Close); len(got) > 0 && &got[0] != &wire[0] {
					t.Errorf("variant %b: built twice", v)
				}
				data := wire
				if v&Raw == 0 {
					if got := chunks(t, wire); got != tt.chunks {
						t.Errorf("variant %b: %d chunks, want %d", v, got, tt.chunks)
					}
					var err error
					if data, err = io.ReadAll(httputil.NewChunkedReader(strings.NewReader(string(wire) + "0\r\n\r\n"))); err != nil {
						t.Errorf("variant %b: reading %.60q as chunks: %v", v, wire, err)
					}
				}
				stream := append(bytes.Clone(beginCoding(v.Coding())), data...)
				stream = append(stream, endCoding(v.Coding(), tt.piece.Sum())...)
				if got, err := decodeStream(v.Coding(), stream); err != nil || string(got) != tt.want {
					t.Errorf("variant %b: got %.60q, %v; want %.60q", v, got, err, tt.want)
				}
			}
		})
	}
}

// chunks counts the chunks of wire by their heads.
func chunks(t *testing.T, wire []byte) (n int) {
	t.Helper()
	for len(wire) > 0 {
		head, rest, _ := bytes.Cut(wire, []byte("\r\n"))
		var size int
		if _, err := fmt.Sscanf(string(head), "%x", &size); err != nil || size+2 > len(rest) {
			t.Fatalf("chunk %d begins with %.20q before %d bytes", n, head, len(rest))
		}
		wire = rest[size+2:]
		n++
	}
	return n
}

// All loops get the same bytes, whoever of them comes first.
func TestPieceIsBuiltOnce(t *testing.T) {
	p := joinPieces([]*Piece{NewPiece(text), NewPiece([]byte("x"))})
	o := NewOpening(item("", "begin", "").HTTPResponse.Response)
	var got [8][2][]byte
	var running sync.WaitGroup
	for i := range got {
		running.Go(func() { got[i] = [2][]byte{p.Wire(Gzip), o.Wire(Gzip)} })
	}
	running.Wait()
	for i := range got {
		for j := range got[i] {
			if &got[i][j][0] != &got[0][j][0] {
				t.Errorf("goroutine %d got other bytes than the first, want the same", i)
			}
		}
	}
}
