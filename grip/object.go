package grip

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// object is a JSON object with its members still undecoded. It is used instead
// of decoding into structs because those match keys without regard to case,
// and because GRIP's answers say which member is wrong and how. Of repeated
// keys the last one counts; unknown ones are never looked at.
type object map[string]json.RawMessage

// parseJSON returns the JSON text in body. Text that is not UTF-8 is not JSON
// (RFC 8259 §8.1), and decoding it would quietly change it.
func parseJSON(body []byte) (json.RawMessage, bool) {
	return body, utf8.Valid(body) && json.Valid(body)
}

// as decodes raw; ok is false when raw is null or of another type.
func as[T any](raw json.RawMessage) (v T, ok bool) {
	var p *T // null leaves it nil
	if err := json.Unmarshal(raw, &p); err != nil || p == nil {
		return v, false
	}
	return *p, true
}

// asInt decodes an integer of at most 32 bits; a string of digits passes for
// one.
func asInt(raw json.RawMessage) (int, bool) {
	if s, ok := as[string](raw); ok {
		i, err := strconv.ParseInt(s, 10, 32)
		return int(i), err == nil
	}
	f, ok := as[float64](raw)
	if !ok || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		return 0, false
	}
	return int(f), true
}

// member decodes the member key of o; owner is how the error calls o. A member
// that is absent is the zero T.
func member[T any](o object, owner, key string) (T, error) {
	raw, ok := o[key]
	if !ok {
		var zero T
		return zero, nil
	}
	v, ok := as[T](raw)
	if !ok {
		return v, wrongType(owner, key)
	}
	return v, nil
}

// required is member for a member that must be there.
func required[T any](o object, owner, key string) (T, error) {
	if _, ok := o[key]; !ok {
		var zero T
		return zero, absent(owner, key)
	}
	return member[T](o, owner, key)
}

func absent(owner, key string) error {
	return fmt.Errorf("%s does not contain '%s'", owner, key)
}

func wrongType(owner, key string) error {
	return fmt.Errorf("%s contains '%s' with wrong type", owner, key)
}

func invalidValue(owner, key string) error {
	return fmt.Errorf("%s contains '%s' with invalid value", owner, key)
}

// response decodes the members that an http-response format and the response
// of an instruct have in common. An absent code is 200. An absent body is nil,
// a present one is not. The header is checked and holds end-to-end fields only.
func (o object) response(owner string) (Response, error) {
	r := Response{Code: 200}
	var err error
	if raw, ok := o["code"]; ok {
		if r.Code, ok = asInt(raw); !ok {
			return r, wrongType(owner, "code")
		}
		if !isFinal(r.Code) {
			return r, invalidValue(owner, "code")
		}
	}
	if r.Reason, err = member[string](o, owner, "reason"); err != nil {
		return r, err
	}
	if breaksLine(r.Reason) {
		return r, fmt.Errorf("%s contains 'reason' with CR, LF or NUL", owner)
	}
	if raw, ok := o["headers"]; ok {
		h, err := decodeHeader(raw, owner)
		if err != nil {
			return r, err
		}
		if err := h.check(); err != nil {
			return r, fmt.Errorf("%s: %w", owner, err)
		}
		r.Header = h.endToEnd()
	}
	r.Body, err = o.bytes(owner, "body")
	return r, err
}

// isFinal reports whether code can be the status of a final answer. GRIP knows
// 0 to 999, but HTTP/1.1 has no way to end an exchange with less than 200:
// 1xx announces another answer, and below 100 the code has no three digits
// (RFC 9110 §15). A client sent one of those would wait for ever.
func isFinal(code int) bool { return 200 <= code && code <= 999 }

// bytes decodes the member key-bin, in base64, or else key; nil when o has
// neither.
func (o object) bytes(owner, key string) ([]byte, error) {
	if _, ok := o[key+"-bin"]; ok {
		text, err := member[string](o, owner, key+"-bin")
		if err != nil {
			return nil, err
		}
		content, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, invalidValue(owner, key+"-bin")
		}
		return content, nil
	}
	if _, ok := o[key]; ok {
		text, err := member[string](o, owner, key)
		return []byte(text), err
	}
	return nil, nil
}

// count decodes the member key, which must be there, as an integer from 0 on.
func (o object) count(owner, key string) (int, error) {
	n, ok := asInt(o[key])
	if !ok {
		return 0, wrongType(owner, key)
	}
	if n < 0 {
		return 0, invalidValue(owner, key)
	}
	return n, nil
}

// decodeHeader decodes a header written as {"name": "value", ...} or as
// [["name", "value"], ...], in the order written.
func decodeHeader(raw json.RawMessage, owner string) (Header, error) {
	if pairs, ok := as[[]json.RawMessage](raw); ok {
		h := make(Header, len(pairs))
		for i, rawPair := range pairs {
			pair, ok := as[[]json.RawMessage](rawPair)
			if !ok {
				return nil, errHeaderElement
			}
			if len(pair) != 2 {
				return nil, errors.New("headers contains list with wrong number of elements")
			}
			name, okName := as[string](pair[0])
			value, okValue := as[string](pair[1])
			if !okName || !okValue {
				return nil, errHeaderElement
			}
			h[i] = Field{name, trim(value)}
		}
		return h, nil
	}
	members, ok := as[object](raw)
	if !ok {
		return nil, wrongType(owner, "headers")
	}
	h := make(Header, 0, len(members))
	for _, name := range keys(raw) {
		value, ok := as[string](members[name])
		if !ok {
			return nil, wrongType("headers", name)
		}
		h = append(h, Field{name, trim(value)})
	}
	return h, nil
}

var errHeaderElement = errors.New("headers contains element with wrong type")

// keys returns the keys of the JSON object raw, which must be valid, in the
// order in which they first appear.
func keys(raw json.RawMessage) []string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.Token() // the opening brace
	var names []string
	seen := make(map[string]bool)
	for dec.More() {
		key, _ := dec.Token()
		if name := key.(string); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
		var value json.RawMessage
		dec.Decode(&value)
	}
	return names
}
