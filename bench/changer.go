package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A phase is when in a trial a change was begun.
type phase int

const (
	before phase = iota
	during       // of the attack or fault, and until all clients have caught up
	after
	phases
)

// postTimeout bounds one change. An origin that does not answer takes no headline:
// those that were to come meanwhile are not made.
const postTimeout = 3 * time.Second

// A changer changes the headline at a steady pace, one change at a time, whatever
// comes of it, until it is stopped. Its methods are safe for several at once.
type changer struct {
	url    string
	every  time.Duration
	client *http.Client
	cancel context.CancelFunc
	doneCh chan struct{}

	mu     sync.Mutex
	phase  phase
	madeCh chan struct{} // closed, and replaced, when a change was made or has failed
	made   []change
}

// A change is one headline that was posted.
type change struct {
	text  string
	phase phase
	began time.Duration // by monotonic
	// id is the headline's, 0 when the origin did not confirm it: then it may have
	// become the headline nevertheless.
	id  uint64
	err error // why it was not confirmed
	// ended is when it was confirmed, or not.
	ended time.Duration
}

// newChanger starts a changer of the headline at url.
func newChanger(client *http.Client, url string, every time.Duration) *changer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &changer{
		url: url, every: every, cancel: cancel, doneCh: make(chan struct{}), madeCh: make(chan struct{}),
		client: &http.Client{Timeout: postTimeout, Transport: client.Transport},
	}
	go c.run(ctx)
	return c
}

// stop ends it, when the change under way is made, and may be called again.
func (c *changer) stop() {
	c.cancel()
	<-c.doneCh
}

// run is the changer's goroutine, which newChanger starts and stop ends.
func (c *changer) run(ctx context.Context) {
	defer close(c.doneCh)
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		made := change{text: fmt.Sprintf("Headline %d of this trial: Flight %d arriving in terminal %c.", n, 100+n%900, 'A'+n%6), phase: c.phase}
		c.mu.Unlock()
		made.began = monotonic()
		made.id, made.err = c.post(made.text)
		made.ended = monotonic()
		c.mu.Lock()
		c.made = append(c.made, made)
		close(c.madeCh)
		c.madeCh = make(chan struct{})
		c.mu.Unlock()
	}
}

// post changes the headline and returns its id.
func (c *changer) post(text string) (id uint64, err error) {
	form := strings.NewReader(url.Values{"body": {text}}.Encode())
	r, err := http.NewRequest(http.MethodPost, c.url, form)
	if err != nil {
		return 0, fmt.Errorf("post a headline: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Close = true // the origin at the other end may be another one next time
	resp, err := c.client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("post a headline: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return 0, fmt.Errorf("post a headline: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("post a headline: %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	var answer struct {
		ID   uint64 `json:"id"`
		Body string `json:"body"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.ID == 0 || answer.Body != text {
		return 0, fmt.Errorf("post a headline: posted %q, answered %q", text, body)
	}
	return answer.ID, nil
}

// enter has the next changes be of that phase.
func (c *changer) enter(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = p
}

// pause returns when n more changes were confirmed.
func (c *changer) pause(ctx context.Context, n int) error {
	want := c.count(true) + n
	return c.await(ctx, func() bool { return c.count(true) >= want })
}

// awaitRefused returns when one more change was not confirmed.
func (c *changer) awaitRefused(ctx context.Context) error {
	want := c.count(false) + 1
	return c.await(ctx, func() bool { return c.count(false) >= want })
}

// await returns when done says so, which may be the case after any change.
func (c *changer) await(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, awaitTimeout, fmt.Errorf("waited %v in vain for changes of the headline to be confirmed, or refused", awaitTimeout))
	defer cancel()
	for {
		c.mu.Lock()
		madeCh := c.madeCh
		c.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-madeCh:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// count returns how many changes were confirmed, or were not.
func (c *changer) count(confirmed bool) int {
	n := 0
	for _, made := range c.all() {
		if made.id > 0 == confirmed {
			n++
		}
	}
	return n
}

// all returns the changes until now.
func (c *changer) all() []change {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made[:len(c.made):len(c.made)]
}

// newest returns the id of the newest headline that was confirmed, 0 if there is
// none.
func (c *changer) newest() uint64 { return c.newestBefore(monotonic()) }

// newestBefore is newest, as of a time by monotonic.
func (c *changer) newestBefore(t time.Duration) uint64 {
	id := uint64(0)
	for _, made := range c.all() {
		if made.ended <= t {
			id = max(id, made.id)
		}
	}
	return id
}

// judge adds to the result how the changes reached the audiences, once all have
// ended.
func (c *changer) judge(s *scene) {
	texts := make(map[string]uint64)
	for i, made := range c.all() {
		s.result.Changes++
		texts[made.text] = made.id
		if made.id == 0 {
			s.result.Refused++
			s.result.Refusals[reason(made.err)]++
			continue
		}
		var p50, p99, last float64
		whole := true
		for _, a := range s.audiences {
			if made.id <= a.after {
				continue
			}
			h, ok := a.sighting(made.id)
			if a.kind == "streams" && h.Received < a.clients {
				s.result.Lost += a.clients - h.Received
				s.fail("%d of %d streams did not get headline %d", a.clients-h.Received, a.clients, made.id)
			}
			if !ok {
				whole = false // polls went past it
				continue
			}
			first := milliseconds(time.Duration(h.FirstNS) - made.began)
			p50, p99, last = max(p50, first+h.P50), max(p99, first+h.P99), max(last, first+h.Max)
		}
		// The first takes longer than any other: see changesPerTurn.
		if whole && i > 0 {
			s.result.times(made.phase).add(p50, p99, last)
		}
	}
	for _, a := range s.audiences {
		for id, h := range a.headlines {
			if posted, ok := texts[h.Text]; h.Text != headline && (!ok || posted != 0 && posted != id) {
				s.fail("%s have headline %d, %q, which was not posted as that", a.kind, id, h.Text)
			}
		}
	}
}

// reason shortens why a change was not confirmed to what many have in common.
func reason(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}
