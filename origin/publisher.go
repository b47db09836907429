package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"marquee/bus"
	"marquee/grip"
)

// channelName is the GRIP channel that headline changes are published on.
const channelName = "headline-value"

const (
	// queueBound is how many items wait for one edge. Clients only ever want
	// the newest headline, so a long queue has no worth; 256 take in a burst of
	// concurrent changes, and at a hundred changes a second ride out two seconds
	// of an edge restarting. Typical items take 300 bytes, the longest 120 kB,
	// once for all edges. When the queue is full its oldest item is dropped: the
	// item after the gap does not continue what the edge saw last (its prev-id
	// differs), so the edge makes its holds ask the origin again, and nobody is
	// left with an old headline.
	queueBound = 256

	// attemptTimeout bounds one publish request, from dialling to the answer.
	// An edge answers in about a millisecond; one that takes seconds is hanging.
	attemptTimeout = 5 * time.Second

	// Pauses between attempts at an edge that is down double from firstBackoff
	// to lastBackoff; the jitter keeps several origins out of step.
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 2 * time.Second

	// flushTimeout bounds what close spends on items that are still queued.
	flushTimeout = 2 * time.Second
)

// A publisher sends items to the cluster's bus, once for all edges on it, and to
// every edge whose control endpoint it was given: one goroutine and one queue an
// edge, so that no edge waits for another.
type publisher struct {
	log   *slog.Logger
	edges []*edge
	bus   atomic.Pointer[bus.Bus]   // nil until the store is open
	last  atomic.Pointer[grip.Item] // published last; nil for none
	// cancel ends the attempts that are under way.
	cancel context.CancelFunc
	wg     sync.WaitGroup // the edges' deliverLoops
}

// newPublisher starts a publisher to the control endpoints. The caller ends it
// with close.
func newPublisher(endpoints []*grip.Endpoint, log *slog.Logger) *publisher {
	ctx, cancel := context.WithCancel(context.Background())
	p := &publisher{log: log, cancel: cancel}
	for _, ep := range endpoints {
		e := &edge{
			endpoint: ep,
			log:      log.With("edge", ep.Name),
			client: &http.Client{
				Timeout: attemptTimeout,
				// A control endpoint that redirects is a wrong URL: say so.
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
				Transport:     &http.Transport{IdleConnTimeout: 90 * time.Second},
			},
			queueCh:   make(chan *delivery, queueBound),
			closingCh: make(chan struct{}),
		}
		p.edges = append(p.edges, e)
		p.wg.Go(func() { e.deliverLoop(ctx) })
	}
	return p
}

// publish queues the item that says h follows prev (nil for none) for every
// edge, and blocks on none. It returns a Go channel for each healthy edge,
// closed when that edge has been tried.
//
// Calls must not overlap: their order is the order in which edges get the items.
func (p *publisher) publish(h, prev *headline) []<-chan struct{} {
	item := grip.Item{
		Channel: channelName,
		ID:      h.idString(),
		PrevID:  prev.idString(),
		HTTPResponse: &grip.HTTPResponse{Response: grip.Response{
			Header: grip.Header{{Name: "Content-Type", Value: "application/json"}},
			Body:   h.json,
		}},
		HTTPStream: &grip.HTTPStream{Content: h.event},
	}
	p.last.Store(&item)
	if err := p.bus.Load().PublishItem(item); err != nil {
		// Told again by republish when the bus is back.
		p.log.Warn("headline is not on the bus yet", "id", h.id, "err", err)
	}
	if len(p.edges) == 0 {
		return nil
	}
	body := grip.AppendItems(nil, []grip.Item{item})
	var acks []<-chan struct{}
	now := time.Now()
	for _, e := range p.edges {
		triedCh := make(chan struct{})
		if e.prompt(now) {
			acks = append(acks, triedCh)
		}
		e.enqueue(&delivery{id: h.id, body: body, queued: now, triedCh: triedCh})
	}
	return acks
}

// republish sends the last item to the bus once more: edges that missed it,
// or any before it, see that it does not follow what they have. Safe from any
// goroutine, never blocks for long.
func (p *publisher) republish() {
	item, b := p.last.Load(), p.bus.Load()
	if item == nil || b == nil {
		return
	}
	if err := b.PublishItem(*item); err != nil {
		p.log.Warn("headline is not on the bus yet", "id", item.ID, "err", err)
	}
}

// close sends what is still queued, without retries and for at most
// flushTimeout, and returns when the goroutines have ended. No publish may
// follow or be under way.
func (p *publisher) close() {
	for _, e := range p.edges {
		close(e.closingCh)
		close(e.queueCh)
	}
	timer := time.AfterFunc(flushTimeout, p.cancel)
	p.wg.Wait()
	timer.Stop()
	p.cancel()
}

