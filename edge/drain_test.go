package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"marquee/fanout"
)

// stopping tells the edge to stop and returns a Go channel that is closed when
// it has. It waits until the edge drains.
func (r *rig) stopping() <-chan struct{} {
	r.t.Helper()
	stoppedCh := make(chan struct{})
	go func() {
		r.stop()
		close(stoppedCh)
	}()
	eventually(r.t, func() error {
		if !r.edge.draining.Load() {
			return fmt.Errorf("the edge does not drain")
		}
		return nil
	})
	return stoppedCh
}

// An edge that is told to stop loses nobody's answer, and does not wait longer
// than it must.
func TestDrain(t *testing.T) {
	askedCh, goCh := make(chan struct{}, 10), make(chan struct{})
	h := &headline{id: 1}
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/slow":
			_, _ = io.Copy(io.Discard, req.Body)
			askedCh <- struct{}{}
			hang(req, goCh)
			_, _ = io.WriteString(w, "slow")
		case "/stream":
			_, _ = io.WriteString(w, "one")
			_ = http.NewResponseController(w).Flush()
			askedCh <- struct{}{}
			hang(req, goCh)
			_, _ = io.WriteString(w, "two")
		default:
			h.ServeHTTP(w, req)
		}
	}), "-drain-timeout", "1m")

	idle := r.dial()
	idle.get(headlinePath)
	idle.wantAnswer(200, headlineBody(1))
	fresh := r.dial()
	held := r.poll(3, 1)
	r.waitHolds(3)
	inFlight := r.dial()
	inFlight.get("/slow")
	await(t, askedCh, "the request in flight")
	stream := r.dial()
	stream.get("/stream")
	await(t, askedCh, "the stream")
	stream.wantStatus(200)
	stream.wantChunk("one")
	upload := r.dial()
	upload.send(fmt.Sprintf("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 2*maxContent))
	inHead := r.dial()
	inHead.send("GET " + headlinePath + " HTTP/1.1\r\n")
	inContent := r.dial()
	inContent.send("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
	r.waitMetric("marquee_connections", 10)
	r.turn()

	began := time.Now()
	stoppedCh := r.stopping()
	if _, err := net.DialTimeout("tcp", r.address, patience); err == nil {
		t.Error("a new connection is taken")
	}
	for _, c := range held {
		c.wantStatus(200)
		c.wantHeader("Connection", "close")
		c.wantBody("{}")
		c.wantClosed()
	}
	idle.wantClosed()
	fresh.wantClosed()
	if resp, err := web.Get(r.control + "/healthz"); err != nil || resp.StatusCode != 503 {
		t.Errorf("healthz: %v, %v, want 503", resp, err)
	} else {
		resp.Body.Close()
	}
	inHead.send("Host: h\r\n\r\n")
	inHead.wantStatus(200)
	inHead.wantHeader("Connection", "close")
	inHead.wantBody(headlineBody(1))
	inHead.wantClosed()
	inContent.send("b")
	upload.send(large + large)
	await(t, askedCh, "the content at the origin")
	await(t, askedCh, "the upload at the origin")
	close(goCh)
	for _, c := range []*client{inFlight, inContent, upload} {
		c.wantStatus(200)
		c.wantHeader("Connection", "close")
		c.wantBody("slow")
		c.wantClosed()
	}
	stream.wantChunk("two")
	stream.wantChunk("")
	stream.wantClosed()
	await(t, stoppedCh, "the edge's end")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("draining took %v although everybody had left", took)
	}
}

// Clients that do not leave are cut off when the time is over.
func TestDrainTimeout(t *testing.T) {
	endedCh := make(chan struct{}, 2)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
		}
		<-req.Context().Done()
		endedCh <- struct{}{}
	}), "-drain-timeout", "100ms")
	stream, inFlight, inHead := r.dial(), r.dial(), r.dial()
	stream.get("/stream")
	stream.wantStatus(200)
	inFlight.get("/")
	inHead.send("GET /")
	r.waitMetric("marquee_connections", 3)
	r.waitMetric("marquee_origin_requests_open", 2)
	await(t, r.stopping(), "the edge's end")
	for _, c := range []*client{stream, inFlight, inHead} {
		c.wantCut()
	}
	await(t, endedCh, "the end of a request at the origin")
	await(t, endedCh, "the end of the other request at the origin")
}

// A publish still answers holds whose client is slow to leave, and one that
// takes its answer slowly gets all of it.
func TestDrainSlowClient(t *testing.T) {
	r := newRig(t, http.HandlerFunc(largely), "-drain-timeout", "1m")
	c := r.dial()
	n := r.stuff(c, "/a")
	stoppedCh := r.stopping()
	for range n {
		c.wantAnswer(200, "/a"+strings.TrimPrefix(large, large[:2]))
	}
	began := time.Now()
	await(t, stoppedCh, "the edge's end")
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("draining took %v although the client had everything", took)
	}
}

// A client that was accepted at the last moment gets its answer, and does not
// keep the edge if it asks nothing.
func TestDrainLateClient(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi), "-drain-timeout", "1m")
	r.onLoops(func(l *loop) { l.draining = true })
	silent, c := r.dial(), r.dial()
	c.get("/")
	c.wantStatus(200)
	c.wantHeader("Connection", "close")
	c.wantBody("hi /")
	c.wantClosed()
	silent.wantClosed()
}

