package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestStatusFigures(t *testing.T) {
	ping := 1.5
	s := &status{Received: 9, Nodes: []statusNode{
		{Kind: "origin", Name: "o", Up: true, Ping: &ping},
		{Kind: "edge", Name: "e1", Pair: "g1", Up: true, Ping: &ping, Held: 3},
		{Kind: "edge", Name: "e2", Pair: "g2", Up: true, Ping: &ping, Held: 4},
		{Kind: "group", Name: "g1", Pair: "e1", Up: true, Ping: &ping},
		{Kind: "group", Name: "g2", Pair: "e2", Up: true, Ping: &ping},
	}}
	if got := s.held(); got != 7 {
		t.Errorf("held() = %d, want 7", got)
	}
	for group, want := range map[string]string{"g1": "e1", "g2": "e2", "g3": ""} {
		if got := s.edgeOf(group); got != want {
			t.Errorf("edgeOf(%q) = %q, want %q", group, got, want)
		}
	}
	if !s.pinged() {
		t.Error("pinged() = false although all nodes have a ping")
	}
	s.Nodes[4].Ping = nil
	if s.pinged() {
		t.Error("pinged() = true although g2 has no ping")
	}
	if (&status{}).pinged() {
		t.Error("pinged() = true without nodes")
	}
	if s.hasReached(5, 9) {
		t.Error("hasReached(5, 9) = true before the first headline")
	}
	s.Headline = &struct {
		ID uint64 `json:"id"`
	}{5}
	for _, test := range []struct {
		headline uint64
		clients  int
		want     bool
	}{{5, 9, true}, {5, 10, false}, {4, 9, false}, {6, 9, false}} {
		if got := s.hasReached(test.headline, test.clients); got != test.want {
			t.Errorf("hasReached(%d, %d) = %t, want %t", test.headline, test.clients, got, test.want)
		}
	}
}

// newViewer returns a viewer of a page that answers as serve does.
func newViewer(t *testing.T, serve http.HandlerFunc) *viewer {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	return &viewer{page: server.URL, client: server.Client()}
}

// A viewer asks for the status after the one it has, and again when a poll was
// held in vain.
func TestViewerAwait(t *testing.T) {
	answers := []string{`{"id": 7, "received": 1}`, `{}`, `{"id": 9, "received": 2}`}
	var asked []string
	v := newViewer(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		io.WriteString(w, answers[len(asked)-1])
	})
	s, err := v.await(t.Context(), time.Minute, "two have it", func(s *status) bool { return s.Received == 2 })
	if err != nil || s.ID != 9 {
		t.Fatalf("await = %+v, %v, want the status of id 9", s, err)
	}
	if got, want := fmt.Sprint(asked), "[/status/ /status/?last_id=7 /status/?last_id=7]"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	// What is the case already needs no question.
	if _, err := v.await(t.Context(), time.Minute, "two have it", func(s *status) bool { return s.Received == 2 }); err != nil || len(asked) != 3 {
		t.Errorf("await of the newest status asked %d times, %v", len(asked)-3, err)
	}
}

func TestViewerAwaitInVain(t *testing.T) {
	asked := false
	v := newViewer(t, func(w http.ResponseWriter, r *http.Request) {
		if asked {
			<-r.Context().Done()
			return
		}
		asked = true
		io.WriteString(w, `{"id": 7, "received": 1234, "edges": {"up": 1, "needed": 2}}`)
	})
	if _, err := v.next(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := v.await(t.Context(), 50*time.Millisecond, "pigs fly", func(s *status) bool { return false })
	const want = "waited in vain for 50ms until pigs fly: there are edges 1/2, groups 0/0, 0 clients held, 1,234 with the newest headline"
	if !errors.Is(err, errInVain) || err.Error() != want {
		t.Errorf("await = %v, want %q", err, want)
	}
}

func TestViewerSend(t *testing.T) {
	for _, test := range []struct {
		name    string
		status  int
		answer  string
		want    uint64
		wantErr string
	}{
		{"made", 200, `{"id": 3, "body": "a & b"}`, 3, ""},
		{"refused", 403, `{"error": "not from here"}`, 0, "send a headline: 403 Forbidden: {\"error\": \"not from here\"}"},
		{"no JSON", 200, `<html>`, 0, "send a headline: invalid character"},
		{"no id", 200, `{}`, 0, "send a headline: the dashboard's answer has no id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newViewer(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.PostFormValue("body"); r.URL.Path != "/headline/" || got != "a & b" {
					t.Errorf("posted %q to %s, want %q to /headline/", got, r.URL.Path, "a & b")
				}
				w.WriteHeader(test.status)
				io.WriteString(w, test.answer)
			})
			got, err := v.send(t.Context(), "a & b")
			if test.wantErr == "" && err != nil || test.wantErr != "" && (err == nil || !strings.HasPrefix(err.Error(), test.wantErr)) {
				t.Fatalf("send: got error %v, want %q", err, test.wantErr)
			}
			if got != test.want {
				t.Errorf("send = %d, want %d", got, test.want)
			}
		})
	}
}
