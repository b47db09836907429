package fanout

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A stream's bytes in a coding: how it begins, each piece compressed where that is
// smaller, and how it ends.
func codedStream(coding Variant, pieces [][]byte) []byte {
	wire := append([]byte(nil), beginCoding(coding)...)
	var sum Sum
	for i, content := range pieces {
		p := NewPiece(content)
		if coding != 0 && i%3 != 2 { // some are stored though they could be smaller
			p.coded[coding] = compressedBlocks(content, coding)
		}
		wire = append(wire, p.Wire(coding|Raw)...)
		sum = sum.Then(p.Sum())
	}
	return append(wire, endCoding(coding, sum)...)
}

// decodeStream reads a whole stream in a coding. A gzip stream must be one member, as
// browsers stop after the first.
func decodeStream(coding Variant, wire []byte) ([]byte, error) {
	switch coding {
	case Gzip:
		src := bytes.NewReader(wire)
		r, err := gzip.NewReader(src)
		if err != nil {
			return nil, err
		}
		r.Multistream(false)
		content, err := io.ReadAll(r)
		if err == nil && src.Len() > 0 {
			return content, io.ErrShortBuffer // bytes after the member
		}
		return content, err
	case Zstd:
		if len(wire) == 0 {
			return nil, nil
		}
		r, err := zstd.NewReader(bytes.NewReader(wire), zstd.WithDecoderMaxWindow(8<<20)) // RFC 9659
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	return wire, nil
}

// contents are the pieces of some streams.
func contents() map[string][][]byte {
	noise := make([]byte, 300<<10)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(noise)
	alike := make([][]byte, 50)
	for i := range alike {
		alike[i] = []byte("event: flight\ndata: " + strings.Repeat(string(rune('a'+i%26)), i*i) + "\n\n")
	}
	return map[string][][]byte{
		"nothing":                                   nil,
		"one piece":                                 {text},
		"pieces that are alike":                     alike,
		"short pieces":                              {[]byte("a"), []byte("b"), []byte("a"), []byte("\n")},
		"empty pieces among others":                 {nil, []byte("a"), {}, text, nil},
		"RFC 1951 §3.2.4 a full stored block":       {noise[:65535], noise[:65536], noise[:131070], noise[:131071]},
		"RFC 8878 §3.1.1.2 full raw blocks":         {noise[:128<<10], noise[:128<<10+1], noise[:256<<10]},
		"what does not get smaller among what does": {noise, text, noise[:10], bytes.Repeat(text, 100)},
	}
}

func TestStreamsDecode(t *testing.T) {
	for name, pieces := range contents() {
		for coding := range Variant(codings) {
			t.Run(name+", coding "+string('0'+rune(coding)), func(t *testing.T) {
				want := bytes.Join(pieces, nil)
				got, err := decodeStream(coding, codedStream(coding, pieces))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("decoded %d bytes, %v; want the %d bytes of the pieces", len(got), err, len(want))
				}
			})
		}
	}
}

// The reference implementations read them, too.
func TestStreamsDecodeByCommand(t *testing.T) {
	for coding, command := range map[Variant]string{Gzip: "gzip", Zstd: "zstd"} {
		t.Run(command, func(t *testing.T) {
			path, err := exec.LookPath(command)
			if err != nil {
				t.Skipf("%s is not installed", command)
			}
			for name, pieces := range contents() {
				if coding == Zstd && len(bytes.Join(pieces, nil)) == 0 {
					continue // no frame at all: for zstd, but not for HTTP, an error
				}
				cmd := exec.Command(path, "-d", "-c")
				cmd.Stdin = bytes.NewReader(codedStream(coding, pieces))
				got, err := cmd.Output()
				if want := bytes.Join(pieces, nil); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %s gives %d bytes, %v; want %d", name, command, len(got), err, len(want))
				}
			}
		})
	}
}

// slowWire is a connection on which each piece comes when the content of those
// before has been read.
type slowWire struct {
	coding  Variant
	pieces  [][]byte // that have not come
	came    []byte   // and was not taken
	begun   bool
	unread  int // bytes of content that came
	starved int // times that it was asked for more though some was unread
}

func (s *slowWire) Read(p []byte) (int, error) {
	if !s.begun {
		s.came, s.begun = beginCoding(s.coding), true
	}
	for len(s.came) == 0 {
		if s.unread > 0 {
			s.starved++
		}
		if len(s.pieces) == 0 {
			return 0, io.EOF
		}
		piece := NewPiece(s.pieces[0])
		if len(s.pieces)%2 == 0 {
			piece.coded[s.coding] = compressedBlocks(piece.content, s.coding)
		}
		s.unread += piece.Len()
		s.came, s.pieces = piece.Wire(s.coding|Raw), s.pieces[1:]
	}
	n := copy(p, s.came)
	s.came = s.came[n:]
	return n, nil
}

// A client need not wait for the next piece to read one, whether it was
// compressed or not.
func TestPieceIsReadAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		coding Variant
		reader func(r io.Reader) (io.Reader, error)
	}{
		{"gzip", Gzip, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"zstd", Zstd, func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) }},
	} {
		for name, pieces := range contents() {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				wire := &slowWire{coding: tt.coding, pieces: pieces}
				r, err := tt.reader(wire)
				if err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 4096)
				for _, content := range pieces {
					for len(content) > 0 {
						n, err := r.Read(buf[:min(len(buf), len(content))])
						if err != nil || wire.starved > 0 || !bytes.Equal(buf[:n], content[:n]) {
							t.Fatalf("with %d bytes of a piece unread: read %d, %v, wanted more %d times; want all without more",
								len(content), n, err, wire.starved)
						}
						content, wire.unread = content[n:], wire.unread-n
					}
				}
			})
		}
	}
}

func TestCompressedBlocksOnlyWhereSmaller(t *testing.T) {
	noise := make([]byte, 1000)
	random := rand.NewChaCha8([32]byte{2})
	random.Read(noise)
	for _, coding := range []Variant{Gzip, Zstd} {
		if got := compressedBlocks(text, coding); got == nil || len(got) >= len(text) {
			t.Errorf("coding %d: %d bytes for a text of %d, want fewer", coding, len(got), len(text))
		}
		if got := compressedBlocks(noise, coding); got != nil {
			t.Errorf("coding %d: %d bytes for noise of 1000, want none", coding, len(got))
		}
	}
}

func FuzzStreamDecodes(f *testing.F) {
	f.Add([]byte("data: a\n\ndata: a\n\n"), uint8(3), true)
	f.Add(bytes.Repeat([]byte("flight "), 100), uint8(7), false)
	f.Fuzz(func(t *testing.T, content []byte, cut uint8, inGzip bool) {
		coding := Zstd
		if inGzip {
			coding = Gzip
		}
		var pieces [][]byte
		for rest := content; len(rest) > 0; {
			n := min(len(rest), int(cut)+1)
			pieces = append(pieces, rest[:n])
			rest, cut = rest[n:], cut*5+1
		}
		got, err := decodeStream(coding, codedStream(coding, pieces))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("coding %d, %d pieces: decoded %q, %v; want %q", coding, len(pieces), got, err, content)
		}
	})
}
