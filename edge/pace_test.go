package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Who keeps the rate never runs out of time, who does not loses what is missing.
func TestPace(t *testing.T) {
	const most = 30 * time.Second
	type piece struct {
		n    int
		took time.Duration
		left time.Duration
	}
	tests := []struct {
		name   string
		pieces []piece
	}{
		{"at the rate", []piece{{leastRate, time.Second, most}, {10 * leastRate, 10 * time.Second, most}}},
		{"faster is not saved up", []piece{{1 << 20, time.Second, most}, {0, 10 * time.Second, most - 10*time.Second}}},
		{"at half the rate", []piece{{5 * leastRate, 10 * time.Second, 25 * time.Second}, {5 * leastRate, 10 * time.Second, 20 * time.Second}}},
		{"it recovers", []piece{{0, 20 * time.Second, 10 * time.Second}, {15 * leastRate, 5 * time.Second, 20 * time.Second}}},
		{"a byte now and then", []piece{{1, 29 * time.Second, time.Second + 2*time.Millisecond}, {1, 29 * time.Second, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPace(most)
			for i, piece := range tt.pieces {
				if p.came(piece.n, piece.took); p.left != piece.left {
					t.Errorf("after piece %d: %v are left, want %v", i+1, p.left, piece.left)
				}
			}
		})
	}
}

// A content that comes in drops is given up when it would take for ever: on the
// loop.
func TestSlowContent(t *testing.T) {
	for _, tt := range []struct{ name, head, drop string }{
		{"sized", "Content-Length: 9999", "x"},
		{"chunked", "Transfer-Encoding: chunked", "1\r\nx\r\n"},
		{"of extensions", "Transfer-Encoding: chunked", "1;xxxxxxxx=yyyyyyyyy\r\nx\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(hi), "-loops", "1")
			before := r.ticks()
			c := r.dial()
			c.send("POST / HTTP/1.1\r\nHost: h\r\n" + tt.head + "\r\n\r\n")
			r.waitClient()
			late := func() bool { return r.edge.limited[limitTime].Load() > 0 }
			passed := 0
			for passed < int(2*bodyTimeout/tick) && !late() {
				c.send(tt.drop)
				r.turn()
				passed += r.tickUntil(5*time.Second, late)
			}
			if given := r.ticks() - before; !late() || given < int(bodyTimeout/tick) {
				t.Errorf("given up: %v, after %v, want it after about %v", late(), time.Duration(given)*tick, bodyTimeout)
			}
			c.wantStatus(http.StatusRequestTimeout)
			c.wantHeader("Connection", "close")
			c.wantBody(lateRequest + "\n")
			c.leave()
			r.waitMetric(`marquee_drops_total{reason="late",what="request"}`, 1)
		})
	}
}

// A long content has a place among the open requests, so that one in drops is
// given up too.
func TestSlowUpload(t *testing.T) {
	brokenCh := make(chan error, 1)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, err := io.Copy(io.Discard, req.Body)
		brokenCh <- err
	}))
	c := r.dial()
	c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\nx", 2*maxContent))
	r.waitMetric("marquee_origin_requests_open", 1)
	// The time that is left is over, as if the drops had come in it.
	eventually(t, func() error {
		r.edge.leases.mu.Lock()
		defer r.edge.leases.mu.Unlock()
		for s := range r.edge.leases.all {
			_ = s.nc.SetReadDeadline(time.Now())
		}
		if n := r.edge.limited[limitTime].Load(); n != 1 {
			return fmt.Errorf("%d requests were given up, want 1", n)
		}
		return nil
	})
	c.wantStatus(http.StatusRequestTimeout)
	c.wantBody(lateRequest + "\n")
	c.wantClosed()
	if err := await(t, brokenCh, "the end of the content"); err == nil {
		t.Error("the origin has got a complete content")
	}
	r.waitMetric("marquee_origin_requests_open", 0)
	r.waitMetric(`marquee_drops_total{reason="late",what="request"}`, 1)
}

