package httpparse

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

const chunkedHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

var badBodies = []refusal{
	{"rule 7, RFC 9112 §7.1: no size", "\r\n", errChunkSize},
	{"rule 7, RFC 9112 §7.1: extension without a size", ";a\r\n", errChunkSize},
	{"rule 7, RFC 9112 §7.1: space before the size", " 5\r\nhello\r\n", errChunkSize},
	{"rule 7, RFC 9112 §7.1: sign", "+5\r\nhello\r\n", errChunkSize},
	{"rule 7, RFC 9112 §7.1: minus sign", "-5\r\nhello\r\n", errChunkSize},
	{"rule 7, RFC 9112 §7.1: 0x", "0x5\r\nhello\r\n", errChunkLine},
	{"rule 7, RFC 9112 §7.1: not hexadecimal", "g\r\n", errChunkSize},
	{"rule 7, RFC 9112 §7.1: underscore", "1_0\r\n", errChunkLine},
	{"rule 7, RFC 9112 §7.1: 17 digits", "00000000000000005\r\nhello\r\n", errChunkSize},
	{"rule 7, RFC 9112 §7.1: size line ends with LF", "5\nhello\r\n0\r\n\r\n", errBareLF},
	{"rule 7, RFC 9112 §7.1: size line ends with CR", "5\rhello\r\n0\r\n\r\n", errBareCR},
	{"rule 7, RFC 9112 §7.1.1: space behind the size and no extension", "5 \r\nhello\r\n0\r\n\r\n", errChunkLine},
	{"rule 7, RFC 9112 §7.1.1: second number", "5 5\r\nhello\r\n0\r\n\r\n", errChunkLine},
	{"rule 7, RFC 9112 §7.1.1: extension ends with LF", "5;a\nhello\r\n0\r\n\r\n", errBareLF},
	{"rule 7, RFC 9112 §7.1.1: extension ends with CR", "5;a\rhello\r\n0\r\n\r\n", errBareCR},
	{"rule 7, RFC 9112 §7.1.1: LF in a quoted extension", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", errBareLF},
	{"rule 7, RFC 9112 §7.1.1: NUL in an extension", "5;\x00\r\nhello\r\n0\r\n\r\n", errChunkControl},
	{"rule 7, RFC 9112 §7.1: chunk longer than its size", "5\r\nhello!\r\n0\r\n\r\n", errChunkEnd},
	{"rule 7, RFC 9112 §7.1: chunk shorter than its size", "6\r\nhello\r\n0\r\n\r\n", errChunkEnd},
	{"rule 7, RFC 9112 §7.1: chunk ends with LF", "5\r\nhello\n0\r\n\r\n", errChunkEnd},
	{"rule 7, RFC 9112 §7.1: chunk ends with CR", "5\r\nhello\r0\r\n\r\n", errBareCR},
	{"rule 7, RFC 9112 §7.1.2: body ends with LF", "0\r\n\n", errBareLF},
	{"rule 7, RFC 9112 §7.1.2: body ends with CR and more", "0\r\n\rX", errBareCR},
	{"rule 7, RFC 9112 §7.1.2: trailer line folded", "0\r\nA: b\r\n c\r\n\r\n", errFold},
	{"rule 7, RFC 9112 §7.1.2: trailer with a space before the colon", "0\r\nA : b\r\n\r\n", errName},
	{"rule 7, RFC 9112 §7.1.2: trailer without a name", "0\r\n: b\r\n\r\n", errName},
	{"rule 7, RFC 9112 §7.1.2: trailer without a colon", "0\r\nGET / HTTP/1.1\r\n\r\n", errName},
	{"rule 7, RFC 9112 §7.1.2: NUL in a trailer", "0\r\nA: \x00\r\n\r\n", errChunkControl},
	{"rule 7, RFC 9112 §7.1: chunk of one more than the largest length", "8000000000000000\r\nhello", errChunkSize},
	{"rule 7, RFC 9112 §7.1.1: empty extension", "5;\r\nhello\r\n0\r\n\r\n", errChunkLine},
	{"rule 7, RFC 9112 §7.1.1: quoted string that does not end", "5;a=\"\r\nhello\r\n0\r\n\r\n", errChunkControl},
	{"rule 7, RFC 9112 §7.1.1: quoted string whose end is escaped", "5;a=\"b\\\"\r\nhello\r\n0\r\n\r\n", errChunkControl},
	{"rule 7, RFC 9112 §7.1.2: trailer line ends with LF", "0\r\nA: b\n\r\n", errBareLF},
	{"rule 7, RFC 9112 §7.1.2: one of two trailer lines ends with LF", "0\r\nA: b\nC: d\r\n\r\n", errBareLF},
	{"rule 7, RFC 9112 §7.1.2: trailer line ends with CR", "0\r\nA: b\rC: d\r\n\r\n", errBareCR},
}

func TestChunkedRefuses(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range badBodies {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, p, chunkedHead+tt.in, tt.want) })
	}
}