// A delivery is one item on its way to one edge.
type delivery struct {
	id     uint64
	body   []byte // of the publish request; shared by all edges, read-only
	queued time.Time
	// triedCh is closed when waiting for this delivery has no more point: after
	// the first attempt, whatever came of it, or when it is dropped. Whoever
	// took the delivery from the queue closes it, once.
	triedCh  chan struct{}
	hasTried bool // triedCh is closed
}

// tried tells who waits for the delivery that there has been an attempt. For
// the goroutine that took it from the queue; may be called repeatedly.
func (d *delivery) tried() {
	if !d.hasTried {
		d.hasTried = true
		close(d.triedCh)
	}
}

// An edge is one control endpoint and what waits for it.
type edge struct {
	// Immutable after newPublisher.
	endpoint  *grip.Endpoint
	client    *http.Client
	log       *slog.Logger
	queueCh   chan *delivery // publish to deliverLoop; closed by publisher.close
	closingCh chan struct{}  // closed by publisher.close: stop pausing and retrying

	mu      sync.Mutex
	down    bool      // an attempt failed, and the edge has not caught up since
	dropped int       // items dropped since the edge last was caught up
	since   time.Time // when the item being sent was queued; zero when there is none
}

// prompt reports whether a change may expect this edge to take an item within
// ackWait: it is neither failing nor behind.
func (e *edge) prompt(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.down && e.dropped == 0 && (e.since.IsZero() || now.Sub(e.since) < ackWait)
}

// enqueue adds d to the queue and makes room for it if need be.
func (e *edge) enqueue(d *delivery) {
	for {
		select {
		case e.queueCh <- d:
			return
		default:
		}
		select {
		case oldest := <-e.queueCh:
			oldest.tried()
			e.countDrop(oldest.id)
		default: // deliverLoop made room meanwhile
		}
	}
}

// countDrop logs the first drop; the others are counted, and told when the edge
// has caught up.
func (e *edge) countDrop(id uint64) {
	e.mu.Lock()
	e.dropped++
	first := e.dropped == 1
	e.mu.Unlock()
	if first {
		e.log.Warn("edge queue is full, dropping its oldest items", "bound", queueBound, "id", id)
	}
}

// deliverLoop sends the queued items in order until the queue is closed and
// empty, or the first failure after that. Owned by the publisher.
func (e *edge) deliverLoop(ctx context.Context) {
	defer e.client.CloseIdleConnections()
	for d := range e.queueCh {
		if !e.deliver(ctx, d) {
			e.log.Warn("edge misses items at shutdown", "first", d.id, "items", 1+len(e.queueCh))
			return
		}
	}
}

// deliver sends one item until the edge has answered for good. It returns false
// when it gave up because the publisher is closing.
func (e *edge) deliver(ctx context.Context, d *delivery) bool {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		e.began(d)
		err := e.attempt(ctx, d)
		e.ended(err)
		d.tried()
		if err == nil {
			return true
		}
		pause := time.NewTimer(backoff - rand.N(backoff/2))
		select {
		case <-pause.C:
		case <-e.closingCh:
			pause.Stop()
			return false
		}
	}
}

// began notes that an attempt at d is under way.
func (e *edge) began(d *delivery) {
	e.mu.Lock()
	e.since = d.queued
	e.mu.Unlock()
}

// ended notes what came of the attempt, and logs when the edge goes down and
// when it has caught up.
func (e *edge) ended(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.since = time.Time{}
	switch {
	case err != nil && !e.down:
		e.down = true
		e.log.Warn("edge is down", "err", err)
	case err == nil && len(e.queueCh) == 0 && (e.down || e.dropped > 0):
		e.log.Warn("edge is up", "dropped", e.dropped)
		e.down, e.dropped = false, 0
	}
}

// attempt posts the item once. It returns nil when the edge has answered for
// good: any 2xx, or a refusal, which it logs and which no repetition would
// change. An error is worth another attempt.
func (e *edge) attempt(ctx context.Context, d *delivery) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint.PublishURL, bytes.NewReader(d.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "marquee-origin/"+version)
	// Edges drop an id they have seen, so a publish may be repeated; the empty
	// key, which is not sent, lets net/http do so on a connection that the edge
	// closed while it was idle.
	req.Header["Idempotency-Key"] = nil
	if value := e.endpoint.Authorization(time.Now()); value != "" {
		req.Header.Set("Authorization", value)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// Read to the end, so that the connection can be used again. The text is
	// only for the log, and a connection that broke in the middle of it says so
	// at the next request.
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	switch code := resp.StatusCode; {
	case code >= 500:
		return fmt.Errorf("answered %s: %s", resp.Status, firstLine(answer))
	case code < 200 || code > 299:
		e.log.Warn("edge refuses an item", "id", d.id, "status", resp.Status, "answer", firstLine(answer))
	default:
		e.log.Debug("edge has the item", "id", d.id)
	}
	return nil
}

// firstLine returns the first line of text, for a log.
func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return string(line)
}
