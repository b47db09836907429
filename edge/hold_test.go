package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"marquee/grip"
)

// What the origin's instruct says is what the client gets: at the timeout the
// origin's own answer, from a publish the item over it (GRIP reference 1.3, 1.4
// and 3.2).
func TestInstruct(t *testing.T) {
	header := func(fields string) string {
		return "HTTP/1.1 200 OK\r\nGrip-Hold: response\r\n" + fields + "Content-Length: 4\r\n\r\nwait"
	}
	tests := []struct {
		name    string
		request string
		origin  string
		status  int // at the timeout
		body    string
		fields  map[string]string // at the timeout and from the publish; "" for none
	}{
		{"header", request("GET", "/"), header("Grip-Channel: c\r\nX-A: 1\r\nContent-Type: text/plain\r\n"), 200, "wait",
			map[string]string{"X-A": "1", "Grip-Hold": "", "Grip-Channel": ""}},
		{"header, status", request("GET", "/"), header("Grip-Channel: c\r\nGrip-Status: 404 Nowhere\r\n"), 404, "wait", nil},
		{"header, any case", request("GET", "/"), strings.Replace(header("grip-channel: c\r\n"), "Grip-Hold", "GRIP-HOLD", 1), 200, "wait", nil},
		{"header, several channels in a line", request("GET", "/"), header("Grip-Channel: b; prev-id=1, c\r\n"), 200, "wait", nil},
		{"header, several lines", request("GET", "/"), header("Grip-Channel: b\r\nGrip-Channel: c\r\n"), 200, "wait", nil},
		{"JSON", request("GET", "/"), jsonInstruct(`{"hold": {"channels": [{"name": "c"}]},
			"response": {"code": 203, "headers": {"X-A": "1"}, "body": "wait"}}`), 203, "wait", map[string]string{"X-A": "1"}},
		{"JSON, no response", request("GET", "/"), jsonInstruct(`{"hold": {"mode": "response", "channels": [{"name": "c"}]}}`), 200, "", nil},
		{"POST", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", header("Grip-Channel: c\r\n"), 200, "wait", nil},
		{"POST, chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", header("Grip-Channel: c\r\n"), 200, "wait", nil},
	}
	wantNoLeaks(t)
	origin := serveRaw(t, func(nc net.Conn) {
		in := bufio.NewReader(nc)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			i, _ := strconv.Atoi(req.URL.Path[1:])
			_, _ = io.WriteString(nc, tests[i].origin)
		}
	})
	hasty := startEdge(t, origin, func(c *Config) { c.HoldTimeout = time.Millisecond })
	patient := startEdge(t, origin, nil)
	type pair struct{ timeout, item *client }
	var cs []pair
	for i, tt := range tests {
		request := strings.Replace(tt.request, " / ", fmt.Sprintf(" /%d ", i), 1)
		c := pair{hasty.dial(), patient.dial()}
		c.timeout.send(request)
		c.item.send(request)
		cs = append(cs, c)
	}
	patient.waitHolds(len(tests))
	patient.publish(item("c", "", "", "now"))
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check := func(c *client, status int, body string) {
				t.Helper()
				c.t = t
				c.wantStatus(status)
				c.wantHeader("Connection")
				for name, want := range tt.fields {
					if got := c.head.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				c.wantBody(body)
			}
			check(cs[i].timeout, tt.status, tt.body)
			check(cs[i].item, 200, "now")
			cs[i].item.wantHeader("Content-Type", "application/json")
		})
	}
}

// A hold ends in its own time, also behind a client that asks again and again.
func TestHoldTimeout(t *testing.T) {
	const hold = 600 * time.Millisecond
	h := &headline{id: 1}
	r := newHastyRig(t, h, hold, "-share-all")
	c := r.dial()
	for range 3 {
		began := time.Now()
		c.get(pollPath(1))
		c.wantAnswer(200, "{}")
		if took := time.Since(began); took < hold || took > hold+patience/2 {
			t.Errorf("the hold took %v, want %v", took, hold)
		}
	}
	r.waitHolds(0)
}

