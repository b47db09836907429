package main

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

// An origin that stops in the middle of an answer of known length does not keep
// its place among the open requests, nor its client.
func TestOriginStallsInDownload(t *testing.T) {
	overCh := make(chan struct{})
	wantNoLeaks(t)
	r := startEdge(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(2*maxContent))
		w.Write(make([]byte, maxContent+1))
		w.(http.Flusher).Flush()
		<-req.Context().Done()
		close(overCh)
	})), func(c *Config) { c.OriginTimeout = 100 * time.Millisecond })
	c := r.dial()
	c.get("/")
	c.wantStatus(http.StatusOK)
	c.wantCut()
	await(t, overCh, "end of the request at the origin")
	r.waitMetric("marquee_origin_requests_open", 0)
}
