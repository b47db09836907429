package fanout

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"marquee/grip"
)

// Answer is a complete response that any number of clients of any loop get.
// Its bytes are built once per variant, when the first client needs them.
// Safe from any goroutine.
type Answer struct {
	response grip.Response
	length   int64 // of the content, as Content-Length says; -1: not said
	// coded holds the body in each content coding; nil where a coding is not
	// offered. Set before the answer is shared.
	coded [codings][]byte

	wires wires
}

// NewAnswer makes an answer of r, which must not change any more.
func NewAnswer(r grip.Response) *Answer {
	a := &Answer{response: r, length: int64(len(r.Body))}
	a.coded[0] = r.Body
	return a
}

// NewHeadAnswer makes an answer to HEAD: r without a body, for a content of the
// given length; -1 when the length is not known.
func NewHeadAnswer(r grip.Response, length int64) *Answer {
	a := NewAnswer(r)
	a.length = length
	return a
}

// Response returns the response that the answer was made from.
func (a *Answer) Response() grip.Response { return a.response }

// offer lends the answer the coded forms of coded[0], if that is its body, unless
// the response says that its bytes must stay as they are. Only before the answer
// is shared.
func (a *Answer) offer(coded *[codings][]byte) {
	if len(coded[0]) > 0 && len(coded[0]) == len(a.response.Body) &&
		&coded[0][0] == &a.response.Body[0] && transformable(a.response) {
		copy(a.coded[1:], coded[1:])
	}
}

// transformable reports whether a content coding may be put on r: not if it has
// one, not if it is part of something (Content-Range), not if a strong ETag or
// no-transform says that the bytes count (RFC 9110 §7.7, §8.8.3.3).
func transformable(r grip.Response) bool {
	for _, f := range r.Header {
		switch {
		case strings.EqualFold(f.Name, "Content-Encoding"), strings.EqualFold(f.Name, "Content-Range"):
			return false
		case strings.EqualFold(f.Name, "ETag"):
			if !strings.HasPrefix(f.Value, "W/") {
				return false
			}
		case strings.EqualFold(f.Name, "Cache-Control"):
			if strings.Contains(strings.ToLower(f.Value), "no-transform") {
				return false
			}
		}
	}
	return !bodiless(r.Code)
}

// Wire returns the bytes to write for a variant. They are shared: nobody may
// change them. A coding that the answer does not offer falls back to identity.
func (a *Answer) Wire(v Variant) []byte {
	return a.wires.of(v&^Raw, a.build) // an answer is never in chunks
}

func (a *Answer) build(v Variant) []byte {
	coding, body, length := v.Coding(), a.coded[v.Coding()], a.length
	if coding == 0 || body == nil {
		coding, body = 0, a.coded[0]
	} else {
		length = int64(len(body))
	}
	h := Head{Response: a.response, Length: length, Variant: v.Uncoded() | coding}
	for _, c := range a.coded[1:] {
		h.Varies = h.Varies || c != nil
	}
	w := make([]byte, 0, 256+len(body))
	w = h.Append(w)
	if v&HeadOnly == 0 && !bodiless(a.response.Code) {
		w = append(w, body...)
	}
	return w
}

// Head is the head of an answer on the wire.
type Head struct {
	// Response gives status and end-to-end fields; its body is not looked at.
	Response grip.Response
	// Length is the content's length in bytes, -1 when it is not known.
	Length int64
	// Chunked says that the content follows in chunks (RFC 9112 §7.1).
	Chunked bool
	// Variant says, by its coding, how the content that follows is coded.
	Variant Variant
	// Varies says that another client may get another content coding.
	Varies bool
}

// Append appends the head, up to and with the empty line, to dst. A Date is
// added where the response has none (RFC 9110 §6.6.1).
func (h Head) Append(dst []byte) []byte {
	r := h.Response
	code, reason := r.Code, r.Reason
	if code == 0 {
		code = http.StatusOK
	}
	if reason == "" {
		reason = http.StatusText(code)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	dst = append(dst, "\r\n"...)
	dated := false
	for _, f := range r.Header {
		dated = dated || strings.EqualFold(f.Name, "Date")
		dst = appendField(dst, f.Name, f.Value)
	}
	if !dated {
		dst = append(dst, "Date: "...)
		dst = time.Now().UTC().AppendFormat(dst, http.TimeFormat)
		dst = append(dst, "\r\n"...)
	}
	switch h.Variant.Coding() {
	case Gzip:
		dst = appendField(dst, "Content-Encoding", "gzip")
	case Zstd:
		dst = appendField(dst, "Content-Encoding", "zstd")
	}
	if h.Varies {
		dst = appendField(dst, "Vary", "Accept-Encoding")
	}
	switch {
	case bodiless(code):
	case h.Chunked:
		dst = appendField(dst, "Transfer-Encoding", "chunked")
	case h.Length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, h.Length, 10)
		dst = append(dst, "\r\n"...)
	}
	if h.Variant&Close != 0 {
		dst = appendField(dst, "Connection", "close")
	}
	return append(dst, "\r\n"...)
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// bodiless reports whether a response of that code never has content
// (RFC 9110 §6.4.1).
func bodiless(code int) bool {
	return code == http.StatusNoContent || code == http.StatusNotModified || code >= 100 && code < 200
}
