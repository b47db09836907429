package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// service is a headline service on real sockets that holds polls.
type service struct {
	*httptest.Server
	hold time.Duration // until a held poll is answered {}

	// answer writes a headline's JSON to a client; poll counts the answers
	// written so far. Replaced before the first request by tests that want bad
	// or odd answers.
	answer func(w http.ResponseWriter, body []byte, poll int)

	mu        sync.Mutex
	id        uint64
	text      string
	polls     int
	urls      map[string]int // requests by URL without last_id
	changedCh chan struct{}  // closed at the next change
}

func startService(t *testing.T, answer func(w http.ResponseWriter, body []byte, poll int)) *service {
	t.Helper()
	s := &service{hold: time.Minute, answer: answer, urls: map[string]int{}, changedCh: make(chan struct{})}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// sized answers as any service would.
func sized(w http.ResponseWriter, body []byte, _ int) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// zipped answers with gzip whoever asks.
func zipped(w http.ResponseWriter, body []byte, _ int) {
	w.Header().Set("Content-Encoding", "gzip")
	sized(w, []byte(gzipped(string(body))), 0)
}

// raw answers with the bytes that format and the body make, then closes.
func raw(format string) func(w http.ResponseWriter, body []byte, poll int) {
	return func(w http.ResponseWriter, body []byte, _ int) {
		writeRaw(w, fmt.Sprintf(format, body))
	}
}

func writeRaw(w http.ResponseWriter, pieces ...string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for _, p := range pieces {
		if _, err := c.Write([]byte(p)); err != nil {
			return
		}
	}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		if r.FormValue("body") == "" {
			http.Error(w, "body is missing", http.StatusBadRequest)
			return
		}
		sized(w, s.change(r.FormValue("body")), 0)
		return
	}
	if ua := r.UserAgent(); ua != "marquee-loadclient" {
		http.Error(w, "unexpected client "+ua, http.StatusBadRequest)
		return
	}
	last := r.FormValue("last_id")
	s.mu.Lock()
	s.urls[withoutLast(r)]++
	changedCh := s.changedCh
	current := s.id != 0 && last == strconv.FormatUint(s.id, 10)
	s.mu.Unlock()
	if current {
		select {
		case <-changedCh:
		case <-r.Context().Done():
			return
		case <-time.After(s.hold):
			sized(w, []byte("{}\n"), 0)
			return
		}
	}
	s.mu.Lock()
	s.polls++
	body, poll, id := s.body(), s.polls, s.id
	s.mu.Unlock()
	if id == 0 {
		http.Error(w, "no headline yet", http.StatusNotFound)
		return
	}
	s.answer(w, body, poll)
}

func withoutLast(r *http.Request) string {
	url := "http://" + r.Host + r.RequestURI
	for _, separator := range []string{"?", "&"} {
		url, _, _ = strings.Cut(url, separator+"last_id=")
	}
	return url
}

// asked returns how often which URL was asked for.
func (s *service) asked() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.urls)
}

// answered returns how many answers were written.
func (s *service) answered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

// change publishes text and returns the headline's JSON.
func (s *service) change(text string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id++
	s.text = text
	close(s.changedCh)
	s.changedCh = make(chan struct{})
	return s.body()
}

func (s *service) body() []byte {
	b, err := json.Marshal(map[string]any{"id": s.id, "body": s.text})
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

// listening returns an address at which connections stand, and nobody speaks.
func listening(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// refusing returns a URL at which nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String() + "/"
}
