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
	requestHead  []byte // up to the query, ...
	requestQuery []byte // ... up to the value of last_id, ...
	requestTail  []byte // ... and the rest
}

// newTarget resolves connect, for as long as ctx lasts, and lays out the
// request for u. reconnect says that each request is the only one of its
// connection.
func newTarget(ctx context.Context, u *url.URL, connect string, reconnect bool) (*target, error) {
	d, err := newDialer(ctx, connect)
	if err != nil {
		return nil, err
	}
	query := "?"
	if u.RawQuery != "" {
		query = "&"
	}
	version := " HTTP/1.1\r\n"
	tail := "Host: " + u.Host + "\r\nUser-Agent: marquee-loadclient\r\nAccept: application/json\r\n"
	if reconnect {
		version = " HTTP/1.0\r\n"
		tail += "Connection: close\r\n"
	}
	return &target{
		url:          u.String(),
		connect:      connect,
		dialer:       d,
		requestHead:  []byte("GET " + u.RequestURI()),
		requestQuery: []byte(query + "last_id="),
		requestTail:  []byte(version + tail + "\r\n"),
	}, nil
}

// appendRequest appends the request of a client: for a headline other than
// last, or for the present one if the client has none.
func (t *target) appendRequest(b []byte, last uint64, hasLast bool) []byte {
	b = append(b, t.requestHead...)
	if hasLast {
		b = append(b, t.requestQuery...)
		b = strconv.AppendUint(b, last, 10)
	}
	return append(b, t.requestTail...)
}
