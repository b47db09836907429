package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// A tortureReport is what "bench torture" found out.
type tortureReport struct {
	Machine machine        `json:"machine"`
	Short   bool           `json:"short"`
	Seed    uint64         `json:"seed"`
	Trials  []*trialResult `json:"trials"`
}

// A trialResult is what came of one trial. Times are in milliseconds.
type trialResult struct {
	Name     string   `json:"name"`
	Does     string   `json:"does"`
	LeftOut  string   `json:"left_out,omitempty"` // why it was not carried out
	Clients  int      `json:"clients"`            // held; half of them streams
	Seconds  float64  `json:"seconds"`
	Commands []string `json:"commands"`

	Changes int `json:"changes"` // that were posted
	// Refused were not confirmed by the origin, for these reasons. Nobody need get
	// them.
	Refused  int            `json:"refused"`
	Refusals map[string]int `json:"refusals,omitempty"`
	// Lost are deliveries: of a change that was confirmed, to a stream; of the
	// newest one, to a poll.
	Lost int `json:"lost"`
	// Faults are what clients met with on the way, by kind and fault.
	Faults map[string]int `json:"faults,omitempty"`
	// HealedMS is how long after the end the last client had the newest headline of
	// before; 0 or less when it had it at the end.
	HealedMS float64 `json:"healed_ms"`

	Before deliveryTimes `json:"before"`
	During deliveryTimes `json:"during"`
	After  deliveryTimes `json:"after"`

	Figures  []trialFigure `json:"figures,omitempty"`
	Notes    []string      `json:"notes,omitempty"`
	Failures []string      `json:"failures,omitempty"` // none: it went well
}

// deliveryTimes are those of the changes of a phase, one sample a change: to half
// the clients, to 99 of a hundred, and to the last, each the longer one of polls'
// and streams'.
type deliveryTimes struct {
	P50  samples `json:"p50_ms"`
	P99  samples `json:"p99_ms"`
	Last samples `json:"last_ms"`
}

// A trialFigure is something that a trial has measured besides.
type trialFigure struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit,omitempty"`
	Samples samples `json:"samples"`
}

// times returns where the times of the changes of a phase are.
func (t *trialResult) times(p phase) *deliveryTimes {
	return [phases]*deliveryTimes{&t.Before, &t.During, &t.After}[p]
}

// add adds those of a change.
func (d *deliveryTimes) add(p50, p99, last float64) {
	d.P50, d.P99, d.Last = append(d.P50, p50), append(d.P99, p99), append(d.Last, last)
}

// String shows the medians.
func (d deliveryTimes) String() string {
	if len(d.Last) == 0 {
		return "-"
	}
	return number(d.P50.median()) + "/" + number(d.P99.median()) + "/" + number(d.Last.median())
}

// OK says whether all trials that were carried out went well.
func (r *tortureReport) OK() bool {
	return !slices.ContainsFunc(r.Trials, func(t *trialResult) bool { return len(t.Failures) > 0 })
}

// heading is the table's.
var heading = []string{"attack or fault", "load held", "lost", "before", "during", "after", "note"}

// cells are the trial's row of the table.
func (t *trialResult) cells() []string {
	if t.LeftOut != "" {
		return []string{t.Name, "", "", "", "", "", "left out: " + t.LeftOut}
	}
	lost := "nothing"
	if t.Lost > 0 {
		lost = thousands(t.Lost)
	}
	return []string{t.Name, thousands(t.Clients) + " clients", lost, t.Before.String(), t.During.String(), t.After.String(), t.remarks()}
}

// remarks is what the report says of a trial in its last column.
func (t *trialResult) remarks() string {
	var all []string
	for _, f := range t.Failures {
		all = append(all, "FAILED: "+f)
	}
	if t.HealedMS > 0 {
		all = append(all, fmt.Sprintf("all caught up %s ms after the end", number(t.HealedMS)))
	}
	if t.Refused > 0 {
		all = append(all, fmt.Sprintf("%d of %d changes refused", t.Refused, t.Changes))
	}
	for _, f := range t.Figures {
		text := f.Name + " " + f.Samples.String()
		if f.Unit != "" {
			text += " " + f.Unit
		}
		all = append(all, text)
	}
	return strings.Join(append(all, t.Notes...), "; ")
}

// sentence is a trial's outcome in a line of text.
func (t *trialResult) sentence() string {
	c := t.cells()
	if t.LeftOut != "" {
		return c[6]
	}
	return fmt.Sprintf("%s, lost %s; ms to half/99%%/last: before %s, during %s, after %s; %s", c[1], c[2], c[3], c[4], c[5], c[6])
}

// caption says what the numbers of the table are.
const caption = "milliseconds from the first byte of a change to half of the clients/99 of a hundred/the last, medians of the changes"

// write prints the report as text.
func (r *tortureReport) write(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n%s\n\n", r.Machine, caption)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, strings.Join(heading, "\t"))
	for _, t := range r.Trials {
		fmt.Fprintln(table, strings.Join(t.cells(), "\t"))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// writeMarkdown writes the table to file, if that is not empty.
func (r *tortureReport) writeMarkdown(file string) error {
	if file == "" {
		return nil
	}
	var b strings.Builder
	markdownRow(&b, heading)
	markdownRow(&b, slices.Repeat([]string{"---"}, len(heading)))
	for _, t := range r.Trials {
		markdownRow(&b, t.cells())
	}
	fmt.Fprintf(&b, "\n%s; %s\n", r.Machine, caption)
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
