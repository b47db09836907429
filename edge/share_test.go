package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"marquee/grip"
)

// wantAsked checks how often the origin was asked since the last time.
func (h *headline) wantAsked(t *testing.T, what string, want int) {
	t.Helper()
	if got := h.count(); got != want {
		t.Errorf("%s: the origin was asked %d times, want %d", what, got, want)
	}
}

// Equal polls cost the origin one request, whenever they come (-share-all).
func TestSharing(t *testing.T) {
	const clients = 20
	h := &headline{id: 1}
	r := newRig(t, h, "-share-all")
	poll := func(id int) []*client { return r.poll(clients, id) }
	wantAll := func(cs []*client, body string) {
		t.Helper()
		for _, c := range cs {
			c.wantAnswer(200, body)
		}
	}

	together := poll(1)
	r.waitHolds(clients)
	h.wantAsked(t, "polls that come together", 1)
	late := poll(1)
	r.waitHolds(2 * clients)
	h.wantAsked(t, "polls that come while others are held", 0)

	h.change()
	r.publish(headlineItem(2))
	wantAll(together, headlineBody(2))
	wantAll(late, headlineBody(2))
	wantAll(poll(1), headlineBody(2))
	h.wantAsked(t, "polls with the old id after the publish", 0)

	for _, c := range together { // on the same connections
		c.get(pollPath(2))
	}
	r.waitHolds(clients)
	h.wantAsked(t, "polls with the new id", 1)

	first := r.dial()
	first.get(headlinePath)
	first.wantAnswer(200, headlineBody(2))
	h.wantAsked(t, "the first request without an id", 1)
	for _, c := range late {
		c.get(headlinePath)
	}
	wantAll(late, headlineBody(2))
	h.wantAsked(t, "requests without an id, a moment later", 0)

	h.change()
	r.publish(headlineItem(3))
	wantAll(together, headlineBody(3))
	for _, c := range late {
		c.get(headlinePath)
		c.wantAnswer(200, headlineBody(3))
	}
	h.wantAsked(t, "requests without an id after the next publish", 1)
}

// Who has had an item does not get it again for asking the same once more: his request
// is put to the origin where it does not say what he has had, or the item says no more
// than that.
func TestSharingWithoutCursor(t *testing.T) {
	noSeq := item("c", "2", "1", "two")
	noSeq.NoSeq = true
	for _, tt := range []struct {
		name, channel, target string
		item                  grip.Item
	}{
		{"no ids", "c", "/poll", item("c", "", "", "two")},
		{"ids of items only", "c", "/poll", item("c", "2", "1", "two")},
		{"no id in the request", "c; prev-id=1", "/poll", item("c", "2", "1", "two")},
		{"another value in the request", "c; prev-id=1", "/v1/poll?a=x1&b=11", item("c", "2", "1", "two")},
		{"one of two channels", "c; prev-id=1, d; prev-id=7", "/poll?last=1", item("c", "2", "1", "two")},
		{"an item out of sequence", "c; prev-id=1", "/poll?last=1", noSeq},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Grip-Hold", "response")
				w.Header().Set("Grip-Channel", tt.channel)
			}), "-share-all", "-loops", "1")
			c := r.dial()
			c.get(tt.target)
			r.waitHolds(1)
			r.publish(tt.item)
			c.wantStatus(200)
			c.wantBody("two")
			before := r.metric("marquee_requests_repeated_total")
			c.get(tt.target)
			r.waitMetric("marquee_requests_total", 2)
			r.waitMetric("marquee_origin_requests_open", 0)
			r.turn()
			if n := r.metric("marquee_requests_repeated_total"); n != before {
				t.Error("the client is given the item again")
			}
		})
	}
}

// A change that goes through the edge is seen at once by all who ask later,
// before anything is published.
func TestSharingAfterPost(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, h, "-share-all")
	cs := make([]*client, 6)
	for i := range cs {
		cs[i] = r.dial()
		cs[i].get(headlinePath)
		cs[i].wantAnswer(200, headlineBody(1))
	}
	for id := 2; id < 5; id++ {
		cs[id].send("POST " + headlinePath + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
		cs[id].wantAnswer(200, headlineBody(id))
		for _, c := range cs {
			c.get(headlinePath)
			c.wantAnswer(200, headlineBody(id))
		}
	}
}

