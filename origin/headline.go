package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"marquee/grip"
)

// A headline is one value of the one thing this service serves. It is
// immutable.
type headline struct {
	// id is the revision of the value in the store: 1 for the first headline,
	// one more with every change.
	id uint64
	// json is the object clients get, {"id": 1, "body": "…"}, byte for byte,
	// whether they asked for it or were pushed it.
	json []byte
	// event is json as a server-sent event, whose id is the headline's.
	event []byte
}

// newHeadline returns the headline with that id and body.
func newHeadline(id uint64, body string) *headline {
	var buf bytes.Buffer
	buf.WriteString(`{"id": `)
	buf.WriteString(strconv.FormatUint(id, 10))
	buf.WriteString(`, "body": `)
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)    // <, > and & stay what they are
	_ = enc.Encode(body)        // cannot fail: a string, into memory
	buf.Truncate(buf.Len() - 1) // the newline that Encode ends with
	buf.WriteByte('}')
	return &headline{
		id:    id,
		json:  buf.Bytes(),
		event: fmt.Appendf(nil, "id: %d\ndata: %s\n\n", id, buf.Bytes()), // JSON has no line breaks
	}
}

// idString returns the id as GRIP writes ids: a decimal string, empty when
// there is no headline. A nil headline is no headline.
func (h *headline) idString() string {
	if h == nil {
		return ""
	}
	return strconv.FormatUint(h.id, 10)
}

// number returns the id, 0 when there is no headline.
func (h *headline) number() uint64 {
	if h == nil {
		return 0
	}
	return h.id
}

// A service is the headline as it changes: durable in the store, at hand in
// memory, published to the edges.
type service struct {
	// Immutable after openService.
	store     *store
	publisher *publisher

	// recent is the newest headlines, nil when there is none yet. After openService
	// stored by change only; read by any goroutine (atomic), so that no poll waits for a
	// change or for the store.
	recent atomic.Pointer[history]

	// mu makes changes happen one after the other, so that the order of ids is
	// also the order in which the edges get them.
	mu     sync.Mutex
	closed bool // under mu
	// inDoubt says that the answer to a write was lost: the store may have it.
	// Under mu.
	inDoubt bool
}

var (
	// errClosed is what a change gets that comes after close.
	errClosed = errors.New("the service is closed")
	// errAbandoned is what a change gets whose client has gone before its turn.
	errAbandoned = errors.New("who wanted the change has gone")
)

// openService opens the store as openStore does, and publishes the headline that
// is in it: whoever stopped before may have stored it and not come
// to publish it, and edges that have it know by its id. The caller closes the
// service.
func openService(ctx context.Context, cfg storeConfig, endpoints []*grip.Endpoint, log *slog.Logger) (*service, error) {
	p := newPublisher(endpoints, log)
	cfg.bus.Up = p.republish
	st, err := openStore(ctx, cfg, log)
	if err != nil {
		p.close()
		return nil, err
	}
	recent, err := st.load(ctx)
	if err != nil {
		p.close()
		st.close()
		return nil, err
	}
	p.bus.Store(st.bus)
	s := &service{store: st, publisher: p}
	if h := recent.newest(); h != nil {
		s.recent.Store(recent)
		s.publisher.publish(h, before(h))
	}
	return s, nil
}

// before returns the headline that h follows, as far as its id tells: nil when h
// is the first.
func before(h *headline) *headline {
	if h.id == 1 {
		return nil
	}
	return &headline{id: h.id - 1}
}

// storeTimeout bounds one write to the store. A write takes well under a
// millisecond on a healthy disk, so this is only reached when the disk hangs.
const storeTimeout = 5 * time.Second

// ackWait is how long a change waits for the healthy edges to take the item, so
// that who changes the headline and then reads it through an edge sees the
// change. It is a courtesy, not a guarantee, and short enough not to be felt.
const ackWait = 100 * time.Millisecond

// change makes body the headline and returns it once it is durable and either
// every healthy edge has it or ackWait is over. An error means that the
// headline has not changed for anybody; after errInDoubt, that it may change at the
// next change that succeeds, or at the next start. Safe from any goroutine.
//
// When ctx, the request's, ends before it is the change's turn, nothing is changed:
// while the store takes long, clients give up and try again, and what they have
// given up would keep the store from what they want. From then on ctx does not
// matter: a client that leaves halfway through must not leave behind a change that
// is stored and never published.
func (s *service) change(ctx context.Context, body string) (*headline, error) {
	h, acks, err := s.commit(ctx, body)
	if err != nil {
		return nil, err
	}
	waitAll(acks, ackWait)
	return h, nil
}

// commit stores, remembers and queues one change. The order matters: an edge
// that gets the item may ask this origin at once, and must find it here.
func (s *service) commit(ctx context.Context, body string) (*headline, []<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errClosed
	}
	if ctx.Err() != nil {
		return nil, nil, errAbandoned
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if s.inDoubt {
		if err := s.adopt(ctx); err != nil {
			return nil, nil, fmt.Errorf("change headline: %w", err)
		}
	}
	id, err := s.store.put(ctx, body)
	if err != nil {
		s.inDoubt = errors.Is(err, errInDoubt)
		return nil, nil, fmt.Errorf("change headline: %w", err)
	}
	h := newHeadline(id, body)
	recent := s.recent.Load()
	s.recent.Store(recent.with(h))
	return h, s.publisher.publish(h, recent.newest()), nil
}

// adopt makes what the store has the headline, and publishes it, if it has what we
// do not know of. The caller holds mu.
func (s *service) adopt(ctx context.Context) error {
	stored, err := s.store.load(ctx)
	if err != nil {
		return err
	}
	s.inDoubt = false
	recent := s.recent.Load()
	var unknown []*headline
	if h := stored.newest(); h != nil && (recent == nil || h.id > recent.newest().id) {
		unknown = stored.after(recent.newest().number())
	}
	for _, h := range unknown {
		prev := recent.newest()
		recent = recent.with(h)
		s.recent.Store(recent)
		s.publisher.publish(h, prev)
	}
	return nil
}

// current returns the headline, nil when there is none yet. Safe from any
// goroutine.
func (s *service) current() *headline { return s.recent.Load().newest() }

// close sends what is still queued for the edges and closes the store. It takes
// at most storeTimeout for a change under way, and flushTimeout.
func (s *service) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.publisher.close()
	s.store.close()
}

// waitAll returns when every Go channel is closed or d is over.
func waitAll(chs []<-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for _, ch := range chs {
		select {
		case <-ch:
		case <-timer.C:
			return
		}
	}
}
