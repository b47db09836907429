package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"marquee/uring"
)

// floorContender is the floor, with two threads, that sends by write(2) or through
// io_uring.
func floorContender(name string, byRing bool) *contender {
	how := "one write(2) a delivery"
	if byRing {
		how = fmt.Sprintf("io_uring, %d sends a system call", uring.Entries)
	}
	return &contender{
		name: name, polls: true, streams: true, maxBody: 4 << 10,
		find: func() (string, []string, error) { return version, []string{"2 threads", how}, nil },
		start: func(ctx context.Context, stderr io.Writer, _ arena) (*entrant, error) {
			e, err := newEntrant(speaksHeadline)
			if err != nil {
				return nil, err
			}
			var addr string
			if e.process, addr, err = startFloor(ctx, stderr, 2, byRing); err != nil {
				return e.abandon(err)
			}
			// It has one headline for all.
			e.pollURL = func(string) string { return headlineURL(addr) }
			e.streamURL = func(string) string { return eventsURL(addr) }
			header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
			e.publish = func(ctx context.Context, _ string, b *bulletin) error {
				form := url.Values{"id": {strconv.Itoa(b.id)}, "body": {b.text}}.Encode()
				_, err := e.post(ctx, headlineURL(addr), header, []byte(form))
				return err
			}
			return e, nil
		},
	}
}
