package httpparse

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// refusals are the requests that the tables of this package want refused for
// their head. Those in badBodies follow a head that is accepted.
var refusals = slices.Concat(malformed, badTargets, badHosts, smuggled, badConnections, exceeding)

// exceeding are heads over the limits of fuzzed.
var exceeding = []refusal{
	{"RFC 6585 §5: head", "GET / HTTP/1.0\r\nX: " + strings.Repeat("x", 1000) + "\r\n\r\n", fuzzed.overruns.head},
	{"RFC 9112 §3: request line", "GET /" + strings.Repeat("x", 500) + " HTTP/1.0\r\n\r\n", fuzzed.overruns.requestLine},
	{"RFC 6585 §5: field lines", "GET / HTTP/1.0\r\n" + strings.Repeat("X: y\r\n", 20) + "\r\n", fuzzed.overruns.fields},
}

// fuzzed is the parser of the fuzz targets, which run one input at a time. Its
// limits are low enough for fuzzing to reach them.
var fuzzed = NewParser(Limits{Head: 1000, RequestLine: 200, Fields: 16})

// FuzzParse plays a whole connection: nothing panics, the outcome does not
// depend on how the bytes are cut, and an accepted head has exactly the parts
// that cutting it at its line ends, colons and spaces gives.
func FuzzParse(f *testing.F) {
	for _, h := range heads {
		f.Add([]byte(h.head), uint16(40))
	}
	for _, r := range refusals {
		f.Add([]byte(r.in), uint16(20))
	}
	for _, r := range badBodies {
		f.Add([]byte(chunkedHead+r.in), uint16(len(chunkedHead)))
	}
	f.Add([]byte("\r\nPOST http://b?c HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.0\r\n\r\n"), uint16(70))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		whole := transcript(fuzzed, in)
		if got := transcript(fuzzed, singly(string(in))...); got != whole {
			t.Errorf("%q byte by byte:\n%swhole:\n%s", in, got, whole)
		}
		at := min(int(cut), len(in))
		if got := transcript(fuzzed, in[:at], in[at:]); got != whole {
			t.Errorf("%q | %q:\n%swhole:\n%s", in[:at], in[at:], got, whole)
		}
		var scan Scan
		if req, n, err := fuzzed.Parse(&scan, in); err == nil {
			wantPlainParts(t, req, in[:n])
		}
	})
}

// wantPlainParts compares req with a head cut up in the simplest way.
func wantPlainParts(t *testing.T, req *Request, head []byte) {
	t.Helper()
	lines := strings.Split(strings.TrimLeft(string(head), "\r\n"), "\r\n")
	parts := strings.Split(lines[0], " ")
	if len(parts) != 3 || string(req.Method) != parts[0] || parts[2] != "HTTP/1."+string(rune('0'+req.Minor)) {
		t.Errorf("%q: got method %q, minor version %d", head, req.Method, req.Minor)
	}
	if string(req.Target) != parts[1] && !strings.Contains(parts[1], "://") {
		t.Errorf("%q: got target %q", head, req.Target)
	}
	lines = lines[1 : len(lines)-2]
	if len(req.Fields) != len(lines) {
		t.Fatalf("%q: got %d fields, want %d", head, len(req.Fields), len(lines))
	}
	for i, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if f := req.Fields[i]; string(f.Name) != name || string(f.Value) != value {
			t.Errorf("%q: field %d: got %q: %q, want %q: %q", head, i, f.Name, f.Value, name, value)
		}
	}
}

// FuzzBody decodes a chunked body: nothing panics, what it consumes and returns
// fits its input, and the outcome does not depend on how the bytes are cut.
func FuzzBody(f *testing.F) {
	for _, r := range badBodies {
		f.Add([]byte(r.in), uint16(2))
	}
	f.Add([]byte("5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\nGET"), uint16(9))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		at := min(int(cut), len(in))
		content, used, err := readBody(t, in)
		for name, pieces := range map[string][][]byte{"byte by byte": singly(string(in)), "in two": {in[:at], in[at:]}} {
			gotContent, gotUsed, gotErr := readBody(t, pieces...)
			if !bytes.Equal(gotContent, content) || gotUsed != used || gotErr != err {
				t.Errorf("%q %s at %d: got %q, %d, %v, want %q, %d, %v",
					in, name, at, gotContent, gotUsed, gotErr, content, used, err)
			}
		}
	})
}

// readBody decodes the pieces as one chunked body, as far as it goes. It
// returns the content, how many bytes were consumed, and ErrNeedMore when the
// body does not end.
func readBody(t *testing.T, pieces ...[]byte) (content []byte, used int, err error) {
	t.Helper()
	body := Body{state: inSize}
	for _, in := range pieces {
		for {
			data, n, err := body.Next(in)
			if n < len(data) || n > len(in) {
				t.Fatalf("Next(%q) = %q, %d", in, data, n)
			}
			content = append(content, data...)
			used += n
			in = in[n:]
			if err != nil || body.Done() {
				return content, used, err
			}
			if n == 0 {
				break
			}
		}
	}
	return content, used, ErrNeedMore
}
