package bus

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The subjects without the name that each ends in.
const (
	itemPrefix  = "marquee.item."
	nodePrefix  = "marquee.node."
	byePrefix   = "marquee.bye."
	pingPrefix  = "marquee.ping."
	setupPrefix = "marquee.setup."
	statsPrefix = "marquee.stats."
)

// anyName in place of a name subscribes to all names.
const anyName = "*"

// maxNameLen is the longest name, in bytes. It is that of GRIP channels.
// Three times as much and a prefix must fit a NATS control line of 4096 bytes,
// beside a reply subject: a server ends the connection that sends a longer one.
const maxNameLen = 1024

// checkName returns an error when name, which is a what, is too long for a
// subject.
func checkName(what, name string) error {
	if len(name) > maxNameLen {
		return fmt.Errorf("%s name of %d bytes is longer than %d", what, len(name), maxNameLen)
	}
	return nil
}

const upperHex = "0123456789ABCDEF"

// isPlain reports whether c stands for itself in a token.
func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// token returns name as one token of a subject.
func token(name string) string {
	if name == "" {
		return "%"
	}
	var t strings.Builder
	t.Grow(len(name))
	for i := range len(name) {
		if c := name[i]; isPlain(c) {
			t.WriteByte(c)
		} else {
			t.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return t.String()
}

var errToken = errors.New("not a name as it appears in subjects")

// nameOf is the inverse of token. It refuses what token does not return.
func nameOf(t string) (string, error) {
	if t == "%" {
		return "", nil
	}
	name := make([]byte, 0, len(t))
	for i := 0; i < len(t); i++ {
		if t[i] == '%' && i+2 < len(t) {
			c, err := hex.DecodeString(t[i+1 : i+3])
			if err != nil {
				return "", errToken
			}
			name = append(name, c...)
			i += 2
		} else {
			name = append(name, t[i])
		}
	}
	// One name, one token: lower-case digits and needless escapes are others.
	if token(string(name)) != t {
		return "", errToken
	}
	return string(name), nil
}
