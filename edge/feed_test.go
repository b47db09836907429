package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"marquee/grip"
	"marquee/upstream"
)

// long is a body that is longer than what is kept together.
var long = strings.Repeat("0123456789", 30_000)

// streamed makes the head of an answer that begins a stream with a body of n
// bytes.
func streamed(n int) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nGrip-Hold: stream\r\nGrip-Channel: c\r\n\r\n", n)
}

// A long body is followed by what is published after it, also when the client
// reads it slowly, be it that of the stream's request or of its link
// (GRIP reference 4.1, 4.3).
func TestLongBody(t *testing.T) {
	for _, tt := range []struct {
		name string
		link bool
		args []string
	}{
		{"of the request", false, nil},
		{"of the request, shared", false, []string{"-share-all"}},
		{"of the link", true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if tt.link && req.URL.Path != "/next" {
					w.Header().Set("Grip-Link", "</next>; rel=next")
					return
				}
				w.Header().Set("Grip-Hold", "stream")
				w.Header().Set("Grip-Channel", "c; prev-id=1")
				w.Header().Set("Grip-Link", "</next>; rel=next")
				_, _ = io.WriteString(w, long)
			}), tt.args...)
			cs := []*client{r.dialSmall(), r.dial(), r.dial()}
			for _, c := range cs {
				c.get("/")
			}
			for _, c := range cs {
				c.wantStatus(200)
			}
			for _, c := range cs[1:] { // the first one reads last
				wantContent(t, c, long)
			}
			wantContent(t, cs[0], long)
			eventually(t, func() error {
				r.turn()
				if got := r.edge.hub.Holds("c"); !got {
					return fmt.Errorf("nobody follows the channel")
				}
				return nil
			})
			r.waitHolds(3)
			r.publish(streamItem("c", 2, "two"))
			for _, c := range cs {
				wantContent(t, c, "two")
			}
		})
	}
}

// wantContent reads so much content of a chunked answer.
func wantContent(t *testing.T, c *client, want string) {
	t.Helper()
	var got strings.Builder
	for got.Len() < len(want) {
		data, err := c.readChunk()
		if data == "" || err != nil {
			t.Fatalf("after %d bytes of %d: %v", got.Len(), len(want), err)
		}
		got.WriteString(data)
	}
	if got.String() != want {
		t.Fatalf("content %s, want %s", brief(got.String()), brief(want))
	}
}

// When the origin breaks off in a long body the stream breaks off, too: what is
// missing must not pass for the end.
func TestLongBodyBreaksOff(t *testing.T) {
	r := newRawRig(t, func(nc net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(nc))
		_, _ = io.WriteString(nc, streamed(2*len(long))+long)
	})
	c := r.dial()
	c.get("/")
	c.wantStatus(200)
	if body, err := c.readBody(200); err == nil {
		t.Errorf("got a whole body %s, want it broken off", brief(body))
	}
	r.waitMetric("marquee_connections", 0)
	r.waitHolds(0)
}

// When all clients have left in the middle of a long body the origin is not kept.
func TestAllLeaveLongBody(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reads bool
	}{{"silent origin", true}, {"slow client", false}} {
		t.Run(tt.name, func(t *testing.T) {
			overCh := make(chan struct{})
			r := newRawRig(t, func(nc net.Conn) {
				_, _ = http.ReadRequest(bufio.NewReader(nc))
				_, _ = io.WriteString(nc, streamed(1<<30))
				_, _ = io.WriteString(nc, long)
				for !tt.reads {
					if _, err := io.WriteString(nc, long); err != nil {
						break
					}
				}
				_, _ = io.Copy(io.Discard, nc) // until the edge gives the request up
				close(overCh)
			})
			c := r.dialSmall()
			c.get("/")
			c.wantStatus(200)
			if tt.reads {
				wantContent(t, c, long)
			}
			r.waitHolds(1)
			c.leave()
			await(t, overCh, "the end of the request at the origin")
			r.waitHolds(0)
			r.waitMetric("marquee_connections", 0)
			r.waitMetric("marquee_origin_requests_open", 0)
		})
	}
}

