package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"

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
	requests int              // GETs so far
	byURL    map[string]*cost // of each target
	last     []string
}

// cost is what the requests for one URL cost the origin.
type cost struct {
	requests, open int // so far, and now
	most           int // at a time
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
	if h.byURL == nil {
		h.byURL = make(map[string]*cost)
	}
	c := h.byURL[r.RequestURI]
	if c == nil {
		c = new(cost)
		h.byURL[r.RequestURI] = c
	}
	c.requests++
	c.open++
	c.most = max(c.most, c.open)
	h.last = append(h.last, r.Header.Values("Grip-Last")...)
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		c.open--
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

// count returns how many GETs there were since the last call.
func (h *headline) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := h.requests
	h.requests = 0
	return requests
}

// dearest returns the most requests for one URL since the last call, and the
// most at a time.
func (h *headline) dearest() (c cost) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, of := range h.byURL {
		c.requests, c.most = max(c.requests, of.requests), max(c.most, of.most)
		of.requests, of.most = 0, of.open
	}
	return c
}

// wantLetGo reads what clients get that hold while the edge drains: the headline of that
// id, or the answer of a hold whose time is over. It returns how many got the headline.
func wantLetGo(t *testing.T, held []*client, id int) (items int) {
	t.Helper()
	for _, c := range held {
		c.wantStatus(200)
		c.wantHeader("Connection", "close")
		switch body, err := c.readBody(200); {
		case err == nil && body == headlineBody(id):
			items++
		case err != nil || body != "{}":
			t.Fatalf("body %q, %v", body, err)
		}
	}
	return items
}
