package grip

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	// The formats; nil where the item has not that one. From ParseItems it may
	// have none, when it was published with formats or actions that nobody can
	// act on: its id counts, but there is nothing to deliver. The code of an
	// HTTPResponse from ParseItems is not zero when its action is Send.
	HTTPResponse *HTTPResponse
	HTTPStream   *HTTPStream
	WSMessage    *WSMessage
}

// Deliverable reports whether the item has a format.
func (it Item) Deliverable() bool {
	return it.HTTPResponse != nil || it.HTTPStream != nil || it.WSMessage != nil
}

// PublishError says why a publish was refused. None of its items counts.
type PublishError struct {
	// Index is the item's place in the list, -1 when the error is not about
	// one item.
	Index int
	// Reason is the whole line for the publisher, without a newline. When there
	// is more than one item in the list, it ends with the Index.
	Reason string
}

func (e *PublishError) Error() string { return e.Reason }

// itemOwner is how errors call an item.
const itemOwner = "publish item object"

// oldFormats are the formats that an item may have beside its channel instead
// of under "formats", as items once were.
var oldFormats = []string{"http-response", "http-stream", "ws-message"}

// ParseItems reads the body of a publish, {"items": [...]}. Formats of unknown
// names are accepted unread, and so are, as in Pushpin, actions that a format
// does not have though another has. The error is a *PublishError.
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
			return nil, refusedItem(i, len(list), err)
		}
	}
	return items, nil
}

// refusedItem returns the error of a publish of n items, the one at i of which
// is refused because of err.
func refusedItem(i, n int, err error) *PublishError {
	reason := "Invalid format: " + oneLine(err.Error())
	if n > 1 {
		reason = fmt.Sprintf("%s (item %d)", reason, i)
	}
	return &PublishError{i, reason}
}

// oneLine returns a reason, which may quote what the publisher sent, as one line
// that is safe to show.
func oneLine(reason string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, reason)
}

func parseItem(raw json.RawMessage) (Item, error) {
	o, ok := as[object](raw)
	if !ok {
		return Item{}, errors.New("publish item object is not an object")
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
	if err := it.readFormats(byFormat); err != nil {
		return it, err
	}
	meta := make(map[string]string)
	if err := o.readMeta(itemOwner, meta); err != nil {
		return it, err
	}
	it.Meta = newMeta(meta)
	if _, ok := o["size"]; ok {
		_, err = o.count(itemOwner, "size") // matters to Pushpin's statistics only
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

// readFormats decodes the formats that this package knows.
func (it *Item) readFormats(byFormat object) (err error) {
	if raw, ok := byFormat["http-response"]; ok {
		if it.HTTPResponse, err = parseHTTPResponse(raw); err != nil {
			return err
		}
	}
	if raw, ok := byFormat["http-stream"]; ok {
		if it.HTTPStream, err = parseHTTPStream(raw); err != nil {
			return err
		}
	}
	if raw, ok := byFormat["ws-message"]; ok {
		it.WSMessage, err = parseWSMessage(raw)
	}
	return err
}
