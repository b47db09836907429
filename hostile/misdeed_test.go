package hostile

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"slices"
	"strings"
)

// good is a whole answer with these fields and this content.
func good(content string, fields ...string) string {
	return answer("HTTP/1.1 200 OK", content, append(slices.Clone(fields), fmt.Sprintf("Content-Length: %d", len(content)))...)
}

// answer is a response with this status line, these fields and this content.
func answer(line, content string, fields ...string) string {
	return strings.Join(append([]string{line}, fields...), "\r\n") + "\r\n\r\n" + content
}

// poisoned is an answer that nobody must get.
var poisoned = good(poison)

// forever writes the same again and again, until nobody reads it.
func forever(text string) func(net.Conn) {
	return func(nc net.Conn) {
		text := []byte(strings.Repeat(text, 1+64<<10/len(text)))
		for {
			if _, err := nc.Write(text); err != nil {
				return
			}
		}
	}
}

// statusLineMisdeeds are about what comes first: RFC 9112 §4.
var statusLineMisdeeds = []misdeed{
	{name: "4 an answer, as it should be", answer: good("hello"), status: 200, gets: "hello"},
	{name: "4 garbage before the status line", answer: "garbage\r\n" + poisoned},
	{name: "4 an empty line before the status line", answer: "\r\n" + poisoned},
	{name: "4 a space before the status line", answer: " " + poisoned},
	{name: "4 NUL before the status line", answer: "\x00" + poisoned},
	{name: "4 no version", answer: answer("200 OK", poison, "Content-Length: 6")},
	{name: "4 no status", answer: answer("HTTP/1.1", poison, "Content-Length: 6")},
	{name: "4 no reason and no space", answer: answer("HTTP/1.1 200", "hello", "Content-Length: 5"), status: 200, gets: "hello"},
	{name: "4 two spaces before the status", answer: answer("HTTP/1.1  200 OK", poison, "Content-Length: 6")},
	{name: "4 tab before the status", answer: answer("HTTP/1.1\t200 OK", poison, "Content-Length: 6")},
	{name: "4 a status of four digits", answer: answer("HTTP/1.1 2000 OK", poison, "Content-Length: 6")},
	{name: "4 a status of two digits", answer: answer("HTTP/1.1 20 OK", poison, "Content-Length: 6")},
	{name: "4 a status with a sign", answer: answer("HTTP/1.1 +20 OK", poison, "Content-Length: 6")},
	{name: "4 a negative status", answer: answer("HTTP/1.1 -20 OK", poison, "Content-Length: 6")},
	{name: "4 a status of letters", answer: answer("HTTP/1.1 OK? OK", poison, "Content-Length: 6")},
	{name: "4 status 000", answer: answer("HTTP/1.1 000 OK", poison, "Content-Length: 6")},
	{name: "4 status 099", answer: answer("HTTP/1.1 099 OK", poison, "Content-Length: 6")},
	{name: "4 status 999", answer: answer("HTTP/1.1 999 Odd", "hello", "Content-Length: 5"), status: 999, gets: "hello"},
	{name: "2.3 HTTP/2.0", answer: answer("HTTP/2.0 200 OK", poison, "Content-Length: 6")},
	{name: "2.3 HTTP/9.9", answer: answer("HTTP/9.9 200 OK", poison, "Content-Length: 6")},
	{name: "2.3 HTTP/0.9", answer: answer("HTTP/0.9 200 OK", poison, "Content-Length: 6")},
	{name: "2.3 http in lower case", answer: answer("http/1.1 200 OK", poison, "Content-Length: 6")},
	{name: "2.3 ICY", answer: answer("ICY 200 OK", poison, "Content-Length: 6")},
	{name: "2.3 no head at all", answer: poison, ending: closes},
	{name: "2.3 HTTP/1.0, until the connection closes", answer: answer("HTTP/1.0 200 OK", "hello"), ending: closes, status: 200, gets: "hello"},
	{name: "4 a reason with control bytes", answer: answer("HTTP/1.1 200 O\x00K", "hello", "Content-Length: 5"), status: 200, gets: "hello"},
	{name: "4 a reason with a CR and a field", answer: answer("HTTP/1.1 200 OK\rSet-Cookie: "+poison, "hello", "Content-Length: 5")},
	{name: "4 a reason without an end", answer: "HTTP/1.1 200 ", then: forever("a"), ending: closes},
	{name: "4 one letter for ever", then: forever("a"), ending: closes},
	{name: "4 spaces for ever", answer: "HTTP/1.1 ", then: forever(" "), ending: closes},
	{name: "4 nothing, and closes", ending: closes},
	{name: "4 nothing, and resets", ending: resets},
	{name: "4 nothing, and hangs", ending: hangs},
	{name: "4 half a status line, and closes", answer: "HTTP/1.1 2", ending: closes},
	{name: "4 half a status line, and hangs", answer: "HTTP/1.1 2", ending: hangs},
	{name: "4 a status line alone, and closes", answer: "HTTP/1.1 200 OK\r\n", ending: closes},
}

