package grip

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// The JSON of an item, for writing. Reading is done by hand, in ParseItems.
type itemJSON struct {
	Channel string            `json:"channel"`
	ID      string            `json:"id,omitempty"`
	PrevID  string            `json:"prev-id,omitempty"`
	NoSeq   bool              `json:"no-seq,omitempty"`
	Meta    map[string]string `json:"meta,omitempty"`
	Formats struct {
		HTTPResponse *responseJSON `json:"http-response,omitempty"`
		HTTPStream   *streamJSON   `json:"http-stream,omitempty"`
		WSMessage    *messageJSON  `json:"ws-message,omitempty"`
	} `json:"formats"`
}

type responseJSON struct {
	Action  string          `json:"action,omitempty"`
	Code    int             `json:"code,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Headers [][2]string     `json:"headers,omitempty"`
	Body    *string         `json:"body,omitempty"`
	BodyBin []byte          `json:"body-bin,omitempty"`
	Patch   json.RawMessage `json:"body-patch,omitempty"`
	filtersJSON
}

type streamJSON struct {
	Action string `json:"action,omitempty"`
	contentJSON
	filtersJSON
}

type messageJSON struct {
	Action string `json:"action,omitempty"`
	Type   string `json:"type,omitempty"`
	contentJSON
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	filtersJSON
}

type contentJSON struct {
	Content    *string `json:"content,omitempty"`
	ContentBin []byte  `json:"content-bin,omitempty"`
}

type filtersJSON struct {
	ContentFilters *[]string `json:"content-filters,omitempty"` // nil is not empty
}

// AppendItems appends to dst the body with which items are published, and
// returns it: what ParseItems reads from it are the same items again. Bodies and
// contents that are not UTF-8 go out as body-bin and content-bin; all other text
// must be UTF-8. An item that is not Deliverable has no format to write, and
// edges refuse it.
func AppendItems(dst []byte, items []Item) []byte {
	list := make([]itemJSON, len(items))
	for i := range items {
		list[i] = newItemJSON(&items[i])
	}
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string][]itemJSON{"items": list}); err != nil {
		panic("grip: items cannot be written as JSON: " + err.Error())
	}
	return buf.Bytes()
}

func newItemJSON(it *Item) itemJSON {
	out := itemJSON{Channel: it.Channel, ID: it.ID, PrevID: it.PrevID, NoSeq: it.NoSeq}
	if len(it.Meta) > 0 {
		out.Meta = make(map[string]string, len(it.Meta))
		for _, f := range it.Meta {
			out.Meta[f.Name] = f.Value
		}
	}
	if it.HTTPResponse != nil {
		out.Formats.HTTPResponse = newResponseJSON(it.HTTPResponse)
	}
	if it.HTTPStream != nil {
		out.Formats.HTTPStream = newStreamJSON(it.HTTPStream)
	}
	if it.WSMessage != nil {
		out.Formats.WSMessage = newMessageJSON(it.WSMessage)
	}
	return out
}

func newResponseJSON(f *HTTPResponse) *responseJSON {
	if f.Action != Send {
		return &responseJSON{Action: f.Action.String()}
	}
	out := &responseJSON{Code: f.Code, Reason: f.Reason, filtersJSON: newFiltersJSON(f.ContentFilters)}
	for _, h := range f.Header {
		out.Headers = append(out.Headers, [2]string{h.Name, h.Value})
	}
	if f.Patch != nil {
		out.Patch = f.Patch
		return out
	}
	content := newContentJSON(f.Body)
	out.Body, out.BodyBin = content.Content, content.ContentBin
	return out
}

func newStreamJSON(f *HTTPStream) *streamJSON {
	if f.Action != Send {
		return &streamJSON{Action: f.Action.String()}
	}
	return &streamJSON{contentJSON: newContentJSON(f.Content), filtersJSON: newFiltersJSON(f.ContentFilters)}
}

func newMessageJSON(f *WSMessage) *messageJSON {
	if f.Action != Send {
		return &messageJSON{Action: f.Action.String(), Code: f.Code, Reason: f.Reason}
	}
	return &messageJSON{
		Type: f.Type.String(), contentJSON: newContentJSON(f.Content), filtersJSON: newFiltersJSON(f.ContentFilters),
	}
}

func newContentJSON(content []byte) contentJSON {
	if !utf8.Valid(content) {
		return contentJSON{ContentBin: content}
	}
	text := string(content)
	return contentJSON{Content: &text}
}

func newFiltersJSON(filters []string) filtersJSON {
	if filters == nil {
		return filtersJSON{}
	}
	return filtersJSON{&filters}
}
