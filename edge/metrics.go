package main

import (
	"math"
	"net/http"
	"runtime"
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
	refusedPublishes atomic.Int64
	overflowed       atomic.Int64                   // items for which there was no room among those that wait
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
	}
	for fate := fanout.Delivered; fate <= fanout.Overflow; fate++ {
		m.items.WithLabelValues(fate.String())
	}
	for _, format := range []string{"http-response", "http-stream", "ws-message"} {
		m.formats.WithLabelValues(format)
	}
	for _, outcome := range []string{"written", "queued", "dropped", "shed", "missed"} {
		m.deliveries.WithLabelValues(outcome)
	}
	m.registry.MustRegister(routeMetrics{e}, loopMetrics{e}, m.items, m.formats, m.deliveries, m.fanout,
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsGC, collectors.MetricsScheduler)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "marquee_build_info", Help: "1, with the versions of the edge and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	}, func() float64 { return 1 }))

	gauge := func(name, help string, f func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(f()) }))
	}
	counter := func(name, help string, f func() int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(f()) }))
	}
	gauge("marquee_connections", "Client connections.", e.connections.Load)
	gauge("marquee_holds", "Requests that are held.", e.sum(func(l *loop) int64 { return l.holds.Load() }))
	counter("marquee_connections_accepted_total", "Client connections accepted.", e.accepted.Load)
	counter("marquee_connections_refused_total", "Client connections turned away for want of room.", e.refused.Load)
	counter("marquee_memory_shortages_total", "Times that memory became scarce, and new clients were refused.", e.memory.shortages.Load)
	gauge("marquee_memory_limit_bytes", "The lowest limit on the process's memory, of its control group or GOMEMLIMIT; 0 for none.", e.memory.limit)
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "marquee_memory_used_ratio", Help: "How much of a limit on memory is in use; load is shed from 0.75 on.",
	}, func() float64 { return math.Float64frombits(e.memory.share.Load()) }))
	counter("marquee_connections_stalled_total", "Client connections cut off because they took nothing.", e.stalled.Load)
	gauge("marquee_client_addresses", "Client addresses known, where there are limits for each.", func() int64 { return int64(e.sources.len()) })
	counter("marquee_accept_errors_total", "Failures to accept a client connection.", e.acceptErrors.Load)
	counter("marquee_requests_total", "Requests from clients.", e.sum(func(l *loop) int64 { return l.requests.Load() }))
	counter("marquee_requests_malformed_total", "Requests from clients that were no valid HTTP.", e.malformed.Load)
	counter("marquee_requests_joined_total", "Requests that joined an equal one.", e.sum(func(l *loop) int64 { return l.joined.Load() }))
	counter("marquee_requests_repeated_total", "Requests among the joined that got the newest answer at once.", e.sum(func(l *loop) int64 { return l.repeated.Load() }))
	counter("marquee_publishes_refused_total", "Publish requests that were refused: malformed, or too long.", m.refusedPublishes.Load)
	counter("marquee_origin_requests_total", "Requests put to the origin.", func() int64 { return e.origin.Stats().Requests })
	counter("marquee_origin_failures_total", "Requests to the origin without a good answer.", func() int64 { return e.origin.Stats().Failures })
	gauge("marquee_origin_requests_open", "Requests open at the origin.", func() int64 { return int64(e.origin.Stats().Open) })
	gauge("marquee_origin_requests_waiting", "Requests in line for the origin.", func() int64 { return int64(e.origin.Stats().Waiting) })
	if h := e.handshakes; h != nil {
		gauge("marquee_tls_handshakes_open", "TLS handshakes with clients under way.", h.under)
		counter("marquee_tls_handshakes_total", "TLS handshakes with clients that came about.", h.completed.Load)
		counter("marquee_tls_handshakes_failed_total", "TLS handshakes with clients that failed, or took too long.", h.failed.Load)
		gauge("marquee_tls_certificate_expiry_timestamp_seconds", "When the first of the certificates for clients expires, in Unix time.", e.certificates.notAfter)
	}
	gauge("marquee_cluster_connected", "1 while NATS is within reach, 0 while it is not or the edge stands alone.", func() int64 {
		if e.cluster != nil && e.cluster.bus.Connected() {
			return 1
		}
		return 0
	})
	m.queues(gauge)
	m.drops()
	return m
}

