package main

import (
	"slices"
	"testing"
)

// Only an id that a connection has is alive, not one that looks like it
// (GRIP reference 5.3, conncheck).
func TestTrackerAlive(t *testing.T) {
	tr := &tracker{conns: map[uint64]struct{}{1: {}, 12: {}}}
	got := tr.alive([]string{"conn-1", "conn-2", "conn-1x", "conn-01", "conn-+1", "conn- 1", "conn-", "1", "", "conn-12"})
	if want := []string{"conn-1", "conn-12"}; !slices.Equal(got, want) {
		t.Errorf("alive are %q, want %q", got, want)
	}
}
