package main

import (
	"reflect"
	"testing"
	"time"
)

func TestCurveIsBoundedAndRises(t *testing.T) {
	var c curve
	c.add(-5*time.Millisecond, 1)
	if c[0].at != 0 {
		t.Errorf("a point before the change is at %v, want 0s", c[0].at)
	}
	const points = 10_000
	for i := range points {
		at := time.Duration(i) * time.Millisecond
		if i%3 == 0 {
			at -= 2 * time.Millisecond // a group whose way is shorter
		}
		c.add(at, i)
		if len(c) > maxPoints {
			t.Fatalf("%d points after %d were added, want at most %d", len(c), i+1, maxPoints)
		}
	}
	if last := c[len(c)-1]; last.received != points-1 {
		t.Errorf("the last point has %d, want the last that was added, %d", last.received, points-1)
	}
	for i := 1; i < len(c); i++ {
		if c[i].at < c[i-1].at || c[i].received < c[i-1].received {
			t.Fatalf("point %d is %v after %v: the curve falls", i, c[i], c[i-1])
		}
	}
}

func TestHistogramBars(t *testing.T) {
	tests := []struct {
		name      string
		deliverMS map[int]int
		want      []bar
	}{
		{"nobody", nil, nil},
		{"at once", map[int]int{0: 7}, []bar{{1, 7}}},
		{"few milliseconds", map[int]int{1: 2, 3: 4}, []bar{{1, 0}, {2, 2}, {3, 0}, {4, 4}}},
		{"the upper end belongs to the next bar", map[int]int{4: 1, 5: 1, 99: 1},
			[]bar{{5, 1}, {10, 1}, {15, 0}, {20, 0}, {25, 0}, {30, 0}, {35, 0}, {40, 0}, {45, 0}, {50, 0}, {55, 0}, {60, 0}, {65, 0}, {70, 0}, {75, 0}, {80, 0}, {85, 0}, {90, 0}, {95, 0}, {100, 1}}},
		{"one more millisecond, wider bars", map[int]int{100: 1},
			[]bar{{10, 0}, {20, 0}, {30, 0}, {40, 0}, {50, 0}, {60, 0}, {70, 0}, {80, 0}, {90, 0}, {100, 0}, {110, 1}}},
	}
	for _, tt := range tests {
		var h histogram
		for at, clients := range tt.deliverMS {
			h.add(time.Duration(at)*time.Millisecond, clients)
		}
		if got := h.bars(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: bars of %v are %v, want %v", tt.name, h, got, tt.want)
		}
	}
	for last := range 20_000 {
		h := histogram{last: 1}
		if bars := h.bars(); len(bars) > maxBars || bars[len(bars)-1].clients != 1 {
			t.Fatalf("a delivery of %d ms makes %d bars %v, want at most %d and the client in the last", last, len(bars), bars, maxBars)
		}
	}
}
