package grip

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// maxControlPayload is how long the payload of a WebSocket control frame can be,
// in bytes (RFC 6455 §5.5). A close frame's begins with the code, of two bytes.
const maxControlPayload = 125

// Action is what an item's format does to those who hold.
type Action uint8

const (
	// Send gives them the content.
	Send Action = iota
	// Hint makes the edge ask the origin for them.
	Hint
	// Close ends what they hold: http-stream and ws-message.
	Close
	// Refresh makes a WebSocket-over-HTTP connection ask the origin: ws-message.
	Refresh
)

// String returns the action as GRIP writes it.
func (a Action) String() string {
	return [...]string{"send", "hint", "close", "refresh"}[a]
}

// HTTPResponse is the format for holds of mode response: a whole answer.
type HTTPResponse struct {
	// Response is the answer, when Action is Send. Its body is empty when there
	// is a Patch.
	Response
	Action Action // Send or Hint
	// Patch, when it is not nil, is a JSON Patch (RFC 6902) to apply to the
	// body of the hold's response, whose result is the answer's body: see
	// Response.Patched. From ParseItems it is without white space, and in bounds.
	Patch []byte
	// ContentFilters, when they are not nil, are the content filters that a
	// subscription must have to get the item: these, in this order, and no others.
	ContentFilters []string
}

// Answer returns the answer by f, whose action is Send, to a hold whose response
// is hold: see Response.With and Response.Patched.
func (f *HTTPResponse) Answer(hold Response) Response {
	item := f.Response
	if f.Patch != nil {
		if item.Body = hold.Patched(f.Patch); item.Body == nil {
			return Response{
				Code: 502, Header: Header{{"Content-Type", "text/plain"}},
				Body: []byte("Error while proxying to origin.\n"),
			}
		}
	}
	return hold.With(item)
}

// HTTPStream is the format for holds of mode stream: content to append.
type HTTPStream struct {
	Action         Action // Send, Hint or Close
	Content        []byte // when Action is Send
	ContentFilters []string
}

// MessageType is the type of a WebSocket message (RFC 6455 §5.6).
type MessageType uint8

// The types that a ws-message can have.
const (
	Text MessageType = iota
	Binary
	Ping
	Pong
)

// String returns the type as GRIP writes it.
func (t MessageType) String() string {
	return [...]string{"text", "binary", "ping", "pong"}[t]
}

// WSMessage is the format for WebSocket connections. It is checked and passed
// on; nothing here is delivered to anybody yet.
type WSMessage struct {
	Action  Action // Send, Close or Refresh
	Type    MessageType
	Content []byte
	// Code and Reason are those of the close frame, when Action is Close; a zero
	// code makes it an empty one.
	Code           int
	Reason         string
	ContentFilters []string
}

// format decodes what all formats have in common.
func format(raw json.RawMessage, owner string) (object, Action, error) {
	o, ok := as[object](raw)
	if !ok {
		return nil, Send, errors.New(owner + " is not an object")
	}
	action, err := o.formatAction(owner)
	return o, action, err
}

// formatAction decodes the "action" of a format.
func (o object) formatAction(owner string) (Action, error) {
	if _, ok := o["action"]; !ok {
		return Send, nil
	}
	name, err := member[string](o, owner, "action")
	if err != nil {
		return Send, err
	}
	for _, action := range []Action{Send, Hint, Close, Refresh} {
		if action.String() == name {
			return action, nil
		}
	}
	return Send, invalidValue(owner, "action")
}

// contentFilters decodes the "content-filters" of a format; nil when it has
// none, which is not the same as an empty list.
func (o object) contentFilters(owner string) ([]string, error) {
	list, err := member[[]json.RawMessage](o, owner, "content-filters")
	if err != nil || list == nil {
		return nil, err
	}
	filters := make([]string, len(list))
	for i, raw := range list {
		var ok bool
		if filters[i], ok = as[string](raw); !ok {
			return nil, errors.New("content-filters contains element with wrong type")
		}
	}
	return filters, nil
}

