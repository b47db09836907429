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

// summaryFigures are what the summary has besides the times to the last client. Those
// of another workload are of its smallest number of clients for which there is one.
var summaryFigures = []struct {
	name, unit string
	of         func(*raceResult) samples
	more       bool   // is better
	workload   string // "" for long polls
}{
	{"deliveries", "a second", func(x *raceResult) samples { return x.Rate }, true, ""},
	{"CPU", "µs a delivery", serverCPUOf, false, ""},
	{"memory", "bytes a client", memoryOf, false, ""},
	{"kernel memory", "bytes a client", slabOf, false, ""},
	{"connects of streams", "a second", func(x *raceResult) samples { return x.Connects }, true, streamOne},
	{"system calls of streams", "a delivery", func(x *raceResult) samples { return x.Syscalls }, false, tracedStream},
}

// summaryFigure returns the samples of the i-th summary figure; others is the number
// of long polls that those have which are of long polls.
func (r *raceReport) summaryFigure(i int, contender string, others int) samples {
	f := summaryFigures[i]
	if f.workload == "" {
		return r.figure(longPoll, contender, others, f.of)
	}
	for _, n := range r.sizes(f.workload) {
		if s := r.figure(f.workload, contender, n, f.of); len(s) > 0 {
			return s
		}
	}
	return nil
}

// A raceTable is rows of cells below a heading, all with as many cells.
type raceTable struct {
	title string
	rows  [][]string // the heading first
}

// tables returns, workload by workload, the times in ms.
func (r *raceReport) tables() []raceTable {
	type group struct {
		title     string
		workloads []string
		of        func(*raceResult) samples
		named     bool // the columns say which workload they are
	}
	groups := []group{
		{"Long polls: from the change to the last client, ms", []string{longPoll}, lastOf, false},
		{"Streams: from the message to the last client, ms", []string{streamOne}, lastOf, false},
		{"Streams, 10 messages a second: 99th percentile, ms", []string{streamTen}, func(x *raceResult) samples { return x.P99 }, false},
		{"All poll again at once: from one change to the next, ms", []string{herd}, func(x *raceResult) samples { return x.Cycle }, false},
	}
	bodies := group{title: "Long polls with longer bodies, gzip accepted: to the last client, ms", of: lastOf, named: true}
	others := group{title: "Other loads: to the last client, ms", of: lastOf, named: true}
	traced := group{title: "System calls a delivery, to files and sockets, with the next poll of who polls", workloads: []string{tracedPoll, tracedStream},
		of: func(x *raceResult) samples { return x.Syscalls }, named: true}
	named := []string{longPoll, streamOne, streamTen, herd, tracedPoll, tracedStream}
	for _, x := range r.Results {
		if slices.Contains(named, x.Workload) {
			continue
		}
		named = append(named, x.Workload)
		if strings.HasPrefix(x.Workload, longPoll+" ") {
			bodies.workloads = append(bodies.workloads, x.Workload)
		} else {
			others.workloads = append(others.workloads, x.Workload)
		}
	}
	var all []raceTable
	for _, g := range append(groups, bodies, others, traced) {
		heading := []string{"server"}
		for _, workload := range g.workloads {
			for _, n := range r.sizes(workload) {
				title := thousands(n) + " clients"
				if g.named {
					title = strings.TrimPrefix(workload, longPoll+" ") + ", " + title
				}
				heading = append(heading, title)
			}
		}
		if len(heading) == 1 {
			continue
		}
		t := raceTable{title: g.title, rows: [][]string{heading}}
		for _, contender := range r.runners() {
			row := []string{contender}
			for _, workload := range g.workloads {
				for _, n := range r.sizes(workload) {
					row = append(row, r.cell(workload, contender, n, g.of))
				}
			}
			if slices.ContainsFunc(row[1:], func(cell string) bool { return cell != "-" }) {
				t.rows = append(t.rows, row)
			}
		}
		all = append(all, t)
	}
	return all
}

// cell shows samples of a result, and what was lost.
func (r *raceReport) cell(workload, contender string, clients int, of func(*raceResult) samples) string {
	x := r.result(workload, contender, clients)
	switch {
	case x == nil:
		return "-"
	case x.Failed != "":
		return "failed"
	case x.Lost > 0: // not there within ten seconds, for example
		return fmt.Sprintf("%s, %s lost", of(x), thousands(x.Lost))
	}
	return of(x).String()
}