// Only requests that may have the same answer share one.
func TestWhatIsShared(t *testing.T) {
	tests := []struct {
		name   string
		a, b   string
		shared bool
	}{
		{"the same", request("GET", "/"), request("GET", "/"), true},
		{"User-Agent", request("GET", "/", "User-Agent: a"), request("GET", "/", "User-Agent: b"), true},
		{"Accept-Encoding", request("GET", "/", "Accept-Encoding: gzip"), request("GET", "/"), true},
		{"X-Forwarded-For", request("GET", "/", "X-Forwarded-For: 10.0.0.1"), request("GET", "/"), true},
		{"Host in another case", request("GET", "/"), "GET / HTTP/1.1\r\nHost: HEADLINE.example\r\n\r\n", true},
		{"names in another case", request("GET", "/", "accept: a"), request("GET", "/", "ACCEPT: a"), true},
		{"Connection: close", request("GET", "/"), request("GET", "/", "Connection: close"), true},
		{"nothing of a GRIP proxy", request("GET", "/"), request("GET", "/", "Grip-Last: c; last-id=1"), true},
		{"HTTP/1.0", request("GET", "/"), "GET / HTTP/1.0\r\nHost: headline.example\r\n\r\n", true},
		{"path", request("GET", "/a"), request("GET", "/b"), false},
		{"query", request("GET", "/?a"), request("GET", "/?b"), false},
		{"Host", request("GET", "/"), "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", false},
		{"method", request("GET", "/"), request("HEAD", "/"), false},
		{"Authorization", request("GET", "/", "Authorization: Bearer a"), request("GET", "/", "Authorization: Bearer b"), false},
		{"Authorization, or none", request("GET", "/", "Authorization: Bearer a"), request("GET", "/"), false},
		{"Cookie", request("GET", "/", "Cookie: a=1"), request("GET", "/", "Cookie: a=2"), false},
		{"Accept", request("GET", "/", "Accept: text/html"), request("GET", "/", "Accept: application/json"), false},
		{"Accept-Language", request("GET", "/", "Accept-Language: de"), request("GET", "/", "Accept-Language: en"), false},
		{"Origin", request("GET", "/", "Origin: http://a"), request("GET", "/", "Origin: http://b"), false},
		{"Range", request("GET", "/", "Range: bytes=0-1"), request("GET", "/", "Range: bytes=1-2"), false},
		{"If-None-Match", request("GET", "/", `If-None-Match: "a"`), request("GET", "/"), false},
		{"X-Forwarded-Proto", request("GET", "/", "X-Forwarded-Proto: https"), request("GET", "/"), false},
		{"a field that nobody knows", request("GET", "/", "X-Api-Key: a"), request("GET", "/", "X-Api-Key: b"), false},
		{"a value that looks like two fields", request("GET", "/", "X-A: 1:2"), request("GET", "/", "X-A: 1", "X-B: 2"), false},
		{"POST", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", false},
		{"POST without content", "POST / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\n\r\n", false},
		{"GET with content", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", false},
	}
	wantNoLeaks(t)
	var mu sync.Mutex
	asked := 0
	goCh := make(chan struct{})
	origin := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		mu.Lock()
		asked++
		ch := goCh
		mu.Unlock()
		hang(req, ch)
		w.Header().Set("Content-Length", "0")
	}))
	share, alone := startEdge(t, origin, nil, "-share-all"), startEdge(t, origin, nil)
	check := func(t *testing.T, r *rig, a, b string, want int) {
		t.Helper()
		mu.Lock()
		asked, goCh = 0, make(chan struct{})
		mu.Unlock()
		before := r.metric("marquee_requests_total")
		cs := []*client{dial(t, r.address), dial(t, r.address), dial(t, r.address), dial(t, r.address)}
		for i, text := range []string{a, b, a, b} {
			cs[i].sentHead = text[:4] == "HEAD"
			cs[i].send(text)
		}
		r.waitMetric("marquee_requests_total", before+4)
		r.waitMetric("marquee_origin_requests_open", float64(want))
		close(goCh)
		for _, c := range cs {
			c.wantAnswer(200, "")
			c.leave()
		}
		if asked != want {
			t.Errorf("twice %q and %q: the origin was asked %d times, want %d", a, b, asked, want)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := 2 // one for each kind
			switch {
			case tt.shared:
				want = 1
			case tt.a == tt.b: // not shared even with themselves
				want = 4
			}
			check(t, share, tt.a, tt.b, want)
		})
	}
	t.Run("without -share-all", func(t *testing.T) { check(t, alone, request("GET", "/"), request("GET", "/"), 4) })
}

