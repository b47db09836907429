package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

func TestLatencyQuantiles(t *testing.T) {
	l := newLatency()
	if q := l.quantiles(); q == nil || len(q) > 0 {
		t.Errorf("of nothing: %v, want an empty list", q)
	}
	for n := range 1000 {
		l.record(time.Duration(1000-n) * time.Millisecond)
	}
	q := l.quantiles()
	for percent, want := range map[int]millis{0: 1_000, 1: 10_000, 50: 500_000, 99: 990_000, 100: 1_000_000} {
		if got := q[percent]; got < want || got > want+want/100 {
			t.Errorf("%d percent: %v, want %v and no more than a hundredth longer", percent, got, want)
		}
	}
	if len(q) != 101 || !slices.IsSorted(q) {
		t.Errorf("%d, sorted %v, want 101, sorted", len(q), slices.IsSorted(q))
	}
}

func TestLatencySpread(t *testing.T) {
	const ms = time.Millisecond
	upTo := func(n int) (ds []time.Duration) {
		for i := range n {
			ds = append(ds, time.Duration(i+1)*ms)
		}
		return ds
	}
	for _, tt := range []struct {
		name  string
		times []time.Duration
		want  string
	}{
		{"none", nil, `{"min_ms":0.000,"avg_ms":0.000,"p50_ms":0.000,"p90_ms":0.000,"p95_ms":0.000,"p99_ms":0.000,"max_ms":0.000}`},
		{"one, microseconds kept", []time.Duration{1234567 * time.Nanosecond}, `{"min_ms":1.234,"avg_ms":1.234,"p50_ms":1.234,"p90_ms":1.234,"p95_ms":1.234,"p99_ms":1.234,"max_ms":1.234}`},
		{"1 to 100 ms, three digits", upTo(100), `{"min_ms":1.000,"avg_ms":50.500,"p50_ms":50.015,"p90_ms":90.047,"p95_ms":95.039,"p99_ms":99.007,"max_ms":100.000}`},
		{"longer than a histogram holds", []time.Duration{time.Hour}, `{"min_ms":3600000.000,"avg_ms":3600000.000,"p50_ms":600309.759,"p90_ms":600309.759,"p95_ms":600309.759,"p99_ms":600309.759,"max_ms":3600000.000}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole, merged := newLatency(), newLatency()
			for _, d := range tt.times {
				whole.record(d)
				one := newLatency()
				one.record(d)
				merged.merge(one)
			}
			merged.merge(newLatency())
			for name, l := range map[string]*latency{"whole": whole, "merged": merged} {
				got, err := json.Marshal(l.spread())
				if err != nil || string(got) != tt.want {
					t.Errorf("%s: got %s, %v\nwant %s", name, got, err, tt.want)
				}
			}
		})
	}
}
