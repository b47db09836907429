package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
)

// responseCases are whole responses; more follows at those that say so. Case
// names carry the section of RFC 9112.
var responseCases = []struct {
	name       string
	in         string
	status     int
	body       string
	persistent bool
	more       int // bytes of in after the response
}{
	{"6.3 Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true, 0},
	{"6.3 Content-Length 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true, 0},
	{"6.3 Content-Length twice, same", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length:\t2 \r\n\r\nhi", 200, "hi", true, 0},
	{"6.3 close-delimited", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", 200, "hello", false, 0},
	{"6.3 204 has no body", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, "", true, 5},
	{"4 no reason phrase, no space", "HTTP/1.1 502\r\nContent-Length: 0\r\n\r\n", 502, "", true, 0},
	{"4 reason phrase of two words", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "", true, 0},
	{"5 empty value", "HTTP/1.1 200 OK\r\nX:\r\nContent-Length: 1\r\n\r\nx", 200, "x", true, 0},
	{"7.1 chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 200, "hello", true, 0},
	{"7.1 hex in both cases, leading zeros", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n00a\r\n0123456789\r\nB\r\n0123456789a\r\n000\r\n\r\n", 200, "01234567890123456789a", true, 0},
	{"7.1.1 chunk extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nhi\r\n0\r\n\r\n", 200, "hi", true, 0},
	{"7.1.2 trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\nC: d\r\n\r\nHTTP", 200, "hi", true, 4},
	{"9.3 Connection: close", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, 0},
	{"9.3 HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, 0},
	{"9.3 HTTP/1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, "x", true, 0},
	{"9.3 close before keep-alive", "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, 0},
	{"9110 15.2 interim responses", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", true, 0},
}

// badResponses must be refused, whatever follows.
var badResponses = []struct{ name, in string }{
	{"2.2 bare LF", "HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\nx"},
	{"4 no HTTP", "SSH-2.0-x\r\n\r\n"},
	{"4 HTTP/2", "HTTP/2 200 OK\r\n\r\n"},
	{"4 HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n"},
	{"4 status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"},
	{"4 status of letters", "HTTP/1.1 2OO OK\r\n\r\n"},
	{"4 status below 100", "HTTP/1.1 099 OK\r\n\r\n"},
	{"5 no colon", "HTTP/1.1 200 OK\r\nContent-Length 1\r\n\r\nx"},
	{"5 no name", "HTTP/1.1 200 OK\r\n: x\r\n\r\nx"},
	{"5.1 space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx"},
	{"5.2 folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\n\r\n"},
	{"7.1.1 bare CR in a chunk extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;\r\r\n00\r\n0\r\n\r\n"},
	{"6.1 unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"},
	{"6.1 chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"6.1 chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"6.3 both lengths", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"},
	{"6.3 lengths differ", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy"},
	{"6.2 length +1", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx"},
	{"6.2 length empty", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nx"},
	{"6.2 length too large", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx"},
	{"7.1 chunk size empty", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"},
	{"7.1 chunk size no hex", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n"},
	{"7.1 chunk too large", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"},
	{"7.1 chunk without CRLF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc"},
	{"7.1 chunk line without CR", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nabc"},
	{"7.1.2 trailer without a colon", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA\r\n\r\n"},
	{"7.8 101", "HTTP/1.1 101 Switching Protocols\r\n\r\n"},
	{"head too large", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", maxHead) + "\r\n\r\n"},
	{"chunk line too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("a", maxLine) + "\r\n"},
	{"trailers too large", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("a: "+strings.Repeat("b", 1000)+"\r\n", 20) + "\r\n"},
	{"body too large, close-delimited", "HTTP/1.0 200 OK\r\n\r\n" + strings.Repeat("a", maxBody+1)},
}

// feed gives in to a parser as a socket would, in pieces that end at cuts.
func feed(in string, cuts func(yield func(int) bool)) (response, error) {
	var p responseParser
	for n := range cuts {
		r, err := p.parse([]byte(in[:n]), false)
		if err != errPartial {
			r.body = bytes.Clone(r.body)
			return r, err
		}
	}
	r, err := p.parse([]byte(in), true)
	r.body = bytes.Clone(r.body)
	return r, err
}

// splits calls f with the response as parsed whole, byte by byte, and cut in
// two at each offset.
func splits(in string, f func(split string, r response, err error)) {
	r, err := feed(in, func(yield func(int) bool) { yield(len(in)) })
	f("whole", r, err)
	r, err = feed(in, func(yield func(int) bool) {
		for n := 0; n <= len(in) && yield(n); n++ {
		}
	})
	f("byte by byte", r, err)
	for n := range in {
		r, err = feed(in, func(yield func(int) bool) { _ = yield(n) && yield(len(in)) })
		f(fmt.Sprintf("cut at %d", n), r, err)
	}
}

func TestParseResponse(t *testing.T) {
	for _, tt := range responseCases {
		t.Run(tt.name, func(t *testing.T) {
			splits(tt.in, func(split string, r response, err error) {
				if err != nil || r.status != tt.status || string(r.body) != tt.body || r.persistent != tt.persistent {
					t.Errorf("%s, %s: got %d %q persistent=%v, %v\nwant %d %q persistent=%v", tt.in, split,
						r.status, r.body, r.persistent, err, tt.status, tt.body, tt.persistent)
				}
				if split == "whole" && len(tt.in)-r.size != tt.more {
					t.Errorf("%s: took %d of %d bytes, want %d left", tt.in, r.size, len(tt.in), tt.more)
				}
			})
		})
	}
}

func TestParseResponseBad(t *testing.T) {
	for _, tt := range badResponses {
		t.Run(tt.name, func(t *testing.T) {
			whole, err := feed(tt.in, func(yield func(int) bool) { yield(len(tt.in)) })
			if err == nil || err == errPartial {
				t.Fatalf("%.200q: got %d %q, %v, want an error", tt.in, whole.status, whole.body, err)
			}
			if len(tt.in) > 1000 {
				return // the limits; every cut of them would take long
			}
			splits(tt.in, func(split string, _ response, got error) {
				if got == nil || got.Error() != err.Error() {
					t.Errorf("%q, %s: got %v, want %v", tt.in, split, got, err)
				}
			})
		})
	}
}

// TestParseResponseCut cuts every good response short: none may pass for whole.
func TestParseResponseCut(t *testing.T) {
	for _, tt := range responseCases {
		if strings.Contains(tt.name, "close-delimited") {
			continue // cannot be told from a whole one
		}
		t.Run(tt.name, func(t *testing.T) {
			for n := range len(tt.in) - tt.more {
				var p responseParser
				if r, err := p.parse([]byte(tt.in[:n]), true); err != errPartial {
					t.Errorf("%q: got %d %q, %v, want errPartial", tt.in[:n], r.status, r.body, err)
				}
			}
		})
	}
}

// FuzzParseResponse checks that nothing makes the parser panic, that it does
// not matter how input is cut, and that what it accepts net/http accepts and
// understands alike.
func FuzzParseResponse(f *testing.F) {
	for _, tt := range responseCases {
		f.Add(tt.in, 20)
	}
	for _, tt := range badResponses {
		if len(tt.in) < 1000 { // the mutator gets stuck with large ones
			f.Add(tt.in, 20)
		}
	}
	f.Fuzz(func(t *testing.T, in string, cut int) {
		whole, err := feed(in, func(yield func(int) bool) { yield(len(in)) })
		cut = min(max(cut, 0), len(in))
		split, splitErr := feed(in, func(yield func(int) bool) { _ = yield(cut) && yield(len(in)) })
		if fmt.Sprint(err) != fmt.Sprint(splitErr) || whole.status != split.status || !bytes.Equal(whole.body, split.body) {
			t.Fatalf("%q cut at %d: got %+v, %v, whole %+v, %v", in, cut, split, splitErr, whole, err)
		}
		if err != nil {
			return
		}
		r := bufio.NewReader(strings.NewReader(in))
		std, err := http.ReadResponse(r, nil)
		for err == nil && std.StatusCode < 200 {
			std, err = http.ReadResponse(r, nil)
		}
		var body []byte
		if err == nil {
			body, err = io.ReadAll(std.Body)
		}
		if errors.As(err, new(textproto.ProtocolError)) {
			return // a field name or value with odd bytes, which do not matter here
		}
		if err != nil || std.StatusCode != whole.status || !bytes.Equal(body, whole.body) {
			t.Fatalf("%q: got %d %q, net/http %+v %q, %v", in, whole.status, whole.body, std, body, err)
		}
	})
}

func TestGunzip(t *testing.T) {
	whole := gzipped("hello")
	for _, tt := range []struct{ name, in, want, err string }{
		{"whole", whole, "hello", ""},
		{"two members", whole + gzipped(" there"), "hello there", ""},
		{"largest", gzipped(strings.Repeat("x", maxBody)), strings.Repeat("x", maxBody), ""},
		{"larger", gzipped(strings.Repeat("x", maxBody+1)), "", "body of more than"},
		{"cut", whole[:len(whole)-3], "", "decode the body: unexpected EOF"},
		{"spoilt", whole[:len(whole)-8] + "01234567", "", "decode the body: gzip: invalid checksum"},
		{"plain", "hello, hello, hello", "", "decode the body: gzip: invalid header"},
		{"empty", "", "", "decode the body: EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := gunzip([]byte(tt.in))
			if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %.80q, %v, want %.80q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

// gzipped returns text coded with gzip.
func gzipped(text string) string {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.String()
}

// TestParseResponseFields checks what a response says of its body.
func TestParseResponseFields(t *testing.T) {
	const modified = "Fri, 27 Nov 2026 11:45:30 GMT"
	for _, tt := range []struct {
		name, fields, etag, modified string
		gzip                         bool
	}{
		{"none", "", "", "", false},
		{"nchan's", "Last-Modified: " + modified + "\r\nEtag: 0\r\n", "0", modified, false},
		{"other case", "last-modified:" + modified + "\r\nETAG:\t\"a\" \r\n", `"a"`, modified, false},
		{"gzip", "content-encoding: GZIP\r\n", "", "", true},
		{"another coding", "Content-Encoding: br\r\n", "", "", false},
		{"names as long", "Date: x\r\nX-Modifiedfor: y\r\nX-Content-Encod: gzip\r\n", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			splits("HTTP/1.1 200 OK\r\n"+tt.fields+"Content-Length: 1\r\n\r\nx", func(split string, r response, err error) {
				if err != nil || string(r.etag) != tt.etag || string(r.modified) != tt.modified || r.gzip != tt.gzip {
					t.Errorf("%s: got %q, %q, gzip %v, %v, want %q, %q, %v", split, r.etag, r.modified, r.gzip, err, tt.etag, tt.modified, tt.gzip)
				}
			})
		})
	}
}

// TestParseResponseSize checks that the size of a response that is not whole is
// told as soon as it is known.
func TestParseResponseSize(t *testing.T) {
	const in = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	for n := range len(in) {
		want := 0
		if n >= len(in)-5 {
			want = len(in)
		}
		var p responseParser
		if r, err := p.parse([]byte(in[:n]), false); err != errPartial || r.size != want {
			t.Errorf("%q: size %d, %v, want %d, errPartial", in[:n], r.size, err, want)
		}
	}
}
