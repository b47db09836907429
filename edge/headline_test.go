package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"marquee/grip"
)

// headline is an origin that answers as the headline service does: with the
// value at once, or with an instruct to hold for who has it already. Both name
// the channel and the id.
type headline struct {
	// answering, if not nil, is called with each GET when its answer is
	// settled, before it goes out.
	answering func(r *http.Request)

	mu       sync.Mutex // all below
	id       int
	requests int // GETs so far
	open     int // GETs now
	most     int // GETs at a time
	last     []string
}

// headlinePath is where the headline is.
const headlinePath = "/headline/value/"

// pollPath is where the headline after one of that id is.
func pollPath(id int) string { return fmt.Sprintf("%s?last_id=%d", headlinePath, id) }

// headlineBody is what a client gets as the headline of that id.
func headlineBody(id int) string { return fmt.Sprintf(`{"id": %d, "body": "headline %d"}`, id, id) }

// headlineItem is what the origin publishes as the headline of that id.
func headlineItem(id int) grip.Item {
	return item("headline-value", strconv.Itoa(id), strconv.Itoa(id-1), headlineBody(id))
}

// ServeHTTP implements http.Handler.
func (h *headline) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, headlineBody(h.change()))
		return
	}
	h.mu.Lock()
	id := h.id
	h.requests++
	h.open++
	h.most = max(h.most, h.open)
	h.last = append(h.last, r.Header.Values("Grip-Last")...)
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.open--
	}()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Grip-Channel", fmt.Sprintf("headline-value; prev-id=%d", id))
	body := headlineBody(id)
	if r.URL.Query().Get("last_id") == strconv.Itoa(id) {
		w.Header().Set("Grip-Hold", "response")
		body = "{}"
	}
	if h.answering != nil {
		h.answering(r)
	}
	_, _ = io.WriteString(w, body)
}

// change makes a new headline and returns its id. It is not published.
func (h *headline) change() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.id++
	return h.id
}

// counts returns how many GETs there were since the last call, and how many of
// them were open at a time.
func (h *headline) counts() (requests, most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests, most = h.requests, h.most
	h.requests, h.most = 0, h.open
	return requests, most
}
