package upstream

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"marquee/grip"
)

// features is what the origin may count on (Grip-Feature, GRIP §1.1). There are
// no sessions: that service is Pushpin's own.
const features = "status, link:next, link:gone, filter:skip-self, filter:skip-users, " +
	"filter:require-sub, filter:build-id, filter:var-subst, filter:http-check, filter:http-modify"

// Request is what to ask the origin. It must not change once it has been asked.
type Request struct {
	// Service is who is asked. It must be set.
	Service *Service
	Method  string
	// Host is the Host field that the origin gets, unless its target has one.
	Host string
	// Target is the request target, in origin-form or "*".
	Target string
	// Header holds end-to-end fields only, without Host and Content-Length.
	Header grip.Header
	// Body is the complete content; nil for none.
	Body []byte
	// Stream is content that is still arriving: it is read once, while the
	// request is open. Such a request is never shared and never repeated. Its
	// error is wrapped in the Failure. A Read that blocks keeps the request
	// open, though all have left; after an early answer one may still be
	// going on.
	Stream io.Reader
	// StreamLength is the length of Stream in bytes, -1 when unknown.
	StreamLength int64
	// Key is equal for requests to the same service that may share an answer; ""
	// for one that is asked for itself alone.
	Key string
	// Trusted: the client is another GRIP proxy, which has signed the request.
	// Its Grip fields are in Header, the edge adds none of its own, and the
	// answer is passed back as it is, for it is the other's to obey (GRIP §1.1).
	Trusted bool
	// Link: the request is for the next link of a stream (GRIP §4.3). The
	// method is GET, and nothing of the client's is in Header. The answer is one
	// with a status of 2xx, and with a hold of mode stream or none; any other is
	// a Failure.
	Link bool
	// Last are the channels, with the last id known of each, that a repeated
	// request tells the origin of (Grip-Last).
	Last []grip.Channel

	// repeatable: it may be put twice, though its method is POST.
	repeatable bool
}

// gripping reports whether the edge and the origin speak GRIP about the request.
func (r *Request) gripping() bool { return !r.Trusted && !r.Service.NoGrip }

func (r *Request) callKey() callKey {
	return callKey{service: r.Service, link: r.Link, trusted: r.Trusted, key: r.Key}
}

// outgoing makes the request that goes out to target t.
func (r *Request) outgoing(ctx context.Context, t Target) *http.Request {
	scheme, host := "http", cmp.Or(t.Host, r.Host)
	if t.TLS {
		scheme = "https"
	}
	u := &url.URL{Scheme: scheme, Host: t.urlHost(host), Opaque: r.Target}
	if strings.HasPrefix(r.Target, "//") {
		// As Opaque this would become an absolute URL with another host.
		u = pathURL(u, r.Target)
	}
	req := (&http.Request{
		Method: r.Method, URL: u, Host: host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(r.Header)+4),
	}).WithContext(ctx)
	for _, f := range r.Header {
		req.Header.Add(f.Name, f.Value)
	}
	if r.repeatable || r.Method == http.MethodPut || r.Method == http.MethodDelete {
		// They may be repeated (RFC 9110 §9.2.2), as net/http does by itself with
		// GET when the origin has closed an idle connection in that moment. It
		// takes this field, empty and so not sent, for leave to do so.
		if !r.Header.Has("Idempotency-Key") {
			req.Header["Idempotency-Key"] = nil
		}
	}
	if !r.Header.Has("User-Agent") {
		req.Header["User-Agent"] = nil // or net/http would add its own
	}
	if r.gripping() {
		r.sign(req.Header)
	}
	switch {
	case r.Stream != nil:
		req.Body, req.ContentLength = io.NopCloser(content{r.Stream}), r.StreamLength
	case len(r.Body) > 0:
		req.ContentLength = int64(len(r.Body))
		req.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(r.Body)), nil
		}
		req.Body, _ = req.GetBody()
	}
	return req
}

// sign adds the fields by which the origin knows a GRIP proxy. A name or an id that no
// field can have is left out: else the request could not be made.
func (r *Request) sign(h http.Header) {
	for _, c := range r.Last {
		if last := c.Last(); printable(last) {
			h.Add("Grip-Last", last)
		}
	}
	h.Set("Grip-Feature", features)
	if s := r.Service.Signer; s != nil {
		if sig := s.Token(time.Now()); sig != "" {
			h.Set("Grip-Sig", sig)
		}
	}
}

// content is a request's Stream, whose errors are not the origin's.
type content struct{ io.Reader }

// Read implements io.Reader.
func (c content) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errContent, err)
	}
	return n, err
}

// pathByte matches a percent-encoded byte of a path, or what cannot stand in one
// (RFC 3986 §3.3; brackets can, says net/url).
var pathByte = regexp.MustCompile(`%[0-9A-Fa-f]{2}|[^/0-9A-Za-z._~!$&'()*+,;=:@\[\]-]`)

// pathURL returns a URL to base whose request target is the one given, but for what
// cannot stand in a path: net/url would recode all of such a path, and so take a
// coded slash for a slash.
func pathURL(base *url.URL, target string) *url.URL {
	path, query, asked := strings.Cut(target, "?")
	path = pathByte.ReplaceAllStringFunc(path, func(s string) string {
		if s[0] == '%' && len(s) == 3 {
			return s
		}
		return url.PathEscape(s)
	})
	plain, _ := url.PathUnescape(path) // which has valid encodings only
	return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: plain, RawPath: path, RawQuery: query, ForceQuery: asked}
}
