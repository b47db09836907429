package main

import (
	"fmt"
	"slices"
	"strings"
)

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
