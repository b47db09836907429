package main

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"marquee/fanout"
)

// routeMetrics collects what is counted by route, of the routes in force.
type routeMetrics struct{ edge *edge }

var (
	routeRequests = routeDesc("marquee_route_requests_total", "Requests from clients, by route.")
	routeHolds    = routeDesc("marquee_route_holds", "Requests that are held, by route and mode.", "mode")
	routeSent     = routeDesc("marquee_route_messages_sent_total",
		"Items given to single holds, by route, format, and what became of the bytes.", "format", "outcome")
	routeLost = routeDesc("marquee_route_messages_lost_total",
		"Messages that slow clients of streams did not get, by route.")
	routeCutOff = routeDesc("marquee_route_slow_clients_cut_off_total",
		"Clients of streams that were cut off because they were slow, by route.")
	routeUnfiltered = routeDesc("marquee_route_filter_failures_total",
		"Items that were skipped because a filter failed, by route.")
)

func routeDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append([]string{"route"}, labels...), nil)
}

// Describe implements prometheus.Collector.
func (routeMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{routeRequests, routeHolds, routeSent, routeLost, routeCutOff, routeUnfiltered} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Safe from any goroutine.
func (m routeMetrics) Collect(ch chan<- prometheus.Metric) {
	seen := make(map[*routeCounts]bool)
	for _, s := range m.edge.routing.Load().services {
		if seen[s.counts] { // routes of one id are counted together
			continue
		}
		seen[s.counts] = true
		s.counts.collect(ch)
	}
}

func (c *routeCounts) collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(n), append([]string{c.id}, labels...)...)
	}
	sum := func(f func(*loopCounts) *atomic.Int64) (n int64) {
		for i := range c.loops {
			n += f(&c.loops[i]).Load()
		}
		return n
	}
	send(routeRequests, prometheus.CounterValue, sum(func(l *loopCounts) *atomic.Int64 { return &l.requests }))
	send(routeHolds, prometheus.GaugeValue, sum(func(l *loopCounts) *atomic.Int64 { return &l.holds }), "response")
	send(routeHolds, prometheus.GaugeValue, sum(func(l *loopCounts) *atomic.Int64 { return &l.streams }), "stream")
	for _, f := range []struct {
		format string
		tally  *fanout.Tally
	}{{"http-response", &c.answers}, {"http-stream", &c.messages}} {
		for outcome, name := range map[fanout.Outcome]string{
			fanout.Written: "written", fanout.Queued: "queued", fanout.Dropped: "dropped", fanout.Shed: "shed",
		} {
			send(routeSent, prometheus.CounterValue, f.tally.Of(outcome), f.format, name)
		}
	}
	send(routeLost, prometheus.CounterValue, c.lost.Load())
	send(routeCutOff, prometheus.CounterValue, c.cutOff.Load())
	send(routeUnfiltered, prometheus.CounterValue, c.unfiltered.Load())
}
