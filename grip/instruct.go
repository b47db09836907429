package grip

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxInstructBody is how many bytes the body of an instruct may have. An
// instruct is read whole before it is obeyed, so whoever reads the body must
// stop there; but see ParseInstructHead.
const MaxInstructBody = 100_000

const instructType = "application/grip-instruct"

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

// ParseInstruct reads an origin's answer, with its complete body, as an
// instruct. Where the JSON body and the header disagree, the body counts;
// channels and meta add up, and the last prev-id and filters given for a name
// count. Unknown Grip-* fields are ignored. The error is an *InstructError.
func ParseInstruct(r Response) (Instruct, error) {
	in, err := parseInstruct(r)
	if err != nil {
		return Instruct{}, &InstructError{Reason: err.Error()}
	}
	return in, nil
}

// ParseInstructHead is ParseInstruct for an answer of whose body only the
// beginning has come; it does not look at it. streams reports whether the body
// may go to the client as it comes, however long it is, and the instruct be
// obeyed when it has all been sent. That is so when what the client gets is a
// stream anyway, and nothing has to be replaced in it. Otherwise the instruct
// is not known before the body is, and in is not set.
func ParseInstructHead(r Response) (in Instruct, streams bool, err error) {
	if isInstructType(r.Header) {
		return Instruct{}, false, nil
	}
	r.Body = nil
	in, err = ParseInstruct(r)
	if err != nil || !in.streams() {
		return Instruct{}, false, err
	}
	return in, true, nil
}

// ParseLink reads the answer to a request for a Link, with its complete body,
// as what the stream goes on with: its Response has only a body that matters.
// The answer may be no instruct at all; then the stream ends after it. What is
// right for the beginning of a stream may be wrong here: a status other than
// 2xx, a hold of mode response, and a JSON instruct. The error is an
// *InstructError.
func ParseLink(r Response) (Instruct, error) {
	in, err := parseLink(r)
	if err != nil {
		return Instruct{}, &InstructError{Reason: err.Error()}
	}
	return in, nil
}

func parseLink(r Response) (Instruct, error) {
	switch {
	case r.Code < 200 || r.Code > 299:
		return Instruct{}, fmt.Errorf("response code for a next link must be from 200 to 299, not %d", r.Code)
	case isInstructType(r.Header):
		return Instruct{}, errors.New("application/grip-instruct content in the response to a next link")
	}
	in, err := parseInstruct(r)
	if err == nil && in.Hold != nil && in.Hold.Mode != HoldStream {
		err = fmt.Errorf("hold mode '%s' in the response to a next link", in.Hold.Mode)
	}
	return in, err
}

func parseInstruct(r Response) (Instruct, error) {
	var hold Hold
	var list channelList
	meta := make(map[string]string)
	err := list.addHeader(r.Header)
	if err == nil {
		err = hold.readHeader(r.Header)
	}
	if err == nil {
		err = readSetMeta(r.Header, meta)
	}
	if err != nil {
		return Instruct{}, err
	}
	var in Instruct
	if in.Next, in.Gone, err = parseLinks(r.Header); err != nil {
		return Instruct{}, err
	}
	given, err := parseStatus(r.Header)
	if err != nil {
		return Instruct{}, err
	}
	if isInstructType(r.Header) {
		body, err := parseInstructBody(r)
		if err != nil {
			return Instruct{}, err
		}
		if err := hold.readJSON(body, &list, meta); err != nil {
			return Instruct{}, err
		}
		in.Response, err = jsonResponse(body, given)
		if err != nil {
			return Instruct{}, err
		}
	} else if in.Response, err = headerResponse(r, given); err != nil {
		return Instruct{}, err
	}
	if hold.Mode == 0 {
		in.Named = list.channels
		for i := range in.Named {
			in.Named[i].Filters = nil // nothing is delivered
		}
		return in, nil
	}
	hold.Channels = list.channels[:min(len(list.channels), MaxChannels)]
	hold.Meta = newMeta(meta)
	hold.settle()
	in.Hold = &hold
	return in, in.settle()
}

// settle leaves of an instruct with a hold what its mode has a use for, and
// returns an error when the hold can never be kept.
func (in *Instruct) settle() error {
	if in.Hold.Mode != HoldStream {
		in.Next = nil // its items are asked for by asking the origin again
		return nil
	}
	for _, c := range in.Hold.Channels {
		if c.PrevID != "" && in.Next == nil {
			return fmt.Errorf("channel '%s' specifies prev-id, but no next link found", c.Name)
		}
	}
	return nil
}

// streams reports whether the response of an instruct by header can be sent
// before it has all come.
func (in *Instruct) streams() bool {
	if in.Hold == nil {
		return in.Next != nil
	}
	if in.Hold.Mode != HoldStream {
		return false
	}
	for _, c := range in.Hold.Channels {
		if slices.Contains(c.Filters, FilterBuildID) {
			return false
		}
	}
	return true
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
		return status{}, errors.New("Grip-Status contains invalid status code")
	}
	if !isFinal(int(code)) {
		return status{}, errors.New("Grip-Status contains invalid status code")
	}
	if breaksLine(reason) {
		return status{}, errors.New("Grip-Status contains CR, LF or NUL")
	}
	return status{int(code), trim(reason)}, nil
}

// headerResponse returns what an instruct by header leaves for the client: r
// with the status given, and without the fields that are not the client's, or
// not among those that Grip-Expose-Headers lists. An empty list is none.
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
	exposed, err := parseList(r.Header.Values("Grip-Expose-Headers"))
	if err != nil {
		return Response{}, fmt.Errorf("failed to parse Grip-Expose-Headers: %w", err)
	}
	if len(exposed) == 0 {
		return out, nil
	}
	passes := make(map[string]bool, len(exposed))
	for _, e := range exposed {
		passes[strings.ToLower(e.value)] = true
	}
	out.Header = out.Header.Without(func(name string) bool { return !passes[strings.ToLower(name)] })
	return out, nil
}

// parseInstructBody returns the object in an application/grip-instruct body.
func parseInstructBody(r Response) (object, error) {
	if r.Code != 200 && r.Code != 0 {
		return nil, errors.New("response code for application/grip-instruct content must be 200")
	}
	raw, ok := parseJSON(r.Body)
	if ok {
		if body, ok := as[object](raw); ok {
			return body, nil
		}
		if _, ok := as[[]any](raw); ok {
			return nil, errors.New("instruct must be an object")
		}
	}
	return nil, errors.New("failed to parse application/grip-instruct content as JSON")
}

// jsonResponse returns the "response" of a JSON instruct. The header and body
// of the answer that carried it are not for the client; the status given is,
// unless the JSON has a code.
func jsonResponse(body object, given status) (Response, error) {
	o, err := member[object](body, "instruct", "response")
	if err != nil {
		return Response{}, err
	}
	r, err := o.response("response")
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
