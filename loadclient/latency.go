package main

import (
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the longest delivery time a histogram tells apart; longer ones
// count as this long there (minimum, average and maximum stay exact).
const longest = 10 * time.Minute

// latency is a set of delivery times: exact count, minimum, maximum and
// average, and a histogram of microseconds to three digits. Recording
// allocates nothing.
type latency struct {
	count         int
	min, max, sum time.Duration
	histogram     *hdrhistogram.Histogram
}

func newLatency() *latency {
	return &latency{histogram: hdrhistogram.New(1, longest.Microseconds(), 3)}
}

func (l *latency) record(d time.Duration) {
	if l.count == 0 || d < l.min {
		l.min = d
	}
	l.max = max(l.max, d)
	l.sum += d
	l.count++
	// Cannot fail: the value is within the histogram's range.
	_ = l.histogram.RecordValue(min(d, longest).Microseconds())
}

// merge adds the deliveries of other.
func (l *latency) merge(other *latency) {
	if other.count == 0 {
		return
	}
	if l.count == 0 || other.min < l.min {
		l.min = other.min
	}
	l.max = max(l.max, other.max)
	l.sum += other.sum
	l.count += other.count
	l.histogram.Merge(other.histogram)
}

// average is 0 when nothing was recorded.
func (l *latency) average() time.Duration {
	if l.count == 0 {
		return 0
	}
	return l.sum / time.Duration(l.count)
}

// spread returns the figures, all zero when nothing was recorded.
func (l *latency) spread() spread {
	if l.count == 0 {
		return spread{}
	}
	return spread{
		Min: millisOf(l.min), Avg: millisOf(l.average()),
		P50: l.within(50), P90: l.within(90), P95: l.within(95), P99: l.within(99),
		Max: millisOf(l.max),
	}
}

// quantiles returns the times within which 0, 1, ... 100 percent of the deliveries
// were complete, none when nothing was recorded.
func (l *latency) quantiles() []millis {
	q := []millis{}
	for percent := 0; l.count > 0 && percent <= 100; percent++ {
		q = append(q, l.within(float64(percent)))
	}
	return q
}

// within returns the time within which so many percent of the deliveries were
// complete. Not for use when nothing was recorded.
func (l *latency) within(percent float64) millis {
	switch percent {
	case 0:
		return millisOf(l.min)
	case 100:
		return millisOf(l.max)
	}
	// A histogram value stands for a range and may lie past the exact maximum.
	return min(millis(l.histogram.ValueAtPercentile(percent)), millisOf(l.max))
}

// spread is how a set of delivery times is distributed.
type spread struct {
	Min millis `json:"min_ms"`
	Avg millis `json:"avg_ms"`
	P50 millis `json:"p50_ms"`
	P90 millis `json:"p90_ms"`
	P95 millis `json:"p95_ms"`
	P99 millis `json:"p99_ms"`
	Max millis `json:"max_ms"`
}

// millis is a number of microseconds that prints as milliseconds with three
// decimals.
type millis int64

func millisOf(d time.Duration) millis { return millis(d.Microseconds()) }

func (m millis) String() string { return strconv.FormatFloat(float64(m)/1000, 'f', 3, 64) }

func (m millis) MarshalJSON() ([]byte, error) { return []byte(m.String()), nil }
