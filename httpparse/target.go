package httpparse

import "bytes"

var (
	slash    = []byte("/")
	asterisk = []byte("*")
)

// judgeTarget reads the request target in the form that the method allows (RFC
// 9112 §3.2). It overrides r.Host when the target names one.
func (r *Request) judgeTarget(target []byte, scratch *[]byte) *Error {
	options := string(r.Method) == "OPTIONS"
	switch {
	case string(r.Method) == "CONNECT":
		// This is a gateway; it opens no tunnels. A method that is not
		// implemented for any resource is 501 (RFC 9110 §9.1).
		return errConnect
	case target[0] == '/':
		r.Target = target
	case len(target) == 1 && target[0] == '*' && options:
		r.Target = target
	default:
		authority, rest, ok := cutAuthority(target)
		if !ok {
			return errTarget
		}
		if !validHost(authority) {
			return errHost
		}
		r.Host = authority
		switch {
		case len(rest) > 0 && rest[0] == '/':
			r.Target = rest
		case len(rest) > 0: // a query without a path
			*scratch = append(append((*scratch)[:0], '/'), rest...)
			r.Target = *scratch
		case options:
			r.Target = asterisk
		default:
			r.Target = slash
		}
	}
	// Of the bytes that a URI may not contain, the others are sent by browsers
	// and mean nothing; this one ends the target for some parsers only.
	if bytes.IndexByte(r.Target, '#') >= 0 {
		return errFragment
	}
	path, _, _ := bytes.Cut(r.Target, question)
	if !validEscapes(path) {
		return errEscape
	}
	return nil
}

var question = []byte("?")

// cutAuthority takes an absolute-form target (RFC 9112 §3.2.2) of the http or
// https scheme apart: its authority, and the path and query behind it.
func cutAuthority(target []byte) (authority, rest []byte, ok bool) {
	scheme, rest, ok := bytes.Cut(target, schemeEnd)
	if !ok || !equalFold(scheme, "http") && !equalFold(scheme, "https") {
		return nil, nil, false
	}
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return rest[:end], rest[end:], true
}

var schemeEnd = []byte("://")

// validEscapes reports whether every percent sign begins an escape (RFC 3986
// §2.1). Queries are not held to it: "100%" is common there and harmless.
func validEscapes(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if len(path) < i+3 || !allAre(path[i+1:i+3], hexByte) {
			return false
		}
		path = path[i+3:]
	}
}
