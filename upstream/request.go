package upstream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"marquee/grip"
)

// Request is what to ask the origin. It must not change once it has been asked.
type Request struct {
	Method string
	// Host is the Host field that the origin gets.
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
	// Key is equal for requests that may share an answer; "" for one that is
	// asked for itself alone.
	Key string
	// Last are the channels, with the last id known of each, that a repeated
	// request tells the origin of (Grip-Last).
	Last []grip.Channel
}

// outgoing makes the request that goes out.
func (r *Request) outgoing(ctx context.Context, origin string) *http.Request {
	u := &url.URL{Scheme: "http", Host: origin, Opaque: r.Target}
	if strings.HasPrefix(r.Target, "//") {
		// As Opaque this would become an absolute URL with another host.
		u = pathURL(origin, r.Target)
	}
	req := (&http.Request{
		Method: r.Method, URL: u, Host: r.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(r.Header)+4),
	}).WithContext(ctx)
	for _, f := range r.Header {
		req.Header.Add(f.Name, f.Value)
	}
	if r.Method == http.MethodPut || r.Method == http.MethodDelete {
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
	for _, c := range r.Last {
		req.Header.Add("Grip-Last", c.Last())
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

// pathURL returns a URL whose request target is the one given, but for what
// cannot stand in a path: net/url would recode all of such a path, and so take a
// coded slash for a slash.
func pathURL(origin, target string) *url.URL {
	path, query, asked := strings.Cut(target, "?")
	path = pathByte.ReplaceAllStringFunc(path, func(s string) string {
		if s[0] == '%' && len(s) == 3 {
			return s
		}
		return url.PathEscape(s)
	})
	plain, _ := url.PathUnescape(path) // which has valid encodings only
	return &url.URL{Scheme: "http", Host: origin, Path: plain, RawPath: path, RawQuery: query, ForceQuery: asked}
}
