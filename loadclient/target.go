package main

import (
	"context"
	"net/url"
	"strconv"
)

// target is what clients ask and where they connect. Immutable, but for the
// dialer's memory: one pool's.
type target struct {
	url     string
	connect string // host:port
	dialer  *dialer

	// The request, but for the id.
	requestHead []byte // the beginning, ...
	requestLast []byte // ... what goes before the id, if there is one, ...
	requestTail []byte // ... and the rest
}

// newTarget resolves connect, for as long as ctx lasts, and lays out the
// request for u: one for a stream if stream says so. reconnect says that each
// request is the only one of its connection.
func newTarget(ctx context.Context, u *url.URL, connect string, reconnect, stream bool) (*target, error) {
	d, err := newDialer(ctx, connect)
	if err != nil {
		return nil, err
	}
	t := &target{url: u.String(), connect: connect, dialer: d}
	version, closing := " HTTP/1.1\r\n", ""
	if reconnect {
		version, closing = " HTTP/1.0\r\n", "Connection: close\r\n"
	}
	from := "Host: " + u.Host + "\r\nUser-Agent: marquee-loadclient\r\n"
	if stream {
		// As browsers ask (HTML Living Standard §9.2.2 and §9.2.3).
		t.requestHead = []byte("GET " + u.RequestURI() + version + from + "Accept: text/event-stream\r\nCache-Control: no-cache")
		t.requestLast = []byte("\r\nLast-Event-ID: ")
		t.requestTail = []byte("\r\n" + closing + "\r\n")
		return t, nil
	}
	query := "?"
	if u.RawQuery != "" {
		query = "&"
	}
	t.requestHead = []byte("GET " + u.RequestURI())
	t.requestLast = []byte(query + "last_id=")
	t.requestTail = []byte(version + from + "Accept: application/json\r\n" + closing + "\r\n")
	return t, nil
}

// appendRequest appends the request of a client: for a headline other than
// last, or for the present one if the client has none; for a stream, for those
// after last.
func (t *target) appendRequest(b []byte, last uint64, hasLast bool) []byte {
	b = append(b, t.requestHead...)
	if hasLast {
		b = append(b, t.requestLast...)
		b = strconv.AppendUint(b, last, 10)
	}
	return append(b, t.requestTail...)
}
