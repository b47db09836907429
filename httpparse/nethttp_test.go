package httpparse

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
)

// stricter lists why this package refuses heads that net/http's ReadRequest
// accepts. TestStricterThanNetHTTP shows that each reason is real.
var stricter = map[*Error]bool{
	// RFC 9112 §2.2 lets a recipient take a bare LF for a line end. A hop that
	// does and one that does not see different requests.
	errBareLF: true,
	// RFC 9112 §5.2 has a server refuse folded lines or unfold them. Unfolding
	// takes a copy, and parsers disagree on what a fold is.
	errFold: true,
	// ReadRequest keeps "Content-Length " as a name of its own and sees no body;
	// RFC 9112 §5.1 has a server refuse it.
	errName: true,
	// A target of bytes above ASCII is no URI (RFC 9112 §3.2).
	errRequestLine: true,
	// ReadRequest leaves it to its caller whether the version is spoken.
	errVersion: true,
	// net/http has handlers for CONNECT; this is a gateway.
	errConnect: true,
	// net/http takes URIs of any scheme, and the asterisk for any method.
	errTarget: true,
	// net/http takes the number sign for a part of the path, others end the
	// target there: a cache key that two hops read differently.
	errFragment: true,
	// net/http's Server makes the check that ReadRequest does not (RFC 9112
	// §3.2).
	errNoHost: true,
	// The same, and in an absolute form net/url takes user information, empty
	// hosts, escapes and quotation marks.
	errHost: true,
	// net/http merges equal Content-Length lines, as RFC 9110 §8.6 allows. No
	// client needs that, and an intermediary that merges differently is the
	// oldest way to smuggle.
	errManyLengths: true,
	// net/http ignores Content-Length beside Transfer-Encoding, as RFC 9112
	// §6.1 allows: the other classical way.
	errLengthCoding: true,
	// net/http ignores Transfer-Encoding on HTTP/1.0; RFC 9112 §6.1 has a
	// server treat the framing as faulty.
	errCodingVersion: true,
	// IsHopByHop compares every field with every option; see maxOptions.
	errOptions: true,
	// ReadRequest leaves it to its caller to meet expectations.
	errExpectation: true,
	// ReadRequest leaves it to its caller to bound the head.
	fuzzed.overruns.head:        true,
	fuzzed.overruns.requestLine: true,
	fuzzed.overruns.fields:      true,
}

// laxer reports whether net/http's ReadRequest refuses a head with err that
// this package accepts on purpose.
func laxer(err error) bool {
	// A Trailer field that announces Content-Length and the like: Body drops
	// all trailer fields, so what is announced does not matter. (The empty
	// lines in front of a request, RFC 9112 §2.2, are taken off beforehand.)
	return strings.Contains(err.Error(), "bad trailer key")
}

func TestStricterThanNetHTTP(t *testing.T) {
	shown := make(map[*Error]bool)
	for _, r := range refusals {
		if _, _, err := readRequest([]byte(r.in)); err == nil {
			shown[r.want] = true
		}
	}
	if !reflect.DeepEqual(shown, stricter) {
		for refused := range shown {
			if !stricter[refused] {
				t.Errorf("net/http accepts a head refused with %v, and the list does not say why", refused)
			}
		}
		for refused := range stricter {
			if !shown[refused] {
				t.Errorf("no table has a head that net/http accepts and that is refused with %v", refused)
			}
		}
	}
}

// FuzzNetHTTP compares what is accepted, and as what, with net/http.
func FuzzNetHTTP(f *testing.F) {
	for _, h := range heads {
		f.Add([]byte(h.head))
	}
	for _, r := range refusals {
		f.Add([]byte(r.in))
	}
	f.Add([]byte("GET http://a?b HTTP/1.1\r\nHost: c\r\nPragma: no-cache\r\nX:\r\nx: y\r\nConnection: close\r\n\r\nmore"))
	f.Add([]byte("POST http://[::1]:8/%41 HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc"))
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n"))
	f.Fuzz(wantLikeNetHTTP)
}

func wantLikeNetHTTP(t *testing.T, in []byte) {
	begin := in
	for range maxEmptyLines {
		begin = bytes.TrimPrefix(begin, []byte("\r\n"))
	}
	var scan Scan
	got, n, err := fuzzed.Parse(&scan, in)
	want, wantN, wantErr := readRequest(begin)
	switch {
	case err == nil && wantErr == nil:
		wantSameRequest(t, in, got, want)
		if wantN += len(in) - len(begin); n != wantN {
			t.Errorf("%q: head of %d bytes, net/http: %d", in, n, wantN)
		}
	case err == nil && !laxer(wantErr):
		t.Errorf("%q: accepted, net/http: %v", in, wantErr)
	case err != nil && wantErr == nil:
		if refused, ok := isRefusal(err); !ok || !stricter[refused] {
			t.Errorf("%q: %v, net/http accepts", in, err)
		}
	}
}

