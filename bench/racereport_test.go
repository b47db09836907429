package main

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sampleRace returns a race of three rounds: long polls and streams by all but the
// one that was skipped, and a few other workloads.
func sampleRace() *raceReport {
	r := &raceReport{
		Machine: machine{Kernel: "6.18", CPU: "A CPU", Cores: 2, LoadAverage: "0.1 0.2 0.3", Go: "go1.26", Version: "v1"},
		Rounds:  3, Command: "bench race -rounds 3", Took: 2520, Began: time.Date(2026, 11, 27, 13, 5, 0, 0, time.UTC),
	}
	for _, c := range []struct {
		name               string
		times, user, slabs float64 // the floor's time, bytes
	}{
		{"floor", 1, 310, 5200},
		{"marquee", 1.1, 960, 5300},
		{"marquee, 1 loop", 1.6, 930, 5290},
		{"nchan", 1.25, 5100, 5400},
		{"pushpin", 9, 31000, 11200},
		{"pushpin as shipped", 50, 31500, 11300},
		{"centrifugo", 3.5, 26000, 5900},
	} {
		r.Contenders = append(r.Contenders, raceEntrant{Name: c.name, Version: "1.0", Settings: []string{"2 loops"}})
		for _, workload := range []struct {
			name  string
			sizes []int
		}{
			{longPoll, []int{100, 1000, 5000, 15000, 19000}}, {streamOne, []int{1000, 5000, 15000}},
			{streamTen, []int{5000}}, {herd, []int{5000}}, {"channels", []int{5000}},
			{"long poll 100 B", []int{5000}}, {"long poll 64 KB", []int{5000}}, {tracedPoll, []int{500}}, {tracedStream, []int{500}},
		} {
			if c.name == "centrifugo" && workload.name != streamOne {
				continue
			}
			for _, n := range workload.sizes {
				last := c.times * 0.0075 * float64(n)
				x := &raceResult{
					Workload: workload.name, Contender: c.name, Clients: n,
					Last: samples{0.9 * last, last, 1.2 * last}, P99: samples{0.98 * last}, Cycle: samples{3 * last},
					Rate: samples{1000 * float64(n) / last}, ServerCPU: samples{4 * c.times}, Memory: samples{c.user}, Slab: samples{c.slabs},
					Connects: samples{9000 / c.times}, Syscalls: samples{c.times},
				}
				for _, round := range x.Last {
					var quantiles []float64
					for i := range 101 {
						quantiles = append(quantiles, round*(0.1+0.9*math.Pow(float64(i)/100, 1.3)))
					}
					x.Quantiles = append(x.Quantiles, quantiles)
				}
				if c.name == "pushpin" && n == 19000 {
					*x = raceResult{Workload: workload.name, Contender: c.name, Clients: n, Failed: "15,300 of 19,000\nwere | held"}
				}
				r.Results = append(r.Results, x)
			}
		}
	}
	r.Contenders = append(r.Contenders, raceEntrant{Name: "mercure", Skipped: "bin/peers/mercure is not there: make bench-setup"})
	return r
}

