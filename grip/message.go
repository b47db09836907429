package grip

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// ParseMessage reads a message of a ZeroMQ publisher (GRIP §5.3): one item, in
// JSON after the byte J, or as a tnetstring, which may have a T before it.
// When channel is not empty it is the item's, whatever the item says. The error
// is a *PublishError.
func ParseMessage(message []byte, channel string) (Item, error) {
	if len(message) > 0 && message[0] == 'J' {
		raw, ok := parseJSON(message[1:])
		if !ok {
			return Item{}, &PublishError{-1, "Message is not valid JSON."}
		}
		if !utf8.ValidString(channel) {
			return Item{}, &PublishError{-1, "Message is for a channel whose name is not UTF-8."}
		}
		if o, ok := as[object](raw); ok && channel != "" {
			o["channel"] = appendJSONString(nil, channel)
			raw, _ = json.Marshal(o) // cannot fail: the members are valid JSON
		}
		return parseLoneItem(raw)
	}
	if len(message) > 0 && message[0] == 'T' {
		message = message[1:]
	}
	v, err := ParseTnetstring(message)
	if err != nil {
		return Item{}, &PublishError{-1, "Message is " + oneLine(err.Error()) + "."}
	}
	if d, ok := v.(Dict); ok && channel != "" {
		v = append(d, Entry{"channel", channel})
	}
	raw, err := appendItemJSON(nil, v)
	if err != nil {
		return Item{}, &PublishError{-1, "Invalid format: " + oneLine(err.Error())}
	}
	return parseLoneItem(raw)
}

// ParseItemsDict reads a publish that is the arguments of a command, as
// ParseItems reads it when it is the body of a request.
func ParseItemsDict(args Dict) ([]Item, error) {
	body := []byte{'{'}
	if v := args.Get("items"); v != nil {
		body = append(body, `"items":`...)
		list, ok := v.([]any)
		if !ok {
			body = append(body, '0') // any other type than a list
		} else {
			body = append(body, '[')
			for i, v := range list {
				var err error
				if body, err = appendItemJSON(appendComma(body, i), v); err != nil {
					return nil, refusedItem(i, len(list), err)
				}
			}
			body = append(body, ']')
		}
	}
	return ParseItems(append(body, '}'))
}

func parseLoneItem(raw json.RawMessage) (Item, error) {
	it, err := parseItem(raw)
	if err != nil {
		return Item{}, &PublishError{-1, "Invalid format: " + oneLine(err.Error())}
	}
	return it, nil
}

// rawMembers are the members of the formats that hold bytes in a tnetstring,
// and that JSON has a second name for, ending in -bin, when they are not text.
var rawMembers = map[string]string{"http-response": "body", "http-stream": "content", "ws-message": "content"}

// appendItemJSON appends an item that was a tnetstring as JSON, so that there
// is one reader of items.
func appendItemJSON(dst []byte, v any) ([]byte, error) {
	item, ok := v.(Dict)
	if !ok {
		return append(dst, "null"...), nil // refused like any other type
	}
	dst = append(dst, '{')
	var err error
	for i, e := range item {
		if dst, err = appendJSONKey(appendComma(dst, i), e.Key); err != nil {
			return nil, fmt.Errorf("%s %w", itemOwner, err)
		}
		formats, ok := e.Value.(Dict)
		switch {
		case ok && e.Key == "formats":
			dst, err = appendFormatsJSON(dst, formats)
		case rawMembers[e.Key] != "":
			dst, err = appendFormatJSON(dst, e.Key, e.Value)
		default:
			dst, err = appendJSON(dst, e.Value)
		}
		if err != nil {
			return nil, fmt.Errorf("'%s' of %s %w", e.Key, itemOwner, err)
		}
	}
	return append(dst, '}'), nil
}

func appendFormatsJSON(dst []byte, formats Dict) ([]byte, error) {
	dst = append(dst, '{')
	var err error
	for i, e := range formats {
		if dst, err = appendJSONKey(appendComma(dst, i), e.Key); err != nil {
			return nil, err
		}
		if dst, err = appendFormatJSON(dst, e.Key, e.Value); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// appendFormatJSON appends one format. Its bytes become base64 when they are
// not text. Of the members that have -bin for that in JSON, tnetstrings know
// only content-bin in a ws-message, where it says that the message is binary.
func appendFormatJSON(dst []byte, name string, v any) ([]byte, error) {
	format, ok := v.(Dict)
	member := rawMembers[name]
	if !ok || member == "" {
		return appendJSON(dst, v)
	}
	dst = append(dst, '{')
	first := len(dst)
	var err error
	for _, e := range format {
		content, isText := e.Value.(string)
		key := e.Key
		if key == member+"-bin" {
			if name != "ws-message" {
				continue
			}
		} else if key == member && isText && !utf8.ValidString(content) {
			key = member + "-bin"
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		if dst, err = appendJSONKey(dst, key); err != nil {
			return nil, err
		}
		if isText && key == member+"-bin" {
			dst = append(dst, '"')
			dst = base64.StdEncoding.AppendEncode(dst, []byte(content))
			dst = append(dst, '"')
		} else if dst, err = appendJSON(dst, e.Value); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// errNotText ends a sentence that begins with what is not text.
var errNotText = errors.New("contains text that is not UTF-8")

// appendJSON appends a value that was a tnetstring as JSON.
func appendJSON(dst []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		if !utf8.ValidString(v) {
			return nil, errNotText
		}
		return appendJSONString(dst, v), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case float64:
		return strconv.AppendFloat(dst, v, 'g', -1, 64), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case []any:
		dst = append(dst, '[')
		for i, element := range v {
			if dst, err = appendJSON(appendComma(dst, i), element); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case Dict:
		dst = append(dst, '{')
		for i, e := range v {
			if dst, err = appendJSONKey(appendComma(dst, i), e.Key); err != nil {
				return nil, err
			}
			if dst, err = appendJSON(dst, e.Value); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	panic(fmt.Sprintf("grip: a %T cannot come from a tnetstring", v))
}

func appendJSONKey(dst []byte, key string) ([]byte, error) {
	if !utf8.ValidString(key) {
		return nil, errNotText
	}
	return append(appendJSONString(dst, key), ':'), nil
}

// appendJSONString appends a string that is UTF-8.
func appendJSONString(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // cannot fail
	return append(dst, quoted...)
}

// appendComma appends what goes before element i of a list.
func appendComma(dst []byte, i int) []byte {
	if i == 0 {
		return dst
	}
	return append(dst, ',')
}
