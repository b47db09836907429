package httpparse

import "testing"

// smuggled are heads that leave in doubt where the body ends.
var smuggled = []refusal{
	{"rule 6, RFC 9110 §8.6: empty Content-Length", post("Content-Length:"), errLength},
	{"rule 6, RFC 9110 §8.6: plus sign", post("Content-Length: +5"), errLength},
	{"rule 6, RFC 9110 §8.6: minus sign", post("Content-Length: -5"), errLength},
	{"rule 6, RFC 9110 §8.6: hexadecimal", post("Content-Length: 0x5"), errLength},
	{"rule 6, RFC 9110 §8.6: fraction", post("Content-Length: 5.0"), errLength},
	{"rule 6, RFC 9110 §8.6: underscore", post("Content-Length: 1_0"), errLength},
	{"rule 6, RFC 9110 §8.6: space between digits", post("Content-Length: 5 5"), errLength},
	{"rule 6, RFC 9110 §8.6: list of equal numbers", post("Content-Length: 5, 5"), errLength},
	{"rule 6, RFC 9110 §8.6: one more than fits", post("Content-Length: 9223372036854775808"), errLength},
	{"rule 6, RFC 9110 §8.6: overflow to 5", post("Content-Length: 18446744073709551621"), errLength},
	{"rule 6, RFC 9112 §6.3: two different lengths", post("Content-Length: 5\r\nContent-Length: 6"), errManyLengths},
	{"rule 6, RFC 9112 §6.3: two equal lengths", post("Content-Length: 5\r\ncontent-length: 5"), errManyLengths},
	{"rule 6, RFC 9112 §6.1: length, then coding", post("Content-Length: 5\r\nTransfer-Encoding: chunked"), errLengthCoding},
	{"rule 6, RFC 9112 §6.1: coding, then length", post("Transfer-Encoding: chunked\r\nContent-Length: 0"), errLengthCoding},
	{"rule 6, RFC 9112 §6.1: coding on HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", errCodingVersion},
	{"rule 6, RFC 9112 §6.1: no coding at all on HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding:\r\n\r\n", errCodingVersion},
	{"rule 6, RFC 9112 §6.1: unknown coding", post("Transfer-Encoding: xchunked"), errCoding},
	{"rule 6, RFC 9112 §6.1: known coding that is not implemented", post("Transfer-Encoding: gzip, chunked"), errCoding},
	{"rule 6, RFC 9112 §6.1: the same on two lines", post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"), errCoding},
	{"rule 6, RFC 9112 §6.1: coding with parameters", post("Transfer-Encoding: a;b=c, chunked"), errCoding},
	{"rule 6, RFC 9112 §6.1: identity", post("Transfer-Encoding: identity"), errCoding},
	{"rule 6, RFC 9112 §6.3: chunked is not last", post("Transfer-Encoding: chunked, gzip"), errChunkedLast},
	{"rule 6, RFC 9112 §6.1: chunked twice", post("Transfer-Encoding: chunked, chunked"), errChunkedLast},
	{"rule 6, RFC 9112 §6.1: chunked on two lines", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), errChunkedLast},
	{"rule 6, RFC 9112 §7.1: chunked with parameters", post("Transfer-Encoding: chunked;a=b"), errCodingList},
	{"rule 6, RFC 9112 §7: no coding", post("Transfer-Encoding:"), errCodingList},
	{"rule 6, RFC 9112 §7: only commas", post("Transfer-Encoding: , ,"), errCodingList},
	{"rule 6, RFC 9112 §7: comma in front", post("Transfer-Encoding: , chunked"), errCodingList},
	{"rule 6, RFC 9112 §7: comma behind", post("Transfer-Encoding: chunked,"), errCodingList},
	{"rule 6, RFC 9112 §7: empty second line", post("Transfer-Encoding: chunked\r\nTransfer-Encoding:"), errCodingList},
	{"rule 6, RFC 9112 §7: coding is no token", post("Transfer-Encoding: \"chunked\""), errCodingList},
	{"rule 6, RFC 9112 §7: space inside the coding", post("Transfer-Encoding: chun ked"), errCodingList},
	{"rule 6, RFC 9112 §7: parameter without a coding", post("Transfer-Encoding: ;chunked"), errCodingList},
	{"rule 6, RFC 9112 §7: Kelvin sign for the k", post("Transfer-Encoding: chun\u212Aed"), errCodingList},
}

// post returns the head of a POST with the given field lines.
func post(lines string) string { return "POST / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n\r\n" }

func TestFramingRefuses(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range smuggled {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, p, tt.in, tt.want) })
	}
}

func TestFraming(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range []struct{ name, lines, body, want string }{
		{"rule 6, RFC 9112 §6.3: length", "Content-Length: 5", "hello", "length=5 persistent [Host: a] [Content-Length: 5]\ncontent \"hello\"\n"},
		{"rule 6, RFC 9112 §6.3: length 0", "Content-Length: 0", "", "length=0 persistent [Host: a] [Content-Length: 0]\n"},
		{"rule 6, RFC 9110 §8.6: leading zeros", "Content-Length: 00000000000000000000005", "hello", "length=5 persistent [Host: a] [Content-Length: 00000000000000000000005]\ncontent \"hello\"\n"},
		{"rule 6, RFC 9110 §8.6: white space around the number", "content-length: \t5\t ", "hello", "length=5 persistent [Host: a] [content-length: 5]\ncontent \"hello\"\n"},
		{"rule 6, RFC 9110 §8.6: largest", "Content-Length: 9223372036854775807", "hello", "length=9223372036854775807 persistent [Host: a] [Content-Length: 9223372036854775807]\ncontent \"hello\" and more\n"},
		{"rule 6, RFC 9112 §7: chunked in any case", "Transfer-Encoding: cHuNkEd", "0\r\n\r\n", "chunked persistent [Host: a] [Transfer-Encoding: cHuNkEd]\ncontent \"\"\n"},
		{"rule 6, RFC 9112 §6.3: neither", "X: y", "", "persistent [Host: a] [X: y]\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantOutcome(t, p, post(tt.lines)+tt.body, "POST / HTTP/1.1 host=a "+tt.want)
		})
	}
}
