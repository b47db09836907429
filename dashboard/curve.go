package main

import (
	"math"
	"slices"
	"time"
)

const (
	// maxPoints bounds a curve. A curve that is full keeps every other point.
	maxPoints = 200
	// maxBars bounds the bars of a histogram as it is shown.
	maxBars = 20
)

// A curve is how many clients had received a change, over the time since it
// began.
type curve []point

type point struct {
	at       time.Duration
	received int
}

// add adds a point. What comes in later is not drawn earlier: the groups' round
// trips differ.
func (c *curve) add(at time.Duration, received int) {
	if n := len(*c); n > 0 {
		at = max(at, (*c)[n-1].at)
	}
	if len(*c) == maxPoints {
		half := (*c)[:0]
		for i := 1; i < maxPoints; i += 2 {
			half = append(half, (*c)[i])
		}
		*c = half
	}
	*c = append(*c, point{max(at, 0), received})
}

// A histogram counts deliveries by their time in whole milliseconds.
type histogram map[int]int

func (h *histogram) add(at time.Duration, clients int) {
	if *h == nil {
		*h = make(histogram)
	}
	(*h)[int(max(at, 0)/time.Millisecond)] += clients
}

// A bar is the clients whose delivery took less than upper milliseconds, and not
// less than the bar before.
type bar struct{ upper, clients int }

// bars returns the histogram in at most maxBars bars from 0, all of one round
// width: 1, 2 or 5 times a power of ten.
func (h histogram) bars() []bar {
	last := 0
	for ms := range h {
		last = max(last, ms)
	}
	width := roundUp((last + maxBars) / maxBars)
	var bars []bar
	for upper := width; len(h) > 0 && upper <= last+width; upper += width {
		bars = append(bars, bar{upper: upper})
	}
	for ms, clients := range h {
		bars[ms/width].clients += clients
	}
	return slices.Clip(bars)
}

// roundUp returns the smallest of 1, 2, 5, 10, 20, 50, … that is at least n.
func roundUp(n int) int {
	for ten := 1; ; ten *= 10 {
		for _, digit := range []int{1, 2, 5} {
			if digit*ten >= n || ten > math.MaxInt/100 {
				return digit * ten
			}
		}
	}
}