// summary returns what each contender comes to in a line.
func (r *raceReport) summary() raceTable {
	sizes, others := r.summarySizes()
	title := "In short: medians"
	if others > 0 {
		title += fmt.Sprintf(" of long polls; from the ratios on of %s of them; CPU is the server's, kernel memory that of both ends", thousands(others))
	}
	heading := []string{"server"}
	for _, n := range sizes {
		heading = append(heading, "last of "+thousands(n)+", ms")
	}
	heading = append(heading, "by the floor's", "by nchan's")
	for _, f := range summaryFigures {
		heading = append(heading, f.name+", "+f.unit)
	}
	t := raceTable{title: title, rows: [][]string{heading}}
	for _, contender := range r.runners() {
		row := []string{contender}
		for _, n := range sizes {
			row = append(row, median(r.figure(longPoll, contender, n, lastOf)))
		}
		last := r.figure(longPoll, contender, others, lastOf)
		for _, other := range []string{raceFloor, raceNchan} {
			row = append(row, timesOf(last, r.figure(longPoll, other, others, lastOf)))
		}
		for i := range summaryFigures {
			row = append(row, median(r.summaryFigure(i, contender, others)))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// median shows the median alone.
func median(s samples) string {
	if len(s) == 0 {
		return "-"
	}
	return ms(s.median())
}

// timesOf shows how many times the other's median a median is.
func timesOf(s, other samples) string {
	if len(s) == 0 || other.median() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", s.median()/other.median())
}

// goals returns what was to be reached, and whether it was.
func (r *raceReport) goals() raceTable {
	t := raceTable{title: "Goals", rows: [][]string{{"goal", "marquee", "against", "ratio", ""}}}
	// row compares a figure, of which more or less is better, with another that it
	// is to be at least so many times as good as.
	row := func(goal string, marquee, other samples, times float64, more bool) {
		outcome := "not measured"
		if len(marquee) > 0 && len(other) > 0 {
			better := other.median() >= times*marquee.median()
			if more {
				better = marquee.median() >= times*other.median()
			}
			outcome = verdict(better)
		}
		t.rows = append(t.rows, []string{goal, median(marquee), median(other), timesOf(marquee, other), outcome})
	}
	sizes, others := r.summarySizes()
	for _, n := range sizes {
		marquee := r.figure(longPoll, raceMarquee, n, lastOf)
		last := "last of " + thousands(n) + " long polls, ms: "
		row(last+"not after nchan's", marquee, r.figure(longPoll, raceNchan, n, lastOf), 1, false)
		row(fmt.Sprintf("%sat most %v of the floor's", last, floorGoal), marquee, r.figure(longPoll, raceFloor, n, lastOf), 1/floorGoal, false)
	}
	row("deliveries a CPU second: at least nchan's",
		perCPUSecond(r.figure(longPoll, raceMarquee, others, serverCPUOf)), perCPUSecond(r.figure(longPoll, raceNchan, others, serverCPUOf)), 1, true)
	row("memory of a held client, bytes: the least of all servers", r.figure(longPoll, raceMarquee, others, memoryOf), r.leastMemory(others), 1, false)
	better := fmt.Sprintf(": %d times better than tuned Pushpin's", pushpinGoal)
	for _, n := range r.sizes(longPoll) {
		if pushpin := r.figure(longPoll, racePushpin, n, lastOf); len(pushpin) > 0 && n >= 1000 {
			row("last of "+thousands(n)+" long polls, ms"+better, r.figure(longPoll, raceMarquee, n, lastOf), pushpin, pushpinGoal, false)
		}
	}
	for _, n := range r.sizes(streamOne) {
		if pushpin := r.figure(streamOne, racePushpin, n, lastOf); len(pushpin) > 0 && n >= 1000 {
			row("last of "+thousands(n)+" streams, ms"+better, r.figure(streamOne, raceMarquee, n, lastOf), pushpin, pushpinGoal, false)
		}
	}
	for i, f := range summaryFigures {
		row(f.name+", "+f.unit+better, r.summaryFigure(i, raceMarquee, others), r.summaryFigure(i, racePushpin, others), pushpinGoal, f.more)
	}
	return t
}

// perCPUSecond turns CPU time of a delivery into deliveries of a CPU second.
func perCPUSecond(us samples) samples {
	var all samples
	for _, x := range us {
		if x > 0 {
			all = append(all, 1e6/x)
		}
	}
	return all
}

// leastMemory returns the memory of a held client of the server that takes the
// least, Marquee and the floor, which is no server, apart.
func (r *raceReport) leastMemory(clients int) samples {
	var least samples
	for _, contender := range r.runners() {
		if strings.HasPrefix(contender, raceFloor) || strings.HasPrefix(contender, raceMarquee) {
			continue
		}
		memory := r.figure(longPoll, contender, clients, memoryOf)
		if len(memory) > 0 && (len(least) == 0 || memory.median() < least.median()) {
			least = memory
		}
	}
	return least
}

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

// turned returns the table with rows and columns exchanged: for a terminal, which
// is not wide.
func (t raceTable) turned() raceTable {
	rows := make([][]string, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			rows[i] = append(rows[i], cell)
		}
	}
	return raceTable{t.title, rows}
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
