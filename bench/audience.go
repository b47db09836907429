package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An audience is a load client that audits what its clients are sent. Its methods
// are safe for several at once.
type audience struct {
	kind    string // polls or streams
	clients int
	url     string
	// reconnect has the polls open a connection for each request.
	reconnect bool
	// after is the newest headline of before it began: those until then nobody need
	// get.
	after   uint64
	process *process

	mu        sync.Mutex
	changedCh chan struct{} // closed, and replaced, when one of the following changes
	started   bool
	headlines map[uint64]sighting
	reached   uint64        // highest id that all clients have passed
	summary   *auditSummary // nil until it has ended
	partial   []byte        // a line whose end has not come yet
	badLine   error         // what could not be understood
}

// A sighting is how one headline reached the clients, in the words of loadclient
// -audit. Times in nanoseconds are of CLOCK_MONOTONIC, those in milliseconds since
// the first client received it.
type sighting struct {
	ID       uint64  `json:"id"`
	Text     string  `json:"text"`
	Received int     `json:"received"`
	Passed   int     `json:"passed"` // clients that have it or a newer one
	FirstNS  int64   `json:"first_ns"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
	PassedNS int64   `json:"passed_ns"` // when the last of those passed it
}

// An auditSummary is what loadclient -audit says in the end.
type auditSummary struct {
	Started  int            `json:"started"`
	Newest   uint64         `json:"newest"`
	Behind   int            `json:"behind"` // clients without the newest
	Repeats  int            `json:"repeats"`
	Reorders int            `json:"reorders"`
	Errors   map[string]int `json:"errors"`
}

// monotonic is the time by the clock that load clients tell times of.
func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail: the clock exists
	return time.Duration(t.Nano())
}

// start starts the load client of a scene.
func (a *audience) start(s *scene) (err error) {
	a.changedCh, a.headlines = make(chan struct{}), make(map[uint64]sighting)
	args := []string{"-audit", "-c", strconv.Itoa(a.clients), "-url", a.url, "-rate", "20000", "-repoll-delay", "0", "-repoll-jitter", "0"}
	if a.kind == "streams" {
		args = append(args, "-stream")
	}
	if a.reconnect {
		args = append(args, "-reconnect")
	}
	path, err := binary("loadclient")
	if err != nil {
		return err
	}
	s.command(path, args)
	a.process, err = start(s.log.Writer(), program{name: "loadclient of " + a.kind, path: path, args: args, stdout: a, host: s.hosts["clients"]})
	return err
}

// Write takes the next piece of what the load client writes. It never fails: what
// is not understood is told by end.
func (a *audience) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.partial = append(a.partial, b...)
	for {
		line, rest, found := bytes.Cut(a.partial, []byte{'\n'})
		if !found {
			return len(b), nil
		}
		a.line(line)
		a.partial = rest
	}
}

// line takes one record in. The caller holds mu.
func (a *audience) line(line []byte) {
	var record struct {
		Started  int           `json:"started"`
		Headline *sighting     `json:"headline"`
		Summary  *auditSummary `json:"summary"`
	}
	if err := json.Unmarshal(line, &record); err != nil {
		a.badLine = fmt.Errorf("parse the audit of %s: %w", a.kind, err)
		return
	}
	switch {
	case record.Started > 0:
		a.started = true
	case record.Headline != nil:
		h := *record.Headline
		a.headlines[h.ID] = h
		if h.Passed == a.clients {
			a.reached = max(a.reached, h.ID)
		}
	case record.Summary != nil:
		a.summary = record.Summary
	}
	close(a.changedCh)
	a.changedCh = make(chan struct{})
}

// awaitStarted returns when all clients have had a first answer.
func (a *audience) awaitStarted(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, awaitTimeout, fmt.Errorf("not all %d %s began within %v", a.clients, a.kind, awaitTimeout))
	defer cancel()
	return a.await(ctx, func() bool { return a.started })
}

// awaitPassed returns when all clients have the headline of that id or a newer one.
func (a *audience) awaitPassed(ctx context.Context, id uint64) error {
	return a.await(ctx, func() bool { return a.reached >= id })
}

// await returns when done, which is called with mu held, says so.
func (a *audience) await(ctx context.Context, done func() bool) error {
	for {
		a.mu.Lock()
		isDone, changedCh := done(), a.changedCh
		a.mu.Unlock()
		if isDone {
			return nil
		}
		select {
		case <-changedCh:
		case <-a.process.doneCh:
			return a.process.failure("ended too early")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// passed returns when the last client had the headline of that id or a newer one;
// ok is false when not all have yet.
func (a *audience) passed(id uint64) (at time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reached < id {
		return 0, false
	}
	// What polls have skipped has no sighting: the next that they have says when.
	for ; id <= a.reached; id++ {
		if h, found := a.headlines[id]; found {
			return time.Duration(h.PassedNS), true
		}
	}
	return 0, true // before this audience began
}

// sighting returns how the headline of that id reached the clients; ok is false when
// it has reached none, or not all yet.
func (a *audience) sighting(id uint64) (h sighting, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h, ok = a.headlines[id]
	return h, ok
}

// end has the load client end, if it runs, and write all that is left.
func (a *audience) end() error {
	if a.process == nil {
		return nil
	}
	p := a.process
	a.process = nil
	err := p.stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.badLine != nil {
		return a.badLine
	}
	if a.summary == nil {
		return errors.Join(fmt.Errorf("the audit of %s has no summary", a.kind), err)
	}
	return nil // broken sequences, which make it fail, are for judge to tell
}

// judge adds to the result what is wrong with the sequences of an audience that has
// ended, the newest headline being of that id.
func (a *audience) judge(s *scene, newest uint64) {
	sum := a.summary
	if sum.Started < a.clients {
		s.fail("%d of %d %s never had a headline", a.clients-sum.Started, a.clients, a.kind)
	}
	if sum.Newest != newest {
		s.fail("the newest headline is %d, and that of %s is %d", newest, a.kind, sum.Newest)
	}
	if sum.Behind > 0 {
		s.result.Lost += sum.Behind
		s.fail("%d of %d %s do not have headline %d", sum.Behind, a.clients, a.kind, sum.Newest)
	}
	for _, broken := range []struct {
		count int
		what  string
	}{{sum.Repeats, "sent again"}, {sum.Reorders, "sent after a newer one"}, {sum.Errors["wrong"], "wrong"}} {
		if broken.count > 0 {
			s.fail("%s: %d headlines were %s", a.kind, broken.count, broken.what)
		}
	}
	for name, count := range sum.Errors {
		s.result.Faults[a.kind+" "+name] = count
	}
}
