package httpparse

import "bytes"

// Field is one field line of a head: its name as received and its value
// without the white space around it.
type Field struct{ Name, Value []byte }

// Classes of bytes, one bit each in class.
const (
	tokenByte  = 1 << iota // tchar: RFC 9110 §5.6.2
	targetByte             // VCHAR: RFC 9112 §3.2 allows fewer, browsers send more
	valueByte              // HTAB, SP, VCHAR and obs-text: RFC 9110 §5.5
	hostByte               // reg-name: RFC 3986 §3.2.2, without percent-encoding
	hexByte                // HEXDIG: RFC 5234 §B.1, either case
)

var class = func() (t [256]uint8) {
	for c := range t {
		if c == '\t' || c >= ' ' && c != 0x7F {
			t[c] |= valueByte
		}
		if c > ' ' && c < 0x7F {
			t[c] |= targetByte
		}
	}
	mark := func(bits uint8, set string) {
		for _, c := range []byte(set) {
			t[c] |= bits
		}
	}
	const hexLetters, otherLetters = "abcdefABCDEF", "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ"
	mark(tokenByte|hostByte|hexByte, "0123456789"+hexLetters)
	mark(tokenByte|hostByte, otherLetters)
	mark(tokenByte, "!#$%&'*+-.^_`|~")
	mark(hostByte, "-._~!$&'()*+,;=")
	return t
}()

// is reports whether c belongs to one of the classes in bits.
func is(c byte, bits uint8) bool { return class[c]&bits != 0 }

// allAre reports whether every byte of b belongs to one of the classes in bits.
func allAre(b []byte, bits uint8) bool {
	for _, c := range b {
		if !is(c, bits) {
			return false
		}
	}
	return true
}

// equalFold reports whether b is the word lower, which is written in lower-case
// ASCII, in any case. Unlike bytes.EqualFold it folds ASCII only, so that no
// Kelvin sign passes for the k of chunked.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if toLower(c) != lower[i] {
			return false
		}
	}
	return true
}

// equalNames compares two field names, case-insensitively (RFC 9110 §5.1).
func equalNames(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if toLower(c) != toLower(b[i]) {
			return false
		}
	}
	return true
}

func toLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// nextElement cuts the first element off a comma-separated list (RFC 9110
// §5.6.1) and takes off its white space. It serves the lists whose elements
// cannot contain a quoted comma. Empty elements are legal and returned too.
func nextElement(list []byte) (element, rest []byte, more bool) {
	element, rest, more = bytes.Cut(list, comma)
	return trimSpace(element), rest, more
}

var comma = []byte(",")

// trimSpace takes the optional white space off both ends (OWS: RFC 9110
// §5.6.3).
func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }
