package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A raceReport is what "bench race" found out: what the edge and servers like it
// do with the same load, on the same machine, in turns.
type raceReport struct {
	Machine    machine           `json:"machine"`
	Kernel     map[string]string `json:"kernel_settings"`
	Rounds     int               `json:"rounds"`
	Command    string            `json:"command"` // as typed
	Began      time.Time         `json:"began"`
	Took       float64           `json:"took_seconds"`
	Contenders []raceEntrant     `json:"contenders"`
	Results    []*raceResult     `json:"results"`
}

// A raceEntrant is a server of the race.
type raceEntrant struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Settings []string `json:"settings"`          // one line each, what differs from the defaults
	Skipped  string   `json:"skipped,omitempty"` // why it did not run, and what to install
}

// A raceResult is what one contender did in one workload. A sample is a change or
// a round, in the order measured.
type raceResult struct {
	Workload  string  `json:"workload"`
	Contender string  `json:"contender"`
	Clients   int     `json:"clients"`
	First     samples `json:"first_ms"` // from publish to first, median, 99th percentile and last client
	P50       samples `json:"p50_ms"`
	P99       samples `json:"p99_ms"`
	Last      samples `json:"last_ms"`
	Cycle     samples `json:"cycle_ms,omitempty"`              // herd: from one change to the next, made when all have polled again
	Rate      samples `json:"deliveries_per_second,omitempty"` // clients by time to the last
	ServerCPU samples `json:"server_cpu_us,omitempty"`         // of all its processes, a delivery
	ClientCPU samples `json:"client_cpu_us,omitempty"`         // of the load client, a delivery
	Memory    samples `json:"memory_bytes,omitempty"`          // PSS a held connection
	Slab      samples `json:"slab_bytes,omitempty"`            // the kernel's, a held connection, both ends
	Connects  samples `json:"connects_per_second,omitempty"`
	Syscalls  samples `json:"syscalls_per_delivery,omitempty"`
	Lost      int     `json:"lost"` // deliveries missed, repeated or out of order
	// Quantiles are delivery times in ms of all changes but the first, at 0, 1, ...
	// 100 percent, one slice a round.
	Quantiles [][]float64 `json:"quantiles_ms,omitempty"`
	Failed    string      `json:"failed,omitempty"` // why it could not be measured
}

// The names of contenders and workloads that goals and pictures are about.
const (
	raceFloor   = "floor"
	raceMarquee = "marquee"
	raceNchan   = "nchan"
	racePushpin = "pushpin" // tuned

	longPoll  = "long poll"
	streamOne = "stream"
	streamTen = "stream 10/s"
	herd      = "herd"

	// Where system calls are counted.
	tracedPoll   = "long poll, traced"
	tracedStream = "stream, traced"
)

const (
	// summarySize is how many long polls are held for the figures that the summary
	// has once.
	summarySize = 5000
	// floorGoal is the most that the time to the last client may be, by the floor's.
	floorGoal = 1.25
	// pushpinGoal is how many times better than tuned Pushpin's each figure is to be.
	pushpinGoal = 5
)

// readRace reads a report that writeJSON wrote.
func readRace(file string) (*raceReport, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the race's report: %w", err)
	}
	r := &raceReport{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("parse the race's report %s: %w", file, err)
	}
	if slices.Contains(r.Results, nil) {
		return nil, fmt.Errorf("parse the race's report %s: a result is null", file)
	}
	return r, nil
}

// result returns what a contender did in a workload with so many clients, nil if
// that was not tried.
func (r *raceReport) result(workload, contender string, clients int) *raceResult {
	for _, x := range r.Results {
		if x.Workload == workload && x.Contender == contender && x.Clients == clients {
			return x
		}
	}
	return nil
}

// figure returns samples of such a result, none if it was not tried or failed.
func (r *raceReport) figure(workload, contender string, clients int, of func(*raceResult) samples) samples {
	if x := r.result(workload, contender, clients); x != nil && x.Failed == "" {
		return of(x)
	}
	return nil
}

// sizes returns the numbers of clients of a workload, ascending.
func (r *raceReport) sizes(workload string) []int {
	seen := make(map[int]bool)
	for _, x := range r.Results {
		if x.Workload == workload {
			seen[x.Clients] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// runners returns the names of the contenders that ran, in the report's order.
func (r *raceReport) runners() []string {
	var names []string
	for _, c := range r.Contenders {
		if c.Skipped == "" {
			names = append(names, c.Name)
		}
	}
	return names
}

// summarySizes returns the numbers of long polls in the summary: the largest
// three; and the one of its other figures, 0 if there were no long polls.
func (r *raceReport) summarySizes() (last []int, others int) {
	all := r.sizes(longPoll)
	if len(all) == 0 {
		return nil, 0
	}
	others = all[len(all)-1]
	if slices.Contains(all, summarySize) {
		others = summarySize
	}
	return all[max(0, len(all)-3):], others
}

func lastOf(x *raceResult) samples      { return x.Last }
func serverCPUOf(x *raceResult) samples { return x.ServerCPU }
func memoryOf(x *raceResult) samples    { return x.Memory }
func slabOf(x *raceResult) samples      { return x.Slab }

// remarks are what could not be measured, and why, a line each.
func (r *raceReport) remarks() []string {
	var all []string
	for _, c := range r.Contenders {
		if c.Skipped != "" {
			all = append(all, fmt.Sprintf("%s did not run: %s", c.Name, c.Skipped))
		}
	}
	for _, x := range r.Results {
		if x.Failed != "" {
			all = append(all, fmt.Sprintf("%s failed in %q with %s clients: %s", x.Contender, x.Workload, thousands(x.Clients), x.Failed))
		}
	}
	return all
}

// took shows how long the race took.
func (r *raceReport) took() string {
	return time.Duration(r.Took * float64(time.Second)).Round(time.Second).String()
}

// write prints the summary and the goals as text.
func (r *raceReport) write(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n%d rounds in %s\n", r.Machine, r.Rounds, r.took())
	for _, t := range []raceTable{r.summary().turned(), r.goals()} {
		fmt.Fprintf(w, "\n%s\n", t.title)
		table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		for _, row := range t.rows {
			fmt.Fprintln(table, strings.Join(row, "\t"))
		}
		if err := table.Flush(); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", strings.Join(r.remarks(), "\n")); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// markdown writes all tables, ready for a README.
func (r *raceReport) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, begun %s, took %s: medians (least-most) of %d rounds.\n%s.\n\n",
		r.Command, r.Began.UTC().Format("2 January 2006, 15:04 UTC"), r.took(), r.Rounds, r.Machine)
	for _, c := range r.Contenders {
		if c.Skipped == "" {
			fmt.Fprintf(&b, "- %s\n", markdownText(strings.Join(append([]string{"**" + c.Name + "** " + c.Version}, c.Settings...), "; ")))
		}
	}
	for _, t := range append([]raceTable{r.summary(), r.goals()}, r.tables()...) {
		fmt.Fprintf(&b, "\n%s:\n\n", t.title)
		for i, row := range t.rows {
			markdownRow(&b, row)
			if i == 0 {
				markdownRow(&b, slices.Repeat([]string{"---"}, len(row)))
			}
		}
	}
	if remarks := r.remarks(); len(remarks) > 0 {
		b.WriteString("\n")
		for _, remark := range remarks {
			fmt.Fprintf(&b, "- %s\n", markdownText(remark))
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
