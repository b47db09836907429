package grip

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTimeout is how long a hold lasts when its Timeout is zero.
	DefaultTimeout = 55 * time.Second
	// MinTimeout is the shortest timeout of a hold; shorter ones are raised to
	// it, so that a mistaken origin does not turn long polls into busy ones.
	MinTimeout = 5 * time.Second
	// DefaultLinkTimeout is the Timeout of a Link that gives none.
	DefaultLinkTimeout = 120 * time.Second
	// DefaultKeepAlive is the Timeout of a KeepAlive that gives none.
	DefaultKeepAlive = 55 * time.Second
	// MinKeepAlive is the shortest; shorter ones are raised to it.
	MinKeepAlive = time.Second
	// MaxChannels is how many channels one hold can have; more are left out.
	MaxChannels = 20
	// MaxFilters is how many filters a channel can have.
	MaxFilters = 5
	// MaxInstructBody is how many bytes the body of an instruct may have. An
	// instruct is read whole before it is obeyed, so whoever reads the body
	// must stop there.
	MaxInstructBody = 100_000
)

const instructType = "application/grip-instruct"

// HoldMode says how a hold ends.
type HoldMode uint8

const (
	// HoldResponse is the long poll: one whole answer, by an item or by the
	// timeout, ends the hold.
	HoldResponse HoldMode = iota + 1
	// HoldStream is HTTP streaming: the answer begins at once, items are appended
	// to it, and it ends when an item or the client says so.
	HoldStream
)

// String returns the mode as GRIP writes it.
func (m HoldMode) String() string {
	switch m {
	case HoldResponse:
		return "response"
	case HoldStream:
		return "stream"
	}
	return fmt.Sprintf("HoldMode(%d)", uint8(m))
}

// Hold is the part of an instruct that keeps the client's request open.
type Hold struct {
	Mode HoldMode
	// Channels has each name once, and at most MaxChannels. Without channels a
	// hold waits for its timeout.
	Channels []Channel
	// Timeout is at least MinTimeout; zero means that none was given. Of mode
	// response only.
	Timeout time.Duration
	// KeepAlive is what a hold of mode stream gets when there is nothing else;
	// nil for nothing.
	KeepAlive *KeepAlive
	// Meta is what the origin says of the subscription, for filters.
	Meta Meta
}

// KeepAlive is what is appended to a stream from time to time.
type KeepAlive struct {
	Content []byte // not empty
	Timeout time.Duration
	// Interval: every Timeout. Otherwise only when nothing was sent for as long.
	Interval bool
}

// Link is where a stream goes on (Grip-Link with rel=next).
type Link struct {
	// URL is absolute, or relative to the one that the client asked for.
	URL string
	// Timeout is after how long without an item on every channel the link is
	// asked, to see whether one was lost.
	Timeout time.Duration
}

// Instruct is what the origin told the edge to do with a client's request.
type Instruct struct {
	// Hold is nil when the client gets Response at once.
	Hold *Hold
	// Named is what the Grip-Channel fields of an instruct without a hold say:
	// the channels, and the ids, that this answer was made from. Marquee knows
	// by them how long a shared answer stays true; other GRIP proxies ignore
	// them. It is nil when there is a hold.
	Named []Channel
	// Next is what to ask, and append, when the response or the link before has
	// been sent and there is no hold, or when the hold may have missed something;
	// nil for nothing.
	Next *Link
	// Gone is the URL to tell when the client has left; "" for none.
	Gone string
	// Response is what the client gets at the hold's timeout, or at once.
	Response Response
}

// InstructError says why an instruct cannot be obeyed. The client gets a 502.
type InstructError struct {
	// Reason is for the log and for the debug answer.
	Reason string
}

func (e *InstructError) Error() string {
	return "failed to parse accept instructions: " + e.Reason
}

