package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMemoryState(t *testing.T) {
	for _, tt := range []struct {
		name string
		used []float64
		want []memoryState
	}{
		{"never much", []float64{0, 0.5, 0.74}, []memoryState{ample, ample, ample}},
		{"up and down", []float64{0.8, 0.9, 0.8, 0.74, 0.65, 0.64}, []memoryState{tight, scarce, scarce, tight, tight, ample}},
		{"at once", []float64{2, 0.1}, []memoryState{scarce, ample}},
		{"around a bound", []float64{0.75, 0.74, 0.75, 0.85, 0.84, 0.85}, []memoryState{tight, tight, tight, scarce, scarce, scarce}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state := ample
			for i, used := range tt.used {
				if state = state.next(used); state != tt.want[i] {
					t.Fatalf("after %v: state %d, want %d", tt.used[:i+1], state, tt.want[i])
				}
			}
		})
	}
}

// enterLog is a log that notes whether clients are refused when it is told of a state.
type enterLog struct {
	slog.Handler
	memory  *memory
	refused []bool
}

func (l *enterLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *enterLog) Handle(context.Context, slog.Record) error {
	l.refused = append(l.refused, l.memory.scarce.Load())
	return nil
}

// Who reads in the log that clients are refused, or let in again, finds it so.
func TestMemoryEnter(t *testing.T) {
	m := new(memory)
	l := &enterLog{memory: m}
	m.log = slog.New(l)
	m.enter(scarce)
	m.enter(ample)
	if want := []bool{true, false}; !slices.Equal(l.refused, want) {
		t.Errorf("clients are refused when it is said: %v, want %v", l.refused, want)
	}
}

// fill lets clients send requests almost to their end, which the edge has to keep,
// until memory is scarce. It returns them.
func (p *process) fill() []*client {
	p.t.Helper()
	content := strings.Repeat("c", maxContent-1)
	var all []*client
	for !strings.Contains(p.log.String(), memoryStates[scarce]) {
		if len(all) == 1000 {
			p.t.Fatalf("%d clients have filled nothing", len(all))
		}
		c := p.dial()
		all = append(all, c)
		_, _ = fmt.Fprintf(c.nc, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", maxContent, content)
		_ = c.nc.SetReadDeadline(time.Now().Add(4 * time.Millisecond)) // a pace at which the edge can look
		_, _ = c.in.Peek(1)
	}
	return all
}

// wantShed checks what an edge does whose memory is scarce, and that it comes back.
func (p *process) wantShed(h *headline) {
	p.t.Helper()
	in, held := p.dial(), p.poll(3, 1) // in is connected, and has not been held
	p.waitHolds(3)
	in.get(headlinePath)
	in.wantAnswer(200, headlineBody(1))
	crowd := p.fill()

	c := p.dial()
	c.wantStatus(503)
	c.wantHeader("Retry-After", "5")
	c.wantHeader("Connection", "close")
	c.wantBody("No room for more clients.\n")
	c.wantClosed()
	in.get(headlinePath) // is not held
	in.wantAnswer(200, headlineBody(1))
	in.get(pollPath(1))
	in.wantStatus(503)
	in.wantHeader("Retry-After", "5")
	in.wantBody("No room for more clients.\n")
	in.wantClosed()
	if n := p.metric(`marquee_drops_total{reason="no_memory",what="request"}`); n != 1 {
		p.t.Errorf("%v refused holds are counted, want 1", n)
	}
	h.change()
	p.publish(headlineItem(2))
	for _, c := range held {
		c.wantAnswer(200, headlineBody(2))
		c.get(pollPath(2))
	}
	p.waitHolds(3) // they stay

	for _, c := range crowd {
		c.leave()
	}
	p.waitLog(memoryStates[ample])
	if n := p.metric("marquee_memory_shortages_total"); n < 1 {
		p.t.Errorf("%v shortages are counted, want 1 or more", n)
	}
	held = append(held, p.poll(1, 2)...)
	p.waitHolds(4)
	h.change()
	p.publish(headlineItem(3))
	for _, c := range held {
		c.wantAnswer(200, headlineBody(3))
	}
}

// When memory is scarce those who are in stay served, the others are told to come
// again, and all is well when the load has gone.
func TestMemoryLimit(t *testing.T) {
	for _, share := range []string{"-share-all", "-share-all=false"} {
		t.Run(share, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", "24MiB")
			h := &headline{id: 1}
			p := startProcess(t, serve(t, h), share)
			p.wantLogged("memory limit of the environment")
			p.wantShed(h)
		})
	}
}

