package main

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"marquee/fanout"
	"marquee/grip"
	"marquee/zmq"
)

// trackLinger is how long a channel counts as subscribed to after its last hold
// of mode response: the gap between two polls of a client (GRIP §3.3).
const trackLinger = time.Minute

// tracker tells those on ZeroMQ sockets of connections and subscriptions, client
// by client. It takes a lock for each, so there is one only where somebody has
// asked for it. Its methods are safe from any goroutine, and do nothing on nil.
type tracker struct {
	inputs *zmq.Inputs // nil for none; immutable
	stats  *zmq.Stats  // nil for none; immutable

	mu     sync.Mutex // all below
	serial uint64
	conns  map[uint64]struct{}
	held   map[subscription]*holders
	idle   map[subscription]time.Time // without holders, since when
}

// subscription is a channel that is held in a mode.
type subscription struct {
	mode    grip.HoldMode
	channel string
}

type holders struct{ count int }

// requested notes a client's request, and the client with its first one.
func (t *tracker) requested(c *conn, w way) {
	if t == nil {
		return
	}
	if c.id == 0 {
		t.mu.Lock()
		t.serial++
		c.id = t.serial
		t.conns[c.id] = struct{}{}
		t.mu.Unlock()
	}
	if t.stats != nil {
		t.stats.Connected(connID(c.id), w.service.route.ID, peerOf(c), w.secure)
		t.stats.Requested(w.service.route.ID)
	}
}

// disconnected notes that a connection has ended.
func (t *tracker) disconnected(c *conn) {
	if t == nil || c.id == 0 {
		return
	}
	t.mu.Lock()
	delete(t.conns, c.id)
	t.mu.Unlock()
	if t.stats != nil {
		t.stats.Disconnected(connID(c.id))
	}
}

func connID(id uint64) string { return "conn-" + strconv.FormatUint(id, 10) }

// alive returns those of the ids that are connections.
func (t *tracker) alive(ids []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, id := range ids {
		digits, _ := strings.CutPrefix(id, "conn-")
		n, _ := strconv.ParseUint(digits, 10, 64) // 0 is no connection's
		if _, ok := t.conns[n]; ok && id == connID(n) {
			out = append(out, id)
		}
	}
	return out
}

// hold notes that so many more hold the channels in a mode, or so many fewer.
func (t *tracker) hold(mode grip.HoldMode, channels []grip.Channel, more int) {
	if t == nil || more == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range channels {
		s := subscription{mode, c.Name}
		h := t.held[s]
		if h == nil {
			h = new(holders)
			t.held[s] = h
			if t.inputs != nil {
				t.inputs.Subscribe(c.Name)
			}
		}
		delete(t.idle, s)
		if h.count += more; h.count > 0 {
			if t.stats != nil {
				t.stats.Subscribed(mode.String(), c.Name, h.count)
			}
			continue
		}
		if t.idle[s] = time.Now(); mode == grip.HoldStream {
			t.drop(s)
		}
	}
}

// sweep ends the subscriptions that have been idle for long enough. Call it about
// once a second.
func (t *tracker) sweep(now time.Time) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, since := range t.idle {
		if now.Sub(since) >= trackLinger {
			t.drop(s)
		}
	}
}

// drop ends a subscription. Lock held.
func (t *tracker) drop(s subscription) {
	delete(t.held, s)
	delete(t.idle, s)
	if t.stats != nil {
		t.stats.Unsubscribed(s.mode.String(), s.channel)
	}
	other := subscription{grip.HoldResponse + grip.HoldStream - s.mode, s.channel}
	if t.inputs != nil && t.held[other] == nil {
		t.inputs.Unsubscribe(s.channel)
	}
}

// delivered tells what became of an item.
func (t *tracker) delivered(r fanout.Receipt) {
	if t == nil || t.stats == nil {
		return
	}
	if n := r.Matched - r.Streams; n > 0 {
		t.stats.Message("", r.Channel, r.ID, "http-response", int(n))
	}
	if r.Streams > 0 {
		t.stats.Message("", r.Channel, r.ID, "http-stream", int(r.Streams))
	}
}