// readRequest returns the request at the start of in as net/http reads it, and
// the length of its head.
func readRequest(in []byte) (*http.Request, int, error) {
	source := bytes.NewReader(in)
	buffered := bufio.NewReader(source)
	req, err := http.ReadRequest(buffered)
	return req, len(in) - source.Len() - buffered.Buffered(), err
}

func wantSameRequest(t *testing.T, in []byte, got *Request, want *http.Request) {
	t.Helper()
	check := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %s: got %v, net/http: %v", in, what, got, want)
		}
	}
	check("method", string(got.Method), want.Method)
	check("minor version", got.Minor, want.ProtoMinor)
	check("host", string(got.Host), want.Host)
	check("close", !got.Persistent, want.Close)
	check("chunked", got.Chunked, len(want.TransferEncoding) > 0)
	if !got.Chunked {
		check("length", max(got.ContentLength, 0), want.ContentLength)
	}

	// In net/http the target keeps its form; RequestURI is as received.
	target := want.RequestURI
	if target[0] != '/' && target != "*" {
		_, target, _ = strings.Cut(target, "://"+want.URL.Host)
		if target == "" && want.Method == "OPTIONS" {
			target = "*"
		} else if target == "" || target[0] == '?' {
			target = "/" + target
		}
	}
	check("target", string(got.Target), target)

	// net/http keeps some fields elsewhere and adds one.
	header := make(http.Header)
	for _, f := range got.Fields {
		name := textproto.CanonicalMIMEHeaderKey(string(f.Name))
		if name != "Host" && name != "Transfer-Encoding" && (name != "Trailer" || !got.Chunked) {
			header[name] = append(header[name], string(f.Value))
		}
	}
	if pragma := header["Pragma"]; len(pragma) > 0 && pragma[0] == "no-cache" && header["Cache-Control"] == nil {
		header["Cache-Control"] = []string{"no-cache"}
	}
	check("fields", header, want.Header)
}

// stricterBodies lists why chunked bodies are refused that net/http accepts.
var stricterBodies = map[*Error]bool{
	// White space behind a size without an extension is no grammar of any RFC.
	errChunkLine: true,
	// net/http throws away what is in an extension without looking at it.
	errChunkControl: true,
	// As in heads.
	errBareLF: true,
	errFold:   true,
	errName:   true,
}

// laxerBody reports whether net/http refuses a body with err that this package
// accepts on purpose.
func laxerBody(in []byte, err error) bool {
	// RFC 9112 §7.1.1 wants white space before an extension to be read and removed.
	spaced := bytes.Contains(in, []byte(" ;")) || bytes.Contains(in, []byte("\t;"))
	if spaced && err.Error() == "invalid byte in chunk length" {
		return true
	}
	// net/http bounds each size line and the trailer section by the size of
	// its buffer; here all extras of a body are bounded together.
	return errors.Is(err, http.ErrLineTooLong) || strings.Contains(err.Error(), "suspiciously long trailer")
}

func TestStricterBodiesThanNetHTTP(t *testing.T) {
	shown := make(map[*Error]bool)
	for _, r := range badBodies {
		if _, _, err := readNetHTTPBody(t, []byte(r.in)); err == nil {
			shown[r.want] = true
		}
	}
	if !reflect.DeepEqual(shown, stricterBodies) {
		t.Errorf("net/http accepts bodies of the tables refused with %v, listed are %v", shown, stricterBodies)
	}
}

// FuzzNetHTTPBody compares what a chunked body decodes to with net/http.
func FuzzNetHTTPBody(f *testing.F) {
	for _, r := range badBodies {
		f.Add([]byte(r.in))
	}
	f.Add([]byte("5\t;0\r\n00000\r\n0\r\n\r\n"))
	f.Add([]byte("5;a=b\r\nhello\r\nA\r\n, my world!\r\n0\r\nA: b\r\n\r\nGET"))
	f.Fuzz(func(t *testing.T, in []byte) {
		content, used, err := readBody(t, in)
		want, wantUsed, wantErr := readNetHTTPBody(t, in)
		switch {
		case err == nil && wantErr == nil:
			if !bytes.Equal(content, want) || used != wantUsed {
				t.Errorf("%q: got %q, %d, net/http: %q, %d", in, content, used, want, wantUsed)
			}
		case err == nil && !laxerBody(in, wantErr):
			t.Errorf("%q: accepted, net/http: %v", in, wantErr)
		case err != nil && wantErr == nil:
			if refused, ok := isRefusal(err); !ok || !stricterBodies[refused] {
				t.Errorf("%q: %v, net/http accepts", in, err)
			}
		}
	})
}

// readNetHTTPBody decodes in as a chunked body with net/http.
func readNetHTTPBody(t *testing.T, in []byte) (content []byte, used int, err error) {
	t.Helper()
	source := bytes.NewReader(append([]byte(chunkedHead), in...))
	buffered := bufio.NewReader(source)
	req, err := http.ReadRequest(buffered)
	if err != nil {
		t.Fatal(err)
	}
	content, err = io.ReadAll(req.Body)
	return content, len(in) - source.Len() - buffered.Buffered(), err
}
