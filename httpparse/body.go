package httpparse

import "math"

// Body decodes one request body, sized or chunked. It holds no pointers: keep
// it with the connection. The zero value is the body of a request without one.
type Body struct {
	// left is the content still to come: of the body when it is sized, of the
	// chunk when it is chunked.
	left   uint64
	extras uint16 // bytes of extensions and trailer fields seen so far
	digits uint8  // of the chunk size
	state  bodyState
}

// bodyState names what the next byte may be.
type bodyState uint8

const (
	bodyDone       bodyState = iota
	inSized                  // content of a sized body
	inSize                   // a digit of a chunk size, or what may follow the size
	inSizeSpace              // white space between a chunk size and its extension
	atExtension              // the first byte of an extension
	inExtension              // an extension or the CR behind it
	inQuoted                 // a quoted string in an extension
	inQuotedPair             // the byte behind a backslash there
	atSizeLF                 // the LF of the size line
	inChunk                  // content of a chunk
	atChunkCR                // the CR behind a chunk's content
	atChunkLF                // the LF behind it
	atTrailer                // a trailer field, or the CR of the empty line that ends the body
	inTrailerName            // a trailer field's name or the colon behind it
	inTrailerValue           // its value or the CR behind it
	atTrailerLF              // the LF of a trailer field
	atBodyEndLF              // the LF that ends the body
)

// Body returns the decoder for the body of r.
func (r *Request) Body() Body {
	switch {
	case r.Chunked:
		return Body{state: inSize}
	case r.ContentLength > 0:
		return Body{state: inSized, left: uint64(r.ContentLength)}
	}
	return Body{}
}

// Done reports whether the body is complete. What follows belongs to the next
// request.
func (b *Body) Done() bool { return b.state == bodyDone }

// Next decodes from the start of in, the bytes that follow what has been
// consumed before. It returns n, how many bytes of in it consumed, and data,
// the run of content among them, which aliases in and may be empty. Call it
// until Done, or until n is 0: then it needs more bytes. An *Error ends the
// connection; what was returned before it is the content up to there. Chunk
// extensions and trailer fields are checked and dropped (RFC 9112 §7.1.1,
// §7.1.2). It does not allocate.
func (b *Body) Next(in []byte) (data []byte, n int, err error) {
	switch b.state {
	case bodyDone:
		return nil, 0, nil
	case inSized:
		data = b.take(in)
		if b.left == 0 {
			b.state = bodyDone
		}
		return data, len(data), nil
	}
	for n < len(in) && b.state != bodyDone {
		if b.state == inChunk {
			data = b.take(in[n:])
			if b.left == 0 {
				b.state = atChunkCR
			}
			return data, n + len(data), nil
		}
		if err := b.step(in[n]); err != nil {
			return nil, n, err
		}
		n++
	}
	return nil, n, nil
}

// take cuts the content that is due off the start of in.
func (b *Body) take(in []byte) []byte {
	if uint64(len(in)) > b.left {
		in = in[:b.left]
	}
	b.left -= uint64(len(in))
	return in
}

// step judges one byte of the framing of a chunked body (RFC 9112 §7.1):
//
//	*( chunk-size [ chunk-ext ] CRLF chunk-data CRLF )
//	1*"0" [ chunk-ext ] CRLF trailer-section CRLF
func (b *Body) step(c byte) error {
	switch b.state {
	case inSize:
		return b.sizeByte(c)
	case inSizeSpace:
		switch {
		case c == ';':
			b.state = atExtension
		case !isSpace(c):
			return errChunkLine
		}
		return b.count(errChunkExtras)
	case atExtension:
		if c == '\r' {
			return errChunkLine
		}
		b.state = inExtension
		return b.extensionByte(c)
	case inExtension:
		if c == '\r' {
			b.state = atSizeLF
			return nil
		}
		return b.extensionByte(c)
	case inQuoted, inQuotedPair:
		return b.extensionByte(c)
	case atSizeLF:
		if c != '\n' {
			return errBareCR
		}
		if b.digits = 0; b.left > 0 {
			b.state = inChunk
		} else {
			b.state = atTrailer
		}
	case atChunkCR:
		if c != '\r' {
			return errChunkEnd
		}
		b.state = atChunkLF
	case atChunkLF:
		if c != '\n' {
			return errBareCR
		}
		b.state = inSize
	case atTrailer:
		if c == '\r' {
			b.state = atBodyEndLF
			return nil
		}
		if !is(c, tokenByte) {
			return nameError(c)
		}
		b.state = inTrailerName
		return b.count(errTrailer)
	case inTrailerName:
		switch {
		case c == ':':
			b.state = inTrailerValue
		case !is(c, tokenByte):
			return errName
		}
		return b.count(errTrailer)
	case inTrailerValue:
		if c == '\r' {
			b.state = atTrailerLF
			return nil
		}
		if !is(c, valueByte) {
			return chunkLineError(c)
		}
		return b.count(errTrailer)
	case atTrailerLF:
		if c != '\n' {
			return errBareCR
		}
		b.state = atTrailer
	case atBodyEndLF:
		if c != '\n' {
			return errBareCR
		}
		b.state = bodyDone
	}
	return nil
}

func (b *Body) sizeByte(c byte) error {
	switch {
	case is(c, hexByte) && b.digits < maxChunkDigits && b.left <= math.MaxInt64>>4:
		b.digits++
		b.left = b.left<<4 | hexValue(c)
	case is(c, hexByte) || b.digits == 0:
		return errChunkSize
	case c == '\r':
		b.state = atSizeLF
	case c == ';':
		b.state = atExtension
		return b.count(errChunkExtras)
	case isSpace(c): // to be read past: RFC 9112 §7.1.1
		b.state = inSizeSpace
		return b.count(errChunkExtras)
	case c == '\n':
		return errBareLF
	default:
		return errChunkLine
	}
	return nil
}

// extensionByte judges a byte of a chunk extension that is not the CR behind it.
// What an extension says is of no interest, but where its quoted strings end
// is: one that is open at the end of the line would have some look for its end
// on the next.
func (b *Body) extensionByte(c byte) error {
	switch {
	case !is(c, valueByte):
		return chunkLineError(c)
	case b.state == inQuotedPair, b.state == inExtension && c == '"':
		b.state = inQuoted
	case b.state == inQuoted && c == '\\':
		b.state = inQuotedPair
	case b.state == inQuoted && c == '"':
		b.state = inExtension
	}
	return b.count(errChunkExtras)
}

// count counts one byte of a chunk extension or a trailer field and returns
// excess when there are too many.
func (b *Body) count(excess *Error) error {
	if b.extras == maxChunkExtras {
		return excess
	}
	b.extras++
	return nil
}

// chunkLineError says why c cannot be in a chunk extension or a trailer value.
func chunkLineError(c byte) *Error {
	if c == '\n' {
		return errBareLF
	}
	return errChunkControl
}

// hexValue returns the value of a hexadecimal digit.
func hexValue(c byte) uint64 {
	if c <= '9' {
		return uint64(c - '0')
	}
	return uint64(toLower(c)-'a') + 10
}
