package httpparse

import "bytes"

// judgeHost checks the Host field, of which there were count (RFC 9112 §3.2).
func (r *Request) judgeHost(count int) *Error {
	switch {
	case count > 1:
		return errManyHosts
	case count == 0 && r.Minor == 1:
		return errNoHost
	case count == 1 && !validHost(r.Host):
		return errHost
	}
	return nil
}

// validHost reports whether h is a host with an optional port (RFC 9110 §7.2).
// Stricter than the grammar of RFC 3986 §3.2.2:
//
//   - The host is not empty: an http URI with an empty one has to be refused
//     (RFC 9110 §4.2.1), and without a host there is nothing to route by.
//   - No percent-encoding: no host name contains any, and routing would have to
//     decode it.
//   - No IPvFuture and no zone: neither is anybody's public address.
//
// User information is refused with everything else that is no host (RFC 9110
// §4.2.4).
func validHost(h []byte) bool {
	var port []byte
	if len(h) > 0 && h[0] == '[' {
		end := bytes.IndexByte(h, ']')
		if end < 0 || !validIPv6(h[1:end]) {
			return false
		}
		port = h[end+1:]
	} else {
		end := 0
		for end < len(h) && is(h[end], hostByte) {
			end++
		}
		if end == 0 {
			return false
		}
		port = h[end:]
	}
	return len(port) == 0 || port[0] == ':' && validPort(port[1:])
}

// validPort reports whether p is a port number, which may be empty (RFC 3986
// §3.2.3).
func validPort(p []byte) bool {
	for _, c := range p {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// validIPv6 reports whether a is an IPv6 address (RFC 4291 §2.2). The standard
// library's parsers take strings, which would have to be allocated.
func validIPv6(a []byte) bool {
	groups, elided := 0, false
	if bytes.HasPrefix(a, elision) {
		a, elided = a[2:], true
	}
	for len(a) > 0 {
		digits := 0
		for digits < len(a) && is(a[digits], hexByte) {
			digits++
		}
		if digits < len(a) && a[digits] == '.' {
			if !validIPv4(a) {
				return false
			}
			groups += 2
			break
		}
		if digits < 1 || digits > 4 {
			return false
		}
		groups++
		a = a[digits:]
		switch {
		case len(a) == 0:
		case bytes.HasPrefix(a, elision) && !elided:
			a, elided = a[2:], true
		case a[0] == ':' && len(a) > 1:
			a = a[1:]
		default:
			return false
		}
	}
	if elided {
		return groups < 8
	}
	return groups == 8
}

var elision = []byte("::")

// validIPv4 reports whether a is an IPv4 address in dotted decimal form (RFC
// 3986 §3.2.2).
func validIPv4(a []byte) bool {
	for part := 1; ; part++ {
		number, rest, more := bytes.Cut(a, dot)
		if len(number) < 1 || len(number) > 3 || number[0] == '0' && len(number) > 1 {
			return false
		}
		n := 0
		for _, c := range number {
			if c < '0' || c > '9' {
				return false
			}
			n = 10*n + int(c-'0')
		}
		if n > 255 {
			return false
		}
		if part == 4 || !more {
			return part == 4 && !more
		}
		a = rest
	}
}

var dot = []byte(".")