// fieldMisdeeds are about fields: RFC 9112 §5.
var fieldMisdeeds = []misdeed{
	{name: "5 a head without an end, and closes", answer: "HTTP/1.1 200 OK\r\nX: y\r\n", ending: closes},
	{name: "5 a head without an end, and resets", answer: "HTTP/1.1 200 OK\r\nX: y\r\n", ending: resets},
	{name: "5 a head without an end, and hangs", answer: "HTTP/1.1 200 OK\r\nX: y\r\n", ending: hangs},
	{name: "5 half an empty line, and closes", answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r", ending: closes},
	{name: "5 fields for ever", answer: "HTTP/1.1 200 OK\r\n", then: forever("X: y\r\n"), ending: closes},
	{name: "5 a value without an end", answer: "HTTP/1.1 200 OK\r\nX: ", then: forever("y"), ending: closes},
	{name: "5 a name without an end", answer: "HTTP/1.1 200 OK\r\n", then: forever("X"), ending: closes},
	{name: "5 folds for ever", answer: "HTTP/1.1 200 OK\r\nX: y\r\n", then: forever(" z\r\n"), ending: closes},
	{name: "5 200 fields", answer: good("hello", slices.Repeat([]string{"X: y"}, 200)...), status: 200, gets: "hello"},
	{name: "5 fields of 100,000 bytes", answer: good(poison, slices.Repeat([]string{"X: " + strings.Repeat("y", 1000)}, 100)...)},
	{name: "5.1 space in a name", answer: good(poison, "X Y: z")},
	{name: "5.1 space before the colon", answer: good(poison, "X : y")},
	{name: "5.1 space before the colon of Content-Length", answer: answer("HTTP/1.1 200 OK", poison+poisoned, "Content-Length : 6"), ending: closes},
	{name: "5.1 tab before the colon", answer: good(poison, "X\t: y")},
	{name: "5.1 NUL in a name", answer: good(poison, "X\x00: y")},
	{name: "5.1 byte 0xff in a name", answer: good(poison, "X\xff: y")},
	{name: "5.1 brackets in a name", answer: good(poison, "X(y): z")},
	{name: "5.1 no name", answer: good(poison, ": y")},
	{name: "5.1 no colon", answer: good(poison, "X")},
	{name: "5.1 a second status line for a field", answer: "HTTP/1.1 200 OK\r\n" + poisoned},
	{name: "5.1 NUL in a value", answer: good(poison, "X: a\x00b")},
	{name: "5.1 DEL in a value", answer: good(poison, "X: a\x7fb")},
	{name: "5.1 a CR and a field in a value", answer: good("hello", "X: a\rSet-Cookie: "+poison)},
	{name: "5.1 bytes above 0x7f in a value", answer: good("hello", "X: \xff\xfe"), status: 200, gets: "hello"},
	{name: "5.1 a space before the first field", answer: "HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 6\r\n\r\n" + poison},
	{name: "5.2 a fold", answer: good("hello", "X: a\r\n b"), status: 200, gets: "hello"},
	{name: "5.2 a fold within Content-Length", answer: answer("HTTP/1.1 200 OK", poison, "Content-Length:\r\n 6")},
	{name: "5.2 a fold within Transfer-Encoding", answer: answer("HTTP/1.1 200 OK", "6\r\n"+poison+"\r\n0\r\n\r\n", "Transfer-Encoding:\r\n chunked")},
	{name: "2.2 LF for every line end", answer: strings.ReplaceAll(good("hello", "X: y"), "\r\n", "\n"), status: 200, gets: "hello"},
	{name: "2.2 CR for every line end", answer: strings.ReplaceAll(poisoned, "\r\n", "\r"), ending: closes},
	{name: "9110 7.6.1 Connection hides a field", answer: good("hello", "Connection: X-Secret", "X-Secret: "+poison), status: 200, gets: "hello"},
	{name: "9110 7.6.1 fields of the connection", answer: good("hello", "Keep-Alive: "+poison, "Proxy-Connection: "+poison, "Upgrade: "+poison, "Trailer: "+poison), status: 200, gets: "hello"},
}

// lengthMisdeeds are about Content-Length: RFC 9112 §6.
var lengthMisdeeds = []misdeed{
	{name: "6.3 content longer than its length", answer: answer("HTTP/1.1 200 OK", "hello"+poison, "Content-Length: 5"), status: 200, gets: "hello"},
	{name: "6.3 content shorter than its length, and closes", answer: answer("HTTP/1.1 200 OK", "hello", "Content-Length: 10"), ending: closes},
	{name: "6.3 content shorter than its length, and resets", answer: answer("HTTP/1.1 200 OK", "hello", "Content-Length: 10"), ending: resets},
	{name: "6.3 content shorter than its length, and hangs", answer: answer("HTTP/1.1 200 OK", "hello", "Content-Length: 10"), ending: hangs},
	{name: "6.3 no content, though there is a length", answer: answer("HTTP/1.1 200 OK", "", "Content-Length: 10"), ending: closes},
	{name: "6.3 long content, and closes in the middle", answer: answer("HTTP/1.1 200 OK", strings.Repeat("a", 200_000), "Content-Length: 400000"), ending: closes},
	{name: "6.3 long content, and resets in the middle", answer: answer("HTTP/1.1 200 OK", strings.Repeat("a", 200_000), "Content-Length: 400000"), ending: resets},
	{name: "6.3 long content, and hangs in the middle", answer: answer("HTTP/1.1 200 OK", strings.Repeat("a", 200_000), "Content-Length: 400000"), ending: hangs},
	{name: "6.3 long content, whole", answer: good(strings.Repeat("a", 400_000)), status: 200, gets: strings.Repeat("a", 400_000)},
	{name: "6.3 content until the connection closes", answer: answer("HTTP/1.1 200 OK", "hello"), ending: closes, status: 200, gets: "hello"},
	{name: "6.3 content until the connection is reset", answer: answer("HTTP/1.1 200 OK", strings.Repeat("a", 200_000)), ending: resets},
	{name: "6.3 the largest length", answer: answer("HTTP/1.1 200 OK", "hello", "Content-Length: 9223372036854775807"), ending: closes},
	{name: "6.3 length: overflows", answer: answer("HTTP/1.1 200 OK", poison, "Content-Length: 18446744073709551622")},
	{name: "6.3 length: negative", answer: answer("HTTP/1.1 200 OK", poison, "Content-Length: -6")},
	{name: "6.3 length: plus", answer: answer("HTTP/1.1 200 OK", poison, "Content-Length: +6")},
	{name: "6.3 length: hexadecimal", answer: answer("HTTP/1.1 200 OK", poison, "Content-Length: 0x6")},
	{name: "6.3 length: fraction", answer: answer("HTTP/1.1 200 OK", poison, "Content-Length: 6.0")},
	{name: "6.3 length: empty", answer: answer("HTTP/1.1 200 OK", poison, "Content-Length:"), ending: closes},
	{name: "6.3 length: list of equal numbers", answer: answer("HTTP/1.1 200 OK", poison, "Content-Length: 6, 6")},
	{name: "6.3 length: list of different numbers", answer: answer("HTTP/1.1 200 OK", poison, "Content-Length: 6, 5")},
	{name: "6.3 lengths: two equal ones", answer: good("hello", "Content-Length: 5"), status: 200, gets: "hello"},
	{name: "6.3 lengths: two different ones", answer: good(poison, "Content-Length: 5")},
	{name: "6.3 a length and chunks", answer: answer("HTTP/1.1 200 OK", "6\r\n"+poison+"\r\n0\r\n\r\n", "Content-Length: 16", "Transfer-Encoding: chunked")},
	{name: "6.3 a length and chunks that hold another answer", answer: answer("HTTP/1.1 200 OK", "5\r\n"+poison+"\r\n0\r\n\r\n"+poisoned, "Transfer-Encoding: chunked", "Content-Length: 5")},
	{name: "6.1 chunks in HTTP/1.0", answer: answer("HTTP/1.0 200 OK", "6\r\n"+poison+"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), ending: closes},
	{name: "6.1 coding: identity", answer: answer("HTTP/1.1 200 OK", poison, "Transfer-Encoding: identity"), ending: closes},
	{name: "6.1 coding: gzip, chunked", answer: answer("HTTP/1.1 200 OK", "6\r\n"+poison+"\r\n0\r\n\r\n", "Transfer-Encoding: gzip, chunked")},
	{name: "6.1 coding: xchunked", answer: answer("HTTP/1.1 200 OK", poison, "Transfer-Encoding: xchunked"), ending: closes},
	{name: "6.1 coding: twice", answer: answer("HTTP/1.1 200 OK", "6\r\n"+poison+"\r\n0\r\n\r\n", "Transfer-Encoding: chunked, chunked")},
	{name: "6.1 coding: on two lines", answer: answer("HTTP/1.1 200 OK", "6\r\n"+poison+"\r\n0\r\n\r\n", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")},
	{name: "6.1 coding: empty", answer: answer("HTTP/1.1 200 OK", poison, "Transfer-Encoding:"), ending: closes},
	{name: "6.1 coding: vertical tab in front", answer: answer("HTTP/1.1 200 OK", poison, "Transfer-Encoding: \vchunked"), ending: closes},
}

// inChunks is an answer whose content is framed by these very bytes.
func inChunks(framed string, fields ...string) string {
	return answer("HTTP/1.1 200 OK", framed, append(slices.Clone(fields), "Transfer-Encoding: chunked")...)
}

// chunkMisdeeds are about the chunked transfer coding: RFC 9112 §7.1.
var chunkMisdeeds = []misdeed{
	{name: "7.1 chunks, as they should be", answer: inChunks("5\r\nhello\r\n0\r\n\r\n"), status: 200, gets: "hello"},
	{name: "7.1 an extension", answer: inChunks("5;a=b\r\nhello\r\n0\r\n\r\n"), status: 200, gets: "hello"},
	{name: "7.1 a trailer field", answer: inChunks("5\r\nhello\r\n0\r\nSet-Cookie: "+poison+"\r\n\r\n", "Trailer: Set-Cookie"), status: 200, gets: "hello"},
	{name: "7.1 a size of letters", answer: inChunks("zz\r\n" + poison + "\r\n0\r\n\r\n")},
	{name: "7.1 a bad size behind a good chunk", answer: inChunks("5\r\nhello\r\nzz\r\n" + poison)},
	{name: "7.1 a negative size", answer: inChunks("-6\r\n" + poison + "\r\n0\r\n\r\n")},
	{name: "7.1 a size with a prefix", answer: inChunks("0x6\r\n" + poison + "\r\n0\r\n\r\n")},
	{name: "7.1 an empty size", answer: inChunks("\r\n" + poison + "\r\n0\r\n\r\n")},
	{name: "7.1 a size that overflows", answer: inChunks("10000000000000006\r\n" + poison + "\r\n0\r\n\r\n")},
	{name: "7.1 the largest size", answer: inChunks("ffffffffffffffff\r\nhello"), ending: closes},
	{name: "7.1 a size line that ends with LF", answer: inChunks("6\n" + poison + "\r\n0\r\n\r\n")},
	{name: "7.1 a size line without an end", answer: inChunks("6"), then: forever("0"), ending: closes},
	{name: "7.1 an extension without an end", answer: inChunks("6;"), then: forever("a"), ending: closes},
	{name: "7.1 a chunk longer than its size", answer: inChunks("4\r\nhello\r\n0\r\n\r\n")},
	{name: "7.1 a chunk shorter than its size, and closes", answer: inChunks("a\r\nhello"), ending: closes},
	{name: "7.1 a chunk shorter than its size, and resets", answer: inChunks("a\r\nhello"), ending: resets},
	{name: "7.1 no last chunk, and closes", answer: inChunks("5\r\nhello\r\n"), ending: closes},
	{name: "7.1 half a last chunk, and closes", answer: inChunks("5\r\nhello\r\n0\r\n"), ending: closes},
	{name: "7.1 no chunk at all, and closes", answer: inChunks(""), ending: closes},
	{name: "7.1 half a size, and closes", answer: inChunks("5"), ending: closes},
	{name: "7.1 a chunk that ends with LF", answer: inChunks("5\r\nhello\n0\r\n\r\n")},
	{name: "7.1 a chunk that does not end", answer: inChunks("5\r\nhello0\r\n\r\n")},
	{name: "7.1.2 a trailer field that is none", answer: inChunks("5\r\nhello\r\n0\r\n" + poison + "\r\n\r\n")},
	{name: "7.1.2 trailer fields for ever", answer: inChunks("5\r\nhello\r\n0\r\n"), then: forever("X: y\r\n"), ending: closes},
	{name: "7.1.2 trailer fields, and closes", answer: inChunks("5\r\nhello\r\n0\r\nX: y\r\n"), ending: closes},
}

// surplusMisdeeds send more than has been asked for, which the next one must
// not be given: RFC 9112 §9.2.
var surplusMisdeeds = []misdeed{
	{name: "9.2 two answers at once", answer: good("hello") + poisoned, status: 200, gets: "hello"},
	{name: "9.2 a hundred answers at once", answer: good("hello") + strings.Repeat(poisoned, 100), status: 200, gets: "hello"},
	{name: "9.2 a second answer behind chunks", answer: inChunks("5\r\nhello\r\n0\r\n\r\n") + poisoned, status: 200, gets: "hello"},
	{name: "9.2 a second answer behind no content", answer: good("") + poisoned, status: 200},
	{name: "9.2 a second answer, and closes", answer: good("hello") + poisoned, ending: closes, status: 200, gets: "hello"},
	{name: "9.2 half a second answer", answer: good("hello") + "HTTP/1.1 200 OK\r\nX: " + poison, status: 200, gets: "hello"},
	{name: "9.2 a line end behind an answer", answer: good("hello") + "\r\n", status: 200, gets: "hello"},
	{name: "9.2 a second answer behind an instruct", answer: good("hello", "Grip-Channel: x") + poisoned, status: 200, gets: "hello"},
	{name: "6.3 204 with content", answer: answer("HTTP/1.1 204 No Content", poisoned), status: 204},
	{name: "6.3 204 with a length", answer: answer("HTTP/1.1 204 No Content", poison, "Content-Length: 6"), status: 204},
	{name: "6.3 204 with chunks", answer: answer("HTTP/1.1 204 No Content", "6\r\n"+poison+"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), status: 204},
	{name: "6.3 304 with content", answer: answer("HTTP/1.1 304 Not Modified", poisoned), status: 304},
	{name: "6.3 304 with a length and content", answer: answer("HTTP/1.1 304 Not Modified", poison, "Content-Length: 6"), status: 304},
	{name: "6.3 304 with a length and without content", answer: answer("HTTP/1.1 304 Not Modified", "", "Content-Length: 6"), status: 304},
	{name: "6.3 HEAD with content", method: "HEAD", answer: good(poison), status: 200},
	{name: "6.3 HEAD with chunks", method: "HEAD", answer: inChunks("6\r\n" + poison + "\r\n0\r\n\r\n"), status: 200},
	{name: "6.3 HEAD with another answer for content", method: "HEAD", answer: good("") + poisoned, status: 200},
	{name: "6.3 HEAD without content", method: "HEAD", answer: answer("HTTP/1.1 200 OK", "", "Content-Length: 6"), status: 200},
	{name: "6.3 an answer before the request has come to its end, and closes", method: "POST", content: strings.Repeat("a", 90_000), answer: good("hello"), ending: closes, status: 200, gets: "hello"},
}

// interimMisdeeds are about 1xx: RFC 9110 §15.2.
var interimMisdeeds = []misdeed{
	{name: "15.2 100 without being asked", answer: "HTTP/1.1 100 Continue\r\n\r\n" + good("hello"), status: 200, gets: "hello"},
	{name: "15.2 103 with fields", answer: answer("HTTP/1.1 103 Early Hints", "", "Link: </"+poison+">") + good("hello"), status: 200, gets: "hello"},
	{name: "15.2 199", answer: "HTTP/1.1 199 Odd\r\n\r\n" + good("hello"), status: 200, gets: "hello"},
	{name: "15.2 three of them", answer: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 3) + good("hello"), status: 200, gets: "hello"},
	{name: "15.2 10,000 of them", answer: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 10_000) + poisoned, ending: closes},
	{name: "15.2 of them without end", then: forever("HTTP/1.1 100 Continue\r\n\r\n"), ending: closes},
	{name: "15.2 100 alone, and closes", answer: "HTTP/1.1 100 Continue\r\n\r\n", ending: closes},
	{name: "15.2 100 alone, and hangs", answer: "HTTP/1.1 100 Continue\r\n\r\n", ending: hangs},
	{name: "15.2 100 with content", answer: answer("HTTP/1.1 100 Continue", poison, "Content-Length: 6") + poisoned},
	{name: "15.2 101 without being asked", answer: answer("HTTP/1.1 101 Switching Protocols", poison, "Connection: Upgrade", "Upgrade: x")},
	{name: "15.2 101 and an answer", answer: "HTTP/1.1 101 Switching Protocols\r\n\r\n" + poisoned},
}

// instructMisdeeds are about answers for the edge: GRIP §1.2 and §1.4.
func instructMisdeeds() []misdeed {
	const held = "Grip-Hold: response"
	const channel = "Grip-Channel: x"
	instruct := func(content string, fields ...string) string {
		return good(content, append(slices.Clone(fields), "Content-Type: application/grip-instruct")...)
	}
	bomb := new(bytes.Buffer)
	z := gzip.NewWriter(bomb)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 50<<20))
	_ = z.Close()
	return []misdeed{
		{name: "GRIP 1.4 an instruct that is no JSON", answer: instruct(poison)},
		{name: "GRIP 1.4 an instruct that is empty", answer: instruct("")},
		{name: "GRIP 1.4 an instruct of 1,000,000 bytes", answer: instruct(strings.Repeat(" ", 1_000_000) + "{}")},
		{name: "GRIP 1.4 an instruct of arrays within arrays", answer: instruct(`{"hold": ` + strings.Repeat("[", 90_000))},
		{name: "GRIP 1.4 an instruct of objects within objects", answer: instruct(strings.Repeat(`{"hold":`, 10_000))},
		{name: "GRIP 1.4 an instruct of objects within objects, closed", answer: instruct(strings.Repeat(`{"hold":`, 10_000) + "1" + strings.Repeat("}", 10_000))},
		{name: "GRIP 1.4 an instruct in gzip that is 1,000 times as long", answer: instruct(bomb.String(), "Content-Encoding: gzip")},
		{name: "GRIP 1.4 an instruct without an end", answer: inChunks("", "Content-Type: application/grip-instruct"), then: forever("4\r\n    \r\n"), ending: closes},
		{name: "GRIP 1.4 an instruct that breaks off", answer: answer("HTTP/1.1 200 OK", `{"hold": {"mode": "response"`, "Content-Type: application/grip-instruct", "Content-Length: 200"), ending: closes},
		{name: "GRIP 1.4 a field with a line end", answer: instruct(`{"response": {"headers": {"X": "a\r\nSet-Cookie: ` + poison + `"}, "body": "hello"}}`)},
		{name: "GRIP 1.4 a field name with a line end", answer: instruct(`{"response": {"headers": {"X: a\r\nSet-Cookie": "` + poison + `"}, "body": "hello"}}`)},
		{name: "GRIP 1.4 a field name with a space", answer: instruct(`{"response": {"headers": {"X ": "` + poison + `"}, "body": "hello"}}`)},
		{name: "GRIP 1.4 a field with a NUL", answer: instruct(`{"response": {"headers": {"X": "` + poison + `\u0000"}, "body": "hello"}}`)},
		{name: "GRIP 1.4 a reason with a line end", answer: instruct(`{"response": {"reason": "OK\r\nSet-Cookie: ` + poison + `", "body": "hello"}}`)},
		{name: "GRIP 1.4 a status of 99", answer: instruct(`{"response": {"code": 99, "body": "` + poison + `"}}`)},
		{name: "GRIP 1.4 a status of 101", answer: instruct(`{"response": {"code": 101, "body": "` + poison + `"}}`)},
		{name: "GRIP 1.4 a status of 1000", answer: instruct(`{"response": {"code": 1000, "body": "` + poison + `"}}`)},
		{name: "GRIP 1.4 a status of -200", answer: instruct(`{"response": {"code": -200, "body": "` + poison + `"}}`)},
		{name: "GRIP 1.4 a length of its own", answer: instruct(`{"response": {"headers": {"Content-Length": "99", "Transfer-Encoding": "chunked", "Connection": "x"}, "body": "hello"}}`), status: 200, gets: "hello"},
		{name: "GRIP 1.4 white space around a value", answer: instruct(`{"response": {"headers": {"X": " y ", "Z": ""}, "body": "hello"}}`), status: 200, gets: "hello"},
		{name: "GRIP 1.4 204 with a body", answer: instruct(`{"response": {"code": 204, "body": "` + poison + `"}}`), status: 204},
		{name: "GRIP 1.4 an unknown hold", answer: instruct(`{"hold": {"mode": "x", "channels": [{"name": "x"}]}, "response": {"body": "` + poison + `"}}`)},
		{name: "GRIP 1.2 an unknown hold", answer: good(poison, "Grip-Hold: x", channel)},
		{name: "GRIP 1.2 a timeout that is no number", answer: good(poison, held, channel, "Grip-Timeout: x")},
		{name: "GRIP 1.2 a negative timeout", answer: good(poison, held, channel, "Grip-Timeout: -1")},
		{name: "GRIP 1.2 a timeout that overflows", answer: good(poison, held, channel, "Grip-Timeout: 99999999999999999999")},
		{name: "GRIP 1.2 a hold with content that breaks off", answer: answer("HTTP/1.1 200 OK", poison, held, channel, "Content-Length: 60"), ending: closes},
		{name: "GRIP 1.2 a hold with content without an end", answer: inChunks("", held, channel), then: forever("6\r\n" + poison + "\r\n"), ending: closes},
		{name: "GRIP 1.2 a stream whose beginning breaks off", answer: answer("HTTP/1.1 200 OK", "hello", "Grip-Hold: stream", channel, "Content-Length: 60"), ending: closes},
		{name: "GRIP 1.2 a stream whose beginning has no end, and closes", answer: inChunks("5\r\nhello\r\n", "Grip-Hold: stream", channel), ending: closes},
		{name: "GRIP 1.2 a stream with a bad chunk in its beginning", answer: inChunks("5\r\nhello\r\nzz\r\n"+poison, "Grip-Hold: stream", channel)},
	}
}
