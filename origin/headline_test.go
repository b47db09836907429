package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"marquee/bus"
)

// newTestService returns a service over a fresh store that publishes to those
// edges. It is closed at the end of the test.
func newTestService(t testing.TB, log *slog.Logger, edges ...*testEdge) *service {
	t.Helper()
	var urls []string
	for _, e := range edges {
		urls = append(urls, e.url)
	}
	svc, err := openService(t.Context(), testStore(t.TempDir()), testEndpoints(t, urls...), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(svc.close)
	return svc
}

// mustChange changes the headline and returns it.
func mustChange(t testing.TB, svc *service, body string) *headline {
	t.Helper()
	h, err := svc.change(t.Context(), body)
	if err != nil {
		t.Fatalf("change(%q): %v", body, err)
	}
	return h
}

func TestNewHeadline(t *testing.T) {
	tests := []struct {
		name string
		id   uint64
		body string
		want string
	}{
		{"the example", 1, "Flight 123 arriving in terminal A.", `{"id": 1, "body": "Flight 123 arriving in terminal A."}`},
		{"empty", 2, "", `{"id": 2, "body": ""}`},
		{"no HTML escapes", 3, "<b>R&D</b>", `{"id": 3, "body": "<b>R&D</b>"}`},
		{"quote and backslash", 4, `say "C:\"`, `{"id": 4, "body": "say \"C:\\\""}`},
		{"line breaks inside and last", 5, "a\r\nb\n", `{"id": 5, "body": "a\r\nb\n"}`},
		{"beyond ASCII", 6, "Zürich 東京 ✈", `{"id": 6, "body": "Zürich 東京 ✈"}`},
		{"control character", 7, "\x01", `{"id": 7, "body": "\u0001"}`},
		{"greatest id", 1<<64 - 1, "x", `{"id": 18446744073709551615, "body": "x"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := newHeadline(tt.id, tt.body).json; string(got) != tt.want {
				t.Errorf("newHeadline(%d, %q) = %s, want %s", tt.id, tt.body, got, tt.want)
			}
		})
	}
}

// What GRIP proxies buffer of an answer with Grip fields.
const gripAnswerLimit = 100_000

func TestLongestHeadlineFitsGRIPProxies(t *testing.T) {
	h := newHeadline(1<<64-1, strings.Repeat("\x01", maxBody))
	if len(h.json) >= gripAnswerLimit {
		t.Errorf("the longest headline takes %d bytes of JSON, want less than %d", len(h.json), gripAnswerLimit)
	}
}

func FuzzNewHeadline(f *testing.F) {
	for _, body := range []string{"", "Flight 123", `"\`, "<&>", "\x00\x1f\x7f", "\u2028\u2029", "✈"} {
		f.Add(uint64(1), body)
	}
	f.Fuzz(func(t *testing.T, id uint64, body string) {
		if !utf8.ValidString(body) || len(body) > maxBody {
			t.Skip("refused by the handler")
		}
		h := newHeadline(id, body)
		var got struct {
			ID   uint64
			Body string
		}
		if err := json.Unmarshal(h.json, &got); err != nil {
			t.Fatalf("newHeadline(%d, %q) = %s: %v", id, body, h.json, err)
		}
		if got.ID != id || got.Body != body {
			t.Errorf("newHeadline(%d, %q) reads back as %d, %q", id, body, got.ID, got.Body)
		}
		if len(h.json) >= gripAnswerLimit {
			t.Errorf("newHeadline(%d, %q) takes %d bytes", id, body, len(h.json))
		}
	})
}

// Changes from many goroutines get each id once, and every edge gets them in
// order, each naming the one before.
func TestConcurrentChanges(t *testing.T) {
	const changes = 100
	one, two := newTestEdge(t, nil), newTestEdge(t, nil)
	svc := newTestService(t, slog.New(slog.DiscardHandler), one, two)

	var wg sync.WaitGroup
	got := make([]*headline, changes)
	for i := range changes {
		wg.Go(func() {
			h, err := svc.change(t.Context(), fmt.Sprintf("headline of goroutine %d", i))
			if err != nil {
				t.Errorf("change %d: %v", i, err)
				return
			}
			got[i] = h
			if now := svc.current(); now.id < h.id {
				t.Errorf("after change to id %d the current id is %d", h.id, now.id)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	byID := map[uint64]string{}
	for i, h := range got {
		if other, ok := byID[h.id]; ok {
			t.Errorf("id %d was given to %s and to %s", h.id, other, h.json)
		}
		byID[h.id] = string(h.json)
		if want := newHeadline(h.id, fmt.Sprintf("headline of goroutine %d", i)); string(h.json) != string(want.json) {
			t.Errorf("change %d returned %s, want %s", i, h.json, want.json)
		}
	}
	for _, e := range []*testEdge{one, two} {
		for id := uint64(1); id <= changes; id++ {
			e.wantItem(t, id, byID[id])
		}
	}
}

func TestChangeAfterClose(t *testing.T) {
	svc, err := openService(t.Context(), testStore(t.TempDir()), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	svc.close()
	if h, err := svc.change(t.Context(), "too late"); err == nil {
		t.Errorf("change after close = %s, want an error", h.json)
	}
}

// Streams get what they have missed over a restart.
func TestRestartKeepsHistory(t *testing.T) {
	dir := t.TempDir()
	for changes := uint64(0); changes <= storedHeadlines+16; changes += 16 {
		svc, err := openService(t.Context(), testStore(dir), nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, h := range svc.recent.Load().after(0) {
			got = append(got, h.id)
		}
		var want []uint64
		for id := max(changes, storedHeadlines) - storedHeadlines + 1; id <= changes; id++ {
			want = append(want, id)
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %d changes a restart knows headlines %v, want %v", changes, got, want)
		}
		for range 16 {
			mustChange(t, svc, "one more")
		}
		svc.close()
	}
}

// awaitConnected waits until the bus is connected, or is not.
func awaitConnected(t testing.TB, b *bus.Bus, want bool) {
	t.Helper()
	for end := time.Now().Add(patience); b.Connected() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("connected is %v after %v, want %v", !want, patience, want)
		}
	}
}

// While the store of another process is away, changes are refused, and are not made
// when it is back.
func TestChangeWithoutStore(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	server, err := startNATS(dir, "127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	url := server.url()
	svc, err := openService(t.Context(), storeConfig{bus: bus.Config{Name: "origin", URL: url}}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	defer svc.close()
	mustChange(t, svc, "before")
	server.close()
	awaitConnected(t, svc.store.bus, false)
	if _, err := svc.change(t.Context(), "meanwhile"); !errors.Is(err, bus.ErrNotConnected) || errors.Is(err, errInDoubt) {
		t.Errorf("a change without the store: error %v, want %v, without doubt", err, bus.ErrNotConnected)
	}
	if server, err = startNATS(dir, strings.TrimPrefix(url, "nats://"), log); err != nil {
		t.Fatal(err)
	}
	defer server.close()
	awaitConnected(t, svc.store.bus, true)
	if h := mustChange(t, svc, "after"); h.id != 2 {
		t.Errorf("the change after has id %d, want 2", h.id)
	}
}

// What was stored although the answer was lost becomes the headline before the next
// one does.
func TestChangeInDoubt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []string // changes
		stored []string // unknown to the service
	}{
		{"nothing", nil, nil},
		{"nothing new", []string{"a", "b"}, nil},
		{"the first", nil, []string{"a"}},
		{"one more", []string{"a"}, []string{"b"}},
		{"two more", []string{"a", "b"}, []string{"c", "d"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edge := newTestEdge(t, nil)
			svc := newTestService(t, slog.New(slog.DiscardHandler), edge)
			for _, body := range tt.before {
				mustChange(t, svc, body)
			}
			for _, body := range tt.stored {
				if _, err := svc.store.put(t.Context(), body); err != nil {
					t.Fatal(err)
				}
			}
			svc.inDoubt = true
			last := mustChange(t, svc, "last")
			var got []string
			for i, h := range svc.recent.Load().after(0) {
				got = append(got, string(h.json))
				edge.wantItem(t, uint64(i+1), string(h.json))
			}
			if want := len(tt.before) + len(tt.stored) + 1; len(got) != want || last.id != uint64(want) {
				t.Errorf("the history is %v, want %d headlines", got, want)
			}
			if svc.inDoubt {
				t.Error("it is in doubt still")
			}
		})
	}
}

// Who has given up before its turn changes nothing.
func TestChangeAbandoned(t *testing.T) {
	svc, err := openService(t.Context(), testStore(t.TempDir()), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer svc.close()
	mustChange(t, svc, "kept")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := svc.change(ctx, "abandoned"); !errors.Is(err, errAbandoned) {
		t.Errorf("change of who has gone: error %v, want %v", err, errAbandoned)
	}
	if stored, err := svc.store.load(t.Context()); err != nil || len(stored.after(0)) != 1 {
		t.Errorf("the store holds %d headlines, %v, want what was kept", len(stored.after(0)), err)
	}
}

func TestWaitAll(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	open := make(chan struct{})
	tests := []struct {
		name string
		chs  []<-chan struct{}
		d    time.Duration
	}{
		{"none", nil, time.Hour},
		{"all closed", []<-chan struct{}{closed, closed}, time.Hour},
		{"one stays open", []<-chan struct{}{closed, open, open}, time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			begun := time.Now()
			waitAll(tt.chs, tt.d)
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("waitAll took %s", took)
			}
		})
	}
}
