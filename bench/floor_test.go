package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"marquee/uring"
)

// serveFloor runs a floor for the test and returns its address.
func serveFloor(t *testing.T, threads int) string {
	t.Helper()
	return serveFloorBy(t, threads, false)
}

// serveFloorBy is serveFloor with sends through io_uring or not.
func serveFloorBy(t *testing.T, threads int, uring bool) string {
	t.Helper()
	f, err := newFloor("127.0.0.1:0", threads)
	if err != nil {
		t.Fatal(err)
	}
	f.uring = uring
	addr, err := f.addr()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	doneCh := make(chan error)
	go func() { doneCh <- f.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-doneCh; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return addr
}

// floorClient is one connection to a floor.
type floorClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dialFloor(t *testing.T, addr string) *floorClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &floorClient{t, conn, bufio.NewReader(conn)}
}

func (c *floorClient) send(bytes string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, bytes); err != nil {
		c.t.Fatalf("send %q: %v", bytes, err)
	}
}

// want reads a response and compares its body.
func (c *floorClient) want(body string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("read response: %v", err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("read response body: %v", err)
	}
	if resp.StatusCode != http.StatusOK || string(got) != body {
		c.t.Errorf("got %s %q, want 200 %q", resp.Status, got, body)
	}
}

func (c *floorClient) wantClosed() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Errorf("got byte %q, want the end of the connection", b)
	}
}

const (
	getFirst = "GET /headline/value/ HTTP/1.1\r\nHost: x\r\n\r\n"
	getHeld  = "GET /headline/value/?last_id=1 HTTP/1.1\r\nHost: x\r\n\r\n"
	getOld   = "GET /headline/value/?last_id=77 HTTP/1.1\r\nHost: x\r\n\r\n"
)

func post(body string) string {
	form := "body=" + body
	return fmt.Sprintf("POST /headline/value/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(form), form)
}

func TestFloorAnswers(t *testing.T) {
	const one, two = `{"id": 1, "body": "` + headline + `"}`, `{"id": 2, "body": "Gate \"9\""}`
	for _, test := range []struct {
		name, send string
		want       []string
	}{
		{"first GET", getFirst, []string{one}},
		{"GET with an old id", getOld, []string{one}},
		{"POST", post("Gate+%229%22"), []string{two}},
		{"POST with a number", post("a&id=7"), []string{`{"id": 7, "body": "a"}`}},
		{"pipelined", getFirst + post("Gate+%229%22") + getOld, []string{one, two}},
	} {
		for _, pieces := range []int{1, len(test.send)} {
			t.Run(fmt.Sprintf("%s/pieces=%d", test.name, pieces), func(t *testing.T) {
				c := dialFloor(t, serveFloor(t, 1))
				for i := range pieces {
					c.send(test.send[i*len(test.send)/pieces : (i+1)*len(test.send)/pieces])
				}
				for _, want := range test.want {
					c.want(want)
				}
			})
		}
	}
}

// Every client that waits, on whichever thread, is answered by each change, once.
func TestFloorDelivers(t *testing.T) { testFloorDelivers(t, 50, false) }

// The same with more clients a thread than a ring has entries.
func TestFloorDeliversByURing(t *testing.T) {
	r, err := uring.New()
	if err != nil {
		t.Skipf("this kernel lets nobody have an io_uring (sysctl kernel.io_uring_disabled): %v", err)
	}
	r.Close()
	testFloorDelivers(t, 3*uring.Entries, true)
}

func testFloorDelivers(t *testing.T, n int, byRing bool) {
	addr := serveFloorBy(t, 2, byRing)
	poster := dialFloor(t, addr)
	var clients []*floorClient
	for range n {
		c := dialFloor(t, addr)
		c.send(getHeld)
		clients = append(clients, c)
	}
	for id := 2; id <= 4; id++ {
		want := fmt.Sprintf(`{"id": %d, "body": "n"}`, id)
		poster.send(post("n"))
		poster.want(want)
		for _, c := range clients {
			c.want(want)
			c.send(fmt.Sprintf("GET /headline/value/?last_id=%d HTTP/1.1\r\nHost: x\r\n\r\n", id))
		}
	}
}

// Every stream, on whichever thread, gets the present object and then each change,
// also when many come at once.
func TestFloorStreams(t *testing.T) {
	const changes = 30
	addr := serveFloor(t, 2)
	var streams []*floorClient
	for range 20 {
		c := dialFloor(t, addr)
		c.send("GET /headline/events/ HTTP/1.1\r\nHost: x\r\n\r\n")
		streams = append(streams, c)
	}
	bodies := make([]io.Reader, len(streams))
	next := func(i, id int, text string) {
		t.Helper()
		want := fmt.Sprintf("id: %d\ndata: {\"id\": %d, \"body\": %q}\n\n", id, id, text)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(bodies[i], got); err != nil || string(got) != want {
			t.Fatalf("stream %d: got %q, %v, want %q", i, got, err, want)
		}
	}
	for i, c := range streams {
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || kind != "text/event-stream" {
			t.Fatalf("stream %d: got %s, %s, want 200, text/event-stream", i, resp.Status, kind)
		}
		bodies[i] = resp.Body
		next(i, 1, headline)
	}
	poster := dialFloor(t, addr)
	poster.send(strings.Repeat(post("n"), changes))
	for i := range streams {
		for id := range changes {
			next(i, id+2, "n")
		}
	}
}

func TestFloorForgetsThoseWhoLeft(t *testing.T) {
	addr := serveFloor(t, 1)
	gone, stays, poster := dialFloor(t, addr), dialFloor(t, addr), dialFloor(t, addr)
	gone.send(getHeld)
	stays.send(getHeld)
	gone.conn.Close()
	poster.send(post("n"))
	poster.want(`{"id": 2, "body": "n"}`)
	stays.want(`{"id": 2, "body": "n"}`)
}

func TestFloorRefuses(t *testing.T) {
	for _, test := range []struct{ name, send string }{
		{"no HTTP", "hello\r\n\r\n"},
		{"endless head", getFirst[:len(getFirst)-2] + "X: " + strings.Repeat("x", floorMaxRequest)},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dialFloor(t, serveFloor(t, 1))
			// The floor may close before all is sent.
			_, _ = io.Copy(c.conn, bytes.NewReader([]byte(test.send)))
			c.wantClosed()
		})
	}
}

func TestLeadingInt(t *testing.T) {
	for text, want := range map[string]int{
		"7 HTTP/1.1": 7, "42&x=1": 42, "0": 0, "": -1, " 7": -1, "-7": -1, "99999999999999999999": -1,
	} {
		if got := leadingInt([]byte(text)); got != want {
			t.Errorf("leadingInt(%q) = %d, want %d", text, got, want)
		}
	}
}
