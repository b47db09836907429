package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"marquee/grip"
	"marquee/upstream"
)

// An answer of unknown length passes on as it comes.
func TestEventStream(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    []string
		request string
		chunks  bool
	}{
		{"HTTP/1.1", nil, request("GET", "/"), true},
		{"shared", []string{"-share-all"}, request("GET", "/"), true},
		{"HTTP/1.0", nil, "GET / HTTP/1.0\r\n\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eventCh := make(chan string)
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for event := range eventCh {
					_, _ = io.WriteString(w, event)
					_ = http.NewResponseController(w).Flush()
				}
			}), tt.args...)
			c := r.dial()
			c.send(tt.request)
			for i := range 3 {
				event := fmt.Sprintf("data: %d\n\n", i)
				eventCh <- event
				if i == 0 {
					c.wantStatus(200)
					c.wantHeader("Content-Type", "text/event-stream")
				}
				if tt.chunks {
					c.wantChunk(event)
					continue
				}
				got := make([]byte, len(event))
				if _, err := io.ReadFull(c.in, got); err != nil || string(got) != event {
					t.Fatalf("got %q, %v, want %q", got, err, event)
				}
			}
			close(eventCh)
			if tt.chunks {
				c.wantChunk("")
				c.send(request("GET", "/")) // the connection goes on
				c.wantAnswer(200, "")
			} else {
				c.wantClosed()
			}
		})
	}
}

// A request that was sent during a streamed answer is answered after it.
func TestPipeliningBehindStream(t *testing.T) {
	startedCh, goCh := make(chan struct{}), make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/stream" {
			hi(w, req)
			return
		}
		_, _ = io.WriteString(w, "one")
		_ = http.NewResponseController(w).Flush()
		close(startedCh)
		hang(req, goCh)
		_, _ = io.WriteString(w, "two")
	}))
	c := r.dial()
	c.get("/stream")
	await(t, startedCh, "the request at the origin")
	c.wantStatus(200)
	c.wantChunk("one")
	next := request("GET", "/next")
	c.send(next + "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
	c.wantNothing()
	close(goCh)
	c.wantChunk("two")
	c.wantChunk("")
	c.wantAnswer(200, "hi /next")
	c.send("cde" + next[:10])
	c.wantAnswer(200, "hi /post")
	c.send(next[10:])
	c.wantAnswer(200, "hi /next")
}

// Who sends too much during a streamed answer is cut off.
func TestPipeliningBehindStreamIsBounded(t *testing.T) {
	endedCh := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
		close(endedCh)
	}))
	c := r.dial()
	c.get("/")
	c.wantStatus(200)
	_, _ = io.WriteString(c.nc, strings.Repeat("x", 3*maxPipelined))
	await(t, endedCh, "the end of the request at the origin")
	c.wantCut()
	r.waitMetric("marquee_connections", 0)
}

// A client that leaves during a download ends it at the origin.
func TestClientLeavesDownload(t *testing.T) {
	for _, tt := range []struct {
		name   string
		length int64 // announced; 0 for none
	}{{"sized", 1 << 40}, {"chunked", 0}} {
		t.Run(tt.name, func(t *testing.T) {
			endedCh := make(chan struct{})
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tt.length > 0 {
					w.Header().Set("Content-Length", fmt.Sprint(tt.length))
				}
				for {
					if _, err := io.WriteString(w, large); err != nil {
						close(endedCh)
						return
					}
				}
			}))
			c := r.dial()
			c.get("/")
			c.wantStatus(200)
			c.leave()
			await(t, endedCh, "the end of the answer at the origin")
			r.waitMetric("marquee_connections", 0)
			r.waitMetric("marquee_origin_requests_open", 0)
		})
	}
	t.Run("silent", func(t *testing.T) {
		endedCh := make(chan struct{})
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
			close(endedCh)
		}))
		c := r.dial()
		c.get("/")
		c.wantStatus(200)
		c.leave()
		await(t, endedCh, "the end of the answer at the origin")
		r.waitMetric("marquee_connections", 0)
	})
}

// An answer that breaks off at the origin breaks off at the client, so that
// nobody takes it for whole.
func TestOriginBreaksOff(t *testing.T) {
	for _, tt := range []struct{ name, head, body string }{
		{"sized", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 2*len(large)), large},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n"},
		{"in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRawRig(t, func(nc net.Conn) {
				_, _ = http.ReadRequest(bufio.NewReader(nc))
				_, _ = io.WriteString(nc, tt.head+tt.body)
			})
			c := r.dial()
			c.get("/")
			c.wantStatus(200)
			if body, err := c.readBody(200); err == nil {
				t.Errorf("got a whole body %s, want it broken off", brief(body))
			}
			r.waitMetric("marquee_connections", 0)
		})
	}
}

// restingBody is a body of some bytes and then, after so long a rest that the
// last write deadline is over, the end.
type restingBody struct {
	nc   net.Conn
	rest atomic.Bool
}

func (b *restingBody) Read(p []byte) (int, error) {
	if b.rest.Swap(true) {
		_ = b.nc.SetWriteDeadline(time.Unix(1, 0))
		return 0, io.EOF
	}
	return copy(p, "hello"), nil
}

func (b *restingBody) Close() error { return nil }

// A stream may rest for longer than a client may stall, and end then.
func TestStreamEndsAfterRest(t *testing.T) {
	c, nc := dialAccepted(t)
	s := &lease{edge: new(edge), nc: nc, minor: 1}
	if !s.relay(&upstream.Answer{Response: grip.Response{Code: 200}, Length: -1, Body: &restingBody{nc: nc}}, true) {
		t.Error("the connection is of no use any more")
	}
	c.wantAnswer(200, "hello")
}
