package upstream

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// framingCases are answers, each followed by "MORE".
var framingCases = []struct {
	name, sent string
	head       bool
	behind     string // what is not of the answer; "-" when the answer is refused
}{
	{"§6.3 length", head("HTTP/1.1 200 OK", "Content-Length: 2") + "abMORE", false, "MORE"},
	{"§6.3 length of 0", head("HTTP/1.1 200 OK", "Content-Length: 0") + "MORE", false, "MORE"},
	{"§6.3 the same length twice", head("HTTP/1.1 200 OK", "Content-Length: 2", "content-length: 2") + "abMORE", false, "MORE"},
	{"§6.3 no length", head("HTTP/1.1 200 OK") + "MORE", false, ""},
	{"§6.3 no length in HTTP/1.0", head("HTTP/1.0 200 OK") + "MORE", false, ""},
	{"§6.3 204", head("HTTP/1.1 204 No Content") + "MORE", false, "MORE"},
	{"§6.3 304 with a length", head("HTTP/1.1 304 Not Modified", "Content-Length: 2") + "MORE", false, "MORE"},
	{"§6.3 HEAD with a length", head("HTTP/1.1 200 OK", "Content-Length: 2") + "MORE", true, "MORE"},
	{"§6.3 HEAD with chunks", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "MORE", true, "MORE"},
	{"§6.3 HEAD with nothing", head("HTTP/1.1 200 OK") + "MORE", true, "MORE"},
	{"RFC 9110 §15.2 interim answers", head("HTTP/1.1 100 Continue") + head("HTTP/1.1 103 Early Hints", "Link: x") + head("HTTP/1.1 200 OK", "Content-Length: 2") + "abMORE", false, "MORE"},
	{"RFC 9110 §15.2.2 101", head("HTTP/1.1 101 Switching Protocols") + "MORE", false, ""},
	{"§4 no reason", head("HTTP/1.1 200", "Content-Length: 2") + "abMORE", false, "MORE"},
	{"§2.2 LF as line end", "HTTP/1.1 200 OK\nContent-Length: 2\n\nabMORE", false, "MORE"},
	{"§5.2 folded line", head("HTTP/1.1 200 OK", "X: y", " z", "Content-Length: 2") + "abMORE", false, "MORE"},
	{"§7.1 chunks", head("HTTP/1.1 200 OK", "Transfer-Encoding: Chunked") + "A\r\n0123456789\r\n1;x\r\na\r\n1  \r\na\r\n0\r\n\r\nMORE", false, "MORE"},
	{"§7.1 no content in chunks", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "000\r\n\r\nMORE", false, "MORE"},
	{"§7.1.2 trailer fields", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "0;a=b\r\nA: b\r\nC: d\r\n\r\nMORE", false, "MORE"},

	{"§4 not HTTP", head("ICY 200 OK"), false, "-"},
	{"§4 HTTP/2.0", head("HTTP/2.0 200 OK"), false, "-"},
	{"§4 empty line in front", "\r\n" + head("HTTP/1.1 200 OK"), false, "-"},
	{"§4 status of four digits", head("HTTP/1.1 2000 OK"), false, "-"},
	{"§4 status below 100", head("HTTP/1.1 099 OK"), false, "-"},
	{"§2.2 CR in the status line", head("HTTP/1.1 200 O\rK"), false, "-"},
	{"§2.2 CR in a value", head("HTTP/1.1 200 OK", "X: a\rContent-Length: 2"), false, "-"},
	{"§5.1 no name", head("HTTP/1.1 200 OK", ": x"), false, "-"},
	{"§5.1 no colon", head("HTTP/1.1 200 OK", "X"), false, "-"},
	{"§5.1 space before the colon", head("HTTP/1.1 200 OK", "X : y"), false, "-"},
	{"§5.2 folded first line", head("HTTP/1.1 200 OK", " X: y"), false, "-"},
	{"§5.2 folded length", head("HTTP/1.1 200 OK", "Content-Length:", " 2"), false, "-"},
	{"§5.2 folded coding", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", " x"), false, "-"},
	{"§6.3 length and chunks", head("HTTP/1.1 200 OK", "Content-Length: 2", "Transfer-Encoding: chunked"), false, "-"},
	{"§6.1 chunks in HTTP/1.0", head("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"), false, "-"},
	{"§6.1 chunked twice", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), false, "-"},
	{"§6.1 another coding", head("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"), false, "-"},
	{"§6.3 two lengths", head("HTTP/1.1 200 OK", "Content-Length: 2", "Content-Length: 3"), false, "-"},
	{"§6.3 length that is a list", head("HTTP/1.1 200 OK", "Content-Length: 2, 2"), false, "-"},
	{"§6.3 length with a sign", head("HTTP/1.1 200 OK", "Content-Length: +2"), false, "-"},
	{"§6.3 empty length", head("HTTP/1.1 200 OK", "Content-Length:"), false, "-"},
	{"§6.3 length out of range", head("HTTP/1.1 200 OK", "Content-Length: 9223372036854775808"), false, "-"},
	{"§7.1 no size", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "\r\n", false, "-"},
	{"§7.1 size that is none", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "0x1\r\n", false, "-"},
	{"§7.1 size with a control character for a digit", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "\x11\r\n", false, "-"},
	{"§7.1 size out of range", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "8000000000000000\r\n", false, "-"},
	{"§7.1 size line ends with LF", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "1\na\r\n0\r\n\r\n", false, "-"},
	{"§7.1 size line ends with CR", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "1\ra\r\n0\r\n\r\n", false, "-"},
	{"§7.1.1 LF in an extension", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "1;\na\r\n0\r\n\r\n", false, "-"},
	{"§7.1 chunk too long", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "1\r\naa\r\n0\r\n\r\n", false, "-"},
	{"§7.1 chunk ends with CR", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "1\r\na\r0\r\n\r\n", false, "-"},
	{"§7.1.2 LF in a trailer", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "0\r\nA: b\n\r\n", false, "-"},
	{"§7.1.2 trailer too long", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "0\r\nA: " + strings.Repeat("b", maxAnswerExtras) + "\r\n\r\n", false, "-"},
	{"§5 head too long", head("HTTP/1.1 200 OK", "A: "+strings.Repeat("b", maxAnswerHead)), false, "-"},
}