// Those who hold are let go little by little; meanwhile what is published reaches
// the others, and who is idle may ask once more.
func TestDrainSpread(t *testing.T) {
	const clients = 3000 // so many that it takes many ticks
	h := &headline{id: 1}
	r := newRig(t, h, "-share-all", "-drain-spread", "1m", "-drain-timeout", "2m")
	idle := r.dial()
	idle.get(headlinePath)
	idle.wantAnswer(200, headlineBody(1))
	held := r.poll(clients, 1)
	r.waitHolds(clients)
	r.stopping()
	eventually(t, func() error {
		if left := r.edge.held(); left == clients {
			return fmt.Errorf("nobody has been let go")
		}
		draining := true // an item may come to a loop before it is told to
		r.onLoops(func(l *loop) { draining = draining && l.draining })
		if !draining {
			return fmt.Errorf("a loop does not drain")
		}
		return nil
	})
	idle.get(pollPath(1))
	idle.wantStatus(200)
	idle.wantHeader("Connection", "close")
	idle.wantBody("{}")
	idle.wantClosed()
	matched := r.publish(headlineItem(h.change()))[0].Matched
	if matched == 0 || matched == clients {
		t.Errorf("%d of %d still held when the first had been let go", matched, clients)
	}
	items := int64(wantLetGo(t, held, 2))
	for _, c := range held {
		c.wantClosed()
	}
	if items != matched {
		t.Errorf("%d got the item, the receipt says %d", items, matched)
	}
}

// However many they are, and however long it takes to serve them, all have been
// let go when the time for it is over.
func TestDeparturePace(t *testing.T) {
	const spread = 10 * time.Second
	for _, tt := range []struct {
		clients, ticks int // the ticks that it takes
	}{{1, 1}, {leastPace, 1}, {10 * leastPace, 10}, {40 * leastPace, 40}, {400 * leastPace, 40}} {
		began := time.Now()
		l := &loop{draining: true, bell: &bell{fd: -1}}
		l.departure.until = began.Add(spread)
		l.departure.queue = make([]*conn, tt.clients)
		for i := range l.departure.queue {
			l.departure.queue[i] = &conn{state: closed}
		}
		ticks, most := 0, 0
		for ; len(l.departure.queue) > 0; ticks++ {
			before := len(l.departure.queue)
			l.pace(began.Add(time.Duration(ticks) * tick))
			for l.depart() {
			}
			most = max(most, before-len(l.departure.queue))
		}
		if ticks != tt.ticks && ticks != tt.ticks+1 {
			t.Errorf("%d clients are let go in %d ticks, want %d", tt.clients, ticks, tt.ticks)
		}
		if even := max(leastPace, (tt.clients+tt.ticks-1)/tt.ticks); most > even {
			t.Errorf("of %d clients %d are let go in one tick, want at most %d", tt.clients, most, even)
		}
	}
}

// A stream does not end in the middle of what the origin is saying.
func TestDrainLongBody(t *testing.T) {
	goCh := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Grip-Hold", "stream")
		w.Header().Set("Grip-Channel", "c")
		w.Header().Set("Content-Length", fmt.Sprint(2*len(long)))
		_, _ = io.WriteString(w, long)
		_ = http.NewResponseController(w).Flush()
		hang(req, goCh)
		_, _ = io.WriteString(w, long)
	}), "-drain-timeout", "1m")
	c := r.dial()
	c.get("/")
	c.wantStatus(200)
	wantContent(t, c, long)
	stoppedCh := r.stopping()
	r.turn()
	r.turn()
	c.wantNothing()
	close(goCh)
	wantContent(t, c, long)
	c.wantChunk("")
	c.wantClosed()
	await(t, stoppedCh, "the edge's end")
}

// Streams that drain end behind what is on its way to them, however many they are.
func TestDrainBehindMessage(t *testing.T) {
	const clients = 1200 // more than a turn writes to
	r := newRig(t, named("x"), "-share-all", "-loops", "1")
	all := make([]*client, clients)
	for i := range all {
		all[i] = r.dial()
		all[i].get("/stream")
		all[i].wantStatus(200)
		all[i].wantChunk("x")
	}
	r.waitHolds(clients)
	r.onLoops(func(l *loop) {
		var streaming []*conn
		l.wheel.each(func(c *conn) { streaming = append(streaming, c) })
		g := &streaming[0].stream.group
		l.shard.Append(g, fanout.NewPiece([]byte("y")))
		if l.shard.Written(g) {
			t.Error("all have the message, and none is on its way")
		}
		l.shard.Append(g, fanout.NewPiece([]byte("z")))
		for _, c := range streaming {
			c.drain()
		}
	})
	for _, c := range all {
		c.wantChunk("y")
		c.wantChunk("z")
		c.wantChunk("")
		c.wantClosed()
	}
}

// Who reads in the log that the edge drains finds it so.
func TestDrainSaid(t *testing.T) {
	said := false
	e := &edge{cfg: new(Config), emptyCh: make(chan struct{})}
	e.log = slog.New(logHook(func(message string) {
		if message == "draining" {
			said = true
			if !e.draining.Load() {
				t.Error("it does not when it is said")
			}
		}
	}))
	e.drain(t.Context())
	if !said {
		t.Error("it is not said")
	}
}
