package main

import (
	"reflect"
	"testing"
	"time"
)

func TestHistogramSpread(t *testing.T) {
	tests := []struct {
		name     string
		from, to time.Duration
		n        int
		want     histogram
	}{
		{"one", 10 * ms, 30 * ms, 1, histogram{30: 1}},
		{"evenly, the last at the end", 0, 4 * ms, 4, histogram{1: 1, 2: 1, 3: 1, 4: 1}},
		{"more than one a millisecond", 10 * ms, 14 * ms, 20, histogram{10: 4, 11: 5, 12: 5, 13: 5, 14: 1}},
		{"fewer than one a millisecond", 0, 9 * ms, 2, histogram{4: 1, 9: 1}},
		{"within a millisecond", 7100 * time.Microsecond, 7900 * time.Microsecond, 3, histogram{7: 3}},
		{"all at once", 7 * ms, 7 * ms, 3, histogram{7: 3}},
		{"the end before the beginning", 9 * ms, 7 * ms, 3, histogram{7: 3}},
		{"before the change", -5 * ms, -2 * ms, 3, histogram{0: 3}},
		{"since before the change", -5 * ms, 2 * ms, 4, histogram{0: 1, 1: 2, 2: 1}},
		{"years", 0, 1 << 62, 1, histogram{600_000: 1}},
		{"nobody", 0, 9 * ms, 0, histogram{}},
	}
	for _, tt := range tests {
		var h histogram
		h.spread(tt.from, tt.to, tt.n)
		if !reflect.DeepEqual(h, tt.want) {
			t.Errorf("%s: %d from %v to %v are %v, want %v", tt.name, tt.n, tt.from, tt.to, h, tt.want)
		}
	}
	for n := 1; n < 6000; n += 97 {
		var h histogram
		h.spread(17*ms, 641*ms, n)
		total := 0
		for at, clients := range h {
			if total += clients; at < 17 || at > 641 {
				t.Errorf("%d from 17ms to 641ms: %d at %d ms", n, clients, at)
			}
		}
		if total != n {
			t.Errorf("%d from 17ms to 641ms are %d", n, total)
		}
	}
}

func TestHistogramBars(t *testing.T) {
	tests := []struct {
		name string
		h    histogram
		want []bar
	}{
		{"nobody", nil, nil},
		{"at once", histogram{0: 7}, []bar{{1, 7}}},
		{"few milliseconds", histogram{1: 2, 3: 4}, []bar{{1, 0}, {2, 2}, {3, 0}, {4, 4}}},
		{"the upper end belongs to the next bar", histogram{4: 1, 5: 1, 49: 1, 60: 1},
			[]bar{{5, 1}, {10, 1}, {15, 0}, {20, 0}, {25, 0}, {30, 0}, {35, 0}, {40, 0}, {45, 0}, {50, 1}, {55, 0}, {60, 0}, {65, 1}}},
		{"one more millisecond than bars, wider bars", histogram{20: 1},
			[]bar{{2, 0}, {4, 0}, {6, 0}, {8, 0}, {10, 0}, {12, 0}, {14, 0}, {16, 0}, {18, 0}, {20, 0}, {22, 1}}},
	}
	for _, tt := range tests {
		if got := tt.h.bars(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: bars of %v are %v, want %v", tt.name, tt.h, got, tt.want)
		}
	}
	for last := range 20_000 {
		h := histogram{last: 1}
		if bars := h.bars(); len(bars) > maxBars || bars[len(bars)-1].clients != 1 {
			t.Fatalf("a delivery of %d ms makes %d bars %v, want at most %d and the client in the last", last, len(bars), bars, maxBars)
		}
	}
}

func TestHistogramCurve(t *testing.T) {
	if got := (histogram{}).curve(); got != nil {
		t.Errorf("the curve of nobody is %v, want none", got)
	}
	h := histogram{3: 2, 0: 1, 10: 4}
	if got, want := h.curve(), []point{{0, 0}, {1, 1}, {4, 3}, {11, 7}}; !reflect.DeepEqual(got, want) {
		t.Errorf("the curve of %v is %v, want %v", h, got, want)
	}
	for n := 1; n < 1500; n++ {
		h := histogram{}
		for ms := range n {
			h[3*ms] = 1
		}
		points := h.curve()
		last := points[len(points)-1]
		if len(points) > maxPoints || n >= maxPoints && len(points) < maxPoints/2 || last != (point{3*(n-1) + 1, n}) {
			t.Fatalf("the curve of %d times has %d points to %v, want at most %d to %v", n, len(points), last, maxPoints, point{3*(n-1) + 1, n})
		}
	}
}
