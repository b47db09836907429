package main

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// poll dials n clients, each of which asks for the headline after id.
func (r *rig) poll(n, id int) []*client {
	r.t.Helper()
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = r.dial()
		clients[i].get(pollPath(id))
	}
	return clients
}

func TestHoldAnsweredByPublish(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, h)
	c := r.dial()
	c.get(pollPath(1))
	r.waitHolds(1)
	c.wantNothing()
	receipts := r.publish(headlineItem(2))
	if len(receipts) != 1 || receipts[0].Matched != 1 || receipts[0].Written != 1 || !receipts[0].Complete {
		t.Errorf("receipts %+v, want one hold matched and written", receipts)
	}
	c.wantAnswer(200, headlineBody(2))
	r.waitHolds(0)
}

// The race: the origin has decided to hold, and before its answer arrives it
// publishes. Whoever asked gets the newest headline at once.
func TestPublishOvertakesHold(t *testing.T) {
	const clients = 8 // on both loops
	tests := []struct {
		name     string
		args     []string
		items    []int // published before the hold's answer
		requests int   // that the origin gets for it, at the most
	}{
		{"next item", nil, []int{2}, clients},
		{"next item, shared", []string{"-share-all"}, []int{2}, 1},
		{"two items", nil, []int{2, 3}, 2 * clients},
		{"two items, shared", []string{"-share-all"}, []int{2, 3}, 3},
		{"later item only", nil, []int{3}, 2 * clients},
		{"later item only, shared", []string{"-share-all"}, []int{3}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &headline{id: 1}
			r := newRig(t, h, tt.args...)
			asked := 0
			askedCh := make(chan struct{})
			var mu sync.Mutex
			h.answering = func(req *http.Request) {
				mu.Lock()
				asked++
				if asked == 1 {
					go func() { // when all have asked, and nobody has an answer
						r.waitMetric("marquee_requests_total", clients)
						for h.change() < tt.items[len(tt.items)-1] {
						}
						for _, id := range tt.items {
							r.publish(headlineItem(id))
						}
						close(askedCh)
					}()
				}
				mu.Unlock()
				hang(req, askedCh)
			}
			cs := r.poll(clients, 1)
			for _, c := range cs {
				c.wantAnswer(200, headlineBody(tt.items[len(tt.items)-1]))
			}
			if requests := h.count(); requests > tt.requests {
				t.Errorf("the origin was asked %d times, want at most %d", requests, tt.requests)
			}
			for _, last := range h.last {
				if want := "headline-value; last-id=1"; last != want {
					t.Errorf("Grip-Last %s, want %s", last, want)
				}
			}
		})
	}
}

// An answer that the origin meant for one client goes to one client.
func TestPersonalAnswersAreNotShared(t *testing.T) {
	const clients = 8
	tests := []struct {
		name   string
		fields map[string]string
	}{
		{"Set-Cookie", map[string]string{"Set-Cookie": "session=%d"}},
		{"Cache-Control: private", map[string]string{"Cache-Control": "max-age=5, private"}},
		{"Cache-Control: no-store", map[string]string{"Cache-Control": "no-store"}},
		{"Vary: User-Agent", map[string]string{"Vary": "User-Agent"}},
		{"Vary: *", map[string]string{"Vary": "*"}},
		{"Set-Cookie with a channel", map[string]string{"Set-Cookie": "session=%d", "Grip-Channel": "c; prev-id=1"}},
		{"Set-Cookie, streamed", map[string]string{"Set-Cookie": "session=%d", "Transfer-Encoding": "chunked"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r *rig
			var mu sync.Mutex
			asked := 0
			allCh := make(chan struct{})
			r = newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				mu.Lock()
				asked++
				n := asked
				if n == 1 {
					go func() {
						r.waitMetric("marquee_requests_total", clients)
						close(allCh)
					}()
				}
				mu.Unlock()
				hang(req, allCh)
				for name, value := range tt.fields {
					w.Header().Set(name, value)
				}
				if c := w.Header().Get("Set-Cookie"); c != "" {
					w.Header().Set("Set-Cookie", fmt.Sprintf(c, n))
				}
				fmt.Fprintf(w, "answer %d", n)
			}), "-share-all")
			cs := make([]*client, clients)
			for i := range cs {
				cs[i] = r.dial()
				cs[i].get("/me")
			}
			got := make(map[string]bool)
			for _, c := range cs {
				c.wantStatus(200)
				body, err := c.readBody(200)
				if err != nil {
					t.Fatal(err)
				}
				if got[body] {
					t.Errorf("two clients got %q", body)
				}
				got[body] = true
			}
		})
	}
}