// More holds than one turn of a loop ends, at one moment.
func TestManyHoldsTimeOut(t *testing.T) {
	const clients = turnDeadlines + 100
	h := &headline{id: 1}
	r := newHastyRig(t, h, time.Second, "-share-all", "-loops", "1")
	cs := r.poll(clients, 1)
	for _, c := range cs {
		c.wantAnswer(200, "{}")
	}
	for _, c := range cs { // and all connections are good
		c.get(headlinePath)
	}
	for _, c := range cs {
		c.wantAnswer(200, headlineBody(1))
	}
}

// One publish serves clients of every kind at once.
func TestHoldVariants(t *testing.T) {
	body := strings.Repeat("Flight 123 arriving in terminal A. ", 100)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Grip-Hold", "response")
		w.Header().Set("Grip-Channel", "c; prev-id=1")
	}), "-share-all")
	type kind struct {
		method, minor, accept, connection string
	}
	var kinds []kind
	for _, method := range []string{"GET", "HEAD"} {
		for _, accept := range []string{"", "gzip", "gzip, zstd", "br"} {
			kinds = append(kinds, kind{method, "1", accept, ""}, kind{method, "1", accept, "close"}, kind{method, "0", accept, ""})
		}
	}
	cs := make([]*client, 2*len(kinds)) // on both loops
	for i := range cs {
		k := kinds[i%len(kinds)]
		cs[i] = r.dial()
		cs[i].sentHead = k.method == "HEAD"
		text := fmt.Sprintf("%s / HTTP/1.%s\r\nHost: h\r\n", k.method, k.minor)
		if k.accept != "" {
			text += "Accept-Encoding: " + k.accept + "\r\n"
		}
		if k.connection != "" {
			text += "Connection: " + k.connection + "\r\n"
		}
		cs[i].send(text + "\r\n")
	}
	r.waitHolds(len(cs))
	published := item("c", "2", "1", body)
	if got := r.publish(published)[0]; got.Written != int64(len(cs)) {
		t.Errorf("receipt %+v, want %d written", got, len(cs))
	}
	for i, c := range cs {
		k := kinds[i%len(kinds)]
		c.wantStatus(200)
		coding := map[string]string{"gzip": "gzip", "gzip, zstd": "zstd"}[k.accept]
		if got := c.head.Get("Content-Encoding"); got != coding {
			t.Errorf("%+v: Content-Encoding %q, want %q", k, got, coding)
		}
		if got := c.head.Get("Vary"); got != "Accept-Encoding" {
			t.Errorf("%+v: Vary %q, want Accept-Encoding", k, got)
		}
		closes := k.minor == "0" || k.connection == "close"
		if got := c.head.Get("Connection"); (got == "close") != closes {
			t.Errorf("%+v: Connection %q", k, got)
		}
		length := c.head.Get("Content-Length")
		wire, err := c.readBody(200)
		if err != nil {
			t.Fatalf("%+v: %v", k, err)
		}
		if k.method == "HEAD" {
			if coding == "" && length != fmt.Sprint(len(body)) || coding != "" && (length == "" || len(length) >= 4) {
				t.Errorf("%+v: Content-Length %s", k, length)
			}
		} else if got := decoded(t, coding, wire); got != body {
			t.Errorf("%+v: body %s", k, brief(got))
		}
		if closes {
			c.wantClosed()
		}
	}
}

// decoded takes a content coding off.
func decoded(t *testing.T, coding, wire string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(wire)
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, r); err != nil {
		t.Fatalf("%s: %v", coding, err)
	}
	return b.String()
}

