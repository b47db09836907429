package grip

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// maxTnetstringDepth is how deep lists and dictionaries may nest. An item
// needs five levels; the rest is for the values of a body-patch.
const maxTnetstringDepth = 100

// errTnetstring says that bytes are no tnetstring.
var errTnetstring = errors.New("not a valid tnetstring")

// Dict is a dictionary of a tnetstring, in the order written.
type Dict []Entry

// Entry is a key of a Dict with its value.
type Entry struct {
	Key   string
	Value any
}

// Get returns the value of a key, nil when there is none. Of repeated keys the
// last one counts.
func (d Dict) Get(key string) any {
	for i := len(d) - 1; i >= 0; i-- {
		if d[i].Key == key {
			return d[i].Value
		}
	}
	return nil
}

// ParseTnetstring reads one tnetstring (GRIP §5.3), which must be all of data.
// The value is a string of any bytes, an int64, a finite float64, a bool, nil,
// an []any or a Dict of such values. It shares no memory with data.
//
// Reading costs memory in proportion to data, at most 40 bytes for each, so
// whoever bounds data bounds both.
func ParseTnetstring(data []byte) (any, error) {
	v, rest, err := cutTnetstring(data, maxTnetstringDepth)
	if err == nil && len(rest) > 0 {
		err = errTnetstring
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// AppendTnetstring appends to dst the tnetstring of v, which is made of the
// types that ParseTnetstring returns and ints.
func AppendTnetstring(dst []byte, v any) []byte {
	kind := byte(',')
	var text []byte
	switch v := v.(type) {
	case nil:
		return append(dst, "0:~"...)
	case string:
		dst = append(strconv.AppendInt(dst, int64(len(v)), 10), ':')
		return append(append(dst, v...), kind)
	case int:
		kind, text = '#', strconv.AppendInt(nil, int64(v), 10)
	case int64:
		kind, text = '#', strconv.AppendInt(nil, v, 10)
	case float64:
		kind, text = '^', strconv.AppendFloat(nil, v, 'g', -1, 64)
	case bool:
		kind, text = '!', strconv.AppendBool(nil, v)
	case []any:
		kind = ']'
		for _, element := range v {
			text = AppendTnetstring(text, element)
		}
	case Dict:
		kind = '}'
		for _, e := range v {
			text = AppendTnetstring(AppendTnetstring(text, e.Key), e.Value)
		}
	default:
		panic(fmt.Sprintf("grip: a %T cannot be written as a tnetstring", v))
	}
	dst = append(strconv.AppendInt(dst, int64(len(text)), 10), ':')
	return append(append(dst, text...), kind)
}

// cutTnetstring reads the tnetstring that data begins with. Depth is how many
// more levels may follow.
func cutTnetstring(data []byte, depth int) (v any, rest []byte, err error) {
	n, rest, ok := cutLength(data)
	if !ok || n >= len(rest) {
		return nil, nil, errTnetstring
	}
	text, kind, rest := rest[:n], rest[n], rest[n+1:]
	switch kind {
	case ',':
		return string(text), rest, nil
	case '#':
		v, ok = parseTnetInt(text)
	case '^':
		v, ok = parseTnetFloat(text)
	case '!':
		v, ok = string(text) == "true", string(text) == "true" || string(text) == "false"
	case '~':
		v, ok = nil, len(text) == 0
	case ']', '}':
		if depth == 0 {
			return nil, nil, fmt.Errorf("tnetstring is nested more than %d deep", maxTnetstringDepth)
		}
		if kind == ']' {
			v, err = parseTnetList(text, depth-1)
		} else {
			v, err = parseTnetDict(text, depth-1)
		}
		return v, rest, err
	default:
		ok = false
	}
	if !ok {
		return nil, nil, errTnetstring
	}
	return v, rest, nil
}

// cutLength reads the decimal length and the colon that a tnetstring begins
// with. Nine digits are more than any message has.
func cutLength(data []byte) (n int, rest []byte, ok bool) {
	for i, c := range data[:min(len(data), 10)] {
		switch {
		case '0' <= c && c <= '9' && (i == 0 || n > 0):
			n = 10*n + int(c-'0')
		case c == ':' && i > 0:
			return n, data[i+1:], true
		default:
			return 0, nil, false
		}
	}
	return 0, nil, false
}

func parseTnetInt(text []byte) (int64, bool) {
	i, err := strconv.ParseInt(string(text), 10, 64)
	return i, err == nil && text[0] != '+'
}

// parseTnetFloat reads a decimal number. What else strconv reads, hexadecimal
// and names, has letters other than e in it.
func parseTnetFloat(text []byte) (float64, bool) {
	if len(bytes.Trim(text, "+-.0123456789eE")) > 0 {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

func parseTnetList(text []byte, depth int) ([]any, error) {
	list := []any{}
	for len(text) > 0 {
		v, rest, err := cutTnetstring(text, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		text = rest
	}
	return list, nil
}

func parseTnetDict(text []byte, depth int) (Dict, error) {
	d := Dict{}
	for len(text) > 0 {
		v, rest, err := cutTnetstring(text, depth)
		if err != nil {
			return nil, err
		}
		key, ok := v.(string)
		if !ok {
			return nil, errTnetstring
		}
		if v, rest, err = cutTnetstring(rest, depth); err != nil {
			return nil, err
		}
		d = append(d, Entry{key, v})
		text = rest
	}
	return d, nil
}
