package main

import (
	"container/list"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// handshakeLimits bound the TLS handshakes with clients.
type handshakeLimits struct {
	// open is how many may be under way. Clients beyond wait to be accepted, in
	// the kernel's queue.
	open int
	// timeout is how long one may take.
	timeout time.Duration
	// hurry is how long one may take when others wait for its place: who connects
	// and says nothing keeps nobody out for longer.
	hurry time.Duration
}

// usualHandshakes let in a thousand clients a second that are a second away, with
// about 20 KB of memory for each meanwhile.
var usualHandshakes = handshakeLimits{open: 1024, timeout: 10 * time.Second, hurry: time.Second}

// plainOnTLS is what a client is told that speaks HTTP where TLS is expected, as
// net/http tells it.
const plainOnTLS = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" +
	"Client sent an HTTP request to an HTTPS server.\n"

// handshakes are the TLS handshakes under way. crypto/tls does a handshake in one
// go, so each has a goroutine until it is over; from then on a loop has the
// connection, as it has those without TLS. Safe from any goroutine.
type handshakes struct {
	edge   *edge
	config *tls.Config
	limits handshakeLimits
	// slotCh holds one element for each that is under way, turnCh for each that
	// computes. That is for half of the processors, so that a loop that wakes up
	// finds one: in a flood of 1,500 handshakes a second on two cores, a plain
	// request took 15 to 50 ms at the 99th percentile with one turn, 170 ms with
	// two and 500 ms without this bound, and as many handshakes were done.
	slotCh, turnCh chan struct{}
	running        sync.WaitGroup

	completed, failed atomic.Int64

	mu      sync.Mutex // all below
	open    list.List  // of *handshake, the oldest first
	stopped bool
}

// handshake is one that is under way.
type handshake struct {
	nc    net.Conn
	began time.Time
}

func newHandshakes(e *edge, config *tls.Config) *handshakes {
	return &handshakes{
		edge: e, config: config, limits: e.cfg.handshakes,
		slotCh: make(chan struct{}, e.cfg.handshakes.open),
		turnCh: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

// begin begins the handshake with a client who has been admitted; it waits while
// there is no room.
func (h *handshakes) begin(nc net.Conn, from *source) {
	for !h.enter() {
		h.hurry(time.Now())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		<-h.slotCh
		nc.Close()
		from.leave()
		h.edge.departed()
		return
	}
	at := h.open.PushBack(&handshake{nc, time.Now()})
	h.running.Go(func() { h.run(nc, from, at) })
}

// enter takes a slot if one is free, or becomes so soon.
func (h *handshakes) enter() bool {
	select {
	case h.slotCh <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(h.limits.hurry / 10)
	defer timer.Stop()
	select {
	case h.slotCh <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

// hurry cuts those off that have taken too long for others to wait.
func (h *handshakes) hurry(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for at := h.open.Front(); at != nil; at = at.Next() {
		hs := at.Value.(*handshake)
		if now.Sub(hs.began) < h.limits.hurry {
			return
		}
		hs.nc.Close()
	}
}

// under returns how many are under way.
func (h *handshakes) under() int64 { return int64(len(h.slotCh)) }

// stop cuts all off that are under way, lets no more begin, and returns when the
// last has ended: none of their clients has asked anything.
func (h *handshakes) stop() {
	h.mu.Lock()
	h.stopped = true
	for at := h.open.Front(); at != nil; at = at.Next() {
		at.Value.(*handshake).nc.Close()
	}
	h.mu.Unlock()
	h.running.Wait()
}

// run does the handshake and gives the connection to a loop, or ends it.
func (h *handshakes) run(nc net.Conn, from *source, at *list.Element) {
	_ = nc.SetDeadline(time.Now().Add(h.limits.timeout))
	s := newSession(nc, h.config)
	err := s.handshake(h.turnCh)
	if err != nil {
		h.failed.Add(1)
		h.edge.log.Debug("TLS handshake failed", "client", nc.RemoteAddr().String(), "err", err)
		h.refuse(nc, err)
	}
	h.mu.Lock()
	h.open.Remove(at)
	h.mu.Unlock()
	<-h.slotCh
	if err != nil {
		nc.Close()
		from.leave()
		h.edge.departed()
		return
	}
	h.completed.Add(1)
	if err := h.edge.enrol(nc, &conn{source: from, session: s}); err != nil {
		h.edge.log.Debug("cannot take a client after its handshake", "err", err)
	}
}

// refuse says farewell to a client with whom the handshake has failed: crypto/tls
// has sent its alert, who sent a plain request is answered so. What it still sends
// is read for a while, or the reset could overtake those words.
func (h *handshakes) refuse(nc net.Conn, err error) {
	var no tls.RecordHeaderError
	if errors.As(err, &no) && no.Conn != nil && looksLikeHTTP(no.RecordHeader) {
		_, _ = io.WriteString(nc, plainOnTLS)
	}
	if tc, ok := nc.(*net.TCPConn); !ok || tc.CloseWrite() != nil {
		return
	}
	_ = nc.SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.CopyN(io.Discard, nc, maxPipelined)
}

// looksLikeHTTP reports whether a request without TLS may begin so.
func looksLikeHTTP(head [5]byte) bool {
	return slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET"}, string(head[:]))
}
