package main

import (
	"fmt"
	"slices"
	"strconv"
)

// samples are the values of one figure, one a round, in the order measured.
type samples []float64

// median returns the middle value, or the mean of the two middle ones; 0 of no
// samples.
func (s samples) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// String shows the median, and the range when there is more than one sample.
func (s samples) String() string {
	switch len(s) {
	case 0:
		return "-"
	case 1:
		return number(s[0])
	}
	return fmt.Sprintf("%s (%s-%s)", number(s.median()), number(slices.Min(s)), number(slices.Max(s)))
}

// number shows x to three digits, whole if it is larger.
func number(x float64) string {
	if x >= 1000 || x <= -1000 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64) // reads what was just written
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// stable says whether the last n values differ by no more than the fraction
// spread of the largest.
func (s samples) stable(n int, spread float64) bool {
	if len(s) < n {
		return false
	}
	last := s[len(s)-n:]
	high := slices.Max(last)
	return high-slices.Min(last) <= spread*high
}