// A client that takes a few bytes of its answer now and then is cut off like one
// that takes nothing; one that takes as many as it must is not.
func TestSlowReader(t *testing.T) {
	for _, tt := range []struct {
		name string
		read int // bytes a second
		cut  bool
	}{
		{"too slow", leastRate / 50, true},
		{"slow", 60 * leastRate, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(largely), "-loops", "1")
			c := r.dial()
			_ = c.nc.SetReadBuffer(64 << 10)
			r.stuff(c, "/")
			c.send(strings.Repeat(request("GET", "/"), 60)) // so that it has enough to read
			in := make([]byte, 60*leastRate)
			gone := func() bool { return r.edge.stalled.Load() > 0 }
			passed := 0
			for passed < int(2*stallTimeout/tick) && !gone() {
				if _, err := io.ReadFull(c.in, in[:tt.read]); err != nil {
					t.Fatal(err)
				}
				passed += r.tickUntil(time.Second, gone)
			}
			if gone() != tt.cut {
				t.Errorf("after %v the client is cut off: %v, want %v", time.Duration(passed)*tick, gone(), tt.cut)
			}
			c.leave()
			r.waitMetric("marquee_connections", 0)
		})
	}
}

// Many requests at once are begun in turns, between which the loop does what else
// there is to do.
func TestPipeliningInTurns(t *testing.T) {
	const clients, each = 32, 100
	h := &headline{id: 1}
	r := newRig(t, h, "-loops", "1", "-share-all")
	var all []*client
	for range clients {
		c := r.dial()
		c.get(headlinePath)
		c.wantAnswer(200, headlineBody(1)) // so there is an answer at hand
		all = append(all, c)
	}
	r.onLoops(func(l *loop) {
		begun := func(what string, most int64, f func()) {
			before := l.requests.Load()
			if f(); l.requests.Load()-before > most {
				t.Errorf("%s began %d requests, want %d at the most", what, l.requests.Load()-before, most)
			}
		}
		l.turn()
		begun("reads", turnRequests+clients, func() {
			l.wheel.each(func(c *conn) {
				c.unread = []byte(strings.Repeat(request("GET", headlinePath), each))
				begun("a read", readRequests, c.traffic)
			})
		})
		begun("a turn", turnRequests+clients, l.turn)
	})
	for _, c := range all {
		for range each {
			c.wantAnswer(200, headlineBody(1))
		}
	}
}

// However many clients send or read slowly, the origin can be asked by others.
func TestStreamsLeaveRoom(t *testing.T) {
	const open, streams = 8, 7
	for _, tt := range []struct {
		name, request string
		surplus       int // status of those for whom there is no room; 0 for nothing yet
	}{
		{"uploads", fmt.Sprintf("POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\nx", 2*maxContent), 0},
		{"downloads", request("GET", "/download"), 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			goCh := make(chan struct{})
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch req.URL.Path {
				case "/upload":
					_, _ = io.Copy(io.Discard, req.Body)
				case "/download":
					_ = http.NewResponseController(w).Flush() // of unknown length
					hang(req, goCh)
				default:
					hi(w, req)
				}
			}), "-max-open-requests", fmt.Sprint(open))
			var all []*client
			for range streams {
				c := r.dial()
				c.send(tt.request)
				if tt.surplus != 0 {
					c.wantStatus(200)
				}
				all = append(all, c)
			}
			r.waitMetric("marquee_origin_requests_open", streams)
			for range 3 {
				c := r.dial()
				c.send(tt.request)
				if tt.surplus != 0 {
					c.wantStatus(tt.surplus)
					c.wantHeader("Retry-After", "1")
				}
				all = append(all, c)
			}
			if tt.surplus == 0 {
				r.waitMetric("marquee_origin_requests_waiting", 3)
			}
			for range 3 {
				c := r.dial()
				c.get("/other")
				c.wantAnswer(200, "hi /other")
			}
			for _, c := range all {
				c.leave()
			}
			close(goCh)
			r.waitMetric("marquee_origin_requests_open", 0)
		})
	}
}