// An answer ends where it ends, however it is cut into reads.
func TestFraming(t *testing.T) {
	for _, tt := range framingCases {
		t.Run("RFC 9112 "+tt.name, func(t *testing.T) {
			for _, size := range []int{len(tt.sent), 1, 7} {
				behind, err := cutAnswer(tt.sent, tt.head, size)
				switch {
				case tt.behind == "-" && !errors.Is(err, errFraming):
					t.Errorf("%.300q, %d bytes at a time: got %v, want it refused", tt.sent, size, err)
				case tt.behind != "-" && (err != nil || behind != tt.behind):
					t.Errorf("%.300q, %d bytes at a time: got %q behind the answer, %v, want %q", tt.sent, size, behind, err, tt.behind)
				}
			}
		})
	}
}

// cutAnswer feeds sent to a framing, size bytes at a time, and returns what is
// behind the answer.
func cutAnswer(sent string, head bool, size int) (behind string, err error) {
	var f framing
	f.begin(head)
	for len(sent) > 0 {
		n, err := f.next([]byte(sent[:min(size, len(sent))]))
		if err != nil {
			return "", err
		}
		if f.state == answered {
			return sent[n:], nil
		}
		sent = sent[n:]
	}
	return "", nil
}

// Before anything is asked, nothing is an answer.
func TestFramingUnasked(t *testing.T) {
	var f framing
	if n, err := f.next([]byte("HTTP/1.1 200 OK\r\n\r\n")); n != 0 || err != nil {
		t.Errorf("%d bytes are taken, %v, want none", n, err)
	}
}

// Where the framing finds an end, net/http finds it too, or refuses the answer;
// and net/http is never given more than one answer.
func FuzzFraming(f *testing.F) {
	for _, tt := range framingCases {
		if len(tt.sent) < 1000 {
			f.Add(tt.sent, tt.head, uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, sent string, headed bool, size uint8) {
		whole, wholeErr := cutAnswer(sent, headed, len(sent))
		cut, cutErr := cutAnswer(sent, headed, int(size)+1)
		if (wholeErr == nil) != (cutErr == nil) || whole != cut {
			t.Fatalf("%q: %q, %v at once, %q, %v in pieces of %d", sent, whole, wholeErr, cut, cutErr, int(size)+1)
		}
		if wholeErr != nil {
			return
		}
		method := http.MethodGet
		if headed {
			method = http.MethodHead
		}
		in := bufio.NewReader(strings.NewReader(strings.TrimSuffix(sent, whole)))
		for {
			resp, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return
			}
			if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
				break
			}
		}
		if left, _ := io.ReadAll(in); len(left) > 0 && whole != "" {
			t.Errorf("%q: net/http finds %q behind the answer, the framing %q", sent, left, whole)
		}
	})
}
