package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// eventsPath is where the headline is found as a stream of server-sent events
// (HTML Living Standard §9.2).
const eventsPath = "/headline/events/"

// linkTimeout is after how long without a headline the proxy asks for those that a
// stream has missed. Without lost messages it never finds any.
const linkTimeout = 2 * time.Minute

// events answers with the headlines that a stream has missed, or the newest if it
// is a new one, and the instruct to hold it for those to come. It is also where
// GRIP proxies ask, on a stream's behalf, when they see that it may have missed
// some.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	seen, isResumed, err := lastSeen(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := h.checkProxy(r.Header); err != nil {
		refuse(w, http.StatusNotImplemented, fmt.Sprintf("this stream would be held: %s", err))
		return
	}
	recent := h.service.recent.Load()
	var missed []*headline
	switch newest := recent.newest(); {
	case isResumed:
		missed = recent.after(seen)
	case newest != nil:
		missed = []*headline{newest}
	}
	// Before the first headline the streams have seen number 0. Headline 1 follows
	// nothing (its item has no prev-id), so that the proxy asks here for it.
	prevID := "0"
	if newest := recent.newest(); newest != nil {
		prevID = newest.idString()
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache")
	header.Set("Grip-Hold", "stream")
	header.Set("Grip-Channel", channelName+"; prev-id="+prevID)
	header.Set("Grip-Link", fmt.Sprintf("<%s>; rel=next; timeout=%d", eventsPath, linkTimeout/time.Second))
	if h.keepAlive > 0 {
		// A comment, which clients ignore.
		header.Set("Grip-Keep-Alive", fmt.Sprintf(`:\n\n; format=cstring; timeout=%d`, h.keepAlive/time.Second))
	}
	size := 0
	for _, m := range missed {
		size += len(m.event)
	}
	header.Set("Content-Length", strconv.Itoa(size))
	if r.Method == http.MethodHead {
		return
	}
	for _, m := range missed {
		_, _ = w.Write(m.event) // a proxy that has gone asks again
	}
}

// lastSeen returns the id of the last headline that a stream has seen, and whether
// it is known. A GRIP proxy says so in Grip-Last, a client that comes back in
// Last-Event-ID, and one that cannot set fields in the query's last_id. The first
// of these counts, since it is the newest.
func lastSeen(r *http.Request) (id uint64, ok bool, err error) {
	if last := r.Header.Get("Grip-Last"); last != "" {
		id, err := strconv.ParseUint(gripLastID(last), 10, 64)
		if err != nil {
			return 0, false, errors.New("Grip-Last has no last-id that is a number")
		}
		return id, true, nil
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		id, err := strconv.ParseUint(last, 10, 64)
		if err != nil {
			return 0, false, errors.New("Last-Event-ID is not a number")
		}
		return id, true, nil
	}
	return parseLastID(r.URL.RawQuery)
}

// gripLastID returns the last-id of a value of Grip-Last, CHANNEL; last-id=ID. The
// channel is ours, whatever a proxy has put before its name.
func gripLastID(value string) string {
	_, params, _ := strings.Cut(value, ";")
	for param := range strings.SplitSeq(params, ";") {
		name, id, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "last-id") {
			return strings.Trim(id, `"`)
		}
	}
	return ""
}
