package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"marquee/grip"
)

// maxTogether is how long a body may be, in bytes, to be kept together and so
// to be shared: GRIP's bound on an instruct's body.
const maxTogether = grip.MaxInstructBody

// shareWait is how long a shared request waits for a body of unknown length to
// end before it is passed on as it comes.
const shareWait = 100 * time.Millisecond

var (
	errTooSlow   = errors.New("the answer did not come to its end in time")
	errUnwritten = errors.New("the answer cannot be passed on")
	errContent   = errors.New("read the client's content")
)

// unreachable is the error when no connection came about.
type unreachable struct {
	tried []string
	errs  []error // of each
}

func (e *unreachable) Error() string {
	return fmt.Sprintf("Unable to connect to any targets. Tried: %s: %v", strings.Join(e.tried, ", "), errors.Join(e.errs...))
}

func (e *unreachable) Unwrap() []error { return e.errs }

// tooLarge is the error when the target sends an instruct that is too long.
type tooLarge struct{ target Target }

func (e *tooLarge) Error() string {
	return fmt.Sprintf("GRIP instruct response too large from %s: over %d bytes", e.target, grip.MaxInstructBody)
}

// fetch asks the origin and waits for the answer: complete, or with Body set.
func (c *Client) fetch(ctx context.Context, r *Request) (*Answer, *Failure) {
	ctx, cancel := context.WithCancelCause(ctx)
	a, err := c.exchange(ctx, cancel, r)
	if err == nil {
		if a.Body == nil {
			cancel(nil)
		} else {
			a.Body = &openBody{ReadCloser: a.Body, closed: func() { cancel(nil) }}
			if a.announced {
				a.Body.(*openBody).patience = c.cfg.AnswerTimeout
			}
		}
		return a, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	return nil, failure(err)
}

func failure(err error) *Failure {
	if errors.Is(err, errContent) {
		return &Failure{Code: http.StatusBadRequest, Reason: "The request's content did not come to its end.", Err: err}
	}
	f := &Failure{Code: http.StatusBadGateway, Reason: "Error while proxying to origin.", Err: err}
	var (
		none    *unreachable
		large   *tooLarge
		bad     *grip.InstructError
		timeout net.Error
	)
	switch {
	case errors.Is(err, errBlocked):
		f.Debug = "Error: Origin host/IP blocked."
	case outOfFiles(err):
		f.Code, f.Reason, f.RetryAfter = http.StatusServiceUnavailable, "There is no room for another connection to the origin.", "5"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.Reason = "There is no local port left for another connection to the origin."
	case errors.As(err, &none):
		f.Debug = "Unable to connect to any targets. Tried: " + strings.Join(none.tried, ", ")
	case errors.As(err, &large):
		f.Answered, f.Debug = true, "GRIP instruct response too large from "+large.target.String()
	case errors.As(err, &bad):
		f.Answered, f.Debug = true, "Failed to parse accept instructions: "+bad.Reason
	case errors.Is(err, errTooSlow), errors.As(err, &timeout) && timeout.Timeout():
		f.Code, f.Reason = http.StatusGatewayTimeout, "The origin did not answer in time."
	}
	return f
}

func (c *Client) exchange(ctx context.Context, cancel context.CancelCauseFunc, r *Request) (*Answer, error) {
	resp, t, err := c.roundTrip(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("ask origin: %w", err)
	}
	a, err := c.read(resp, cancel, r, t)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if a.Body == nil {
		resp.Body.Close()
	}
	return a, nil
}

// roundTrip puts a request to the first target to which there is a connection,
// and returns the head of its answer. A target is given up only when nothing of
// the request can have reached it: later it may have done something already
// (RFC 9110 §9.2.2), and its failure is final.
func (c *Client) roundTrip(ctx context.Context, r *Request) (*http.Response, Target, error) {
	none := new(unreachable)
	for i, t := range r.Service.Targets {
		resp, err := c.transport(r.Service, i).RoundTrip(r.outgoing(traced(ctx, r.Method), t))
		var connect *connectError
		if !errors.As(err, &connect) || errors.Is(err, errBlocked) || ctx.Err() != nil {
			return resp, t, err
		}
		none.tried = append(none.tried, t.String())
		none.errs = append(none.errs, err)
	}
	return nil, Target{}, none
}

// read makes an answer of a response whose head has come.
func (c *Client) read(resp *http.Response, cancel context.CancelCauseFunc, r *Request, t Target) (*Answer, error) {
	header, err := endToEnd(resp.Header)
	if err != nil {
		return nil, err
	}
	a := &Answer{
		Response: grip.Response{Code: resp.StatusCode, Reason: reason(resp.Status), Header: header},
		Length:   resp.ContentLength,
		Personal: personal(header, false),

		announced: resp.ContentLength >= 0,
	}
	if a.Response.Code < 200 {
		return nil, fmt.Errorf("%w: status %d to a request without Upgrade", errUnwritten, a.Response.Code)
	}
	timer := time.AfterFunc(c.cfg.AnswerTimeout, func() { cancel(errTooSlow) })
	defer timer.Stop()
	switch {
	case r.gripping() && (r.Link || grip.IsInstruct(header)):
		in, err := readInstruct(a, resp.Body, r, t)
		if err == nil && r.Method == http.MethodHead {
			in.Length = a.Length
		}
		return in, err
	case r.Method == http.MethodHead:
	case resp.ContentLength > maxTogether, resp.ContentLength < 0 && r.Key == "":
		a.Body = resp.Body
		return a, nil
	case resp.ContentLength < 0:
		a.Response.Body, a.Body, err = gather(resp.Body, maxTogether, shareWait)
		if a.Body == nil {
			a.Length = int64(len(a.Response.Body))
		}
	default:
		a.Response.Body, err = io.ReadAll(resp.Body)
	}
	if err != nil {
		return nil, fmt.Errorf("read the origin's answer: %w", err)
	}
	return a, nil
}

// readInstruct reads an answer that tells the edge what to do. Its body is complete,
// unless it can be sent before it is.
func readInstruct(a *Answer, body io.ReadCloser, r *Request, t Target) (*Answer, error) {
	_, streams, _ := grip.ParseInstructHead(a.Response) // an error comes again
	parse := grip.ParseInstruct
	if r.Link {
		parse = grip.ParseLink
		in, err := parse(a.Response)
		streams = streams || err == nil && in.Hold == nil // the stream ends with it
	}
	var rest io.ReadCloser
	var err error
	switch {
	case streams && a.Length > grip.MaxInstructBody:
		rest = body
	case streams:
		a.Response.Body, rest, err = gather(body, grip.MaxInstructBody+1, shareWait)
	default:
		a.Response.Body, err = io.ReadAll(io.LimitReader(body, grip.MaxInstructBody+1))
	}
	if err != nil {
		return nil, fmt.Errorf("read the origin's instruct: %w", err)
	}
	if !streams && len(a.Response.Body) > grip.MaxInstructBody {
		return nil, &tooLarge{t}
	}
	in, err := parse(a.Response)
	if err != nil {
		if rest != nil {
			rest.Close()
		}
		return nil, err
	}
	if in.Next != nil || !identified(in.Named) {
		in.Named = nil // nobody could tell when it is outdated
	}
	out := &Answer{
		Response: in.Response, Length: int64(len(in.Response.Body)),
		Hold: in.Hold, Next: in.Next, Gone: in.Gone, Named: in.Named,
		Body: rest, announced: a.announced,
	}
	if rest != nil {
		out.Length = -1
	}
	if held := in.Hold != nil; !r.Link {
		// A JSON instruct has two headers: the client gets the inner one, but
		// the outer one too says what the instruct depends on. A link was asked
		// on behalf of nobody, its header says nothing.
		out.Personal = personal(a.Response.Header, held) || personal(in.Response.Header, held)
	}
	return out, nil
}

// openBody is a body with something to do when it is closed.
type openBody struct {
	io.ReadCloser
	closed   func()
	patience time.Duration // how long a Read may take; 0 for any time
	once     sync.Once
}

// Read implements io.Reader.
func (b *openBody) Read(p []byte) (int, error) {
	if b.patience > 0 {
		timer := time.AfterFunc(b.patience, func() { b.Close() })
		defer timer.Stop()
	}
	return b.ReadCloser.Read(p)
}

// Close implements io.Closer. It may be called again, and during a Read, which
// it ends.
func (b *openBody) Close() error {
	var err error
	b.once.Do(func() {
		err = b.ReadCloser.Close()
		b.closed()
	})
	return err
}