// follow polls for headlines until it has the one of the last id, as many
// clients do at a time. It must see them in order, and never wait for the
// timeout of a hold.
func (c *client) follow(last int, rest func()) error {
	for id, target := -1, headlinePath; id < last; {
		_ = c.nc.SetWriteDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c.nc, request("GET", target)); err != nil {
			return fmt.Errorf("after headline %d: %w", id, err)
		}
		status, err := c.readHead()
		if err != nil {
			return fmt.Errorf("after headline %d: %w", id, err)
		}
		body, err := c.readBody(status)
		if err != nil {
			return fmt.Errorf("after headline %d: %w", id, err)
		}
		var next int
		if n, err := fmt.Sscanf(body, `{"id": %d, `, &next); n != 1 || body != headlineBody(next) {
			return fmt.Errorf("after headline %d: status %d, %s, %v", id, status, brief(body), err)
		}
		if next <= id {
			return fmt.Errorf("headline %d after headline %d", next, id)
		}
		id, target = next, pollPath(next)
		rest()
	}
	return nil
}

// crowd has n clients follow the headlines, each on a connection of its own,
// and returns a Go channel that gets what each of them says at its end.
func (r *rig) crowd(n, last int, rest func()) <-chan error {
	r.t.Helper()
	endCh := make(chan error, n)
	for range n {
		c := r.dial()
		go func() {
			err := c.follow(last, rest)
			c.leave()
			endCh <- err
		}()
	}
	return endCh
}

// wantCrowd waits until all have the last headline.
func (r *rig) wantCrowd(n int, endCh <-chan error) {
	r.t.Helper()
	failed := 0
	for range n {
		if err := await(r.t, endCh, "the last headline for a client"); err != nil {
			if failed++; failed <= 5 {
				r.t.Error(err)
			}
		}
	}
	if failed > 0 {
		r.t.Errorf("%d of %d clients failed", failed, n)
	}
}

// short rests for a random time of less than d.
func short(d time.Duration) { time.Sleep(rand.N(d)) }

// Whatever the moment, no client is left behind: 1,000 poll while headlines are
// published at random moments, some a while after the origin has them, some
// before those who asked have their answer.
func TestNoClientIsLeftBehind(t *testing.T) {
	const clients = 1000
	for _, tt := range []struct {
		name    string
		args    []string
		changes int
	}{{"shared", []string{"-share-all"}, 40}, {"each for itself", nil, 10}} {
		t.Run(tt.name, func(t *testing.T) {
			h := &headline{id: 1, answering: func(*http.Request) { short(5 * time.Millisecond) }}
			r := newRig(t, h, tt.args...)
			endCh := r.crowd(clients, 1+tt.changes, func() { short(20 * time.Millisecond) })
			for range tt.changes {
				short(60 * time.Millisecond)
				id := h.change()
				short(5 * time.Millisecond)
				r.publish(headlineItem(id))
			}
			r.wantCrowd(clients, endCh)
			r.waitMetric("marquee_connections", 0)
			r.waitHolds(0)
		})
	}
}

// Requests that come while the origin knows more than it has published yet are
// answered, and cost it no more than others.
func TestCostBeforePublish(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, h, "-share-all")
	h.change()
	r.publish(headlineItem(2)) // so that the edge knows an id
	h.change()
	var held []*client
	for range 10 {
		c := r.dial()
		for _, target := range []string{headlinePath, pollPath(1), pollPath(2)} {
			c.get(target)
			c.wantAnswer(200, headlineBody(3))
		}
		held = append(held, c)
	}
	for _, c := range held {
		c.get(pollPath(3))
	}
	r.waitHolds(10)
	if c := h.dearest(); c.requests > 3 {
		t.Errorf("the origin was asked %d times for one URL, want at most 3", c.requests)
	}
	r.publish(headlineItem(3))
	h.change()
	r.publish(headlineItem(4))
	for _, c := range held {
		c.wantAnswer(200, headlineBody(4))
	}
}

// Clients that poll the same URL cost the origin at most two requests at a time
// and five in all per change, whatever moment they arrive at.
func TestCostOfAChange(t *testing.T) {
	const clients, changes, most = 1000, 20, 5
	h := &headline{id: 1, answering: func(*http.Request) { short(2 * time.Millisecond) }}
	r := newRig(t, h, "-share-all")
	wantCheap := func(when string) {
		t.Helper()
		if c := h.dearest(); c.requests > most || c.most > 2 {
			t.Errorf("%s: the origin was asked %d times for one URL, %d at a time, want at most %d, 2 at a time", when, c.requests, c.most, most)
		}
	}
	endCh := r.crowd(clients, 1+changes, func() { short(100 * time.Millisecond) })
	r.waitMetric("marquee_connections", clients)
	r.waitHolds(clients)
	wantCheap("to begin with")
	for range changes {
		id := h.change()
		short(2 * time.Millisecond) // the origin has it, the edge does not know
		r.publish(headlineItem(id))
		if id <= changes {
			r.waitHolds(clients) // all are back
		}
		wantCheap(fmt.Sprint("headline ", id))
	}
	r.wantCrowd(clients, endCh)
}