// Holds are spread over the loops, and one publish reaches all.
func TestHoldsOnAllLoops(t *testing.T) {
	for _, args := range [][]string{nil, {"-share-all"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			h := &headline{id: 1}
			r := newRig(t, h, append(args, "-loops", "3")...)
			cs := r.poll(30, 1)
			r.waitHolds(30)
			r.onLoops(func(l *loop) {
				if n := l.holds.Load(); n < 5 {
					t.Errorf("a loop holds %d of 30", n)
				}
			})
			if got := r.publish(headlineItem(2))[0]; got.Written != 30 {
				t.Errorf("receipt %+v, want 30 written", got)
			}
			for _, c := range cs {
				c.wantAnswer(200, headlineBody(2))
			}
			r.waitHolds(0)
		})
	}
}

// A hold for several channels is ended by any of them, once.
func TestHoldForSeveralChannels(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Grip-Hold", "response")
		w.Header().Set("Grip-Channel", "a; prev-id=1, b; prev-id=1")
	}))
	c := r.dial()
	c.get("/")
	r.waitHolds(1)
	receipts := r.publish(item("b", "2", "1", "b"), item("a", "2", "1", "a"))
	c.wantAnswer(200, "b")
	if receipts[0].Matched != 1 || receipts[1].Matched != 0 {
		t.Errorf("receipts %+v, want the first matched only", receipts)
	}
	c.wantNothing()
}

// A hold that may have missed something is asked for again; the client sees
// nothing of it (GRIP reference 3.3, 3.4).
func TestMissedItem(t *testing.T) {
	tests := []struct {
		name   string
		item   grip.Item
		id     int // of the origin when it is published
		answer string
	}{
		{"a gap: the origin answers at once", headlineItem(3), 3, headlineBody(3)},
		{"no prev-id: the origin holds on", item("headline-value", "x", "", "x"), 1, ""},
		{"no ids: the origin holds on", item("headline-value", "", "", "x"), 1, ""},
	}
	for _, tt := range tests {
		for _, args := range [][]string{nil, {"-share-all"}} {
			t.Run(fmt.Sprint(tt.name, " ", args), func(t *testing.T) {
				h := &headline{id: 1}
				r := newRig(t, h, args...)
				cs := r.poll(4, 1)
				r.waitHolds(4)
				before := h.count()
				for h.id < tt.id {
					h.change()
				}
				if got := r.publish(tt.item)[0]; got.Missed != 4 || got.Matched != 0 {
					t.Errorf("receipt %+v, want 4 missed", got)
				}
				answer := tt.answer
				if answer == "" {
					r.waitHolds(4)
					for h.change() < tt.id+1 {
					}
					r.publish(headlineItem(tt.id + 1))
					answer = headlineBody(tt.id + 1)
				}
				for _, c := range cs {
					c.wantAnswer(200, answer)
				}
				if again := h.count(); again == 0 || again > before {
					t.Errorf("the origin was asked %d times again, want at most %d", again, before)
				}
				if want := "headline-value; last-id=1"; len(h.last) == 0 || slices.ContainsFunc(h.last, func(s string) bool { return s != want }) {
					t.Errorf("Grip-Last %q, want %q each time", h.last, want)
				}
			})
		}
	}
}

// The origin is told by one Grip-Last per channel, and the content is sent again.
func TestMissedItemOfPost(t *testing.T) {
	type asked struct {
		last    []string
		content string
	}
	var mu sync.Mutex
	var all []asked
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		content, _ := io.ReadAll(req.Body)
		mu.Lock()
		all = append(all, asked{req.Header.Values("Grip-Last"), string(content)})
		n := len(all)
		mu.Unlock()
		if n == 2 {
			_, _ = io.WriteString(w, "done")
			return
		}
		w.Header().Set("Grip-Hold", "response")
		w.Header().Set("Grip-Channel", `a; prev-id=1, b, c; prev-id="3"`)
	}), "-share-all")
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
	r.waitHolds(1)
	r.publish(item("c", "5", "4", "x"))
	c.wantAnswer(200, "done")
	if len(all) != 2 || all[1].content != "body" || strings.Join(all[1].last, "|") != "a; last-id=1|c; last-id=3" {
		t.Errorf("the origin was asked %q", all)
	}
}
