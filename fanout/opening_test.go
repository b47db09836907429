package fanout

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"regexp"
	"testing"

	"marquee/grip"
)

func TestOpening(t *testing.T) {
	for _, tt := range []struct {
		name     string
		response grip.Response
		coded    bool // may it be
	}{
		{"4.1 code, fields and content", grip.Response{Code: 201, Header: fields("Content-Type", "text/event-stream"), Body: []byte("event: open\n\n")}, true},
		{"4.1 without content", grip.Response{}, true},
		{"4.1 content that can be compressed", grip.Response{Body: text}, true},
		{"RFC 9110 §7.7 no-transform", grip.Response{Header: fields("Cache-Control", "no-store, no-transform"), Body: text}, false},
		{"RFC 9110 §8.4 coded by the origin", grip.Response{Header: fields("Content-Encoding", "br"), Body: []byte("x")}, false},
	} {
		for _, want := range variantsOfStreams() {
			t.Run(tt.name, func(t *testing.T) {
				o := NewOpening(tt.response)
				v := o.Variant(want)
				if tt.coded != (v == want) && want.Coding() != 0 || v&^codingMask != want&^codingMask {
					t.Fatalf("a client who would like %b gets variant %b, with a coding allowed: %t", want, v, tt.coded)
				}
				piece := NewPiece([]byte("data: 1\n\n"))
				stream := bytes.Clone(o.Wire(v))
				stream = append(stream, piece.Wire(v)...)
				stream = append(stream, End(v, o.Sum().Then(piece.Sum()))...)
				r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(stream)), nil)
				if err != nil {
					t.Fatalf("reading %.80q: %v", stream, err)
				}
				defer r.Body.Close()
				data, err := io.ReadAll(r.Body)
				if err != nil {
					t.Fatalf("reading the content of %.80q: %v", stream, err)
				}
				content, err := decodeStream(v.Coding(), data)
				if wantContent := string(tt.response.Body) + "data: 1\n\n"; err != nil || string(content) != wantContent {
					t.Errorf("variant %b: got content %.60q, %v; want %.60q", v, content, err, wantContent)
				}
				if code := max(tt.response.Code, 200); r.StatusCode != code {
					t.Errorf("got status %d, want %d", r.StatusCode, code)
				}
				if chunked := len(r.TransferEncoding) > 0; chunked != (v&Raw == 0) || r.ContentLength != -1 || r.Close != (v&(Close|Raw) != 0) {
					t.Errorf("variant %b: got transfer codings %v, length %d, close %t", v, r.TransferEncoding, r.ContentLength, r.Close)
				}
				coding := [...]string{"", "gzip", "zstd"}[v.Coding()]
				if coding == "" {
					coding = grip.Header(tt.response.Header).Get("Content-Encoding")
				}
				if got := r.Header.Get("Content-Encoding"); got != coding {
					t.Errorf("variant %b: got content coding %q, want %q", v, got, coding)
				}
				if got := r.Header.Get("Vary") != ""; got != tt.coded {
					t.Errorf("Vary is there: %t, want %t", got, tt.coded)
				}
				for _, f := range tt.response.Header {
					if got := r.Header.Get(f.Name); got != f.Value {
						t.Errorf("got %s: %q, want %q", f.Name, got, f.Value)
					}
				}
				head := o.Wire(v | HeadOnly)
				if !bytes.HasSuffix(head, []byte("\r\n\r\n")) || !bytes.HasPrefix(undated(stream), undated(head)) {
					t.Errorf("an answer to HEAD: got %q, want the head of %.200q", head, stream)
				}
			})
		}
	}
}

// undated returns wire without its Date, which may be a second later in the next.
func undated(wire []byte) []byte {
	return regexp.MustCompile(`Date: [^\r]*\r\n`).ReplaceAll(wire, nil)
}

func TestOpeningBodiless(t *testing.T) {
	for code, want := range map[int]bool{0: false, 200: false, 204: true, 304: true, 404: false} {
		if got := NewOpening(grip.Response{Code: code}).Bodiless(); got != want {
			t.Errorf("status %d: bodiless %t, want %t", code, got, want)
		}
	}
	wire := NewOpening(grip.Response{Code: 204, Body: []byte("x")}).Wire(0)
	if !bytes.HasSuffix(wire, []byte("\r\n\r\n")) || bytes.Contains(wire, []byte("chunked")) {
		t.Errorf("a 204 begins with %q, want a head alone, without framing", wire)
	}
}
