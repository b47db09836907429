package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"marquee/grip"
)

// loopMetrics collects what the loops count by themselves: by loop where one of
// them can be at fault, and otherwise all together.
type loopMetrics struct{ edge *edge }

// holdBounds are the buckets of how long holds last: long polls end within
// minutes, streams within hours.
var holdBounds = []time.Duration{
	500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 25 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 24 * time.Hour,
}

var (
	holdSeconds = prometheus.NewDesc("marquee_hold_seconds",
		"From the begin of a hold to its end, by mode, to the quarter of a second.", []string{"mode"}, nil)
	loopLag = prometheus.NewDesc("marquee_loop_lag_seconds",
		"How long a task, or a socket that is ready, waits until its event loop comes round to it.", []string{"loop"}, nil)
	loopBlocked = prometheus.NewDesc("marquee_loop_blocked_total",
		"Times that an event loop was blocked for more than 50 ms.", []string{"loop"}, nil)
	loopClients = prometheus.NewDesc("marquee_loop_holds",
		"Requests that are held, by event loop.", []string{"loop"}, nil)
	loopMail = prometheus.NewDesc("marquee_loop_mailbox_items",
		"Published items that an event loop has not taken yet.", []string{"loop"}, nil)
	loopQueued = prometheus.NewDesc("marquee_loop_items",
		"Published items that an event loop has taken and not begun to write.", []string{"loop"}, nil)
	loopBatches = prometheus.NewDesc("marquee_loop_batches",
		"Answers and contents that an event loop writes, or is about to, each to a group of holds.", []string{"loop"}, nil)
)

// Describe implements prometheus.Collector.
func (loopMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{holdSeconds, loopLag, loopBlocked, loopClients, loopMail, loopQueued, loopBatches} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Safe from any goroutine: before there
// are loops it collects nothing.
func (m loopMetrics) Collect(ch chan<- prometheus.Metric) {
	held := make(map[grip.HoldMode][]*histogram)
	for _, l := range m.edge.loops {
		name := strconv.Itoa(l.index)
		for mode, h := range l.held {
			held[mode] = append(held[mode], h)
		}
		ch <- l.lag.times.metric(loopLag, nil, name)
		for _, v := range []struct {
			desc *prometheus.Desc
			kind prometheus.ValueType
			n    int64
		}{
			{loopBlocked, prometheus.CounterValue, l.lag.blocked.Load()},
			{loopClients, prometheus.GaugeValue, l.holds.Load()},
			{loopMail, prometheus.GaugeValue, int64(l.shard.Mail())},
			{loopQueued, prometheus.GaugeValue, l.queued.Load()},
			{loopBatches, prometheus.GaugeValue, l.batches.Load()},
		} {
			ch <- prometheus.MustNewConstMetric(v.desc, v.kind, float64(v.n), name)
		}
	}
	for mode, all := range held {
		ch <- all[0].metric(holdSeconds, all[1:], mode.String())
	}
}
