package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// summary is what a run came to. Its JSON form is an interface: others read it.
type summary struct {
	Version        string          `json:"version"`
	URL            string          `json:"url"`
	Clients        int             `json:"clients"`
	Started        int             `json:"started"`         // clients that had a first answer
	ConnectSeconds float64         `json:"connect_seconds"` // first connect to the last client's first answer; 0: not all had one
	Changes        []changeSummary `json:"changes"`
	Streams        *streamSummary  `json:"streams,omitempty"` // nil without -stream
	Overall        spread          `json:"overall"`           // of all deliveries
	// Quantiles are the delivery times at 0, 1, ... 100 percent of all changes but
	// the first, which finds nothing warm; of that one when it is the only one.
	Quantiles    []millis       `json:"quantiles_ms"`
	Errors       map[string]int `json:"errors"` // by fault
	Reconnects   int            `json:"reconnects"`
	TimeoutsHeld int            `json:"timeouts_held"` // answers without a headline: {}, 304 or 408
	OK           bool           `json:"ok"`
}

type changeSummary struct {
	ID         uint64 `json:"id"`       // 0: not known
	Start      millis `json:"start_ms"` // since the first start of all changes; 0 when it never began
	Recipients int    `json:"recipients"`
	Received   int    `json:"received"`
	Missed     int    `json:"missed"`
	spread
}

// streamSummary is what is to be said of streams alone.
type streamSummary struct {
	Messages   int `json:"messages"`
	KeepAlives int `json:"keep_alives"`
	Gaps       int `json:"gaps"`     // headlines that were left out
	Repeats    int `json:"repeats"`  // that came a second time
	Reorders   int `json:"reorders"` // that came after a newer one
	// PostingSeconds is the time from the first change to the last: with n of
	// them, they were made every PostingSeconds/(n-1).
	PostingSeconds float64 `json:"posting_seconds"`
}

// streamSummary sums up what the streams brought.
func (p *pool) streamSummary() *streamSummary {
	s := &streamSummary{
		Messages: p.deliveries, KeepAlives: p.keepAlives,
		Gaps: p.order.gaps, Repeats: p.order.repeats, Reorders: p.order.reorders,
	}
	first, last := p.ledger.began()
	s.PostingSeconds = (last - first).Seconds()
	return s
}

// summary sums up a run whose loop has ended and whose changes are settled.
// OK is left to the caller.
func (p *pool) summary() *summary {
	s := &summary{
		Version:      version,
		URL:          p.cfg.url.String(),
		Clients:      len(p.clients),
		Started:      p.started,
		Changes:      []changeSummary{},
		Overall:      p.ledger.overall.spread(),
		Quantiles:    p.ledger.overall.quantiles(),
		Errors:       map[string]int{},
		Reconnects:   p.reconnects,
		TimeoutsHeld: p.timeoutsHeld,
	}
	if p.cfg.stream {
		s.Streams = p.streamSummary()
	}
	if p.started == len(p.clients) {
		s.ConnectSeconds = float64((p.startedAt - p.beganAt).Milliseconds()) / 1000
	}
	if p.ledger.later.count > 0 {
		s.Quantiles = p.ledger.later.quantiles()
	}
	first, _ := p.ledger.began()
	for _, h := range p.ledger.changes {
		start := max(time.Duration(h.start.Load())-first, 0)
		s.Changes = append(s.Changes, changeSummary{h.id, millisOf(start), h.recipients, h.received, h.missed(), h.spread})
	}
	for f := range faults {
		s.Errors[f.String()] = p.faults[f]
	}
	return s
}

// verdict returns nil when all clients started, changesWanted changes were
// made, every client received every change, no answer was torn or wrong, and no
// stream out of order;
// otherwise an error that names each of these that does not hold.
func (s *summary) verdict(changesWanted int) error {
	var errs []error
	if s.Started < s.Clients {
		errs = append(errs, fmt.Errorf("%d of %d clients never got a headline", s.Clients-s.Started, s.Clients))
	}
	if len(s.Changes) < changesWanted {
		errs = append(errs, fmt.Errorf("%d of %d changes were not made", changesWanted-len(s.Changes), changesWanted))
	}
	missed := 0
	for _, c := range s.Changes {
		missed += c.Missed
	}
	if missed > 0 {
		errs = append(errs, fmt.Errorf("%d deliveries missed", missed))
	}
	for _, f := range []fault{torn, wrong} {
		if n := s.Errors[f.String()]; n > 0 {
			errs = append(errs, fmt.Errorf("%d answers %v", n, f))
		}
	}
	if t := s.Streams; t != nil && t.Gaps+t.Repeats+t.Reorders > 0 {
		errs = append(errs, fmt.Errorf("streams were not in order: %s", t.order()))
	}
	return errors.Join(errs...)
}

func (s *streamSummary) order() string {
	return fmt.Sprintf("gaps %d, repeats %d, reorders %d", s.Gaps, s.Repeats, s.Reorders)
}

// writeTable writes the summary for people, times in milliseconds.
func (s *summary) writeTable(out io.Writer) {
	fmt.Fprintln(out)
	if len(s.Changes) > 0 {
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "id\trecipients\treceived\tmissed\tmin\tavg\tp50\tp90\tp95\tp99\tmax\tms\t")
		recipients, received, missed := 0, 0, 0
		for _, c := range s.Changes {
			recipients += c.Recipients
			received += c.Received
			missed += c.Missed
			if s.Streams != nil {
				continue // hundreds, maybe
			}
			fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%s\t\n", c.ID, c.Recipients, c.Received, c.Missed, c.spread.cells())
		}
		fmt.Fprintf(t, "all\t%d\t%d\t%d\t%s\t\n", recipients, received, missed, s.Overall.cells())
		t.Flush()
	}
	if s.ConnectSeconds > 0 {
		fmt.Fprintf(out, "connected: %d clients in %.3f s, %.0f a second\n", s.Clients, s.ConnectSeconds, float64(s.Clients)/s.ConnectSeconds)
	} else {
		fmt.Fprintf(out, "connected: %d of %d clients\n", s.Started, s.Clients)
	}
	var counts []string
	for f := range faults {
		counts = append(counts, fmt.Sprintf("%v %d", f, s.Errors[f.String()]))
	}
	fmt.Fprintf(out, "errors: %s\n", strings.Join(counts, ", "))
	if t := s.Streams; t != nil {
		fmt.Fprintf(out, "streams: %s; %d messages, %d keep-alives, %d changes in %.3f s\n", t.order(), t.Messages, t.KeepAlives, len(s.Changes), t.PostingSeconds)
	}
	fmt.Fprintf(out, "reconnects: %d, polls answered without a change: %d\n", s.Reconnects, s.TimeoutsHeld)
}

func (s spread) cells() string {
	var cells []string
	for _, m := range []millis{s.Min, s.Avg, s.P50, s.P90, s.P95, s.P99, s.Max} {
		cells = append(cells, m.String())
	}
	return strings.Join(cells, "\t")
}

func (s *summary) writeJSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(s)
}
