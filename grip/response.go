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
// Two fields of the hold do not survive. Its Date would say that the answer is
// as old as the hold (RFC 9110 §6.6.1: the answer originates now, and whoever
// writes it dates it). Its Content-Encoding is about a body that is not sent.
func (r Response) With(item Response) Response {
	out := Response{Code: item.Code, Reason: item.Reason, Body: item.Body}
	if out.Code == 0 {
		out.Code = 200
	}
	own := item.Header.Without(isGrip)
	out.Header = append(r.Header.Without(func(name string) bool {
		return strings.EqualFold(name, "Date") ||
			strings.EqualFold(name, "Content-Encoding") ||
			own.Has(name)
	}), own...)
	return out
}
