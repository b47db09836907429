package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"marquee/fanout"
	"marquee/httpparse"
)

// turnDeadlines is how many passed deadlines one turn of a loop deals with.
const turnDeadlines = 512

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

	// Loop only.
	parser   *httpparse.Parser
	wheel    wheel[*conn]
	due      []*conn // deadlines that have passed, not dealt with
	links    wheel[*stream]
	late     []*stream            // scratch: those whose deadline has passed
	streams  map[string][]*stream // by key: what others may join
	agents   map[string]string    // User-Agent values, each once
	asks     map[string]*ask      // by key: what others may join
	answered askList              // those among them that only repeat an answer, oldest first
	key      []byte               // scratch
	field    []byte               // scratch
	// trustedSig is the last good Grip-Sig of a proxy in front, until trustedUntil.
	trustedSig   string
	trustedUntil time.Time
	now          time.Time // of the last tick
	draining     bool

	// Written by the loop, read by any goroutine.
	holds    atomic.Int64
	requests atomic.Int64
	repeated atomic.Int64              // requests answered with what was at hand
	joined   atomic.Int64              // requests that joined an ask
	ticked   atomic.Pointer[time.Time] // when the last tick ran; nil before the first
}

// post runs f on the loop. Safe from any goroutine. It may fail only when the
// reactor has stopped.
func (l *loop) post(f func()) {
	_ = l.el.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
		f()
		return nil
	}))
}

// turn does a bounded part of the loop's work that no socket event stands for:
// writing to held clients and passed deadlines.
func (l *loop) turn() {
	more := l.shard.Turn()
	if l.expire() || more {
		l.bell.ring()
	}
}

// tick moves the loop's deadlines on by one tick.
func (l *loop) tick(now time.Time) {
	l.now = now
	l.ticked.Store(&now)
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

// drain answers what is held, closes what is idle, and lets the rest finish:
// from here on every answer closes its connection.
func (l *loop) drain() {
	l.draining = true
	for l.expire() {
	}
	var all []*conn
	l.wheel.each(func(c *conn) { all = append(all, c) })
	for _, c := range all {
		c.drain()
	}
}
