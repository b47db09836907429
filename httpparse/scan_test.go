package httpparse

import (
	"bytes"
	"testing"
	"unsafe"
)

// refusal is a case that a table of refused requests holds.
type refusal struct {
	name string
	in   string
	want *Error
}

// malformed are the heads that Scan refuses: rules about bytes and lines.
var malformed = []refusal{
	{"rule 1, RFC 9112 §2.2: third empty line", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", errMethod},
	{"rule 1, RFC 9112 §2.2: empty line of a bare LF", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", errBareLF},
	{"rule 1, RFC 9112 §2.2: empty line of a bare CR", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", errBareCR},

	{"rule 2, RFC 9112 §2.2: request line ends with LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", errBareLF},
	{"rule 2, RFC 9112 §2.2: request line ends with CR", "GET / HTTP/1.1\rHost: a\r\n\r\n", errBareCR},
	{"rule 2, RFC 9112 §2.2: field line ends with LF", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", errBareLF},
	{"rule 2, RFC 9112 §2.2: field line ends with CR", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", errBareCR},
	{"rule 2, RFC 9112 §2.2: field line ends with CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", errBareCR},
	{"rule 2, RFC 9112 §2.2: empty value ends with LF", "GET / HTTP/1.1\r\nA:\nHost: a\r\n\r\n", errBareLF},
	{"rule 2, RFC 9112 §2.2: head ends with LF", "GET / HTTP/1.1\r\nHost: a\r\n\n", errBareLF},
	{"rule 2, RFC 9112 §2.2: head ends with CR and more", "GET / HTTP/1.1\r\nHost: a\r\n\rX", errBareCR},
	{"rule 2, RFC 9110 §5.5: NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", errControl},
	{"rule 2, RFC 9110 §5.5: control character in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", errControl},
	{"rule 2, RFC 9110 §5.5: DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", errControl},
	{"rule 2: NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", errRequestLine},
	{"rule 2: a TLS client", "\x16\x03\x01\x02\x00\x01\x00", errMethod},

	{"rule 3, RFC 9112 §3: empty method", " / HTTP/1.1\r\nHost: a\r\n\r\n", errMethod},
	{"rule 3, RFC 9112 §3.1: method is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", errMethod},
	{"rule 3, RFC 9112 §3.1: line end in the method", "GE\r\nT / HTTP/1.1\r\nHost: a\r\n\r\n", errRequestLine},
	{"rule 3, RFC 9112 §3.1: LF in the method", "GE\nT / HTTP/1.1\r\nHost: a\r\n\r\n", errBareLF},
	{"rule 3, RFC 9112 §3: HTAB behind the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", errRequestLine},
	{"rule 3, RFC 9112 §3: two spaces behind the method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", errRequestLine},
	{"rule 3, RFC 9112 §3: HTAB behind the target", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", errRequestLine},
	{"rule 3, RFC 9112 §3: two spaces behind the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", errRequestLine},
	{"rule 3, RFC 9112 §3: space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", errRequestLine},
	{"rule 3, RFC 9112 §3: space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", errVersionText},
	{"rule 3, RFC 9112 §3.2: line end in the target", "GET /\r\nHost: x HTTP/1.1\r\n\r\n", errRequestLine},
	{"rule 3, RFC 9112 §3.2: LF in the target", "GET /\nHost: x HTTP/1.1\r\n\r\n", errBareLF},
	{"rule 3, RFC 9112 §3.2: byte above ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", errRequestLine},
	{"rule 3, RFC 1945 §4.1: HTTP/0.9", "GET /\r\n", errRequestLine},
	{"rule 3, RFC 9112 §2.3: version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", errVersionText},
	{"rule 3, RFC 9112 §2.3: other protocol", "FOO bar baz\r\nHost: a\r\n\r\n", errVersionText},
	{"rule 3, RFC 9112 §2.3: two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", errVersionText},
	{"rule 3, RFC 9112 §2.3: no minor version", "GET / HTTP/2\r\nHost: a\r\n\r\n", errRequestLine},
	{"rule 3, RFC 9112 §2.3: LF in the version", "GET / HTTP/1.\n\nHost: a\r\n\r\n", errBareLF},
	{"rule 3, RFC 9110 §15.6.6: HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", errVersion},
	{"rule 3, RFC 9110 §15.6.6: HTTP/0.9 spelled out", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", errVersion},
	{"rule 3, RFC 9113 §3.4: HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", errVersion},

	{"rule 4, RFC 9112 §5.1: space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", errName},
	{"rule 4, RFC 9112 §5.1: HTAB before the colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\nhello", errName},
	{"rule 4, RFC 9112 §5: empty name", "GET / HTTP/1.1\r\nHost: a\r\n: v\r\n\r\n", errName},
	{"rule 4, RFC 9112 §5: no colon", "GET / HTTP/1.1\r\nHost: a\r\nFoo\r\nBar: b\r\n\r\n", errName},
	{"rule 4, RFC 9112 §5: no colon in the last line", "GET / HTTP/1.1\r\nHost: a\r\nFoo\r\n\r\n", errName},
	{"rule 4, RFC 9110 §5.1: parenthesis in a name", "GET / HTTP/1.1\r\nHost: a\r\nF(o: b\r\n\r\n", errName},
	{"rule 4, RFC 9110 §5.1: NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nF\x00o: b\r\n\r\n", errName},
	{"rule 4, RFC 9110 §5.1: byte above ASCII in a name", "GET / HTTP/1.1\r\nHost: a\r\nF\xffo: b\r\n\r\n", errName},
	{"rule 4, RFC 9112 §2.2: white space behind the request line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", errFold},
	{"rule 4, RFC 9112 §5.2: line folded with a space", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", errFold},
	{"rule 4, RFC 9112 §5.2: line folded with HTAB", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", errFold},
}

func TestScanRefuses(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range malformed {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, p, tt.in, tt.want) })
	}
}

func TestScanAccepts(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range []struct{ name, in, want string }{
		{"rule 1, RFC 9112 §2.2: empty line",
			"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET / HTTP/1.1 host=a persistent [Host: a]\n"},
		{"rule 1, RFC 9112 §2.2: two empty lines, also between requests",
			"\r\n\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET /1 HTTP/1.1 host=a persistent [Host: a]\nGET /2 HTTP/1.1 host=a persistent [Host: a]\n"},
		{"rule 1: head not complete", "GET / HTTP/1.1\r\nHost: a\r\n\r", "need more\n"},
		{"rule 1: only an empty line", "\r\n", "need more\n"},
		{"rule 2, RFC 9110 §5.5: HTAB and obs-text in a value",
			"GET / HTTP/1.1\r\nHost: a\r\nX: b\tc \xff\r\n\r\n",
			"GET / HTTP/1.1 host=a persistent [Host: a] [X: b\tc \xff]\n"},
		{"rule 3, RFC 9112 §3.1: any token is a method, in its own case",
			"m-SEARCH!#$%&'*+.^_`|~09 / HTTP/1.1\r\nHost: a\r\n\r\n",
			"m-SEARCH!#$%&'*+.^_`|~09 / HTTP/1.1 host=a persistent [Host: a]\n"},
		{"rule 3: every visible ASCII character that browsers send",
			"GET /!\"$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~ HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET /!\"$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~ HTTP/1.1 host=a persistent [Host: a]\n"},
		{"rule 3, RFC 9112 §2.3: HTTP/1.0",
			"GET / HTTP/1.0\r\n\r\n",
			"GET / HTTP/1.0 host=\n"},
		{"rule 4, RFC 9110 §5.1: every token character in a name",
			"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n",
			"GET / HTTP/1.1 host=a persistent [Host: a] [!#$%&'*+-.^_`|~09azAZ: b]\n"},
		{"rule 4, RFC 9112 §5.1: white space around a value",
			"GET / HTTP/1.1\r\nHost:a\r\nX: \t b c \t \r\n\r\n",
			"GET / HTTP/1.1 host=a persistent [Host: a] [X: b c]\n"},
		{"rule 4, RFC 9112 §5: empty values",
			"GET / HTTP/1.1\r\nA:\r\nHost: a\r\nB: \r\nC: \t \r\n\r\n",
			"GET / HTTP/1.1 host=a persistent [A: ] [Host: a] [B: ] [C: ]\n"},
		{"rule 4, RFC 9112 §5: colons in a value",
			"GET / HTTP/1.1\r\nHost: a:1\r\nX: ::b:\r\n\r\n",
			"GET / HTTP/1.1 host=a:1 persistent [Host: a:1] [X: ::b:]\n"},
		{"rule 4, RFC 9110 §5.3: equal names stay apart and in order",
			"GET / HTTP/1.1\r\nX: 1\r\nHost: a\r\nx: 2\r\n\r\n",
			"GET / HTTP/1.1 host=a persistent [X: 1] [Host: a] [x: 2]\n"},
		{"rule 4: a request with fewer fields than the one before",
			"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
			"GET / HTTP/1.1 host=a chunked persistent [Host: a] [Transfer-Encoding: chunked]\ncontent \"\"\nGET / HTTP/1.0 host=\n"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantOutcome(t, p, tt.in, tt.want) })
	}
}

// TestScanLooksOnce shows that a slow drip costs no more than one read: bytes
// that a call has judged are not looked at again before the head is complete.
func TestScanLooksOnce(t *testing.T) {
	p := NewParser(Limits{})
	head := []byte("\r\n" + longPoll)
	var scan Scan
	for i := range head[:len(head)-1] {
		in := bytes.Repeat([]byte{0}, i+1)
		in[i] = head[i]
		if i == bytes.Index(head, []byte("\r\nHost")) {
			// The CR behind the version: its digits are looked at again.
			copy(in[i-len("1.1"):], head[i-len("1.1"):i])
		}
		if _, _, err := p.Parse(&scan, in); err != ErrNeedMore {
			t.Fatalf("byte %d, all before it overwritten: got %v, want %v", i, err, ErrNeedMore)
		}
	}
	if _, n, err := p.Parse(&scan, head); err != nil || n != len(head) {
		t.Fatalf("complete head: got %d, %v, want %d", n, err, len(head))
	}
	if scan != (Scan{}) {
		t.Errorf("after a complete head: got %+v, want the zero Scan", scan)
	}
}

func TestScanIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Scan{}); size > 16 {
		t.Errorf("a Scan takes %d bytes of every connection, want at most 16", size)
	}
}
