package grip

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// maxRewritten is how long content may become by Rewrite, in bytes: two
// characters can stand for a long text. It is as much as one publish may have.
const maxRewritten = 1_000_000

var errRewritten = fmt.Errorf("more than %d bytes after the replacements", maxRewritten)

// Rewrite applies the filters build-id and var-subst to content, in the order
// in which they are in filters, and returns the result. That is content itself,
// and nothing is allocated, when there is no "%" in it. sub is the meta of the
// subscription; channels are those of the hold, with the prev-ids that they
// have when the client has got the content. After an error the content must not
// be sent to this hold.
func Rewrite(filters []string, sub Meta, channels []Channel, content []byte) ([]byte, error) {
	for _, filter := range filters {
		var err error
		switch filter {
		case FilterBuildID:
			content, err = buildID(sub, channels, content)
		case FilterVarSubst:
			content, err = substitute(sub, content)
		}
		if err != nil {
			return nil, fmt.Errorf("filter %s: %w", filter, err)
		}
	}
	return content, nil
}

// buildID replaces %I in content by the id that the subscription's "id_format"
// makes of the channels' prev-ids, and %(text)I by the text, both in the
// subscription's "id_encoding".
func buildID(sub Meta, channels []Channel, content []byte) ([]byte, error) {
	format, ok := sub.get("id_format")
	if !ok {
		return nil, errors.New("no sub meta 'id_format'")
	}
	encoding, encoded := sub.get("id_encoding")
	if encoded && encoding != "hex" {
		return nil, fmt.Errorf("unsupported encoding: %q", encoding)
	}
	if bytes.IndexByte(content, '%') < 0 {
		return content, nil
	}
	id, err := expand([]byte(format), 's', func(name []byte) ([]byte, error) {
		for _, c := range channels {
			if c.PrevID != "" && c.Name == string(name) {
				return []byte(c.PrevID), nil
			}
		}
		return nil, errNoVariable(name)
	})
	if err != nil {
		return nil, fmt.Errorf("make id: %w", err)
	}
	return expand(content, 'I', func(text []byte) ([]byte, error) {
		if text == nil {
			text = id
		}
		if encoded {
			return hex.AppendEncode(nil, text), nil
		}
		return text, nil
	})
}

// substitute replaces %(name)s in content by the subscription's meta of that
// name.
func substitute(sub Meta, content []byte) ([]byte, error) {
	if bytes.IndexByte(content, '%') < 0 {
		return content, nil
	}
	return expand(content, 's', func(name []byte) ([]byte, error) {
		text, ok := sub.get(string(name))
		if !ok {
			return nil, errNoVariable(name)
		}
		return []byte(text), nil
	})
}

func errNoVariable(name []byte) error {
	if name == nil {
		return errors.New("directive 's' requires argument")
	}
	return fmt.Errorf("no such variable %q", name)
}

// expand returns format with every directive replaced: "%%" by "%", and "%d" or
// "%(arg)d", where d is the directive, by what replace makes of arg. A backslash
// in arg stands before a byte that is to be taken as it is. The arg of "%d" is
// nil, no other is.
func expand(format []byte, directive byte, replace func(arg []byte) ([]byte, error)) ([]byte, error) {
	out := make([]byte, 0, len(format)+64)
	for rest := format; ; {
		i := bytes.IndexByte(rest, '%')
		if i < 0 {
			i = len(rest)
		}
		if len(out)+i > maxRewritten {
			return nil, errRewritten
		}
		out = append(out, rest[:i]...)
		if rest = rest[i:]; len(rest) == 0 {
			return out, nil
		}
		position := len(format) - len(rest)
		rest = rest[1:]
		var arg []byte
		if len(rest) > 0 && rest[0] == '(' {
			var ok bool
			if arg, rest, ok = cutArgument(rest[1:]); !ok {
				return nil, fmt.Errorf("unterminated argument at position %d", position)
			}
		}
		switch {
		case len(rest) == 0:
			return nil, fmt.Errorf("no directive at position %d", position)
		case rest[0] == '%' && arg == nil:
			out = append(out, '%')
		case rest[0] == directive:
			text, err := replace(arg)
			if err != nil {
				return nil, fmt.Errorf("%w at position %d", err, position)
			}
			out = append(out, text...)
		default:
			return nil, fmt.Errorf("unknown directive %q at position %d", rest[0], position)
		}
		rest = rest[1:]
	}
}

// cutArgument cuts s after the first ")" without a backslash before it. arg has
// no backslashes left but those that were written twice; it is not nil.
func cutArgument(s []byte) (arg, rest []byte, ok bool) {
	arg = make([]byte, 0, 16)
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ')':
			return arg, s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return nil, nil, false
			}
		}
		arg = append(arg, s[i])
	}
	return nil, nil, false
}