func TestRaceMarkdown(t *testing.T) {
	r := sampleRace()
	r.result(streamTen, "marquee", 5000).Lost = 1234
	var b strings.Builder
	if err := r.markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"`bench race -rounds 3`, begun 27 November 2026, 13:05 UTC, took 42m0s: medians (least-most) of 3 rounds.\nkernel 6.18, A CPU, 2 cores",
		"- **nchan** 1.0; 2 loops\n",
		"\nLong polls: from the change to the last client, ms:\n\n| server | 100 clients | 1,000 clients | 5,000 clients | 15,000 clients | 19,000 clients |\n| --- | --- | --- | --- | --- | --- |\n| floor | 0.75 (0.675-0.9) |",
		"| marquee | 0.825 (0.743-0.99) | 8.25 (7.42-9.9) | 41.2 (37.1-49.5) |",
		"| pushpin | 6.75 (6.08-8.1) | 67.5 (60.8-81) | 338 (304-405) | 1013 (911-1215) | failed |",
		"\n| server | 1,000 clients | 5,000 clients | 15,000 clients |\n",
		"\nStreams, 10 messages a second: 99th percentile, ms:\n\n| server | 5,000 clients |\n| --- | --- |\n| floor | 36.8 |\n| marquee | 40.4, 1,234 lost |\n",
		"\n| server | 100 B, 5,000 clients | 64 KB, 5,000 clients |\n",
		"\nSystem calls a delivery, to files and sockets, with the next poll of who polls:\n\n| server | long poll, traced, 500 clients | stream, traced, 500 clients |\n",
		"\nOther loads: to the last client, ms:\n\n| server | channels, 5,000 clients |\n",
		"\nAll poll again at once: from one change to the next, ms:\n\n| server | 5,000 clients |\n| --- | --- |\n| floor | 112 |\n",
		"from the ratios on of 5,000 of them; CPU is the server's, kernel memory that of both ends:\n\n| server | last of 5,000, ms | last of 15,000, ms | last of 19,000, ms | by the floor's | by nchan's | deliveries, a second | CPU, µs a delivery | memory, bytes a client | kernel memory, bytes a client | connects of streams, a second | system calls of streams, a delivery |\n",
		"| marquee | 41.2 | 124 | 157 | 1.10x | 0.88x | 121,212 | 4.4 | 960 | 5,300 | 8,182 | 1.1 |\n",
		"| centrifugo | - | - | - | - | - | - | - | - | - | 2,571 | - |\n",
		"| last of 15,000 long polls, ms: not after nchan's | 124 | 141 | 0.88x | met |\n",
		"| last of 19,000 long polls, ms: at most 1.25 of the floor's | 157 | 142 | 1.10x | met |\n",
		"| deliveries a CPU second: at least nchan's | 227,273 | 200,000 | 1.14x | met |\n",
		"| memory of a held client, bytes: the least of all servers | 960 | 5,100 | 0.19x | met |\n",
		"| last of 15,000 long polls, ms: 5 times better than tuned Pushpin's | 124 | 1,013 | 0.12x | met |\n",
		"| last of 1,000 streams, ms: 5 times better than tuned Pushpin's | 8.25 | 67.5 | 0.12x | met |\n",
		"| kernel memory, bytes a client: 5 times better than tuned Pushpin's | 5,300 | 11,200 | 0.47x | missed |\n",
		"| connects of streams, a second: 5 times better than tuned Pushpin's | 8,182 | 1,000 | 8.18x | met |\n",
		"\n- mercure did not run: bin/peers/mercure is not there: make bench-setup\n" +
			`- pushpin failed in "long poll" with 19,000 clients: 15,300 of 19,000 were \| held` + "\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

func TestRaceText(t *testing.T) {
	var b strings.Builder
	if err := sampleRace().write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n3 rounds in 42m0s\n",
		"\nserver                                floor     marquee   marquee, 1 loop   nchan     pushpin   pushpin as shipped   centrifugo\n" +
			"last of 5,000, ms                     37.5      41.2      60                46.9      338       1,875                -\n",
		"\nlast of 5,000 long polls, ms: not after nchan's ",
		"\nmercure did not run: bin/peers/mercure is not there: make bench-setup\npushpin failed in",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

// Each goal is missed just beyond its bound.
func TestRaceGoals(t *testing.T) {
	const n = summarySize
	result := func(contender string, last, cpu, memory float64) *raceResult {
		return &raceResult{Workload: longPoll, Contender: contender, Clients: n, Last: samples{last}, ServerCPU: samples{cpu}, Memory: samples{memory}}
	}
	for _, test := range []struct {
		name                            string
		marquee, floor, nchan, pushpin  *raceResult
		toNchan, toFloor, perCPU, least string
		fiveTimes                       string // of the time to the last
	}{
		{"all met, just so", result("marquee", 50, 5, 100), result("floor", 40, 1, 1), result("nchan", 50, 5, 100), result("pushpin", 250, 9, 100),
			"met", "met", "met", "met", "met"},
		{"all missed", result("marquee", 50, 5, 101), result("floor", 39.9, 1, 200), result("nchan", 49.9, 4.9, 200), result("pushpin", 249, 9, 100),
			"missed", "missed", "missed", "missed", "missed"},
		{"no others", result("marquee", 50, 5, 101), nil, nil, nil,
			"not measured", "not measured", "not measured", "not measured", "not measured"},
		{"not ours", &raceResult{Workload: longPoll, Contender: "marquee", Clients: n, Failed: "gone"},
			result("floor", 40, 1, 1), result("nchan", 50, 5, 100), result("pushpin", 250, 9, 100),
			"not measured", "not measured", "not measured", "not measured", "not measured"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &raceReport{}
			for _, x := range []*raceResult{test.marquee, test.floor, test.nchan, test.pushpin} {
				if x != nil {
					r.Results = append(r.Results, x)
					r.Contenders = append(r.Contenders, raceEntrant{Name: x.Contender})
				}
			}
			rows := r.goals().rows[1:]
			for i, want := range []string{test.toNchan, test.toFloor, test.perCPU, test.least, test.fiveTimes} {
				if got := rows[i][4]; got != want {
					t.Errorf("%q is %s, want %s", rows[i], got, want)
				}
			}
		})
	}
}

func TestReadRace(t *testing.T) {
	want := sampleRace()
	file := filepath.Join(t.TempDir(), "race.json")
	if err := writeJSON(file, want); err != nil {
		t.Fatal(err)
	}
	got, err := readRace(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

func TestReadRaceRefuses(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "race.json: unexpected end"},
		{"[]", "race.json: json: cannot unmarshal array"},
		{`{"results": [null]}`, "race.json: a result is null"},
	} {
		file := filepath.Join(t.TempDir(), "race.json")
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readRace(file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("readRace of %q: got error %v, want %q", test.text, err, test.want)
		}
	}
	if _, err := readRace(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("readRace of no file: got no error")
	}
}

// A report without results is no crash.
func TestRaceEmpty(t *testing.T) {
	r := &raceReport{}
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Error(err)
	}
	if err := r.markdown(&b); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := r.draw(dir); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("drew %v, %v, want nothing", left, err)
	}
}
