package main

import (
	"errors"
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

// A client that takes its item slowly is counted as such, and gets all of it;
// the others have it before.
func TestSlowClientOfPublish(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, h)
	slow, last := r.dial(), r.dial()
	slow.get(pollPath(1))
	last.get(pollPath(1), "Connection: close")
	r.waitHolds(2)
	r.onLoops(func(l *loop) { // or the kernel would take all of it
		l.wheel.each(func(c *conn) { _ = c.gc.SetWriteBuffer(4 << 10) })
	})
	_ = slow.nc.SetReadBuffer(4 << 10)
	_ = last.nc.SetReadBuffer(4 << 10)
	cs := r.poll(4, 1)
	r.waitHolds(6)
	body := strings.Repeat("0123456789", 9_000)
	large := item("headline-value", "2", "1", body)
	got := r.publish(large)[0]
	if got.Matched != 6 || got.Written != 4 || got.Queued != 2 {
		t.Errorf("receipt %+v, want 6 matched, 4 written, 2 queued", got)
	}
	for _, c := range cs {
		c.wantAnswer(200, body)
	}
	r.waitMetric(`marquee_deliveries_total{outcome="queued"}`, 2)
	slow.get(headlinePath)
	slow.wantAnswer(200, body)
	slow.wantAnswer(200, headlineBody(1))
	last.wantAnswer(200, body)
	last.wantClosed()
}

// tickUntil makes time pass quickly, tick by tick, until done or too long. It
// returns how many ticks have passed.
func (r *rig) tickUntil(most time.Duration, done func() bool) (passed int) {
	r.t.Helper()
	for ; passed < int(most/tick) && !done(); passed++ {
		r.onLoops(func(l *loop) { l.tick(time.Now()) })
		r.turn()
	}
	return passed
}

// ticks returns how many ticks the only loop has dealt with, those of the clock, too.
func (r *rig) ticks() (n int) {
	r.t.Helper()
	r.onLoops(func(l *loop) { n = int(l.wheel.now) })
	return n
}

// waitClient waits until the only loop has a client, who counts before that.
func (r *rig) waitClient() {
	r.t.Helper()
	eventually(r.t, func() error {
		n := 0
		if r.onLoops(func(l *loop) { n = len(l.clients) }); n == 0 {
			return errors.New("the loop has no client")
		}
		return nil
	})
}

// A client that takes nothing at all is cut off in the end.
func TestStalledClient(t *testing.T) {
	r := newRig(t, http.HandlerFunc(largely), "-loops", "1")
	c := r.dial()
	before := r.ticks()
	r.stuff(c, "/")
	after := r.ticks()
	last := 0 // when it was still there
	r.tickUntil(3*stallTimeout, func() bool {
		now := r.ticks()
		if r.edge.stalled.Load() == 1 {
			return true
		}
		last = now
		return false
	})
	gone := r.ticks()
	// What the kernels still pass on in the beginning may count as taken for once.
	if least := int(stallTimeout / tick); gone-before < least || last-after > 2*least+8 {
		t.Errorf("the client was cut off more than %v and less than %v after it had stalled, want %v, or as much again",
			time.Duration(last-after)*tick, time.Duration(gone-before)*tick, stallTimeout)
	}
	c.wantCut()
	r.waitMetric("marquee_connections", 0)
	r.waitMetric("marquee_connections_stalled_total", 1)
}

// What a client may take its time for, and for how long.
func TestTimeouts(t *testing.T) {
	const late = lateRequest + "\n"
	tests := []struct {
		name  string
		send  string
		first int // status of an answer before
		after time.Duration
		want  int // status; 0 for none
	}{
		{"nothing asked yet", "", 0, firstTimeout, 0},
		{"between requests", request("GET", "/"), 200, idleTimeout, 0},
		{"in a head", "GET / HTTP/1.1\r\nHost: h", 0, headTimeout, 408},
		{"in the next head", request("GET", "/") + "GET", 200, headTimeout, 408},
		{"in a sized content", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na", 0, bodyTimeout, 408},
		{"in a chunked content", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n", 0, bodyTimeout, 408},
		{"after the last answer", request("GET", "/", "Connection: close"), 200, lingerTimeout, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(hi), "-loops", "1")
			before := r.ticks()
			c := r.dial()
			c.send(tt.send)
			if tt.first != 0 {
				c.wantAnswer(tt.first, "hi /")
			} else {
				r.waitClient()
			}
			after := r.ticks()
			last := after // when it was still waited for
			r.tickUntil(2*tt.after+tick, func() bool {
				over := true
				r.onLoops(func(l *loop) {
					l.wheel.each(func(c *conn) {
						if c.state != lingering || tt.after == lingerTimeout {
							over, last = false, int(l.wheel.now)
						}
					})
				})
				return over
			})
			over := r.ticks()
			if want := int(tt.after / tick); over-before < want || last-after > want+2 {
				t.Errorf("it was over after more than %v and less than %v, want %v",
					time.Duration(last-after)*tick, time.Duration(over-before)*tick, tt.after)
			}
			if tt.want != 0 {
				c.wantStatus(tt.want)
				c.wantHeader("Connection", "close")
				c.wantBody(late)
			}
			c.wantClosed()
		})
	}
}

// A client that is answered late by the origin is not.
func TestNoTimeoutWhileAsking(t *testing.T) {
	goCh := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		hang(req, goCh)
		hi(w, req)
	}))
	c := r.dial()
	c.get("/")
	r.waitMetric("marquee_origin_requests_open", 1)
	r.tickUntil(3*askingCheck, func() bool { return false })
	c.wantNothing()
	close(goCh)
	c.wantAnswer(200, "hi /")
}
