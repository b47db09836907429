package main

import (
	"slices"
	"strings"
	"testing"
)

// sampleReport is a run of three changes.
func sampleReport() *demoReport {
	return &demoReport{
		Machine:  machine{Kernel: "6.1", CPU: "Some CPU", Cores: 2, LoadAverage: "0.1 0.2 0.3", Go: "go1.26", Version: "abc"},
		Capacity: 100_000, NodeCapacity: 5000, Edges: 20, Groups: 20, Ready: 12345,
		Changes: []*demoChange{
			{ID: 2, Received: 100_000, Delivery: times{300, 450, 600}, True: times{5, 440, 900}, Dropped: 3,
				CPU: map[string]float64{"edge": 1, "loadclient": .5}, Curve: [][2]float64{{50, 1000}, {500, 60_000}, {910, 100_000}}},
			{ID: 3, Received: 100_000, Delivery: times{200, 400, 550}, True: times{3, 405, 800}, Dropped: 4,
				CPU: map[string]float64{"edge": .9, "loadclient": .6}, Curve: [][2]float64{{60, 2000}, {810, 100_000}}},
			{ID: 4, Received: 100_000, Delivery: times{400, 700, 900}, True: times{4, 701, 1400},
				CPU: map[string]float64{"edge": 1.2, "loadclient": .4}, Curve: [][2]float64{{70, 3000}, {1410, 100_000}}},
		},
	}
}

func TestDemoReportMedians(t *testing.T) {
	m := sampleReport().medians()
	if want := (times{300, 450, 600}); m.Delivery != want {
		t.Errorf("median Delivery = %v, want %v", m.Delivery, want)
	}
	if want := (times{4, 440, 900}); m.True != want {
		t.Errorf("median True = %v, want %v", m.True, want)
	}
	if m.Received != 100_000 {
		t.Errorf("median Received = %d, want 100000", m.Received)
	}
	if m.CPU["edge"] != 1 || m.CPU["loadclient"] != .5 {
		t.Errorf("median CPU = %v, want edge 1 and loadclient 0.5", m.CPU)
	}
}

func TestDemoReportMissed(t *testing.T) {
	r := sampleReport()
	if err := r.missed(); err != nil {
		t.Errorf("missed() = %v, want nil", err)
	}
	r.Changes[1].Received--
	const want = "change 2 reached 99,999 of 100,000 clients"
	if err := r.missed(); err == nil || err.Error() != want {
		t.Errorf("missed() = %v, want %q", err, want)
	}
}

func TestDemoChangeCells(t *testing.T) {
	c := &demoChange{Received: 99_999, Delivery: times{123.456, 1234.5, 12345.6}, True: times{0.5, 1250, 20000}}
	want := []string{"median", "99,999", "123", "1,235", "12,346", "0.5", "1,250", "20,000", "-15.5"}
	if got := c.cells("median"); !slices.Equal(got, want) {
		t.Errorf("cells of %+v = %q, want %q", c, got, want)
	}
}

func TestDemoReportWrite(t *testing.T) {
	const want = `
kernel 6.1, Some CPU, 2 cores, load 0.1 0.2 0.3, go1.26, version abc
100,000 clients of 20 edges, in 20 groups, held after 12.3 s

   ms since the change              by the   formula   of 2013   by the   clients'     clock   formula's
                change   received    first   average      last    first    average      last       error
                     1    100,000      300       450       600        5        440       900          10
                     2    100,000      200       400       550        3        405       800          -5
                     3    100,000      400       700       900        4        701     1,400          -1
                median    100,000      300       450       600        4        440       900          10
     2013, 42 machines    100,000                501     1,682                                          
                  goal    100,000              < 501   < 1,000               < 501   < 1,000            
                              met                met       met                 met       met            

CPU seconds a change: 1.50 (edge 1.00, loadclient 0.50). Packets dropped: 7.
`
	var got strings.Builder
	if err := sampleReport().write(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got report\n%s\nwant\n%s", got.String(), want)
	}
}

// The goal is judged by the medians, and is for the full capacity only.
func TestDemoReportGoal(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*demoReport)
		want   string // of the last row of the table
	}{
		{"last missed by the clock", func(r *demoReport) { r.Changes[1].True.Max = 1000; r.Changes[0].True.Max = 1000 }, "met met met met missed"},
		{"average missed by the formula", func(r *demoReport) { r.Changes[0].Delivery.Avg = 501 }, "met missed met met met"},
		{"clients missed", func(r *demoReport) { r.Changes[0].Received--; r.Changes[1].Received -= 2 }, "missed met met met met"},
		{"small", func(r *demoReport) { r.Capacity = 20_000 }, "2013, 42 machines 100,000 501 1,682"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := sampleReport()
			test.change(r)
			var text strings.Builder
			if err := r.write(&text); err != nil {
				t.Fatal(err)
			}
			table, _, _ := strings.Cut(text.String(), "\n\nCPU")
			lines := strings.Split(table, "\n")
			if got := strings.Join(strings.Fields(lines[len(lines)-1]), " "); got != test.want {
				t.Errorf("last row %q, want %q, of\n%s", got, test.want, text.String())
			}
		})
	}
}
