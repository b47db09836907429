package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"marquee/fanout"
	"marquee/grip"
)

const (
	// maxPublish is how long the body of a publish may be, in bytes.
	maxPublish = 1_000_000
	// receiptWait is how long a publisher who asked for receipts waits for
	// the last write.
	receiptWait = 5 * time.Second
)

// controlServer is for publishers and operators.
func (e *edge) controlServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { reply(w, r, http.StatusOK, "Marquee API") })
	mux.HandleFunc("/publish", e.publish)
	mux.HandleFunc("/publish/{$}", e.publish)
	mux.HandleFunc("/healthz", e.healthz)
	mux.Handle("/metrics", e.metrics.handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { reply(w, r, http.StatusNotFound, "Not Found") })
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
}

// publish takes items (GRIP's HTTP publishing endpoint). A publisher who
// accepts JSON gets a receipt for each item; any other is answered as soon as
// the items are on their way.
func (e *edge) publish(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		reply(w, r, http.StatusMethodNotAllowed, "Method not allowed: "+r.Method+".")
		return
	}
	if mediaType(r) == "" {
		reply(w, r, http.StatusNotAcceptable, "Not Acceptable. Supported formats are text/plain and application/json.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPublish))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		reply(w, r, http.StatusBadRequest, "Request body too large.")
		return
	case err != nil:
		reply(w, r, http.StatusBadRequest, "Request body could not be read.")
		return
	}
	items, err := grip.ParseItems(body)
	if err != nil {
		e.metrics.refusedPublishes.Inc()
		reply(w, r, http.StatusBadRequest, err.Error())
		return
	}
	deliveries := make([]*fanout.Delivery, len(items))
	fates := make([]fanout.Fate, len(items))
	away := "" // why the other edges of the cluster did not get the items
	for i, item := range items {
		deliveries[i], fates[i] = e.publishItem(item)
		if e.cluster != nil {
			if err := e.cluster.publish(item); err != nil {
				away = "published to the clients of this edge only: " + err.Error()
			}
		}
	}
	if away != "" {
		e.log.Warn(away)
	}
	if mediaType(r) != "application/json" {
		reply(w, r, http.StatusOK, "Published")
		return
	}
	receipts := make([]fanout.Receipt, len(items))
	timer := time.NewTimer(receiptWait)
	defer timer.Stop()
	for i, d := range deliveries {
		if fates[i] == fanout.Delivered {
			select {
			case <-d.Done():
			case <-timer.C:
				timer.Reset(0) // the others are not waited for either
			case <-r.Context().Done():
				return
			}
		}
		receipts[i] = d.Receipt(fates[i])
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Message  string           `json:"message"`
		Receipts []fanout.Receipt `json:"receipts"`
		Warning  string           `json:"warning,omitempty"`
	}{"Published", receipts, away})
}

// publishItem gives an item to the clients of this edge.
func (e *edge) publishItem(item grip.Item) (*fanout.Delivery, fanout.Fate) {
	e.metrics.received(&item)
	d, fate := e.hub.Publish(item)
	e.metrics.published(fate)
	return d, fate
}

// mediaType returns which of the two media types of an answer the publisher
// wants, "" when neither.
func mediaType(r *http.Request) string {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return "text/plain"
	}
	for member := range strings.SplitSeq(accept, ",") {
		name, _, _ := strings.Cut(member, ";")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "text/plain", "text/*", "*/*":
			return "text/plain"
		case "application/json", "application/*":
			return "application/json"
		}
	}
	return ""
}

// reply answers with one line, as JSON where that is wanted.
func reply(w http.ResponseWriter, r *http.Request, code int, line string) {
	if mediaType(r) == "application/json" && code == http.StatusOK {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(struct {
			Message string `json:"message"`
		}{line})
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(code)
	fmt.Fprintln(w, line)
}

// healthz says whether the edge serves: 503 when it drains, or when a loop has
// not come round for a while.
func (e *edge) healthz(w http.ResponseWriter, r *http.Request) {
	if e.draining.Load() {
		reply(w, r, http.StatusServiceUnavailable, "draining")
		return
	}
	for _, l := range e.loops {
		if last := l.ticked.Load(); last != 0 && time.Since(time.Unix(0, last)) > 5*time.Second {
			reply(w, r, http.StatusServiceUnavailable, "an event loop does not come round")
			return
		}
	}
	if e.cluster != nil && !e.cluster.bus.Connected() {
		reply(w, r, http.StatusOK, "ok, but cut off from NATS: items published elsewhere do not come")
		return
	}
	reply(w, r, http.StatusOK, "ok")
}
