package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"marquee/grip"
)

const (
	// filterTimeout is how long a filter may take, once it is asked.
	filterTimeout = 10 * time.Second
	// filterRate is how often a second one URL is asked, and filterBurst how
	// often at once. Who would have to wait for longer than filterTimeout for
	// his turn is refused.
	filterRate  = 100
	filterBurst = 10
	// maxFiltering is how many filter requests may be in line and open together;
	// more are refused at once. Each is a goroutine.
	maxFiltering = 4096
)

var errFilterLine = errors.New("too many filter requests are waiting")

// FilterRequest asks whether an item may go to a subscription (the filters
// http-check and http-modify, GRIP §9).
type FilterRequest struct {
	// Service, Host and Target are those of a Request: where the URL in the
	// subscription's meta leads.
	Service      *Service
	Host, Target string
	// Sub is the subscription's meta and Pub the item's.
	Sub, Pub grip.Meta
	// Last are the subscription's channels, with the last id known of each.
	Last []grip.Channel
	// Modify makes it an http-modify: Content is sent, and may come back changed.
	Modify  bool
	Content []byte
}

// Verdict is what a filter says.
type Verdict struct {
	// Drop: the item is not for the subscription.
	Drop bool
	// Content replaces the item's, unless Unchanged.
	Content   []byte
	Unchanged bool
	// Err is set when the filter has said nothing: the item is skipped.
	Err error
}

// filtering is the state of a Client's filter requests.
type filtering struct {
	mu    sync.Mutex // all below
	count int
	turns map[string]*turns // by URL
}

// turns is how often one URL may be asked.
type turns struct {
	limiter *rate.Limiter
	users   int
}

// Filter puts a filter request. done is called once, on some other goroutine,
// also when ctx ends: then with its error. Safe from any goroutine; never
// blocks.
func (c *Client) Filter(ctx context.Context, f FilterRequest, done func(Verdict)) {
	name := strings.Join([]string{f.Service.String(), f.Host, f.Target}, " ")
	wait, err := c.filtering.enter(name, time.Now())
	if err != nil {
		go done(Verdict{Err: err})
		return
	}
	go func() {
		defer c.filtering.leave(name)
		v, err := c.filter(ctx, f, wait)
		if err != nil {
			c.failed(ctx, f.Service, failure(err))
			v = Verdict{Err: fmt.Errorf("ask filter %s: %w", f.Target, err)}
		}
		done(v)
	}()
}

// enter takes a turn at a URL, which comes after wait; leave follows.
func (fl *filtering) enter(name string, now time.Time) (wait time.Duration, err error) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.count >= maxFiltering {
		return 0, errFilterLine
	}
	t := fl.turns[name]
	if t == nil {
		fl.sweep(now)
		t = &turns{limiter: rate.NewLimiter(filterRate, filterBurst)}
		fl.turns[name] = t
	}
	turn := t.limiter.ReserveN(now, 1)
	if wait = turn.DelayFrom(now); wait > filterTimeout {
		turn.CancelAt(now)
		return 0, errFilterLine
	}
	t.users++
	fl.count++
	return wait, nil
}

func (fl *filtering) leave(name string) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.turns[name].users--
	fl.count--
}

// sweep forgets the URLs that have all their turns, when there are many: what is
// left are those that were asked in the last tenth of a second. Lock held.
func (fl *filtering) sweep(now time.Time) {
	if len(fl.turns) < 2*maxFiltering {
		return
	}
	for name, t := range fl.turns {
		if t.users == 0 && t.limiter.TokensAt(now) >= filterBurst {
			delete(fl.turns, name)
		}
	}
}

// filter waits for its turn, and for room among the open requests, and asks.
func (c *Client) filter(ctx context.Context, f FilterRequest, wait time.Duration) (Verdict, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return Verdict{}, ctx.Err()
	}
	roomCh := make(chan bool, 1)
	j := &job{run: func() { roomCh <- true }, refused: func() { roomCh <- false }}
	c.limit.start(j)
	stop := context.AfterFunc(ctx, func() {
		if c.limit.cancel(j) {
			roomCh <- false
		}
	})
	room := <-roomCh
	stop()
	if !room {
		return Verdict{}, cmp.Or(ctx.Err(), error(busy))
	}
	defer c.limit.done(j)
	c.requests.Add(1)
	ctx, cancel := context.WithTimeout(ctx, filterTimeout)
	defer cancel()
	return c.askFilter(ctx, f)
}

func (c *Client) askFilter(ctx context.Context, f FilterRequest) (Verdict, error) {
	r := &Request{
		Service: f.Service, Method: http.MethodPost, Host: f.Host, Target: f.Target,
		Header: grip.Header{{Name: "Sub-Meta", Value: metaJSON(f.Sub)}, {Name: "Pub-Meta", Value: metaJSON(f.Pub)}},
		Last:   f.Last,

		repeatable: true, // it only asks
	}
	if f.Modify {
		r.Body = f.Content
	}
	resp, _, err := c.roundTrip(ctx, r)
	if err != nil {
		return Verdict{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, grip.MaxInstructBody+1))
	switch {
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent:
		return Verdict{}, fmt.Errorf("status %d", resp.StatusCode)
	case strings.EqualFold(resp.Header.Get("Action"), "drop"):
		return Verdict{Drop: true}, nil
	case !f.Modify, resp.StatusCode == http.StatusNoContent:
		return Verdict{Unchanged: true}, nil
	case err != nil:
		return Verdict{}, fmt.Errorf("read content: %w", err)
	case len(content) > grip.MaxInstructBody:
		return Verdict{}, fmt.Errorf("content is longer than %d bytes", grip.MaxInstructBody)
	}
	return Verdict{Content: content}, nil
}

// metaJSON returns meta as a JSON object. Bytes that are no UTF-8 are replaced.
func metaJSON(meta grip.Meta) string {
	o := make(map[string]string, len(meta))
	for _, f := range meta {
		o[f.Name] = f.Value
	}
	text, _ := json.Marshal(o) // strings only: no error
	return string(text)
}