// The same with the limit of a control group, at which the kernel would kill.
func TestMemoryOfCgroup(t *testing.T) {
	const limit = 128 << 20
	h := &headline{id: 1}
	p := startProcessIn(t, ownCgroup(t, limit), serve(t, h))
	p.wantLogged("memory limit of the control group")
	if got := p.metric("marquee_memory_limit_bytes"); got != limit {
		t.Errorf("the limit is %v bytes, want %d", got, limit)
	}
	if got, want := p.metric("go_gc_gomemlimit_bytes"), float64(goShare)*limit; got < want-1 || got > want {
		t.Errorf("GOMEMLIMIT is %v bytes, want %v", got, want)
	}
	p.wantShed(h)
}

// Streams are not begun either.
func TestMemoryScarceStream(t *testing.T) {
	r := newRig(t, named("x"), "-share-all")
	first := r.dial()
	first.get("/stream")
	first.wantStatus(200)
	first.wantChunk("x")
	r.edge.memory.scarce.Store(true)
	for _, path := range []string{"/stream", "/stream?other", "/poll"} {
		c := connected(t, r)
		c.get(path)
		c.wantStatus(503)
		c.wantHeader("Retry-After", "5")
		c.wantBody("No room for more clients.\n")
		c.wantClosed()
	}
	r.waitHolds(1)
}

// Nor are those for which several clients wait together, when memory has become
// scarce meanwhile; who has been held before gets his.
func TestMemoryScarceOpening(t *testing.T) {
	startedCh, goCh := make(chan struct{}), make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/stream" {
			close(startedCh)
			hang(req, goCh)
		}
		named("x").ServeHTTP(w, req)
	}), "-share-all", "-loops", "1")
	old := r.dial()
	old.get("/poll")
	r.waitHolds(1)
	r.publish(item("c", "1", "", headlineBody(1)))
	old.wantStatus(200)
	old.wantBody(headlineBody(1))
	clients := []*client{r.dial(), old, r.dial()}
	for i, c := range clients {
		c.get("/stream")
		r.waitMetric("marquee_requests_joined_total", float64(i))
		await(t, startedCh, "the request")
	}
	r.edge.memory.scarce.Store(true)
	close(goCh)
	for _, c := range clients {
		if c == old {
			c.wantStatus(200)
			c.wantChunk("x")
			continue
		}
		c.wantStatus(503)
		c.wantBody("No room for more clients.\n")
		c.wantClosed()
	}
	r.waitHolds(1)
}

// connected dials while memory suffices.
func connected(t *testing.T, r *rig) *client {
	t.Helper()
	r.edge.memory.scarce.Store(false)
	before := r.metric("marquee_connections_accepted_total")
	c := r.dial()
	r.waitMetric("marquee_connections_accepted_total", before+1)
	r.edge.memory.scarce.Store(true)
	return c
}

// The slow clients for whom most waits are cut off, until half of it is freed, and
// nobody else.
func TestCutSlow(t *testing.T) {
	r := newRig(t, http.HandlerFunc(largely), "-loops", "1")
	quick := r.dial()
	quick.get("/quick")
	quick.wantStatus(200)
	_, _ = quick.readBody(200)
	waits := func() (n, bytes int) {
		r.onLoops(func(l *loop) {
			l.wheel.each(func(c *conn) {
				if w := c.waiting(); w > 0 {
					n, bytes = n+1, bytes+w
				}
			})
		})
		return n, bytes
	}
	slow, before := 0, 0
	for slow < 3 || before < leastQueued {
		r.stuff(r.dialSmall(), "/a")
		slow, before = waits()
	}
	r.onLoops((*loop).cutSlow)
	n, after := waits()
	if n == 0 || n == slow || after > before/2 {
		t.Errorf("%d slow clients and %d bytes that wait are left, of %d and %d, want half", n, after, slow, before)
	}
	r.waitMetric(`marquee_drops_total{reason="memory",what="client"}`, float64(slow-n))
	quick.get("/quick")
	quick.wantStatus(200)
}
