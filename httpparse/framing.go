package httpparse

import (
	"bytes"
	"math"
)

// judgeLength reads a Content-Length field: one line with one number, although
// RFC 9110 §8.6 would allow equal numbers to be taken for one.
func (r *Request) judgeLength(value []byte) *Error {
	if r.ContentLength >= 0 {
		return errManyLengths
	}
	if len(value) == 0 {
		return errLength
	}
	var length int64
	for _, c := range value {
		digit := int64(c) - '0'
		if digit < 0 || digit > 9 || length > (math.MaxInt64-digit)/10 {
			return errLength
		}
		length = 10*length + digit
	}
	r.ContentLength = length
	return nil
}

// judgeCodings reads one Transfer-Encoding field (RFC 9112 §6.1, §7).
func (r *Request) judgeCodings(value []byte, seen *seenFields) *Error {
	if r.Minor == 0 {
		return errCodingVersion
	}
	seen.codings = true
	for rest, more := value, true; more; {
		var coding []byte
		coding, rest, more = nextElement(rest)
		if len(coding) == 0 {
			return errCodingList // RFC 9110 §5.6.1.2 would have it passed over
		}
		if r.Chunked {
			return errChunkedLast
		}
		name, _, parameters := bytes.Cut(coding, semicolon)
		name = trimSpace(name)
		switch {
		case len(name) == 0 || !allAre(name, tokenByte):
			return errCodingList
		case !equalFold(name, "chunked"):
			seen.unknownCoding = true
		case parameters: // chunked has none: RFC 9112 §7.1
			return errCodingList
		default:
			r.Chunked = true
		}
	}
	return nil
}

var semicolon = []byte(";")

// judgeFraming decides whether it is certain where the body ends (RFC 9112
// §6.3). A coding that is not known here is answered 501 (§6.1), also where it
// stands alone and §6.3 would have 400: both close the connection, and 501
// tells the client what to change.
func (r *Request) judgeFraming(seen *seenFields) *Error {
	switch {
	case !seen.codings:
		return nil
	case r.ContentLength >= 0:
		return errLengthCoding
	case seen.unknownCoding:
		return errCoding
	case !r.Chunked:
		return errCodingList
	}
	return nil
}
