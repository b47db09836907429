package grip

import "strings"

// Response is an HTTP response as GRIP writes it down: what an origin answers,
// what a hold falls back to at its timeout, and what an http-response item
// carries. It is immutable once it has been handed on.
type Response struct {
	// Code is the status code. Zero means 200 in an item and in an instruct.
	Code int
	// Reason is the reason phrase; empty means the standard one for Code.
	Reason string
	// Header holds the end-to-end fields only: no Content-Length, no
	// hop-by-hop fields.
	Header Header
	Body   []byte
}

// With returns the answer to a hold, whose response is r, by an item: the
// item's status and body, and the hold's header, in which the item's fields
// replace all of the same name and follow the others. The item's Grip-* fields
// are for the edge and do not appear.
//
// What the hold's header says of the hold's own body does not survive: it would
// be a lie about the item's.
func (r Response) With(item Response) Response {
	out := Response{Code: item.Code, Reason: item.Reason, Body: item.Body}
	if out.Code == 0 {
		out.Code = 200
	}
	own := item.Header.Without(isGrip)
	out.Header = append(r.Header.Without(func(name string) bool {
		return aboutBody(name) || own.Has(name)
	}), own...)
	return out
}

// aboutBody reports whether a response field is about one body and one moment:
// when it was made, what it is coded as and checked by. An ETag that outlived
// its body would let a client's next If-None-Match succeed wrongly.
func aboutBody(name string) bool {
	switch strings.ToLower(name) {
	case "date", "content-encoding", "content-range", "etag", "last-modified",
		"content-digest", "repr-digest", "digest", "content-md5":
		return true
	}
	return false
}
