package main

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestHistogram(t *testing.T) {
	bounds := []time.Duration{time.Millisecond, time.Second}
	a, b := newHistogram(bounds), newHistogram(bounds)
	for _, d := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Second, time.Minute} {
		a.observe(d)
	}
	b.observe(time.Hour)
	desc := prometheus.NewDesc("x_seconds", "Of a test.", []string{"l"}, nil)
	for _, tt := range []struct {
		name   string
		others []*histogram
		count  uint64
		sum    float64
		upTo   []uint64
	}{
		{"one", nil, 5, 61.002000001, []uint64{2, 4}},
		{"two", []*histogram{b}, 6, 3661.002000001, []uint64{2, 4}},
		{"three", []*histogram{b, b}, 7, 7261.002000001, []uint64{2, 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out dto.Metric
			if err := a.metric(desc, tt.others, "v").Write(&out); err != nil {
				t.Fatal(err)
			}
			h := out.GetHistogram()
			if h.GetSampleCount() != tt.count || h.GetSampleSum() != tt.sum {
				t.Errorf("count %d, sum %v, want %d, %v", h.GetSampleCount(), h.GetSampleSum(), tt.count, tt.sum)
			}
			for i, want := range tt.upTo {
				got := h.GetBucket()[i]
				if got.GetCumulativeCount() != want || got.GetUpperBound() != bounds[i].Seconds() {
					t.Errorf("bucket %d is up to %v with %d, want %v with %d", i, got.GetUpperBound(), got.GetCumulativeCount(), bounds[i].Seconds(), want)
				}
			}
		})
	}
	if n := testing.AllocsPerRun(100, func() { a.observe(time.Second) }); n != 0 {
		t.Errorf("observing allocates %v times", n)
	}
}
