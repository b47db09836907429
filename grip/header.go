package grip

import (
	"fmt"
	"strings"
)

// Field is one header field line: a name and its value, without surrounding
// white space.
type Field struct{ Name, Value string }

// Header is a list of header fields in the order in which they were written.
// Names compare without regard to case (RFC 9110 §5.1). The zero value is an
// empty header.
type Header []Field

// Get returns the first value of name, "" when there is none.
func (h Header) Get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Has reports whether the header has a field of that name.
func (h Header) Has(name string) bool {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// Values returns every value of name in order, nil when there is none.
func (h Header) Values(name string) []string {
	var vs []string
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			vs = append(vs, f.Value)
		}
	}
	return vs
}

// Without returns a copy of h that lacks every field for which drop reports
// true.
func (h Header) Without(drop func(name string) bool) Header {
	out := make(Header, 0, len(h))
	for _, f := range h {
		if !drop(f.Name) {
			out = append(out, f)
		}
	}
	return out
}

// check returns an error for the first field that cannot be written as one
// field line: written as it is, it would end the line early and begin another
// field, or another message (RFC 9110 §5.5).
func (h Header) check() error {
	for _, f := range h {
		if !IsToken(f.Name) {
			return fmt.Errorf("header name %q is not a token", f.Name)
		}
		if breaksLine(f.Value) {
			return fmt.Errorf("header '%s' contains CR, LF or NUL", f.Name)
		}
	}
	return nil
}

// endToEnd returns a copy of h without the fields that concern one connection
// only (RFC 9110 §7.6.1), and without Content-Length, which belongs to whoever
// writes the message.
func (h Header) endToEnd() Header {
	var nominated []string
	for _, v := range h.Values("Connection") {
		for option := range strings.SplitSeq(v, ",") {
			nominated = append(nominated, strings.ToLower(trim(option)))
		}
	}
	return h.Without(func(name string) bool {
		name = strings.ToLower(name)
		switch name {
		case "connection", "keep-alive", "proxy-connection", "te", "trailer",
			"transfer-encoding", "upgrade", "proxy-authenticate",
			"proxy-authorization", "content-length":
			return true
		}
		for _, n := range nominated {
			if n == name {
				return true
			}
		}
		return false
	})
}

// isGrip reports whether name begins with "Grip-".
func isGrip(name string) bool {
	const prefix = "Grip-"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// IsToken reports whether s is a token, as methods and field names are (RFC 9110
// §5.6.2).
func IsToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// breaksLine reports whether s has a byte that ends a line, or that a
// recipient may take for the end of one.
func breaksLine(s string) bool { return strings.ContainsAny(s, "\r\n\x00") }

// trim removes the white space that HTTP allows around a value (RFC 9110
// §5.6.3).
func trim(s string) string { return strings.Trim(s, " \t") }
