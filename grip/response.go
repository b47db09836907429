package grip

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
