package main

import (
	"slices"
	"strings"
	"testing"
)

// ids returns the ids of headlines.
func ids(headlines []*headline) []uint64 {
	var ids []uint64
	for _, h := range headlines {
		ids = append(ids, h.id)
	}
	return ids
}

func TestHistoryAfter(t *testing.T) {
	var recent *history
	if recent.newest() != nil || recent.after(0) != nil || recent.after(9) != nil {
		t.Errorf("an empty history has %v, %v, %v, want nothing", recent.newest(), recent.after(0), recent.after(9))
	}
	for _, id := range []uint64{3, 4, 6, 7} { // 5 was never seen by anybody
		recent = recent.with(newHeadline(id, "x"))
	}
	if got := recent.newest().id; got != 7 {
		t.Errorf("the newest is %d, want 7", got)
	}
	for _, tt := range []struct {
		name string
		id   uint64
		want []uint64
	}{
		{"nothing seen", 0, []uint64{3, 4, 6, 7}},
		{"older than what is kept", 1, []uint64{3, 4, 6, 7}},
		{"before the oldest", 2, []uint64{3, 4, 6, 7}},
		{"in the middle", 4, []uint64{6, 7}},
		{"a number that is not there", 5, []uint64{6, 7}},
		{"the one before", 6, []uint64{7}},
		{"the newest", 7, nil},
		{"from the future", 8, []uint64{7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ids(recent.after(tt.id)); !slices.Equal(got, tt.want) {
				t.Errorf("after(%d) = %v, want %v", tt.id, got, tt.want)
			}
		})
	}
}

// However long headlines are, the events that are kept fit one instruct, and the
// newest is among them.
func TestHistoryBound(t *testing.T) {
	for _, tt := range []struct {
		name string
		body string
		want int // headlines kept of 2,000
	}{
		{"longest", strings.Repeat("\x01", maxBody), 1},
		{"a thousand bytes", strings.Repeat("x", 1000), 96},
		{"usual", "Flight 123 arriving in terminal A.", 1342},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var recent, early *history
			for id := range uint64(2000) {
				recent = recent.with(newHeadline(id+1, tt.body))
				if id == 0 {
					early = recent
				}
			}
			size := 0
			for _, h := range recent.headlines {
				size += len(h.event)
			}
			if len(recent.headlines) != tt.want || size != recent.size || size > historySize {
				t.Errorf("%d headlines of %d bytes are kept, counted as %d, want %d in at most %d bytes", len(recent.headlines), size, recent.size, tt.want, historySize)
			}
			if got := ids(recent.headlines); got[len(got)-1] != 2000 || got[0] != 2000-uint64(len(got))+1 {
				t.Errorf("headlines %d to %d are kept, want the newest", got[0], got[len(got)-1])
			}
			if got := ids(early.headlines); !slices.Equal(got, []uint64{1}) {
				t.Errorf("a history that others came from has changed to %v", got)
			}
		})
	}
}
