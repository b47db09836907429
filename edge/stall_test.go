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
	wantNoLeaks(t)
	inTime(t, func(timeout time.Duration) bool {
		overCh := make(chan struct{})
		r := startEdge(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(2*maxContent))
			w.Write(make([]byte, maxContent+1))
			w.(http.Flusher).Flush()
			<-req.Context().Done()
			close(overCh)
		})), func(c *Config) { c.OriginTimeout = timeout })
		c := r.dial()
		c.get("/")
		status, err := c.readHead()
		if status == http.StatusGatewayTimeout {
			return false
		}
		if status != http.StatusOK || err != nil {
			t.Fatalf("status %d, %v, want the beginning of the answer", status, err)
		}
		c.wantCut()
		await(t, overCh, "end of the request at the origin")
		r.waitMetric("marquee_origin_requests_open", 0)
		return true
	})
}
