package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxPosts bounds the changes that are under way at a time, with -stream. When so
// many are, the next waits, and the changes come at a lower rate than they were to.
const maxPosts = 64

// settleTime is given to a foreign server before the first change: it may still be
// taking in the clients, and does not say when it has.
const settleTime = time.Second

// poster changes the headline and waits until the clients have it. One
// goroutine's.
type poster struct {
	cfg  config
	pool *pool
	name string // of this run, in every headline's text
}

func newPoster(cfg config, p *pool) *poster {
	return &poster{cfg: cfg, pool: p, name: fmt.Sprintf("%04x", rand.N(1<<16))}
}

// ensureHeadline posts a first headline if the service has none (404). It
// fails when the service does not answer with a headline then.
func (s *poster) ensureHeadline(ctx context.Context) error {
	code, err := s.askHeadline(ctx)
	if err == nil && code == http.StatusNotFound {
		if _, err := s.post(ctx, s.text(0), func() {}); err != nil {
			return fmt.Errorf("post a first headline: %w", err)
		}
		code, err = s.askHeadline(ctx)
	}
	if err != nil {
		return fmt.Errorf("ask for the headline: %w", err)
	}
	if code != http.StatusOK {
		return fmt.Errorf("ask for the headline: status %d", code)
	}
	return nil
}

func (s *poster) askHeadline(ctx context.Context) (code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.requestTimeout)
	defer cancel()
	value := s.cfg.url.String()
	if s.cfg.stream || s.cfg.dialect.foreign || len(cutTarget(s.cfg.url)) > 1 {
		value = s.cfg.post // a stream has no end, and so has a poll that is told nothing
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, value, nil)
	if err != nil {
		return 0, err
	}
	code, _, err = roundTrip(req, func() {})
	return code, err
}

// run makes the changes, each when every client waits for it and no sooner than
// every after the one before. It returns nil when all were made and settled.
func (s *poster) run(ctx context.Context) error {
	if s.cfg.stream {
		return s.runSteadily(ctx)
	}
	var began time.Time
	for n := 1; s.cfg.changes == 0 || n <= s.cfg.changes; n++ {
		if n > 1 && !sleep(ctx, time.Until(began.Add(s.cfg.every))) {
			return ctx.Err()
		}
		if err := s.awaitWaiting(ctx); err != nil {
			return err
		}
		if n == 1 && !sleep(ctx, s.cfg.settle) {
			return ctx.Err()
		}
		began = time.Now()
		if err := s.change(ctx, s.text(n)); err != nil {
			return fmt.Errorf("make change %d: %w", n, err)
		}
	}
	return nil
}

// runSteadily makes the changes every so often from when all clients have their
// streams, however long it takes until the clients have them. It returns nil when
// all were made and settled.
func (s *poster) runSteadily(ctx context.Context) error {
	if err := s.awaitWaiting(ctx); err != nil {
		return err
	}
	if !sleep(ctx, s.cfg.settle) {
		return ctx.Err()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var posts sync.WaitGroup
	roomCh := make(chan struct{}, maxPosts)
	began := time.Now()
	for n := 1; s.cfg.changes == 0 || n <= s.cfg.changes; n++ {
		if !sleep(ctx, time.Until(began.Add(time.Duration(n-1)*s.cfg.every))) {
			break
		}
		select {
		case roomCh <- struct{}{}:
		case <-ctx.Done():
		}
		posts.Go(func() {
			defer func() { <-roomCh }()
			if err := s.change(ctx, s.text(n)); err != nil {
				cancel(fmt.Errorf("make change %d: %w", n, err))
			}
		})
	}
	posts.Wait()
	return context.Cause(ctx)
}

// sleep returns true after d, or false when ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (s *poster) awaitWaiting(ctx context.Context) error {
	waitingCh, err := s.pool.allWaiting()
	if err != nil {
		return err
	}
	limit := s.cfg.waitingWithin()
	select {
	case <-waitingCh:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(limit):
		var held int
		if err := s.pool.do(func() { held = s.pool.waiting() }); err != nil {
			return err
		}
		return fmt.Errorf("only %d of %d clients waited for a change after %v", held, s.cfg.clients, limit)
	}
}

// change publishes text and waits until the change is settled. Its time
// begins with the first byte of the POST.
func (s *poster) change(ctx context.Context, text string) error {
	var h *headline
	if err := s.pool.do(func() { h = s.pool.ledger.post(text, s.cfg.clients) }); err != nil {
		return err
	}
	id, err := s.post(ctx, text, func() { h.begins(s.pool.now()) })
	if err != nil {
		return err
	}
	var wrongID error
	if err := s.pool.do(func() { wrongID = s.pool.confirm(h, id) }); err != nil {
		return err
	}
	if wrongID != nil {
		return wrongID
	}
	select {
	case <-h.settledCh:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// text is the text of change number n, which no other of this run or another has.
func (s *poster) text(n int) string {
	text := fmt.Sprintf("Headline %d of run %s: Flight %d arriving in terminal %c.", n, s.name, 100+rand.N(900), 'A'+rand.N(6))
	return padded(text, s.cfg.size, uint64(n))
}

// post changes the headline to text and returns its id. firstByte is called
// right before each write to the connection.
func (s *poster) post(ctx context.Context, text string, firstByte func()) (id uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.requestTimeout)
	defer cancel()
	form := strings.NewReader(url.Values{"body": {text}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.post, form)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	code, body, err := roundTrip(req, firstByte)
	if err != nil {
		return 0, err
	}
	if code != http.StatusOK {
		return 0, fmt.Errorf("POST %s: status %d: %.80q", s.cfg.post, code, body)
	}
	id, got, changed, err := parseHeadline(body)
	if err != nil {
		return 0, fmt.Errorf("POST %s: %w", s.cfg.post, err)
	}
	if !changed || got != text {
		return 0, fmt.Errorf("POST %s: posted %.80q, answered %.80q", s.cfg.post, text, body)
	}
	return id, nil
}

// roundTrip sends req on a connection of its own. onWrite is called right
// before each write to it.
func roundTrip(req *http.Request, onWrite func()) (code int, body []byte, err error) {
	var dialer net.Dialer
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			return watchedConn{c, onWrite}, err
		},
	}
	req.Header.Set("User-Agent", "marquee-loadclient")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return resp.StatusCode, body, err
}

// watchedConn calls onWrite before every write.
type watchedConn struct {
	net.Conn
	onWrite func()
}

func (c watchedConn) Write(b []byte) (int, error) {
	c.onWrite()
	return c.Conn.Write(b)
}