// IsInstruct reports whether an origin's answer with header h is an instruct:
// its media type is application/grip-instruct, or any field's name begins with
// "Grip-", even an unknown one.
func IsInstruct(h Header) bool {
	for _, f := range h {
		if isGrip(f.Name) {
			return true
		}
	}
	return isInstructType(h)
}

func isInstructType(h Header) bool {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(trim(mediaType), instructType)
}

// unsupported are the fields that would change what the client sees, or what
// the origin is told, in ways that this version does not carry out. They are
// refused, because an origin that is half obeyed cannot know it.
var unsupported = []string{"Grip-Link", "Grip-Expose-Headers"}

// ParseInstruct reads an origin's answer, with its complete body, as an
// instruct. Where the JSON body and the header disagree, the body counts;
// channels add up, and the last prev-id given for a name counts. Unknown Grip-*
// fields are ignored. The error is an *InstructError.
func ParseInstruct(r Response) (Instruct, error) {
	in, err := parseInstruct(r)
	if err != nil {
		return Instruct{}, &InstructError{Reason: err.Error()}
	}
	return in, nil
}

func parseInstruct(r Response) (Instruct, error) {
	for _, name := range unsupported {
		if r.Header.Has(name) {
			return Instruct{}, fmt.Errorf("%s is not supported", name)
		}
	}
	var hold Hold
	var list channelList
	if err := list.addHeader(r.Header); err != nil {
		return Instruct{}, err
	}
	if err := hold.readHeader(r.Header); err != nil {
		return Instruct{}, err
	}
	given, err := parseStatus(r.Header)
	if err != nil {
		return Instruct{}, err
	}
	var answer Response
	if isInstructType(r.Header) {
		body, err := parseInstructBody(r)
		if err != nil {
			return Instruct{}, err
		}
		if err := hold.readJSON(body, &list); err != nil {
			return Instruct{}, err
		}
		answer, err = jsonResponse(body, given)
		if err != nil {
			return Instruct{}, err
		}
	} else {
		answer, err = headerResponse(r, given)
		if err != nil {
			return Instruct{}, err
		}
	}
	if hold.Mode == 0 {
		return Instruct{Named: list.channels, Response: answer}, nil
	}
	if list.filtered != "" {
		return Instruct{}, fmt.Errorf("filters are not supported: channel '%s'", list.filtered)
	}
	hold.Channels = list.channels
	return Instruct{Hold: &hold, Response: answer}, nil
}

// readHeader reads Grip-Hold and Grip-Timeout. Without Grip-Hold the mode stays
// zero.
func (hold *Hold) readHeader(h Header) (err error) {
	if h.Has("Grip-Hold") {
		hold.Mode, err = parseMode(h.Get("Grip-Hold"), "Grip-Hold")
		if err != nil {
			return err
		}
	}
	if h.Has("Grip-Timeout") {
		seconds, err := strconv.ParseUint(h.Get("Grip-Timeout"), 10, 31)
		if err != nil {
			return errors.New("failed to parse Grip-Timeout")
		}
		hold.setTimeout(int(seconds))
	}
	return nil
}

func parseMode(s, owner string) (HoldMode, error) {
	switch s {
	case "response":
		return HoldResponse, nil
	case "stream":
		return 0, fmt.Errorf("%s 'stream' is not supported", owner)
	}
	return 0, fmt.Errorf("%s must be set to either 'response' or 'stream'", owner)
}

func (hold *Hold) setTimeout(seconds int) {
	hold.Timeout = max(time.Duration(seconds)*time.Second, MinTimeout)
}

// status is a status line that the origin gives in place of its own; a zero
// code means that it gives none.
type status struct {
	code   int
	reason string
}

// parseStatus reads Grip-Status, which is "CODE" or "CODE REASON".
func parseStatus(h Header) (status, error) {
	if !h.Has("Grip-Status") {
		return status{}, nil
	}
	digits, reason, _ := strings.Cut(h.Get("Grip-Status"), " ")
	code, err := strconv.ParseUint(digits, 10, 31)
	if err != nil {
		return status{}, errors.New("failed to parse Grip-Status")
	}
	if !isFinal(int(code)) {
		return status{}, errors.New("Grip-Status must be from 200 to 999")
	}
	if breaksLine(reason) {
		return status{}, errors.New("Grip-Status contains CR, LF or NUL")
	}
	return status{int(code), trim(reason)}, nil
}

