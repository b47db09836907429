package grip

import (
	"errors"
	"strings"
)

var errUnterminated = errors.New("quoted string has no end")

// listElement is one element of a comma-separated header value:
//
//	value; key=text; key="quoted \" text"
//
// The value stands as it was written, even when it has quotes. The parameters
// are in order; a parameter without "=" is empty.
type listElement struct {
	value  string
	params Header
}

// parseList returns the elements of all the field lines of one name. Several
// elements on a line and several lines mean the same, and empty elements mean
// nothing (RFC 9110 §5.3, §5.6.1).
func parseList(lines []string) ([]listElement, error) {
	var list []listElement
	for _, line := range lines {
		for line != "" {
			text, rest, err := cutUnquoted(line, ',')
			if err != nil {
				return nil, err
			}
			line = rest
			if trim(text) == "" {
				continue
			}
			e, err := parseListElement(text)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
	}
	return list, nil
}

func parseListElement(s string) (listElement, error) {
	value, rest, err := cutUnquoted(s, ';')
	if err != nil {
		return listElement{}, err
	}
	e := listElement{value: trim(value)}
	for rest != "" {
		var param string
		if param, rest, err = cutUnquoted(rest, ';'); err != nil {
			return listElement{}, err
		}
		key, text, _ := strings.Cut(param, "=")
		if text, err = unquote(trim(text)); err != nil {
			return listElement{}, err
		}
		if key = trim(key); key != "" {
			e.params = append(e.params, Field{key, text})
		}
	}
	return e, nil
}

// cutUnquoted cuts s around the first sep that is in no quoted string. Without
// one, all of s is before.
func cutUnquoted(s string, sep byte) (before, after string, err error) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && c == sep:
			return s[:i], s[i+1:], nil
		}
	}
	if quoted {
		return "", "", errUnterminated
	}
	return s, "", nil
}

// unquote returns what the quoted string s means (RFC 9110 §5.6.4), and any
// other s as it is.
func unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	var text strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"' && i == len(s)-1:
			return text.String(), nil
		case s[i] == '"':
			return "", errors.New("text after a quoted string")
		case s[i] == '\\':
			if i++; i == len(s) {
				return "", errUnterminated
			}
		}
		text.WriteByte(s[i])
	}
	return "", errUnterminated
}

// quote returns s as the text of a parameter, in quotes only when it needs
// them.
func quote(s string) string {
	if !strings.ContainsAny(s, "\",; \t") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
