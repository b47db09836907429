package main

import (
	"errors"
	"fmt"
)

// framing follows the body of a response (RFC 9112 §6.3) that is read as it
// comes, and of which nothing is kept. It is small, since every stream has one.
type framing struct {
	state frame
	left  int   // bytes of the body, or of the chunk, that are still to come
	line  int32 // bytes seen of a chunk size line, or of all trailers
}

// frame is what a body's next byte belongs to. A chunked body (RFC 9112 §7.1):
//
//	chunkSize ─▶ (chunkExtension) ─▶ chunkSizeEnd ─▶ chunkData ─▶ chunkDataCR ─▶ chunkDataLF
//	    ▲                                 │ 0                                        │
//	    └─────────────────────────────────┼──────────────────────────────────────────┘
//	                                      └─▶ trailer ◀─▶ trailerField ─▶ trailersEnd ─▶ bodyEnd
type frame uint8

const (
	bodyEnd        frame = iota // nothing: the body is complete
	untilClose                  // the body, which the end of the connection ends
	counted                     // the body, of which left bytes are to come
	chunkSize                   // the digits of a chunk's size
	chunkExtension              // what may follow them on their line, which is skipped
	chunkSizeEnd                // the LF of that line
	chunkData
	chunkDataCR
	chunkDataLF
	trailer      // the first byte of a line after the last chunk
	trailerField // the rest of that line, which is skipped
	trailersEnd  // the LF of the empty line that ends the trailers
)

// newFraming returns where the body of a response with head h begins.
func newFraming(h head) framing {
	switch {
	case h.status == 204 || h.status == 304 || h.length == 0:
		return framing{state: bodyEnd}
	case h.chunked:
		return framing{state: chunkSize}
	case h.length > 0:
		return framing{state: counted, left: h.length}
	}
	return framing{state: untilClose}
}

// ended reports whether the body is complete.
func (f *framing) ended() bool { return f.state == bodyEnd }

// whole reports whether the body may end where it stands without a chunk, or a
// length that was promised, being cut short.
func (f *framing) whole() bool {
	return f.state == bodyEnd || f.state == untilClose || f.state == chunkSize && f.line == 0
}

// next takes in bytes at the start of b, which is not empty: n of them, of which
// data, the last, are the body's. It takes none once the body has ended.
func (f *framing) next(b []byte) (data []byte, n int, err error) {
	for n < len(b) {
		switch f.state {
		case bodyEnd:
			return nil, n, nil
		case untilClose:
			return b[n:], len(b), nil
		case counted, chunkData:
			data = b[n:min(len(b), n+f.left)]
			f.left -= len(data)
			switch {
			case f.left > 0:
			case f.state == counted:
				f.state = bodyEnd
			default:
				f.state = chunkDataCR
			}
			return data, n + len(data), nil
		}
		if err := f.take(b[n]); err != nil {
			return nil, n, err
		}
		n++
	}
	return nil, n, nil
}

// take takes in a byte of a chunked body that is no data.
func (f *framing) take(b byte) error {
	f.line++
	switch f.state {
	case chunkSize, chunkExtension:
		if f.line > maxLine {
			return fmt.Errorf("line of more than %d bytes", maxLine)
		}
		return f.takeSize(b)
	case chunkSizeEnd:
		if b != '\n' {
			return errors.New("chunk size line does not end with CRLF")
		}
		f.state, f.line = chunkData, 0
		if f.left == 0 {
			f.state = trailer
		}
	case chunkDataCR:
		if b != '\r' {
			return errors.New("chunk does not end with CRLF")
		}
		f.state = chunkDataLF
	case chunkDataLF:
		if b != '\n' {
			return errors.New("chunk does not end with CRLF")
		}
		f.state, f.line = chunkSize, 0
	default:
		if f.line > maxHead {
			return errHeadSize
		}
		return f.takeTrailer(b)
	}
	return nil
}

// takeSize takes in a byte of a chunk size line.
func (f *framing) takeSize(b byte) error {
	digit, isDigit := hexDigit(b)
	switch {
	case f.state == chunkSize && isDigit:
		if f.left = f.left<<4 | digit; f.left > maxBody {
			return errBodySize
		}
	case f.line == 1:
		return fmt.Errorf("chunk size line begins with %q", b)
	case b == '\r':
		f.state = chunkSizeEnd
	case b == '\n':
		return errors.New("chunk size line does not end with CRLF")
	case f.state == chunkSize && b != ';':
		return fmt.Errorf("%q in a chunk's size", b)
	default:
		f.state = chunkExtension
	}
	return nil
}

// takeTrailer takes in a byte after the last chunk.
func (f *framing) takeTrailer(b byte) error {
	switch {
	case f.state == trailersEnd && b != '\n':
		return errors.New("trailers do not end with CRLF")
	case f.state == trailersEnd:
		f.state = bodyEnd
	case f.state == trailer && b == '\r':
		f.state = trailersEnd
	case b == '\n':
		f.state = trailer
	default:
		f.state = trailerField
	}
	return nil
}

// hexDigit returns the value of a hexadecimal digit.
func hexDigit(b byte) (value int, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0'), true
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return int(b|0x20-'a') + 10, true
	}
	return 0, false
}
