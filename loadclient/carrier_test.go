package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A publisher is a headline service that the clients do not see: it publishes what is
// posted to it. It has headline 1, which was published to nobody, unless that is
// taken away.
type publisher struct {
	*httptest.Server
	publish func(headline []byte) error

	mu     sync.Mutex
	id     int
	newest []byte // nil: none
}

func startPublisher(t *testing.T, publish func(headline []byte) error) *publisher {
	t.Helper()
	p := &publisher{publish: publish, id: 1, newest: []byte(`{"id": 1, "body": "before"}`)}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Method == http.MethodPost {
		p.id++
		text, err := json.Marshal(r.FormValue("body"))
		if err == nil {
			p.newest = fmt.Appendf(nil, `{"id": %d, "body": %s}`, p.id, text)
			err = p.publish(p.newest)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if p.newest == nil {
		http.NotFound(w, r)
		return
	}
	w.Write(p.newest)
}

// A carrier is a foreign server: it brings clients whatever is published from when
// they have come on.
type carrier struct {
	*httptest.Server

	mu        sync.Mutex
	timeouts  int // first requests that are still to be answered 408, not held
	missing   int // clients that are still to come
	wholeCh   chan struct{}
	messages  [][]byte
	changedCh chan struct{}
	asked     map[string]int // first requests, by path
}

// carrying is how a carrier speaks in each dialect and way.
var carrying = map[string]func(*carrier, http.ResponseWriter, *http.Request) error{
	"nchan polls":        (*carrier).pollNchan,
	"nchan streams":      eventStreams(": hi\n\n", "id: 1700000000:%d\ndata: %s\n\n"),
	"centrifugo streams": eventStreams("\r\ndata: {\"connect\":{\"client\":\"7c3f\",\"subs\":{\"c\":{}},\"ping\":25}}\n\n", "data: {}\n\ndata: {\"channel\":\"c\",\"pub\":{\"offset\":%d,\"data\":%s}}\n\n"),
	"mercure streams":    eventStreams(":\n", "id: urn:uuid:4f6b-%d\ndata: %s\n\n:\n"),
}

// startCarrier starts one that publishes nothing until so many clients have come.
func startCarrier(t *testing.T, way string, clients int) *carrier {
	t.Helper()
	c := &carrier{missing: clients, wholeCh: make(chan struct{}), changedCh: make(chan struct{}), asked: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Last-Event-ID") != "" || r.FormValue("last_id") != "" {
			http.Error(w, "what is a headline?", http.StatusBadRequest)
			return
		}
		if err := carrying[way](c, w, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	t.Cleanup(func() {
		c.CloseClientConnections()
		c.Close()
	})
	return c
}

// enrol counts a client that asks for the first time, and returns the number of
// the next message.
func (c *carrier) enrol(r *http.Request) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[r.URL.Path]++
	if c.missing--; c.missing == 0 {
		close(c.wholeCh)
	}
	return len(c.messages)
}

// timedOut reports whether a request is to be answered as if it had been held for
// long.
func (c *carrier) timedOut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timeouts--
	return c.timeouts >= 0
}

func (c *carrier) publish(message []byte) error {
	<-c.wholeCh
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, message)
	close(c.changedCh)
	c.changedCh = make(chan struct{})
	return nil
}

// await returns message n once it is there, nil when ctx ends before.
func (c *carrier) await(ctx context.Context, n int) []byte {
	for {
		c.mu.Lock()
		var message []byte
		if n < len(c.messages) {
			message = c.messages[n]
		}
		changedCh := c.changedCh
		c.mu.Unlock()
		if message != nil {
			return message
		}
		select {
		case <-changedCh:
		case <-ctx.Done():
			return nil
		}
	}
}

// pollNchan answers a long poll. Validators are other ones in each channel, and
// good for no other.
func (c *carrier) pollNchan(w http.ResponseWriter, r *http.Request) error {
	names := func(n int) (etag, modified string) {
		at := time.Unix(1_700_000_000+int64(n), 0).UTC()
		return fmt.Sprintf("%d%s", n, r.URL.Path), at.Format(http.TimeFormat)
	}
	var next int
	if etag, modified := r.Header.Get("If-None-Match"), r.Header.Get("If-Modified-Since"); etag == "" {
		next = c.enrol(r)
	} else {
		if _, err := fmt.Sscanf(etag, "%d", &next); err != nil {
			return err
		}
		if e, m := names(next); etag != e || modified != m {
			return fmt.Errorf("validators %s, %s, want %s, %s", etag, modified, e, m)
		}
		next++
	}
	if c.timedOut() {
		w.WriteHeader(http.StatusRequestTimeout)
		return nil
	}
	message := c.await(r.Context(), next)
	if message == nil {
		return nil
	}
	etag, modified := names(next)
	w.Header().Set("Etag", etag)
	w.Header().Set("Last-Modified", modified)
	w.Header().Set("Content-Type", "application/json")
	w.Write(message)
	return nil
}

// eventStreams returns what answers with a stream that begins with greeting; format
// makes an event of a message's number and itself.
func eventStreams(greeting, format string) func(*carrier, http.ResponseWriter, *http.Request) error {
	return func(c *carrier, w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		fmt.Fprint(w, greeting)
		out := http.NewResponseController(w)
		for n := c.enrol(r); ; n++ {
			if err := out.Flush(); err != nil {
				return nil
			}
			message := c.await(r.Context(), n)
			if message == nil {
				return nil
			}
			fmt.Fprintf(w, format, n, message)
		}
	}
}
