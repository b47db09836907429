package grip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Item is one message published to one channel. It is immutable.
//
// Channel, ID and PrevID are any text of at most 1024 bytes.
type Item struct {
	Channel string
	// ID and PrevID name the states of the channel after and before the item.
	// Empty means that the publisher did not say.
	ID, PrevID string
	// NoSeq is true when the item must go out at once, whatever its PrevID.
	NoSeq bool
	// Meta is what the publisher says of the item, for filters.
	Meta Meta
	// The formats, of which the item has one at least; nil where it has not.
	// The code of an HTTPResponse from ParseItems is not zero.
	HTTPResponse *HTTPResponse
	HTTPStream   *HTTPStream
	WSMessage    *WSMessage
}

// PublishError says why a publish was refused. None of its items counts.
type PublishError struct {
	// Index is the item's place in the list, -1 when the error is not about
	// one item.
	Index int
	// Reason is the whole line for the publisher, without a newline.
	Reason string
}

func (e *PublishError) Error() string { return e.Reason }

// itemOwner and formatOwner are how errors call an item and its http-response.
const (
	itemOwner   = "publish item object"
	formatOwner = "'http-response'"
)

// oldFormats are the formats that an item may have beside its channel instead
// of under "formats", as items once were.
var oldFormats = []string{"http-response", "http-stream", "ws-message"}

// ParseItems reads the body of a publish, {"items": [...]}. Formats other than
// http-response are accepted unread: nobody here could receive them. What would
// change the delivery of an http-response in a way that this version does not
// carry out (hint, body-patch, content-filters) is refused. The error is a
// *PublishError.
func ParseItems(body []byte) ([]Item, error) {
	raw, ok := parseJSON(body)
	if !ok {
		return nil, &PublishError{-1, "Body is not valid JSON."}
	}
	o, ok := as[object](raw)
	if !ok {
		return nil, &PublishError{-1, "Invalid format."}
	}
	list, err := required[[]json.RawMessage](o, "object", "items")
	if err != nil {
		return nil, &PublishError{-1, "Invalid format: " + err.Error()}
	}
	items := make([]Item, len(list))
	for i, raw := range list {
		if items[i], err = parseItem(raw); err != nil {
			return nil, &PublishError{i, "Invalid format: " + err.Error()}
		}
	}
	return items, nil
}

func parseItem(raw json.RawMessage) (Item, error) {
	o, ok := as[object](raw)
	if !ok {
		return Item{}, errors.New("publish item is not an object")
	}
	if _, ok := o["channel"]; !ok {
		return Item{}, absent(itemOwner, "channel")
	}
	var it Item
	var err error
	if it.Channel, err = itemName(o, "channel"); err != nil {
		return it, err
	}
	if it.ID, err = itemName(o, "id"); err != nil {
		return it, err
	}
	if it.PrevID, err = itemName(o, "prev-id"); err != nil {
		return it, err
	}
	if it.NoSeq, err = member[bool](o, itemOwner, "no-seq"); err != nil {
		return it, err
	}
	byFormat, err := itemFormats(o)
	if err != nil {
		return it, err
	}
	if raw, ok := byFormat["http-response"]; ok {
		it.HTTPResponse, err = parseHTTPResponse(raw)
	}
	return it, err
}

// itemName decodes a channel name or an id.
func itemName(o object, key string) (string, error) {
	name, err := member[string](o, itemOwner, key)
	if err == nil && len(name) > maxNameLen {
		err = fmt.Errorf("%s contains '%s' longer than %d bytes", itemOwner, key, maxNameLen)
	}
	return name, err
}

// itemFormats returns the formats of an item under their names. A format of an
// unknown name is a format, too.
func itemFormats(o object) (object, error) {
	byFormat, err := member[object](o, itemOwner, "formats")
	if err != nil {
		return nil, err
	}
	if byFormat == nil {
		byFormat = make(object)
		for _, name := range oldFormats {
			if raw, ok := o[name]; ok {
				byFormat[name] = raw
			}
		}
	}
	if len(byFormat) == 0 {
		return nil, errors.New("no formats specified")
	}
	return byFormat, nil
}

func parseHTTPResponse(raw json.RawMessage) (*HTTPResponse, error) {
	o, ok := as[object](raw)
	if !ok {
		return nil, errors.New("'http-response' is not an object")
	}
	if _, ok := o["action"]; ok {
		action, err := member[string](o, formatOwner, "action")
		if err != nil {
			return nil, err
		}
		switch action {
		case "send":
		case "hint":
			return nil, errors.New("'http-response' with action 'hint' is not supported")
		default:
			return nil, invalidValue(formatOwner, "action")
		}
	}
	// Only holds with the same content filters may get such an item, and no
	// hold has any here.
	filters, err := member[[]string](o, formatOwner, "content-filters")
	if err != nil {
		return nil, err
	}
	if len(filters) > 0 {
		return nil, errors.New("'http-response' with 'content-filters' is not supported")
	}
	r, err := o.response(formatOwner)
	if err != nil {
		return nil, err
	}
	if r.Body == nil {
		if _, ok := o["body-patch"]; ok {
			return nil, errors.New("'http-response' with 'body-patch' is not supported")
		}
		return nil, errors.New("'http-response' does not contain 'body', 'body-bin', or 'body-patch'")
	}
	return &HTTPResponse{Response: r}, nil
}

// The JSON of an item, for writing. Reading is done by hand, above.
type itemJSON struct {
	Channel string `json:"channel"`
	ID      string `json:"id,omitempty"`
	PrevID  string `json:"prev-id,omitempty"`
	NoSeq   bool   `json:"no-seq,omitempty"`
	Formats struct {
		HTTPResponse *responseJSON `json:"http-response,omitempty"`
	} `json:"formats"`
}

type responseJSON struct {
	Code    int         `json:"code,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Headers [][2]string `json:"headers,omitempty"`
	Body    *string     `json:"body,omitempty"`
	BodyBin []byte      `json:"body-bin,omitempty"`
}

// AppendItems appends to dst the body with which items are published, and
// returns it. A body that is not UTF-8 goes out as body-bin; all other text
// must be UTF-8. An item without HTTPResponse has no format to write, and
// edges refuse it.
func AppendItems(dst []byte, items []Item) []byte {
	list := make([]itemJSON, len(items))
	for i, it := range items {
		list[i] = itemJSON{Channel: it.Channel, ID: it.ID, PrevID: it.PrevID, NoSeq: it.NoSeq}
		if it.HTTPResponse != nil {
			list[i].Formats.HTTPResponse = newResponseJSON(&it.HTTPResponse.Response)
		}
	}
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string][]itemJSON{"items": list}); err != nil {
		panic("grip: items cannot be written as JSON: " + err.Error())
	}
	return buf.Bytes()
}

func newResponseJSON(r *Response) *responseJSON {
	out := &responseJSON{Code: r.Code, Reason: r.Reason}
	for _, f := range r.Header {
		out.Headers = append(out.Headers, [2]string{f.Name, f.Value})
	}
	if utf8.Valid(r.Body) {
		text := string(r.Body)
		out.Body = &text
	} else {
		out.BodyBin = r.Body
	}
	return out
}
