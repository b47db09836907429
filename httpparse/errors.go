package httpparse

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrNeedMore says that the head is not complete yet. It is no failure: call
// Parse again when bytes have been appended.
var ErrNeedMore = errors.New("request head is not complete yet")

// Error refuses a request and ends its connection: answer it, close, and never
// look for a next request in what was received, since nobody can tell where it
// begins (RFC 9112 §11.2). It quotes nothing the client sent.
type Error struct {
	Status int    // the status code to answer
	Reason string // one plain sentence for the body of the answer
}

func (e *Error) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, http.StatusText(e.Status), e.Reason)
}

func badRequest(reason string) *Error { return &Error{http.StatusBadRequest, reason} }

// Line structure: RFC 9112 §2.2 and §5.
var (
	errBareCR  = badRequest("A carriage return is not followed by a line feed.")
	errBareLF  = badRequest("A line feed is not preceded by a carriage return.")
	errControl = badRequest("A field value contains a control character.")
	errFold    = badRequest("A field line begins with white space.")
	errName    = badRequest("A field name is not a token with a colon directly behind it.")
	errSplit   = badRequest("The request head cannot be split into fields.")
)

// Request line and target: RFC 9112 §3.
var (
	errRequestLine = badRequest("The request line is not a method, a target and a version with one space between them.")
	errMethod      = badRequest("The request method is not a token.")
	errTarget      = badRequest("The request target is neither a path, nor an http or https URI, nor * for OPTIONS.")
	errEscape      = badRequest("A percent sign in the path is not followed by two hexadecimal digits.")
	errFragment    = badRequest("The request target contains a fragment.")
	errVersionText = badRequest("The request line does not end with an HTTP version.")
	errVersion     = &Error{http.StatusHTTPVersionNotSupported, "Only HTTP/1.0 and HTTP/1.1 are spoken here."}
	errConnect     = &Error{http.StatusNotImplemented, "CONNECT is not implemented here."}
	errNoHost      = badRequest("An HTTP/1.1 request needs a Host field.")
	errManyHosts   = badRequest("There is more than one Host field.")
	errHost        = badRequest("The host is not a name or an address with an optional port.")
)

// Framing: RFC 9112 §6.
var (
	errLength        = badRequest("Content-Length is not a decimal number within range.")
	errManyLengths   = badRequest("There is more than one Content-Length field.")
	errLengthCoding  = badRequest("Content-Length and Transfer-Encoding exclude each other.")
	errCodingVersion = badRequest("HTTP/1.0 has no Transfer-Encoding.")
	errCodingList    = badRequest("Transfer-Encoding is not a list of transfer codings.")
	errChunkedLast   = badRequest("The chunked transfer coding is not the last one or is applied twice.")
	errCoding        = &Error{http.StatusNotImplemented, "No transfer coding but chunked is implemented here."}
)

// Fields about the connection: RFC 9110 §7.6.1 and §10.1.1.
var (
	errOptions     = badRequest("The Connection field lists too many options.")
	errExpectation = &Error{http.StatusExpectationFailed, "No expectation but 100-continue can be met here."}
)

// Chunked bodies: RFC 9112 §7.1.
var (
	errChunkSize    = badRequest("A chunk size is not a hexadecimal number within range.")
	errChunkLine    = badRequest("A chunk size is followed by something other than an extension or a line end.")
	errChunkEnd     = badRequest("A chunk is longer than its size says.")
	errChunkControl = badRequest("A chunk extension or trailer field contains a control character.")
	errChunkExtras  = badRequest("The chunk extensions are too long.")
	errTrailer      = &Error{http.StatusRequestHeaderFieldsTooLarge, "The trailer fields are too long."}
)

// overruns are the errors that name a Parser's own limits.
type overruns struct {
	head, requestLine, fields *Error
}

func newOverruns(l Limits) overruns {
	return overruns{
		head: &Error{http.StatusRequestHeaderFieldsTooLarge,
			fmt.Sprintf("The request head is longer than %d bytes.", l.Head)},
		requestLine: &Error{http.StatusRequestURITooLong,
			fmt.Sprintf("The request line is longer than %d bytes.", l.RequestLine)},
		fields: &Error{http.StatusRequestHeaderFieldsTooLarge,
			fmt.Sprintf("The request head has more than %d field lines.", l.Fields)},
	}
}
