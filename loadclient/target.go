package main

import (
	"context"
	"net/url"
	"strconv"
	"strings"
)

// target is what clients ask and where they connect. Immutable, but for the
// dialer's memory: one pool's.
type target struct {
	url     string
	connect string // host:port
	dialer  *dialer

	// The request, but for what is a client's own.
	requestHead [][]byte // the beginning, cut where the client's number goes, ...
	requestLast []byte   // ... what goes before the id, if there is one, ...
	requestTail []byte   // ... and the rest
}

// clientMark stands in a URL for the client's number, from 0.
const clientMark = "{client}"

// cutTarget returns what a request for u asks for, cut where the client's number
// goes: in one piece when all clients ask the same.
func cutTarget(u *url.URL) []string {
	// A path is encoded, a query is left as it was given.
	return strings.Split(strings.ReplaceAll(u.RequestURI(), "%7Bclient%7D", clientMark), clientMark)
}

// newTarget resolves connect, for as long as ctx lasts, and lays out the
// request for u as cfg says.
func newTarget(ctx context.Context, cfg config, u *url.URL, connect string) (*target, error) {
	d, err := newDialer(ctx, connect)
	if err != nil {
		return nil, err
	}
	t := &target{url: u.String(), connect: connect, dialer: d}
	version, closing := " HTTP/1.1\r\n", ""
	if cfg.reconnect {
		version, closing = " HTTP/1.0\r\n", "Connection: close\r\n"
	}
	from := "Host: " + u.Host + "\r\nUser-Agent: marquee-loadclient\r\n"
	accept := "Accept: application/json"
	if cfg.gzip {
		accept += "\r\nAccept-Encoding: gzip"
	}
	query := "?"
	if u.RawQuery != "" {
		query = "&"
	}
	first, rest := version+from, "\r\n"+closing+"\r\n"
	switch {
	case cfg.stream:
		// As browsers ask (HTML Living Standard §9.2.2 and §9.2.3).
		first += "Accept: text/event-stream\r\nCache-Control: no-cache"
		if !cfg.dialect.foreign {
			t.requestLast = []byte("\r\nLast-Event-ID: ")
		}
	case cfg.dialect.foreign:
		first += accept // and then the validators
	default:
		t.requestLast = []byte(query + "last_id=")
		first, rest = "", first+accept+rest
	}
	pieces := cutTarget(u)
	pieces[0] = "GET " + pieces[0]
	pieces[len(pieces)-1] += first
	for _, piece := range pieces {
		t.requestHead = append(t.requestHead, []byte(piece))
	}
	t.requestTail = []byte(rest)
	return t, nil
}

// appendRequest appends the request of client number i: for a headline other than
// the one it has, or for the present one if it has none; for a stream, for those
// after its newest.
func (t *target) appendRequest(b []byte, i int32, c *client) []byte {
	b = append(b, t.requestHead[0]...)
	for _, piece := range t.requestHead[1:] {
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, piece...)
	}
	switch {
	case c.validators != nil:
		b = c.validators.append(b)
	case c.started && t.requestLast != nil:
		b = append(b, t.requestLast...)
		b = strconv.AppendUint(b, c.id, 10)
	}
	return append(b, t.requestTail...)
}
