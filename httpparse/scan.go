package httpparse

// Scan is how far the head at the front of a connection's inbound bytes has
// been judged. A connection keeps one; the zero value is ready for its first
// request. Parse keeps it up to date and returns it to zero when a head is
// complete. After an *Error it is of no further use.
type Scan struct {
	pos       uint32 // inbound bytes judged so far
	fields    uint32 // field lines begun so far
	emptyLine uint8  // bytes of empty lines before the request line
	version   uint8  // bytes of the version matched so far
	state     scanState
}

// scanState names what the byte at Scan.pos may be, in the order of a head.
type scanState uint8

const (
	atStart     scanState = iota // a method, or the CR of an empty line
	atEmptyLF                    // the LF of an empty line before the request line
	inMethod                     // the method or the space behind it
	atTarget                     // the first byte of the target
	inTarget                     // the target or the space behind it
	inVersion                    // the version or the CR behind it
	atRequestLF                  // the LF of the request line
	atLine                       // a field line, or the CR of the empty line that ends the head
	inName                       // a field name or the colon behind it
	inValue                      // a field value or the CR behind it
	atValueLF                    // the LF of a field line
	atEndLF                      // the LF that ends the head
)

// advance judges the bytes of in that are new since the last call and returns
// the length of the head when it is complete, ErrNeedMore when it is not. What
// it returns for some bytes does not depend on how many calls they came in:
// each limit is a position at which the bytes in front of it must have ended
// the line or the head, and nothing behind it is looked at.
func (s *Scan) advance(in []byte, l *Limits, over *overruns) (int, error) {
	in = in[:min(len(in), l.Head)]
	if s.state <= atEmptyLF {
		if err := s.emptyLines(in); err != nil {
			return 0, err
		}
	}
	if s.state <= atRequestLF {
		limit := int(s.emptyLine) + l.RequestLine
		line := in[:min(len(in), limit)]
		if err := s.requestLine(line); err != nil {
			return 0, err
		}
		if s.state <= atRequestLF && len(line) == limit {
			return 0, over.requestLine
		}
	}
	if s.state >= atLine {
		end, err := s.fieldLines(in, uint32(l.Fields), over)
		if end > 0 || err != nil {
			return end, err
		}
	}
	if len(in) == l.Head {
		return 0, over.head
	}
	return 0, ErrNeedMore
}

// emptyLines steps over the empty lines that may precede a request (RFC 9112
// §2.2).
func (s *Scan) emptyLines(in []byte) error {
	for ; int(s.pos) < len(in); s.pos++ {
		c := in[s.pos]
		switch {
		case s.state == atEmptyLF && c != '\n':
			return errBareCR
		case s.state == atEmptyLF:
			s.emptyLine += 2
			s.state = atStart
		case c == '\r' && s.emptyLine < 2*maxEmptyLines:
			s.state = atEmptyLF
		case c == '\n':
			return errBareLF
		case !is(c, tokenByte):
			return errMethod
		default:
			s.state = inMethod
			return nil
		}
	}
	return nil
}

// requestLine judges a request line (RFC 9112 §3):
//
//	method SP request-target SP HTTP-version CRLF
func (s *Scan) requestLine(in []byte) error {
	i, state := int(s.pos), s.state
	for i < len(in) {
		switch state {
		case inMethod:
			for i < len(in) && is(in[i], tokenByte) {
				i++
			}
			if i < len(in) {
				if in[i] != ' ' {
					return requestLineError(in[i], errMethod)
				}
				i++
				state = atTarget
			}
		case atTarget:
			if !is(in[i], targetByte) {
				return requestLineError(in[i], errRequestLine)
			}
			state = inTarget
		case inTarget:
			for i < len(in) && is(in[i], targetByte) {
				i++
			}
			if i < len(in) {
				if in[i] != ' ' {
					return requestLineError(in[i], errRequestLine)
				}
				i++
				state = inVersion
			}
		case inVersion:
			const form, usual = "HTTP/d.d\r", "HTTP/1.1\r"
			if s.version == 0 && len(in)-i >= len(usual) && string(in[i:i+len(usual)]) == usual {
				i += len(usual)
				state = atRequestLF
				break
			}
			c, want := in[i], form[s.version]
			if c != want && (want != 'd' || c < '0' || c > '9') {
				return requestLineError(c, errVersionText)
			}
			if c == '\r' {
				if v := string(in[i-len("1.1") : i]); v != "1.1" && v != "1.0" {
					return errVersion
				}
				state = atRequestLF
			}
			s.version++
			i++
		case atRequestLF:
			if in[i] != '\n' {
				return errBareCR
			}
			s.pos, s.state = uint32(i+1), atLine
			return nil
		}
	}
	s.pos, s.state = uint32(i), state
	return nil
}

// requestLineError names what is wrong with c where otherwise is the general
// complaint.
func requestLineError(c byte, otherwise *Error) *Error {
	switch c {
	case '\n':
		return errBareLF
	case '\r', ' ', '\t':
		return errRequestLine
	}
	return otherwise
}

// fieldLines judges the field lines (RFC 9112 §5) up to the empty line that
// ends the head:
//
//	*( field-name ":" OWS field-value OWS CRLF ) CRLF
//
// It returns the length of the head, 0 when in ends before it.
func (s *Scan) fieldLines(in []byte, limit uint32, over *overruns) (int, error) {
	i, state, fields := int(s.pos), s.state, s.fields
	for i < len(in) {
		switch state {
		case atLine:
			if in[i] == '\r' {
				i++
				state = atEndLF
				break
			}
			if fields == limit {
				return 0, over.fields
			}
			if !is(in[i], tokenByte) {
				return 0, nameError(in[i])
			}
			fields++
			state = inName
		case inName:
			for i < len(in) && is(in[i], tokenByte) {
				i++
			}
			if i < len(in) {
				if in[i] != ':' {
					return 0, errName
				}
				i++
				state = inValue
			}
		case inValue:
			for i < len(in) && is(in[i], valueByte) {
				i++
			}
			if i < len(in) {
				if in[i] != '\r' {
					return 0, valueError(in[i])
				}
				i++
				state = atValueLF
			}
		case atValueLF:
			if in[i] != '\n' {
				return 0, errBareCR
			}
			i++
			state = atLine
		case atEndLF:
			if in[i] != '\n' {
				return 0, errBareCR
			}
			s.fields = fields
			return i + 1, nil
		}
	}
	s.pos, s.state, s.fields = uint32(i), state, fields
	return 0, nil
}

// nameError says why c cannot begin a field line.
func nameError(c byte) *Error {
	switch c {
	case '\n':
		return errBareLF
	case ' ', '\t':
		return errFold
	}
	return errName
}

// valueError says why c cannot be in a field value.
func valueError(c byte) *Error {
	if c == '\n' {
		return errBareLF
	}
	return errControl
}
