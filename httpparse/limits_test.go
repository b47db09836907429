package httpparse

import (
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	const head = "GET /1234 HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n"
	const line = len("GET /1234 HTTP/1.1\r\n")
	accepted := "GET /1234 HTTP/1.1 host=a persistent [Host: a] [X: b]\n"
	for _, tt := range []struct {
		name   string
		limits Limits
		in     string
		want   string
	}{
		{"rule 1, RFC 6585 §5: head of the limit", Limits{Head: len(head)}, head, accepted},
		{"rule 1, RFC 6585 §5: empty lines count towards the head", Limits{Head: len(head) + 1}, "\r\n" + head,
			"431 Request Header Fields Too Large: The request head is longer than 38 bytes.\n"},
		{"rule 1, RFC 6585 §5: head over the limit", Limits{Head: len(head) - 1}, head,
			"431 Request Header Fields Too Large: The request head is longer than 36 bytes.\n"},
		{"rule 1, RFC 6585 §5: head over the limit, in its request line", Limits{Head: line - 1}, head,
			"431 Request Header Fields Too Large: The request head is longer than 19 bytes.\n"},
		{"rule 1, RFC 6585 §5: what lies behind the limit is not judged", Limits{Head: len(head) - 1}, head[:len(head)-1] + "\x00",
			"431 Request Header Fields Too Large: The request head is longer than 36 bytes.\n"},
		{"rule 1, RFC 9112 §3: request line of the limit", Limits{RequestLine: line}, head, accepted},
		{"rule 1, RFC 9112 §3: empty lines are no part of it", Limits{RequestLine: line}, "\r\n" + head, accepted},
		{"rule 1, RFC 9112 §3: request line over the limit", Limits{RequestLine: line - 1}, head,
			"414 Request URI Too Long: The request line is longer than 19 bytes.\n"},
		{"rule 1, RFC 9112 §3: endless method", Limits{RequestLine: 19}, strings.Repeat("A", 30),
			"414 Request URI Too Long: The request line is longer than 19 bytes.\n"},
		{"rule 1, RFC 6585 §5: field lines of the limit", Limits{Fields: 2}, head, accepted},
		{"rule 1, RFC 6585 §5: field lines over the limit", Limits{Fields: 1}, head,
			"431 Request Header Fields Too Large: The request head has more than 1 field lines.\n"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantOutcome(t, NewParser(tt.limits), tt.in, tt.want) })
	}
}

func TestDefaultLimits(t *testing.T) {
	p := NewParser(Limits{})
	head := func(target, fields, value int) []byte {
		return []byte("GET /" + strings.Repeat("t", target-1) + " HTTP/1.0\r\n" +
			strings.Repeat("X: y\r\n", fields-1) + "Y: " + strings.Repeat("v", value) + "\r\n\r\n")
	}
	longest := 8192 - len("GET  HTTP/1.0\r\n")
	largest := 32768 - len(head(1, 1, 0))
	for _, tt := range []struct {
		name   string
		in     []byte
		status int
	}{
		{"100 field lines", head(1, 100, 0), 0},
		{"101 field lines", head(1, 101, 0), 431},
		{"request line of 8192 bytes", head(longest, 1, 0), 0},
		{"request line of 8193 bytes", head(longest+1, 1, 0), 414},
		{"head of 32768 bytes", head(1, 1, largest), 0},
		{"head of 32769 bytes", head(1, 1, largest+1), 431},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var scan Scan
			_, _, err := p.Parse(&scan, tt.in)
			status := 0
			if refused, ok := isRefusal(err); ok {
				status = refused.Status
			}
			if status != tt.status {
				t.Errorf("got %v, want status %d", err, tt.status)
			}
		})
	}
}
