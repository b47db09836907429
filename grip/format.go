package grip

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
	// body of the hold's response, whose result is the answer's body.
	Patch []byte
	// ContentFilters, when they are not nil, are the content filters that a
	// subscription must have to get the item: these, in this order, and no others.
	ContentFilters []string
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
