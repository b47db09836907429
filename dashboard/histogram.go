package main

import (
	"maps"
	"slices"
	"time"
)

const (
	// maxBars bounds the bars of a histogram as it is shown.
	maxBars = 20
	// maxPoints bounds the points of a curve.
	maxPoints = 200
	// maxDelivery is the longest time that is told from longer ones.
	maxDelivery = 10 * time.Minute
)

// A histogram counts deliveries by their time since the change began, in whole
// milliseconds.
type histogram map[int]int

// spread counts n deliveries at even distances after from, the last one at to.
func (h *histogram) spread(from, to time.Duration, n int) {
	if *h == nil {
		*h = make(histogram)
	}
	to = min(max(to, 0), maxDelivery)
	from = min(max(from, 0), to)
	counted := 0
	for ms := from / time.Millisecond; counted < n; ms++ {
		upTo := n
		if end := (ms + 1) * time.Millisecond; end <= to {
			upTo = int((time.Duration(n)*(end-from) - 1) / (to - from)) // before end, not at it
		}
		if upTo > counted {
			(*h)[int(ms)] += upTo - counted
			counted = upTo
		}
	}
}

// A bar is the deliveries that took less than upper milliseconds, and not less
// than those of the bar before.
type bar struct{ upper, clients int }

// bars returns the histogram in at most maxBars bars from 0, all of one round
// width: 1, 2 or 5 times a power of ten.
func (h histogram) bars() []bar {
	if len(h) == 0 {
		return nil
	}
	last := slices.Max(slices.Collect(maps.Keys(h)))
	width := roundUp((last + maxBars) / maxBars)
	bars := make([]bar, last/width+1)
	for i := range bars {
		bars[i].upper = (i + 1) * width
	}
	for ms, clients := range h {
		bars[ms/width].clients += clients
	}
	return bars
}

// roundUp returns the smallest of 1, 2, 5, 10, 20, 50, … that is at least n.
func roundUp(n int) int {
	for ten := 1; ; ten *= 10 {
		for _, digit := range []int{1, 2, 5} {
			if digit*ten >= n {
				return digit * ten
			}
		}
	}
}

// A point says how many deliveries took less than ms milliseconds.
type point struct{ ms, received int }

// curve returns the deliveries over time, from none at 0, in at most maxPoints
// points.
func (h histogram) curve() []point {
	if len(h) == 0 {
		return nil
	}
	times := slices.Sorted(maps.Keys(h))
	every := (len(times) + maxPoints - 2) / (maxPoints - 1)
	points := []point{{0, 0}}
	received := 0
	for i, ms := range times {
		received += h[ms]
		if (len(times)-1-i)%every == 0 { // with the last one always
			points = append(points, point{ms + 1, received})
		}
	}
	return points
}
