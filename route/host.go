package route

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is the longest host name, in bytes (RFC 1035 §2.3.4).
const maxHost = 255

// anyHost is the host of a condition that fits every request.
const anyHost = "*"

// parseConditionHost returns the host of a condition in the form in which hosts
// are compared: in lower case, an IPv6 address without brackets.
func parseConditionHost(text string) (string, error) {
	if text == anyHost {
		return text, nil
	}
	if strings.Contains(text, "*") {
		return "", errors.New("the host " + clip(text) + " has a wildcard: only * alone means any host")
	}
	host := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if isIPv6(host) || isName(text) {
		return host, nil
	}
	if name, _, err := splitHost(text); err == nil && name != "" {
		return "", errors.New("the host " + clip(text) + " has a port: the port that the client asked for is not compared")
	}
	return "", errors.New(clip(text) + " is no host")
}

// checkHost refuses what cannot be a Host field: a host with or without a port
// (RFC 9110 §7.2).
func checkHost(text string) error {
	if _, _, err := splitHost(text); err != nil {
		return errors.New("it takes a host, or host:port, not " + clip(text))
	}
	return nil
}

// splitHost returns host and port of host:port, [v6]:port, or either without a
// port, which is then empty. An IPv6 address is without its brackets.
func splitHost(text string) (host, port string, err error) {
	bad := errors.New("no host")
	var more string
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 || !isIPv6(text[1:end]) {
			return "", "", bad
		}
		host, more = text[1:end], text[end+1:]
	} else {
		end := strings.IndexByte(text, ':')
		if end < 0 {
			end = len(text)
		}
		if !isName(text[:end]) {
			return "", "", bad
		}
		host, more = text[:end], text[end:]
	}
	if more == "" {
		return host, "", nil
	}
	if port = more[1:]; more[0] != ':' || !isPort(port) {
		return "", "", bad
	}
	return host, port, nil
}

// isName reports whether s is a host name or an IPv4 address.
func isName(s string) bool {
	if s == "" || len(s) > maxHost {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// isIPv6 reports whether s is an IPv6 address without a zone.
func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && a.Zone() == ""
}

// isPort reports whether s is a port that can be connected to.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '+'
}

// appendHost appends the host of a Host field to dst as hosts are compared:
// without port and brackets, in lower case. It reports false for one that is
// longer than any condition's.
func appendHost[T string | []byte](dst []byte, field T) ([]byte, bool) {
	start, end := 0, len(field)
	if end > 0 && field[0] == '[' {
		start = 1
		for i := range end {
			if field[i] == ']' {
				end = i
				break
			}
		}
	} else {
		for i := range end {
			if field[i] == ':' {
				end = i
				break
			}
		}
	}
	if end-start > maxHost {
		return dst, false
	}
	for i := start; i < end; i++ {
		c := field[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst, true
}
