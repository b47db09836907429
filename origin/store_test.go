package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"marquee/bus"
)

// testStore is a store of its own in dir, on a free port.
func testStore(dir string) storeConfig {
	return storeConfig{bus: bus.Config{Name: "origin"}, dir: dir, listen: "127.0.0.1:0"}
}

func mustOpenStore(t testing.TB, dir string) *store {
	t.Helper()
	s, err := openStore(t.Context(), testStore(dir), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Ids go up by one from 1, also over restarts, and the last value comes back.
func TestStoreKeepsValueAndID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	want := uint64(0)
	last := ""
	for range 3 {
		s := mustOpenStore(t, dir)
		stored, err := s.load(t.Context())
		h := stored.newest()
		switch {
		case err != nil:
			t.Fatal(err)
		case want == 0 && h != nil:
			t.Errorf("a fresh store holds %s, want nothing", h.json)
		case want > 0 && (h == nil || string(h.json) != string(newHeadline(want, last).json)):
			t.Errorf("after restart the store holds %v, want %q with id %d", h, last, want)
		}
		for _, body := range []string{"a", "", "<Zürich> ✈\n"} {
			want++
			last = body
			id, err := s.put(t.Context(), body)
			if err != nil || id != want {
				t.Fatalf("put(%q) = %d, %v, want id %d", body, id, err, want)
			}
			if stored, err := s.load(t.Context()); err != nil || string(stored.newest().json) != string(newHeadline(id, body).json) {
				t.Fatalf("after put(%q) the store holds %v, %v", body, stored.newest(), err)
			}
		}
		s.close()
	}
}

func TestOpenStoreRefuses(t *testing.T) {
	taken := t.TempDir()
	s := mustOpenStore(t, taken)
	defer s.close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	blocked := t.TempDir()
	if err := os.WriteFile(filepath.Join(blocked, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, dir, want string }{
		{"directory in use", taken, "is in use by another origin"},
		{"a file", file, "create data directory"},
		{"server cannot write", blocked, "start nats server: Can't start JetStream"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := openStore(t.Context(), testStore(tt.dir), slog.New(slog.DiscardHandler))
			if err == nil {
				s.close()
				t.Fatalf("openStore(%s) succeeds, want an error with %q", tt.dir, tt.want)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.dir) {
				t.Errorf("openStore error %q, want %q and %q in it", err, tt.want, tt.dir)
			}
		})
	}
}

func TestStoreClosedDirCanBeOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		mustOpenStore(t, dir).close()
	}
}

func BenchmarkStorePut(b *testing.B) {
	s := mustOpenStore(b, b.TempDir())
	defer s.close()
	b.ReportAllocs()
	for i := range b.N {
		if _, err := s.put(b.Context(), fmt.Sprint("Flight ", i, " arriving in terminal A.")); err != nil {
			b.Fatal(err)
		}
	}
}
