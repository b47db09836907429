package main

import (
	"math"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"marquee/fanout"
	"marquee/grip"
)

// metrics is what Prometheus reads. What the loops count, they count for
// themselves; it is added up when somebody asks.
type metrics struct {
	edge             *edge
	registry         *prometheus.Registry
	items            *prometheus.CounterVec // by fate
	formats          *prometheus.CounterVec // items by format
	deliveries       *prometheus.CounterVec // by outcome
	fanout           prometheus.Histogram
	refusedPublishes prometheus.Counter
	last             atomic.Pointer[fanout.Receipt] // of an item that some hold got
}

func newMetrics(e *edge) *metrics {
	m := &metrics{
		edge:     e,
		registry: prometheus.NewRegistry(),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "marquee_items_total", Help: "Published items, by what the sequencing made of them.",
		}, []string{"fate"}),
		formats: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "marquee_messages_received_total", Help: "Published items, by each format that they have.",
		}, []string{"format"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "marquee_deliveries_total", Help: "Items given to single holds, by what became of the bytes.",
		}, []string{"outcome"}),
		fanout: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "marquee_fanout_seconds", Help: "From an item's publish to its last write, for items that some hold got.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18),
		}),
		refusedPublishes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "marquee_publishes_refused_total", Help: "Publish requests that were refused: malformed, or too long.",
		}),
	}
	m.registry.MustRegister(routeMetrics{e}, m.items, m.formats, m.deliveries, m.fanout, m.refusedPublishes,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	gauge := func(name, help string, f func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(f()) }))
	}
	counter := func(name, help string, f func() int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(f()) }))
	}
	sum := func(f func(*loop) int64) func() int64 {
		return func() (n int64) {
			for _, l := range e.loops {
				n += f(l)
			}
			return n
		}
	}
	gauge("marquee_connections", "Client connections.", e.connections.Load)
	gauge("marquee_holds", "Requests that are held.", sum(func(l *loop) int64 { return l.holds.Load() }))
	counter("marquee_connections_accepted_total", "Client connections accepted.", e.accepted.Load)
	counter("marquee_connections_refused_total", "Client connections turned away for want of room.", e.refused.Load)
	counter("marquee_holds_refused_total", "Requests that were not held for want of memory.", e.memory.refused.Load)
	counter("marquee_memory_shortages_total", "Times that memory became scarce, and new clients were refused.", e.memory.shortages.Load)
	counter("marquee_memory_cut_off_total", "Slow clients cut off because memory was short.", e.memory.cut.Load)
	gauge("marquee_memory_limit_bytes", "The lowest limit on the process's memory, of its control group or GOMEMLIMIT; 0 for none.", e.memory.limit)
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "marquee_memory_used_ratio", Help: "How much of a limit on memory is in use; load is shed from 0.75 on.",
	}, func() float64 { return math.Float64frombits(e.memory.share.Load()) }))
	counter("marquee_connections_stalled_total", "Client connections cut off because they took nothing.", e.stalled.Load)
	counter("marquee_accept_errors_total", "Failures to accept a client connection.", e.acceptErrors.Load)
	counter("marquee_requests_total", "Requests from clients.", sum(func(l *loop) int64 { return l.requests.Load() }))
	counter("marquee_requests_malformed_total", "Requests from clients that were no valid HTTP.", e.malformed.Load)
	counter("marquee_requests_joined_total", "Requests that joined an equal one.", sum(func(l *loop) int64 { return l.joined.Load() }))
	counter("marquee_requests_repeated_total", "Requests among the joined that got the newest answer at once.", sum(func(l *loop) int64 { return l.repeated.Load() }))
	counter("marquee_origin_requests_total", "Requests put to the origin.", func() int64 { return e.origin.Stats().Requests })
	counter("marquee_origin_failures_total", "Requests to the origin without a good answer.", func() int64 { return e.origin.Stats().Failures })
	gauge("marquee_origin_requests_open", "Requests open at the origin.", func() int64 { return int64(e.origin.Stats().Open) })
	gauge("marquee_origin_requests_waiting", "Requests in line for the origin.", func() int64 { return int64(e.origin.Stats().Waiting) })
	gauge("marquee_cluster_connected", "1 while NATS is within reach, 0 while it is not or the edge stands alone.", func() int64 {
		if e.cluster != nil && e.cluster.bus.Connected() {
			return 1
		}
		return 0
	})
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// published counts an item. Safe from any goroutine.
func (m *metrics) published(fate fanout.Fate) { m.items.WithLabelValues(fate.String()).Inc() }

// received counts an item's formats. Safe from any goroutine.
func (m *metrics) received(item *grip.Item) {
	if item.HTTPResponse != nil {
		m.formats.WithLabelValues("http-response").Inc()
	}
	if item.HTTPStream != nil {
		m.formats.WithLabelValues("http-stream").Inc()
	}
	if item.WSMessage != nil {
		m.formats.WithLabelValues("ws-message").Inc()
	}
}

// landed counts what became of an item that some loop was given. Called by the
// hub, once per item.
func (m *metrics) landed(r fanout.Receipt) {
	m.deliveries.WithLabelValues("written").Add(float64(r.Written))
	m.deliveries.WithLabelValues("queued").Add(float64(r.Queued))
	m.deliveries.WithLabelValues("dropped").Add(float64(r.Dropped))
	m.deliveries.WithLabelValues("shed").Add(float64(r.Shed))
	m.deliveries.WithLabelValues("missed").Add(float64(r.Missed))
	m.edge.tracker.delivered(r)
	if r.Matched > 0 {
		m.last.Store(&r)
		m.fanout.Observe(r.Elapsed / 1000)
	}
}
