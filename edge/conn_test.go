package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hi answers everything with its own target.
func hi(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, "hi "+r.RequestURI)
}

// What is no request is answered and ends the connection.
func TestMalformedRequest(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	long := strings.Repeat("a", 40_000)
	tests := []struct {
		name    string
		request string
		status  int
	}{
		{"no HTTP", "\x16\x03\x01\x02\x00", 400},
		{"no version (RFC 9112 §3)", "GET /\r\n\r\n", 400},
		{"HTTP/2.0 (RFC 9110 §15.6.6)", "GET / HTTP/2.0\r\n\r\n", 505},
		{"no Host (RFC 9112 §3.2)", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two Hosts (RFC 9112 §3.2)", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
		{"space before the colon (RFC 9112 §5.1)", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
		{"folded line (RFC 9112 §5.2)", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
		{"bare LF (RFC 9112 §2.2)", "GET / HTTP/1.1\nHost: a\n\n", 400},
		{"two lengths (RFC 9112 §6.3)", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		{"length and coding (RFC 9112 §6.1)", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"unknown coding (RFC 9112 §6.1)", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		{"malformed chunk (RFC 9112 §7.1)", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400},
		{"malformed second chunk (RFC 9112 §7.1)", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx\r\n", 400},
		{"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501},
		{"expectation (RFC 9110 §10.1.1)", "POST / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\na", 417},
		{"request line too long (RFC 9112 §3)", "GET /" + long + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"head too long (RFC 6585 §5)", "GET / HTTP/1.1\r\nHost: a\r\nX: " + long + "\r\n\r\n", 431},
		{"too many fields (RFC 6585 §5)", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: 1\r\n", 200) + "\r\n", 431},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := r.metric("marquee_requests_malformed_total")
			c := dial(t, r.address)
			c.send(tt.request + request("GET", "/next"))
			c.wantStatus(tt.status)
			c.wantHeader("Content-Type", "text/plain")
			c.wantHeader("Connection", "close")
			body, err := c.readBody(tt.status)
			if err != nil || len(body) < 2 || strings.Count(body, "\n") != 1 {
				t.Errorf("body %q, %v, want one plain line", body, err)
			}
			c.wantClosed()
			if n := r.metric("marquee_requests_malformed_total") - before; n != 1 {
				t.Errorf("%v malformed requests were counted, want 1", n)
			}
		})
	}
}

// The outcome does not depend on how the bytes arrive.
func TestRequestCutAnywhere(t *testing.T) {
	r := newRig(t, http.HandlerFunc(mirror))
	for _, tt := range []struct{ name, request string }{
		{"sized", "POST /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nabcde"},
		{"chunked", "POST /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"},
	} {
		check := func(t *testing.T, c *client, how string) {
			t.Helper()
			got, content := c.mirrored()
			if got.Method != "POST" || content != "abcde" || got.Header.Get("X-A") != "1" {
				t.Errorf("%s: arrived as %s, X-A %q, content %q", how, got.Method, got.Header.Get("X-A"), content)
			}
		}
		t.Run(tt.name+", in two", func(t *testing.T) {
			c := dial(t, r.address)
			for cut := 1; cut < len(tt.request); cut++ {
				c.send(tt.request[:cut])
				r.turn()
				c.send(tt.request[cut:])
				check(t, c, fmt.Sprintf("cut at %d", cut))
			}
		})
		t.Run(tt.name+", byte by byte", func(t *testing.T) {
			c := dial(t, r.address)
			for i := range len(tt.request) {
				c.send(tt.request[i : i+1])
				r.turn()
			}
			check(t, c, "byte by byte")
		})
	}
}

// Answers come in the order of the requests.
func TestPipelining(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/headline") {
			h.ServeHTTP(w, req)
			return
		}
		hi(w, req)
	}))

	t.Run("all at once", func(t *testing.T) {
		c := dial(t, r.address)
		var all strings.Builder
		for i := range 50 {
			all.WriteString(request("GET", fmt.Sprint("/", i)))
			all.WriteString("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
		}
		c.send(all.String())
		for i := range 50 {
			c.wantAnswer(200, fmt.Sprint("hi /", i))
			c.wantAnswer(200, "hi /p")
		}
	})
	t.Run("behind a hold", func(t *testing.T) {
		c := dial(t, r.address)
		c.get(pollPath(1))
		r.waitHolds(1)
		c.send(request("GET", "/a") + request("GET", "/b"))
		c.wantNothing()
		h.change()
		r.publish(headlineItem(2))
		c.wantAnswer(200, headlineBody(2))
		c.wantAnswer(200, "hi /a")
		c.wantAnswer(200, "hi /b")
	})
	t.Run("behind a hold, as much as is allowed", func(t *testing.T) {
		c := dial(t, r.address)
		c.get(pollPath(2))
		r.waitHolds(1)
		one := request("GET", "/a", "X-Fill: "+strings.Repeat("x", 900))
		n := maxPipelined / len(one)
		c.send(strings.Repeat(one, n))
		r.turn()
		h.change()
		r.publish(headlineItem(3))
		c.wantAnswer(200, headlineBody(3))
		for range n {
			c.wantAnswer(200, "hi /a")
		}
	})
	t.Run("behind a hold, too much", func(t *testing.T) {
		c := dial(t, r.address)
		c.get(pollPath(3))
		r.waitHolds(1)
		_, _ = io.WriteString(c.nc, strings.Repeat("x", 3*maxPipelined))
		c.wantCut()
		r.waitHolds(0)
	})
	t.Run("what follows a close is not looked at (RFC 9112 §9.6)", func(t *testing.T) {
		c := dial(t, r.address)
		c.send(request("GET", "/a", "Connection: close") + request("GET", "/b"))
		c.wantAnswer(200, "hi /a")
		c.wantClosed()
	})
}

// RFC 9110 §10.1.1.
func TestExpectContinue(t *testing.T) {
	r := newRig(t, http.HandlerFunc(mirror))
	const interim = "HTTP/1.1 100 Continue\r\n\r\n"
	tests := []struct {
		name    string
		head    string
		interim bool
		content string
	}{
		{"sized", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", true, "abc"},
		{"chunked", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n", true, "3\r\nabc\r\n0\r\n\r\n"},
		{"nothing to come", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", false, ""},
		{"HTTP/1.0", "POST / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", false, "abc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, r.address)
			c.send(tt.head)
			if tt.interim {
				got := make([]byte, len(interim))
				_ = c.nc.SetReadDeadline(time.Now().Add(patience))
				if _, err := io.ReadFull(c.in, got); err != nil || string(got) != interim {
					t.Fatalf("got %q, %v, want %q", got, err, interim)
				}
			}
			c.send(tt.content)
			if _, content := c.mirrored(); content != "abc" && tt.content != "" {
				t.Errorf("content %q, want abc", content)
			}
		})
	}
}

// A client that leaves while it waits is forgotten: as a hold, and as an asker,
// whose request is given up when it was the last.
func TestClientLeaves(t *testing.T) {
	t.Run("held", func(t *testing.T) {
		r := newRig(t, &headline{id: 1}, "-share-all")
		cs := r.poll(6, 1)
		r.waitHolds(6)
		for i, c := range cs {
			c.leave()
			r.waitHolds(5 - i)
		}
		r.waitMetric("marquee_connections", 0)
		if got := r.publish(headlineItem(2)); got[0].Matched != 0 {
			t.Errorf("receipt %+v, want no hold matched", got[0])
		}
	})
	t.Run("asking", func(t *testing.T) {
		askedCh, givenUpCh := make(chan struct{}), make(chan struct{})
		r := newRig(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			close(askedCh)
			<-req.Context().Done()
			close(givenUpCh)
		}), "-share-all")
		cs := r.poll(4, 1)
		await(t, askedCh, "the request at the origin")
		r.waitMetric("marquee_requests_total", 4)
		for _, c := range cs[1:] {
			c.leave()
		}
		r.waitMetric("marquee_connections", 1)
		select {
		case <-givenUpCh:
			t.Error("the request was given up while a client waited for it")
		default:
		}
		cs[0].leave()
		await(t, givenUpCh, "the end of the request at the origin")
		r.waitMetric("marquee_origin_requests_open", 0)
	})
	t.Run("in a head", func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(hi))
		c := r.dial()
		c.send("GET / HT")
		r.waitMetric("marquee_connections", 1)
		c.leave()
		r.waitMetric("marquee_connections", 0)
	})
	t.Run("in a content", func(t *testing.T) {
		var asked atomic.Int64
		r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na")
		r.waitMetric("marquee_connections", 1)
		c.leave()
		r.waitMetric("marquee_connections", 0)
		if n := asked.Load(); n != 0 {
			t.Errorf("the origin was asked %d times, want not at all", n)
		}
	})
}
