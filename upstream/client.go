package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"marquee/grip"
)

const (
	// maxLine is how many requests may wait for one of the open ones to end;
	// more are refused at once. As many as one process can have clients.
	maxLine = 20_000
	// linePatience is how long they wait at the most.
	linePatience = 10 * time.Second
	// idleTimeout is how long a connection that is not in use is kept.
	idleTimeout = 90 * time.Second
)

// busy is the failure of those who are refused.
var busy = &Failure{
	Code:       http.StatusServiceUnavailable,
	Reason:     "Too many requests are waiting for the origin.",
	RetryAfter: "1",
	Err:        errors.New("no room among the open requests in time"),
}

// Config says how to ask origins.
type Config struct {
	// MaxOpen is how many requests may be open at a time, at all services
	// together.
	MaxOpen int
	// AnswerTimeout bounds the wait for the head of an answer, for the end of
	// one that is kept together, and for the origin to take the next bytes of
	// a request.
	AnswerTimeout time.Duration
	// HoldTimeout is the timeout of a hold that gives none.
	HoldTimeout time.Duration
	Log         *slog.Logger
}

// Client asks the origins, each by the service that a request names. Safe from
// any goroutine.
type Client struct {
	// Immutable.
	cfg              Config
	limit            *limiter
	dial, dialPublic dialFunc // to any address, and to public ones only
	connectTimeout   time.Duration

	transportsMu sync.Mutex
	transports   map[setting]*http.Transport

	filtering filtering

	requests, joined, failures, refused atomic.Int64
	changes                             atomic.Int64 // requests that may have changed something at the origin
	lastWarning                         atomic.Int64 // unix time; one warning a second is enough

	mu    sync.Mutex // calls, and what is said so in call
	calls map[callKey]*call
}

// Stats are the client's figures since it was made.
type Stats struct {
	Requests int64 // put to the origin
	Joined   int64 // answered by a request that another had put
	Failures int64
	Refused  int64 // of the failures: there was no room in the line, or not in time
	Open     int   // at the origin now
	Waiting  int   // in line now
}

// NewClient makes a client. Close it.
func NewClient(cfg Config) *Client {
	dialer := &net.Dialer{KeepAlive: 30 * time.Second}
	public := &net.Dialer{KeepAlive: 30 * time.Second, Control: onlyPublic}
	return &Client{
		cfg:   cfg,
		limit: newLimiter(cfg.MaxOpen, maxLine, linePatience),
		dial:  dialer.DialContext, dialPublic: public.DialContext,
		connectTimeout: connectTimeout,
		transports:     make(map[setting]*http.Transport),
		filtering:      filtering{turns: make(map[string]*turns)},
		calls:          make(map[callKey]*call),
	}
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.Retain(nil) }

// Stats returns the figures so far.
func (c *Client) Stats() Stats {
	open, waiting := c.limit.load()
	return Stats{
		Requests: c.requests.Load(), Joined: c.joined.Load(), Failures: c.failures.Load(),
		Refused: c.refused.Load(),
		Open:    open, Waiting: waiting,
	}
}

// Changes counts the requests that may have changed something at the origin. An
// answer that was asked for at another count may be outdated by one of them
// (RFC 9111 §4.4 in spirit), whatever channels it names.
func (c *Client) Changes() int64 { return c.changes.Load() }

// safe reports whether a method only reads (RFC 9110 §9.2.1).
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// HoldTimeout returns how long a hold lasts.
func (c *Client) HoldTimeout(h *grip.Hold) time.Duration {
	if h.Timeout > 0 {
		return h.Timeout
	}
	return c.cfg.HoldTimeout
}

// failed counts a failure, and logs it if it is news.
func (c *Client) failed(ctx context.Context, s *Service, f *Failure) {
	if ctx.Err() != nil || errors.Is(f, errContent) {
		return // given up: nobody wanted it any more, or the client broke off
	}
	c.failures.Add(1)
	now, level := time.Now(), slog.LevelDebug
	switch {
	case f == busy, f.Answered:
		if c.lastWarning.Swap(now.Unix()) != now.Unix() {
			level = slog.LevelWarn
		}
	case s.lost(now):
		level = slog.LevelWarn
	}
	attrs := []any{"origin", s.String(), "code", f.Code, "err", f.Err}
	if remedy := remedy(f.Err); remedy != "" {
		attrs = append(attrs, "remedy", remedy)
	}
	c.cfg.Log.Log(ctx, level, "origin gives no good answer", attrs...)
}

// answered notes an answer, and logs it if it is the first one after failures.
func (c *Client) answered(s *Service) {
	if failures, since := s.back(); failures > 0 {
		c.cfg.Log.Info("origin answers again", "origin", s.String(), "failures", failures,
			"after", time.Since(since).Round(time.Millisecond).String())
	}
}