// headerResponse returns what an instruct by header leaves for the client: r
// with the status given, and without the fields that are not the client's.
func headerResponse(r Response, given status) (Response, error) {
	if err := r.Header.check(); err != nil {
		return Response{}, err
	}
	out := Response{Code: r.Code, Reason: r.Reason, Body: r.Body}
	if given.code != 0 {
		out.Code, out.Reason = given.code, given.reason
	}
	if out.Code == 0 {
		out.Code = 200
	}
	if breaksLine(out.Reason) {
		return Response{}, errors.New("reason phrase contains CR, LF or NUL")
	}
	out.Header = r.Header.endToEnd().Without(isGrip)
	return out, nil
}

// parseInstructBody returns the object in an application/grip-instruct body.
func parseInstructBody(r Response) (object, error) {
	if r.Code != 200 && r.Code != 0 {
		return nil, errors.New("response code for application/grip-instruct content must be 200")
	}
	raw, ok := parseJSON(r.Body)
	if ok {
		var body object
		if body, ok = as[object](raw); ok {
			return body, nil
		}
	}
	return nil, errors.New("failed to parse application/grip-instruct content as JSON")
}

// readJSON reads the "hold" of a JSON instruct, when it has one, and adds its
// channels to list.
func (hold *Hold) readJSON(body object, list *channelList) error {
	if _, ok := body["hold"]; !ok {
		return nil
	}
	o, err := member[object](body, "instruct", "hold")
	if err != nil {
		return err
	}
	hold.Mode = HoldResponse
	if _, ok := o["mode"]; ok {
		mode, err := member[string](o, "'hold'", "mode")
		if err != nil {
			return err
		}
		if hold.Mode, err = parseMode(mode, "hold mode"); err != nil {
			return err
		}
	}
	if raw, ok := o["timeout"]; ok {
		seconds, ok := asInt(raw)
		if !ok {
			return wrongType("'hold'", "timeout")
		}
		if seconds < 0 {
			return invalidValue("'hold'", "timeout")
		}
		hold.setTimeout(seconds)
	}
	channels, err := required[[]object](o, "'hold'", "channels")
	if err != nil {
		return err
	}
	for _, c := range channels {
		if err := list.addJSON(c); err != nil {
			return err
		}
	}
	return nil
}

// addJSON adds one element of a JSON instruct's "channels".
func (l *channelList) addJSON(o object) error {
	name, err := required[string](o, "channel", "name")
	if err != nil {
		return err
	}
	c := Channel{Name: name}
	if raw, ok := o["prev-id"]; ok {
		// The 2013 headline origin writes its ids as numbers here, though as
		// strings in items.
		if _, isNumber := as[float64](raw); isNumber {
			c.PrevID = string(raw)
		} else if c.PrevID, ok = as[string](raw); !ok {
			return wrongType("channel", "prev-id")
		}
	}
	filters, err := member[[]string](o, "channel", "filters")
	if err != nil {
		return err
	}
	return l.add(c, len(filters) > 0)
}

// jsonResponse returns the "response" of a JSON instruct. The header and body
// of the answer that carried it are not for the client; the status given is,
// unless the JSON has a code.
func jsonResponse(body object, given status) (Response, error) {
	o, err := member[object](body, "instruct", "response")
	if err != nil {
		return Response{}, err
	}
	r, err := o.response("'response'")
	if err != nil {
		return Response{}, err
	}
	if _, ok := o["code"]; !ok && given.code != 0 {
		r.Code = given.code
		if r.Reason == "" {
			r.Reason = given.reason
		}
	}
	r.Header = r.Header.Without(isGrip)
	return r, nil
}
