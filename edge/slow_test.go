package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// large is an answer that is kept together, as long as such a one may be.
var large = strings.Repeat("0123456789", maxContent/10)

// largely answers with the request's target and filling, of known length.
func largely(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(len(large)))
	_, _ = io.WriteString(w, r.RequestURI+large[len(r.RequestURI):])
}

// stuff sends requests on c and reads nothing, until the edge has an answer
// that the client does not take.
func (r *rig) stuff(c *client, target string) (requests int) {
	r.t.Helper()
	slow := func() (n int) {
		r.onLoops(func(l *loop) {
			l.wheel.each(func(c *conn) {
				if c.slow {
					n++
				}
			})
		})
		return n
	}
	before := slow()
	for ; slow() == before; requests++ {
		answered := r.metric("marquee_requests_total")
		c.get(target)
		eventually(r.t, func() error {
			if n := r.metric("marquee_requests_total"); n == answered {
				return fmt.Errorf("%v requests have arrived", n)
			}
			return nil
		})
		r.waitMetric("marquee_origin_requests_open", 0)
		r.turn()
	}
	return requests
}

// A client that stops reading gets everything later, in order, and delays
// nobody else.
func TestSlowClient(t *testing.T) {
	r := newRig(t, http.HandlerFunc(largely))
	c := r.dial()
	n := r.stuff(c, "/a")
	c.send(request("GET", "/b") + request("GET", "/c", "Connection: close"))
	other := r.dial()
	other.get("/d")
	other.wantAnswer(200, "/d"+large[2:])
	for range n {
		c.wantAnswer(200, "/a"+large[2:])
	}
	c.wantAnswer(200, "/b"+large[2:])
	c.wantAnswer(200, "/c"+large[2:])
	c.wantClosed()
}

// A client that stops reading cannot make the edge keep its requests either.
func TestSlowClientSendsOn(t *testing.T) {
	r := newRig(t, http.HandlerFunc(largely))
	c := r.dial()
	r.stuff(c, "/")
	more := strings.Repeat(request("GET", "/", "X-Fill: "+strings.Repeat("x", 900)), 64)
	_ = c.nc.SetWriteDeadline(time.Now().Add(patience))
	sent := 0
	for ; sent < 64<<20; sent += len(more) {
		if _, err := io.WriteString(c.nc, more); err != nil {
			if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
				t.Fatalf("after %d bytes: %v, want the connection cut off", sent, err)
			}
			return
		}
	}
	t.Errorf("the edge took %d bytes of requests from a client that takes no answers", sent)
}
