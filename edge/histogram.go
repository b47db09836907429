package main

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// histogram counts durations by their length. Each loop has its own, which it
// alone observes: two additions to memory that no other core writes to. Whoever
// scrapes adds the loops' up, from any goroutine.
type histogram struct {
	bounds []time.Duration // upper, rising; immutable
	counts []atomic.Uint64 // one more than bounds: what is longer than the last
	sum    atomic.Int64    // nanoseconds
}

func newHistogram(bounds []time.Duration) *histogram {
	return &histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// observe counts one duration.
func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(h.bounds) && d > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// metric returns the sum of histograms, at least one, all with the same bounds.
func (h *histogram) metric(desc *prometheus.Desc, others []*histogram, labels ...string) prometheus.Metric {
	var count uint64
	var sum time.Duration
	upTo := make(map[float64]uint64, len(h.bounds))
	all := append(others[:len(others):len(others)], h)
	for i := range h.counts {
		for _, o := range all {
			count += o.counts[i].Load()
		}
		if i < len(h.bounds) {
			upTo[h.bounds[i].Seconds()] = count
		}
	}
	for _, o := range all {
		sum += time.Duration(o.sum.Load())
	}
	return prometheus.MustNewConstHistogram(desc, count, sum.Seconds(), upTo, labels...)
}