// queues registers how long the queues are that no loop has to itself.
func (m *metrics) queues(gauge func(name, help string, f func() int64)) {
	e := m.edge
	gauge("marquee_connections_max", "Client connections that there may be.", func() int64 { return int64(e.maxConnections) })
	gauge("marquee_draining", "1 while the edge lets its clients go.", func() int64 {
		if e.draining.Load() {
			return 1
		}
		return 0
	})
	gauge("marquee_items_underway", "Published items that some event loop has not written.", func() int64 { return int64(e.hub.Load().Underway) })
	gauge("marquee_items_early", "Published items that wait for the one that they follow.", func() int64 { return int64(e.hub.Load().Early) })
	gauge("marquee_channels", "Channels that are held, or were lately.", func() int64 { return int64(e.hub.Load().Channels) })
	gauge("marquee_slow_clients", "Clients that have not taken what they were sent.", e.sum(func(l *loop) int64 { return l.slowClients.Load() }))
	gauge("marquee_slow_client_bytes", "Bytes that wait for slow clients.", e.sum(func(l *loop) int64 { return l.slowBytes.Load() }))
	gauge("marquee_control_connections", "Connections to the control endpoint.", e.controlConns.Load)
	gauge("marquee_access_log_lines_waiting", "Lines that wait to be written to the access log.", func() int64 { return e.accessLog.waiting() })
}

// drops registers everything that is lost or cut off, by reason, each under what
// it is: the clients that are turned away or cut off, their requests that are
// refused, the messages of streams and the published items that somebody does
// not get, and the lines of the access log that are not written.
func (m *metrics) drops() {
	e := m.edge
	for _, d := range []struct {
		what, reason string
		f            func() int64
	}{
		{"client", "no_room", e.refused.Load},
		{"client", "address_connections", e.limited[limitConnections].Load},
		{"client", "memory", e.memory.cut.Load},
		{"client", "slow", e.cutSlow.Load},
		{"client", "stalled", e.stalled.Load},
		{"client", "ahead", e.limited[limitAhead].Load},
		{"client", "origin_broke_off", e.brokenOff.Load},
		{"request", "malformed", e.malformed.Load},
		{"request", "no_memory", e.memory.refused.Load},
		{"request", "address_requests", e.limited[limitRequests].Load},
		{"request", "head_too_long", e.limited[limitHead].Load},
		{"request", "body_too_long", e.limited[limitBody].Load},
		{"request", "late", e.limited[limitTime].Load},
		{"request", "origin_busy", func() int64 { return e.origin.Stats().Refused }},
		{"message", "slow_client", e.shedMessages.Load},
		{"item", "filter_failed", e.unfiltered.Load},
		{"item", "too_many_early", m.overflowed.Load},
		{"item", "nats_not_sent", e.localItems.Load},
		{"item", "nats_too_fast", func() int64 { n, _ := e.lostOnBus(); return n }},
		{"item", "nats_malformed", func() int64 { _, n := e.lostOnBus(); return n }},
		{"item", "handover_not_taken", e.untakenItems.Load},
		{"publish", "refused", m.refusedPublishes.Load},
		{"line", "access_log", func() int64 { return e.accessLog.dropped() }},
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "marquee_drops_total", Help: "What was lost, refused or cut off, by what it is and why.",
			ConstLabels: prometheus.Labels{"what": d.what, "reason": d.reason},
		}, func() float64 { return float64(d.f()) }))
	}
}

// sum returns a function that adds up what the loops count.
func (e *edge) sum(f func(*loop) int64) func() int64 {
	return func() (n int64) {
		for _, l := range e.loops {
			n += f(l)
		}
		return n
	}
}

// lostOnBus returns how many messages from NATS came too fast for this process,
// and how many it did not understand.
func (e *edge) lostOnBus() (late, malformed int64) {
	if e.cluster == nil {
		return 0, 0
	}
	n := e.cluster.bus.Counters()
	return int64(n.Lost), int64(n.Refused)
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// published counts an item. Safe from any goroutine.
func (m *metrics) published(fate fanout.Fate) {
	m.items.WithLabelValues(fate.String()).Inc()
	if fate == fanout.Overflow {
		m.overflowed.Add(1)
	}
}

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
