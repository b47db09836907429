package upstream

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"marquee/grip"
)

// Answer is what the origin said. Immutable, but for Body.
type Answer struct {
	// Response is what a client is given: at once, or at the hold's timeout.
	// End-to-end fields only. Its body is complete unless Body is set.
	Response grip.Response
	// Length is the length of the content in bytes as the origin gave it,
	// which for HEAD is not that of the body; -1 when unknown.
	Length int64
	// Hold is the origin's instruct to hold; nil for none.
	Hold *grip.Hold
	// Next is what to ask when this answer has been sent, if there is no hold, or
	// when the hold may have missed something; nil for nothing. URL may be
	// relative to the request's.
	Next *grip.Link
	// Gone is the URL to tell when the client has left; "" for none. It may be
	// relative to the request's.
	Gone string
	// Named are the channels, each with an id, that an answer without a hold was
	// made from: it is the newest until one of them moves on.
	Named []grip.Channel
	// Asked is when the request was put to the origin.
	Asked time.Time
	// Body is the rest of a body that is too long, or comes too slowly, to be
	// kept together. Whoever gets it closes it: until then the request counts
	// as open. One whose length the origin has given comes without a pause: it
	// fails when there is one of Config.AnswerTimeout. One that has none may be
	// waiting for news. A hold, of mode stream, begins when it has come to its end, and so
	// does what follows from Next.
	Body io.ReadCloser

	// Personal: it is for the one whose request was put, and for nobody with an
	// equal one.
	Personal bool

	announced bool // the origin has given the length of the content
}

// A Failure is an answer that the edge gives because it got none.
type Failure struct {
	Code int
	// Reason is one plain line for the client.
	Reason string
	// RetryAfter is when the client may come again, in seconds; "" for unsaid.
	RetryAfter string
	// Debug is one plain line more, in place of Reason, for clients of a service
	// with Debug; "" for Reason (GRIP §13).
	Debug string
	// Answered: the origin has answered, but nothing that could be used.
	Answered bool
	// Err is what happened, for the log.
	Err error
}

func (f *Failure) Error() string { return f.Reason + " (" + f.Err.Error() + ")" }

func (f *Failure) Unwrap() error { return f.Err }

// endToEnd returns the fields of a response that are not for its connection
// (RFC 9110 §7.6.1), in a fixed order, so that equal answers have equal bytes.
// Content-Length travels beside them. The error is for bytes that would break
// the answer's head.
func endToEnd(h http.Header) (grip.Header, error) {
	drop := map[string]bool{
		"Connection": true, "Content-Length": true, "Keep-Alive": true,
		"Proxy-Connection": true, "Te": true, "Trailer": true,
		"Transfer-Encoding": true, "Upgrade": true,
	}
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			drop[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	names := make([]string, 0, len(h))
	for name := range h {
		if !drop[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	fields := make(grip.Header, 0, len(names))
	for _, name := range names {
		for _, v := range h[name] {
			if !printable(v) {
				return nil, fmt.Errorf("%w: control bytes in field %s", errUnwritten, name)
			}
			fields = append(fields, grip.Field{Name: name, Value: v})
		}
	}
	return fields, nil
}

// printable reports whether s may stand in a field value (RFC 9110 §5.5).
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// reason returns the reason phrase of a status such as "200 OK"; one that cannot
// be passed on is left out.
func reason(status string) string {
	_, phrase, _ := strings.Cut(status, " ")
	if !printable(phrase) {
		return ""
	}
	return phrase
}