func TestChunked(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range []struct{ name, in, want string }{
		{"rule 7, RFC 9112 §7.1: empty", "0\r\n\r\n", `content ""`},
		{"rule 7, RFC 9112 §7.1: two chunks", "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n", `content "hello, world"`},
		{"rule 7, RFC 9112 §7.1: digits in both cases", "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", `content "01234567890123456789a"`},
		{"rule 7, RFC 9112 §7.1: 16 digits", "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", `content "hello"`},
		{"rule 7, RFC 9112 §7.1: largest chunk", "7FfFfFfFfFfFfFfF\r\nhello", `content "hello" and more`},
		{"rule 7, RFC 9112 §7.1: CRLF inside a chunk", "4\r\n\r\n0\r\r\n0\r\n\r\n", `content "\r\n0\r"`},
		{"rule 7, RFC 9112 §7.1.1: extensions", "5;a;b=c;d=\"e;\\\"\"\r\nhello\r\n0;f\r\n\r\n", `content "hello"`},
		{"rule 7, RFC 9112 §7.1.1: white space around extensions", "5 \t; a = b\r\nhello\r\n0\r\n\r\n", `content "hello"`},
		{"rule 7, RFC 9112 §7.1.2: trailers are dropped", "5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 7\r\nEmpty:\r\n\r\n", `content "hello"`},
		{"rule 7, RFC 9112 §7.1: not complete", "5\r\nhello\r\n0\r\n\r", `content "hello" and more`},
		{"rule 7, RFC 9112 §7.1: next request behind it", "0\r\n\r\nGET", "content \"\"\nneed more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantOutcome(t, p, chunkedHead+tt.in,
				"POST / HTTP/1.1 host=a chunked persistent [Host: a] [Transfer-Encoding: chunked]\n"+tt.want+"\n")
		})
	}
}

func TestChunkExtrasAreBounded(t *testing.T) {
	// Two bytes of each extension count besides its text: ";" and "=".
	extension := strings.Repeat("x", 1022)
	chunk := "1;=" + extension + "\r\n.\r\n"
	trailer := "A:" + extension + "\r\n"
	for _, tt := range []struct {
		name, in string
		want     *Error
	}{
		{"rule 7, RFC 9112 §7.1.1: extensions of the limit", strings.Repeat(chunk, 8) + "0\r\n\r\n", nil},
		{"rule 7, RFC 9112 §7.1.1: extensions over the limit", strings.Repeat(chunk, 8) + "0;\r\n\r\n", errChunkExtras},
		{"rule 7, RFC 9112 §7.1.1: white space over the limit", strings.Repeat(chunk, 8) + "0 ", errChunkExtras},
		{"rule 7, RFC 9112 §7.1.2: trailers of the limit", "0\r\n" + strings.Repeat(trailer, 8) + "\r\n", nil},
		{"rule 7, RFC 9112 §7.1.2: trailers over the limit", "0\r\n" + strings.Repeat(trailer, 8) + "A:\r\n\r\n", errTrailer},
		{"rule 7, RFC 9112 §7.1: both over the limit together", strings.Repeat(chunk, 8) + "0\r\nA:\r\n\r\n", errTrailer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, pieces := range map[string][][]byte{"whole": {[]byte(tt.in)}, "byte by byte": singly(tt.in)} {
				body := Body{state: inSize}
				err := decode(&body, pieces)
				if tt.want == nil && (err != nil || !body.Done()) || tt.want != nil && err != tt.want {
					t.Errorf("%s: got %v, done: %t, want %v", name, err, body.Done(), tt.want)
				}
			}
		})
	}
}

// decode feeds pieces to body until it is done or fails.
func decode(body *Body, pieces [][]byte) error {
	for _, in := range pieces {
		for !body.Done() && len(in) > 0 {
			_, n, err := body.Next(in)
			if err != nil {
				return err
			}
			in = in[n:]
		}
	}
	return nil
}

func TestBodyAliasesInput(t *testing.T) {
	in := []byte("5\r\nhello\r\n0\r\n\r\n")
	body := Body{state: inSize}
	data, n, err := body.Next(in)
	if string(data) != "hello" || n != len("5\r\nhello") || err != nil || &data[0] != &in[3] {
		t.Errorf("Next(%q) = %q, %d, %v, want %q in place, %d", in, data, n, err, "hello", len("5\r\nhello"))
	}
	if data, n, err = body.Next(in[n:]); len(data) != 0 || n != len("\r\n0\r\n\r\n") || err != nil || !body.Done() {
		t.Errorf("then Next = %q, %d, %v, done: %t, want the end", data, n, err, body.Done())
	}
	if data, n, err = body.Next(in); len(data) != 0 || n != 0 || err != nil {
		t.Errorf("after the end Next = %q, %d, %v, want nothing", data, n, err)
	}
}

func TestHasBody(t *testing.T) {
	for _, tt := range []struct {
		name string
		req  Request
		want bool
	}{
		{"neither", Request{ContentLength: -1}, false},
		{"length 0", Request{ContentLength: 0}, false},
		{"length 1", Request{ContentLength: 1}, true},
		{"chunked", Request{ContentLength: -1, Chunked: true}, true},
	} {
		body := tt.req.Body()
		if got := tt.req.HasBody(); got != tt.want || body.Done() == tt.want {
			t.Errorf("%s: HasBody() = %t, Done() = %t, want %t, %t", tt.name, got, body.Done(), tt.want, !tt.want)
		}
	}
}

func TestBodyIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Body{}); size > 16 {
		t.Errorf("a Body takes %d bytes of every connection, want at most 16", size)
	}
}

func TestBodyAllocatesNothing(t *testing.T) {
	for _, in := range []string{"5;a\r\nhello\r\n0\r\nA: b\r\n\r\n", "5\r\nhello!"} {
		pieces := [][]byte{[]byte(in)}
		if n := testing.AllocsPerRun(100, func() {
			body := Body{state: inSize}
			decode(&body, pieces)
		}); n != 0 {
			t.Errorf("%q: %v allocations", in, n)
		}
	}
}

func ExampleBody_Next() {
	body := Body{state: inSize} // as Request.Body returns it
	inbound := []byte("5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\nGET /next")
	for !body.Done() {
		data, n, err := body.Next(inbound)
		if err != nil || n == 0 {
			break
		}
		fmt.Printf("%q\n", data)
		inbound = inbound[n:]
	}
	fmt.Printf("left: %q\n", inbound)
	// Output:
	// "hello"
	// ", world"
	// ""
	// left: "GET /next"
}
