package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// auditBackoff is the longest rest after failures of a client whose sequence is
// audited: who audits wants to know how soon the server is well again, not how long
// clients have waited before.
const auditBackoff = time.Second

// An audit is the account of which headlines each client has had, all of them and
// not samples. A client's ids only rise: who is sent a headline that it has, or an
// older one, is counted in order, and has not had it a second time. So a headline
// that as many have received as there are clients was received by each.
//
// Loop only.
type audit struct {
	clients int
	epoch   int64       // zero of the pool's clock on CLOCK_MONOTONIC, in nanoseconds
	open    []*sighting // by id: headlines that not all clients have reached
	reached []*sighting // that all have, since the last call of take
}

// A sighting is a headline as clients saw it.
type sighting struct {
	id       uint64
	text     string
	first    time.Duration // when the first client received it
	received int
	delays   []uint32 // of those, since first, in microseconds
	// passed is how many clients have this headline or a newer one: polls are
	// answered with the newest only. passedAt is when the last of them got there.
	passed   int
	passedAt time.Duration
}

func newAudit(clients int, now time.Duration) (*audit, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return nil, fmt.Errorf("read the clock: %w", err)
	}
	return &audit{clients: clients, epoch: t.Nano() - int64(now)}, nil
}

// receive notes that a client whose newest headline was number from, 0 for none,
// received h at now. passed counts the clients that have a headline of at least
// that id; this one is not among them yet.
func (a *audit) receive(from uint64, h *headline, now time.Duration, passed func(id uint64) int) {
	at, found := slices.BinarySearchFunc(a.open, h.id, func(s *sighting, id uint64) int {
		switch {
		case s.id < id:
			return -1
		case s.id > id:
			return 1
		}
		return 0
	})
	if !found {
		a.open = slices.Insert(a.open, at, &sighting{id: h.id, text: h.text, first: now, passed: passed(h.id)})
	}
	s := a.open[at]
	s.received++
	s.delays = append(s.delays, uint32((now - s.first).Microseconds()))
	whole := 0
	for _, s := range a.open[:at+1] {
		if s.id > from {
			s.passed++
			s.passedAt = now
		}
		if s.passed == a.clients {
			whole++
		}
	}
	if whole == 0 {
		return
	}
	a.open = slices.DeleteFunc(a.open, func(s *sighting) bool {
		if s.passed == a.clients {
			a.reached = append(a.reached, s)
		}
		return s.passed == a.clients
	})
}

// take returns the headlines that all clients have reached since the last call.
func (a *audit) take() []*sighting {
	reached := a.reached
	a.reached = nil
	return reached
}

// An auditRecord is a line that an audit writes: one of these. Its JSON form is an
// interface: others read it.
type auditRecord struct {
	Started  int             `json:"started,omitempty"` // once: all clients, so many, have had a first answer
	Headline *headlineRecord `json:"headline,omitempty"`
	Summary  *auditSummary   `json:"summary,omitempty"` // the last line
}

// A headlineRecord says how a headline reached the clients. It is written when all
// have it or a newer one, or at the end. Times in nanoseconds are of CLOCK_MONOTONIC.
type headlineRecord struct {
	ID       uint64 `json:"id"`
	Text     string `json:"text"`
	Received int    `json:"received"` // clients that were sent this one
	Passed   int    `json:"passed"`   // clients that were sent this or a newer one
	FirstNS  int64  `json:"first_ns"`
	// Of those that received it, since the first of them.
	P50 millis `json:"p50_ms"`
	P99 millis `json:"p99_ms"`
	Max millis `json:"max_ms"`
	// PassedNS is when the last client had this headline or a newer one.
	PassedNS int64 `json:"passed_ns"`
}

// An auditSummary is what the sequences of all clients come to.
type auditSummary struct {
	Clients    int            `json:"clients"`
	Started    int            `json:"started"`
	Newest     uint64         `json:"newest"`   // id
	Behind     int            `json:"behind"`   // clients without the newest
	Repeats    int            `json:"repeats"`  // headlines that a client was sent again
	Reorders   int            `json:"reorders"` // that a client was sent after a newer one
	Errors     map[string]int `json:"errors"`   // by fault
	Reconnects int            `json:"reconnects"`
}

// record returns the headline's record.
func (a *audit) record(s *sighting) *headlineRecord {
	slices.Sort(s.delays)
	percentile := func(p int) millis { return millis(s.delays[(len(s.delays)*p-1)/100]) }
	return &headlineRecord{
		ID: s.id, Text: s.text, Received: s.received, Passed: s.passed,
		FirstNS: a.epoch + int64(s.first), PassedNS: a.epoch + int64(s.passedAt),
		P50: percentile(50), P99: percentile(99), Max: percentile(100),
	}
}

// An auditor writes what the audit of a pool finds, while the pool's loop runs. One
// goroutine's.
type auditor struct {
	out     *json.Encoder
	pool    *pool
	started bool // has been written
}

func newAuditor(out io.Writer, p *pool) *auditor { return &auditor{out: json.NewEncoder(out), pool: p} }

// run writes until ctx ends. It fails when the loop does, or nobody reads any more.
func (a *auditor) run(ctx context.Context) error {
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	for {
		var started int
		var reached []*sighting
		err := a.pool.do(func() { started, reached = a.pool.started, a.pool.audit.take() })
		if err == nil {
			err = a.write(started, reached)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-a.pool.newsCh:
		}
	}
}

func (a *auditor) write(started int, reached []*sighting) error {
	if !a.started && started == a.pool.audit.clients {
		a.started = true
		if err := a.out.Encode(auditRecord{Started: started}); err != nil {
			return fmt.Errorf("write the audit: %w", err)
		}
	}
	for _, s := range reached {
		if err := a.out.Encode(auditRecord{Headline: a.pool.audit.record(s)}); err != nil {
			return fmt.Errorf("write the audit: %w", err)
		}
	}
	return nil
}

// end writes what is left and the summary, once the loop has ended. An error says
// that a sequence was broken.
func (a *auditor) end() error {
	if err := a.write(a.pool.started, slices.Concat(a.pool.audit.take(), a.pool.audit.open)); err != nil {
		return err
	}
	s := a.pool.auditSummary()
	if err := a.out.Encode(auditRecord{Summary: s}); err != nil {
		return fmt.Errorf("write the audit: %w", err)
	}
	return s.verdict()
}

// auditSummary sums up a run whose loop has ended.
func (p *pool) auditSummary() *auditSummary {
	s := &auditSummary{
		Clients: len(p.clients), Started: p.started, Behind: len(p.clients),
		Repeats: p.order.repeats, Reorders: p.order.reorders,
		Errors: map[string]int{}, Reconnects: p.reconnects,
	}
	if p.tally.newest != nil {
		s.Newest, s.Behind = p.tally.newest.id, len(p.clients)-p.tally.have
	}
	for f := range faults {
		s.Errors[f.String()] = p.faults[f]
	}
	return s
}

// verdict returns nil when no client was sent what it had already, or what was not
// published. That some are behind is not judged: it depends on when we were ended.
func (s *auditSummary) verdict() error {
	if s.Repeats+s.Reorders+s.Errors[wrong.String()] == 0 {
		return nil
	}
	return fmt.Errorf("sequences are broken: repeats %d, reorders %d, wrong answers %d", s.Repeats, s.Reorders, s.Errors[wrong.String()])
}
