package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"marquee/fanout"
	"marquee/grip"
	"marquee/httpparse"
)

// turnDeadlines is how many passed deadlines one turn of a loop deals with.
const turnDeadlines = 512

// Clients may send many requests at once, each of which costs as much as a write.
// The loop begins the first one that a read brings in any case, at most
// readRequests of one client in a row, and turnRequests beyond the first ones in
// a turn, or readRequests while there is something for those who hold: they, and
// other clients, come first.
const (
	readRequests = 16
	turnRequests = 256
)

// tickRechecks is how many asks one loop puts to the origin again in a tick,
// after items may have been missed.
const tickRechecks = 64

// loop is what one event loop of the reactor owns: the connections that gnet
// gave to it, what they have asked, and the holds among them. Nothing here is
// locked, for nobody else may touch it; others post.
type loop struct {
	// Immutable once the edge listens.
	edge  *edge
	el    gnet.EventLoop
	bell  *bell
	shard *fanout.Shard
	index int // among the edge's loops
	lag   *lag
	// held is how long holds have lasted, by mode, observed as they end.
	held map[grip.HoldMode]*histogram

	// Loop only.
	parser   *httpparse.Parser
	wheel    wheel[*conn]
	due      []*conn // deadlines that have passed, not dealt with
	clients  []*conn // in no order, each at its conn.place
	links    wheel[*stream]
	waiting  []*conn              // for their turn, the first one first; some may have had it
	beyond   int                  // requests that may be begun before the next turn, beyond the first of each read
	late     []*stream            // scratch: those whose deadline has passed
	streams  map[string][]*stream // by key: what others may join
	agents   map[string]string    // User-Agent values, each once
	asks     map[string]*ask      // by key: what others may join
	answered askList              // those among them that only repeat an answer, oldest first
	key      []byte               // scratch
	field    []byte               // scratch
	plain    []byte               // scratch: a record decrypted
	records  []byte               // scratch: an answer encrypted
	ahead    ahead
	// trustedSig is the last good Grip-Sig of a proxy in front, until trustedUntil.
	trustedSig   string
	trustedUntil time.Time
	now          time.Time // of the last tick
	draining     bool
	slow         slowness  // seen since the last tick
	departure    departure // when draining

	// Written by the loop, read by any goroutine.
	holds    atomic.Int64
	requests atomic.Int64
	repeated atomic.Int64              // requests answered with what was at hand
	joined   atomic.Int64              // requests that joined an ask
	ticked   atomic.Pointer[time.Time] // when the last tick ran, or was to begin with; nil before
	// As of the last tick: items taken from the mailbox and not begun, batches
	// that are being written or wait for it, and the slow.
	queued, batches        atomic.Int64
	slowClients, slowBytes atomic.Int64
}

// slowness is how many clients are slow, and how many bytes wait for them.
type slowness struct{ clients, bytes int64 }

// enlist takes a client in, unlist lets it go: of those who are listed, the last
// one takes its place.
func (l *loop) enlist(c *conn) {
	c.place = int32(len(l.clients))
	l.clients = append(l.clients, c)
}

func (l *loop) unlist(c *conn) {
	last := len(l.clients) - 1
	l.clients[c.place] = l.clients[last]
	l.clients[c.place].place = c.place
	l.clients[last] = nil
	l.clients = l.clients[:last]
}

// post runs f on the loop. Safe from any goroutine. It may fail only when the
// reactor has stopped.
func (l *loop) post(f func()) {
	l.lag.stir()
	l.execute(f)
}

// execute is post for what comes also when there is nothing to do.
func (l *loop) execute(f func()) {
	_ = l.el.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
		f()
		return nil
	}))
}

// turn does a bounded part of the loop's work that no socket event stands for:
// writing to held clients, letting clients go, and passed deadlines.
func (l *loop) turn() {
	more := l.shard.Turn()
	if l.draining {
		more = l.depart() || more
	}
	l.beyond = turnRequests
	if more {
		l.beyond = readRequests
	}
	more = l.expire() || more
	if l.resume() || more {
		l.bell.ring()
	}
}

// goOn reports whether a connection that has begun some requests in a row may
// begin one more, and takes account of it.
func (l *loop) goOn(heads int) bool {
	if heads >= readRequests || l.beyond == 0 {
		return false
	}
	l.beyond--
	return true
}

// resume gives connections that wait for it their turn, and reports whether some
// are left.
func (l *loop) resume() (more bool) {
	n := 0
	for ; n < len(l.waiting) && l.beyond > 0; n++ {
		c := l.waiting[n]
		l.waiting[n] = nil
		l.beyond--
		c.resume() // may append it again
	}
	l.waiting = l.waiting[n:]
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
	return len(l.waiting) > 0
}

// tick moves the loop's deadlines on by one tick.
func (l *loop) tick(now time.Time) {
	l.now = now
	l.ticked.Store(&now)
	queued, batches := l.shard.Backlog()
	l.queued.Store(int64(queued))
	l.batches.Store(int64(batches))
	l.slowClients.Store(l.slow.clients)
	l.slowBytes.Store(l.slow.bytes)
	l.slow = slowness{}
	l.due = l.wheel.advance(l.due)
	for a := l.answered.first; a != nil && now.After(a.until); a = l.answered.first {
		a.drop()
	}
	l.late = l.links.advance(l.late[:0])
	for i, s := range l.late {
		l.late[i] = nil
		if !s.timer.set {
			s.expired()
		}
	}
	l.shard.Recheck(tickRechecks)
	if l.draining {
		l.pace(now)
	}
	if l.expire() {
		l.bell.ring()
	}
}

// expire deals with passed deadlines and reports whether some are left.
func (l *loop) expire() (more bool) {
	n := min(len(l.due), turnDeadlines)
	for i, c := range l.due[:n] {
		l.due[i] = nil
		if !c.timer.set { // or it has been given another meanwhile
			c.expired()
		}
	}
	if n == len(l.due) {
		l.due = l.due[:0]
		return false
	}
	l.due = l.due[n:]
	return true
}