// parseHTTPResponse returns nil when the action is not one for holds of mode
// response.
func parseHTTPResponse(raw json.RawMessage) (*HTTPResponse, error) {
	const owner = "'http-response'"
	o, action, err := format(raw, owner)
	switch {
	case err != nil:
		return nil, err
	case action == Hint:
		return &HTTPResponse{Action: Hint}, nil
	case action != Send:
		return nil, nil
	}
	f := new(HTTPResponse)
	if f.ContentFilters, err = o.contentFilters(owner); err != nil {
		return nil, err
	}
	if f.Response, err = o.response(owner); err != nil {
		return nil, err
	}
	if f.Body != nil {
		return f, nil
	}
	patch, ok := o["body-patch"]
	if !ok {
		return nil, errors.New(owner + " does not contain 'body', 'body-bin', or 'body-patch'")
	}
	if f.Patch, err = parsePatch(patch); err != nil {
		return nil, fmt.Errorf("%s contains 'body-patch' %w", owner, err)
	}
	return f, nil
}

// parseHTTPStream returns nil when the action is not one for holds of mode
// stream.
func parseHTTPStream(raw json.RawMessage) (*HTTPStream, error) {
	const owner = "'http-stream'"
	o, action, err := format(raw, owner)
	switch {
	case err != nil:
		return nil, err
	case action == Refresh:
		return nil, nil
	case action != Send:
		return &HTTPStream{Action: action}, nil
	}
	f := new(HTTPStream)
	if f.ContentFilters, err = o.contentFilters(owner); err != nil {
		return nil, err
	}
	if f.Content, err = o.bytes(owner, "content"); err != nil {
		return nil, err
	}
	if f.Content == nil {
		return nil, errors.New(owner + " does not contain 'content' or 'content-bin'")
	}
	return f, nil
}

// parseWSMessage returns nil when the action is not one for WebSocket
// connections.
func parseWSMessage(raw json.RawMessage) (*WSMessage, error) {
	const owner = "'ws-message'"
	o, action, err := format(raw, owner)
	if err != nil {
		return nil, err
	}
	f := &WSMessage{Action: action}
	switch action {
	case Hint:
		return nil, nil
	case Send:
		err = f.readMessage(o, owner)
	case Close:
		err = f.readClose(o, owner)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *WSMessage) readMessage(o object, owner string) (err error) {
	if f.ContentFilters, err = o.contentFilters(owner); err != nil {
		return err
	}
	if f.Content, err = o.bytes(owner, "content"); err != nil {
		return err
	}
	if _, ok := o["content-bin"]; ok {
		f.Type = Binary
	}
	if _, ok := o["type"]; ok {
		name, err := member[string](o, owner, "type")
		if err != nil {
			return err
		}
		if f.Type, ok = messageType(name); !ok {
			return fmt.Errorf("%s contains 'type' with unknown value", owner)
		}
	}
	isControl := f.Type == Ping || f.Type == Pong
	switch {
	case f.Content == nil && isControl:
		f.Content = []byte{}
	case f.Content == nil:
		return fmt.Errorf("%s does not contain 'content' or 'content-bin'", owner)
	case isControl && len(f.Content) > maxControlPayload:
		return fmt.Errorf("%s contains 'content' longer than %d bytes, the most for type '%s'", owner, maxControlPayload, f.Type)
	}
	return nil
}

func messageType(name string) (MessageType, bool) {
	for _, t := range []MessageType{Text, Binary, Ping, Pong} {
		if t.String() == name {
			return t, true
		}
	}
	return 0, false
}

func (f *WSMessage) readClose(o object, owner string) (err error) {
	if _, ok := o["code"]; ok {
		if f.Code, err = o.count(owner, "code"); err != nil {
			return err
		}
		if f.Code > math.MaxUint16 {
			return invalidValue(owner, "code")
		}
	}
	if f.Reason, err = member[string](o, owner, "reason"); err != nil {
		return err
	}
	if len(f.Reason) > maxControlPayload-2 {
		return fmt.Errorf("%s contains 'reason' longer than %d bytes", owner, maxControlPayload-2)
	}
	return nil
}
