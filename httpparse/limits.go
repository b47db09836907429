package httpparse

// Limits bounds what a request head may cost. Fields that are zero or less
// take the defaults.
type Limits struct {
	// Head is the largest head in bytes, empty lines before it included:
	// 32768 by default. What exceeds it is answered 431. It bounds what an
	// unfinished request can make a connection buffer.
	Head int
	// RequestLine is the longest request line in bytes, its CRLF included:
	// 8192 by default, a little more than the 8000 octets that RFC 9112 §3
	// recommends at least. What exceeds it is answered 414.
	RequestLine int
	// Fields is the largest number of field lines: 100 by default. What
	// exceeds it is answered 431. A Parser reserves about 100 bytes for each.
	Fields int
}

// Bounds that nobody has had a reason to turn.
const (
	// maxEmptyLines may precede a request line: some clients send a CRLF
	// after a body (RFC 9112 §2.2).
	maxEmptyLines = 2
	// maxOptions bounds the elements of all Connection fields, because each
	// field of the request is compared with each of them.
	maxOptions = 32
	// maxChunkDigits is more than the largest size has, which is that of a
	// Content-Length; leading zeros count.
	maxChunkDigits = 16
	// maxChunkExtras bounds the bytes of chunk extensions and trailer fields
	// in one body. They are read past, never stored; the bound keeps a client
	// from sending for ever without sending anything (RFC 9112 §7.1.1).
	maxChunkExtras = 8192
)

func (l Limits) withDefaults() Limits {
	if l.Head <= 0 {
		l.Head = 32768
	}
	if l.RequestLine <= 0 {
		l.RequestLine = 8192
	}
	if l.Fields <= 0 {
		l.Fields = 100
	}
	return l
}