// A client that does not read does not keep a long body from the others who get
// the same for longer than the edge is patient with it; alone it would be waited
// for. Whatever its policy, it gets no body with a gap.
func TestLongBodyOfSeveralClients(t *testing.T) {
	var text strings.Builder
	for i := range 900_000 {
		fmt.Fprintf(&text, "%09d\n", i)
	}
	body := text.String()
	for _, slow := range []string{"disconnect", "drop-oldest", "conflate"} {
		t.Run(slow, func(t *testing.T) {
			origin := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Grip-Hold", "stream")
				w.Header().Set("Grip-Channel", "c")
				w.Header().Set("Grip-Link", "</next>; rel=next")
				if req.URL.Path == "/next" {
					_, _ = io.WriteString(w, body)
				}
			}))
			wantNoLeaks(t)
			r := startEdge(t, origin, func(c *Config) { c.Origin, c.Route = "", []string{"*,slow=" + slow + " " + origin} }, "-loops", "1")
			idle, reader := r.dialSmall(), r.dial()
			for _, c := range []*client{idle, reader} {
				c.get("/")
				c.wantStatus(200)
			}
			r.waitHolds(2)
			r.publish(streamItem("c", 1, "one"), hintItem("c"))
			readCh := make(chan error, 1)
			go func() {
				for left := len("one" + body); left > 0; {
					data, err := reader.readChunk()
					if err != nil || data == "" {
						readCh <- fmt.Errorf("%d bytes are missing: %v", left, err)
						return
					}
					left -= len(data)
				}
				readCh <- nil
			}()
			var err error
			passed := r.tickUntil(stallTimeout*5/6, func() bool {
				select {
				case err = <-readCh:
					return true
				case <-time.After(50 * time.Millisecond):
					return false
				}
			})
			if err != nil || passed == int(stallTimeout*5/6/tick) {
				t.Errorf("the client that reads has not got all after %d ticks: %v", passed, err)
			}
			got := ""
			for {
				data, err := idle.readChunk()
				if err != nil {
					break
				}
				if got += data; data == "" || !strings.HasPrefix("one"+body, got) {
					t.Fatalf("the client that is slow has %d bytes that are not the beginning, or end in the middle", len(got))
				}
			}
			if n := r.edge.cutSlow.Load(); n != 1 {
				t.Errorf("%d slow clients are counted as cut off, want 1", n)
			}
		})
	}
}

// closing notes that a body is closed.
type closing struct {
	io.Reader
	closed bool
}

func (b *closing) Close() error {
	b.closed = true
	return nil
}

// The body of a stream is let go of when the head finds the client gone, or the
// request for it stays open for good.
func TestLongBodyOfNobody(t *testing.T) {
	startedCh := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		close(startedCh)
		<-req.Context().Done()
	}), "-loops", "1")
	c := r.dial()
	c.get("/")
	await(t, startedCh, "the request")
	body := &closing{Reader: strings.NewReader(long)}
	r.onLoops(func(l *loop) {
		l.wheel.each(func(c *conn) {
			if err := unix.Shutdown(c.gc.Fd(), unix.SHUT_RDWR); err != nil {
				t.Error(err)
			}
			c.ask.settle(upstream.Result{Answer: &upstream.Answer{
				Response: grip.Response{Code: 200},
				Hold:     &grip.Hold{Mode: grip.HoldStream, Channels: []grip.Channel{{Name: "c"}}},
				Body:     body,
			}})
			if c.state != closed {
				t.Errorf("state %d of who cannot be written to, want closed", c.state)
			}
		})
	})
	if !body.closed {
		t.Error("the body is not closed")
	}
	r.waitMetric("marquee_connections", 0)
}
