package grip

import "strings"

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
