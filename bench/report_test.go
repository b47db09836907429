package main

import (
	"slices"
	"strings"
	"testing"
)

func TestFigureCells(t *testing.T) {
	for _, test := range []struct {
		name   string
		figure figure
		want   []string
	}{
		{"no goal, no floor", figure{Name: "a", Edge: samples{3}},
			[]string{"a", "-", "3", "", "", ""}},
		{"goal met exactly", figure{Name: "a", Unit: "ms", Edge: samples{60}, Goal: 60},
			[]string{"a, ms", "-", "60", "", "at most 60", "met"}},
		{"goal missed", figure{Name: "a", Edge: samples{61}, Goal: 60},
			[]string{"a", "-", "61", "", "at most 60", "missed"}},
		{"the median counts", figure{Name: "a", Edge: samples{10, 20, 900}, Goal: 60},
			[]string{"a", "-", "20 (10-900)", "", "at most 60", "met"}},
		{"both goals met", figure{Name: "a", Floor: samples{40}, Edge: samples{50}, Goal: 60, RatioGoal: 1.5},
			[]string{"a", "40", "50", "1.25x", "at most 60 and 1.5x", "met"}},
		{"ratio missed", figure{Name: "a", Floor: samples{20}, Edge: samples{50}, Goal: 60, RatioGoal: 1.5},
			[]string{"a", "20", "50", "2.50x", "at most 60 and 1.5x", "missed"}},
		{"least reached exactly", figure{Name: "a", Floor: samples{20}, Edge: samples{10}, Least: 10},
			[]string{"a", "20", "10", "0.50x", "at least 10", "met"}},
		{"less than the least", figure{Name: "a", Edge: samples{9}, Least: 10},
			[]string{"a", "-", "9", "", "at least 10", "missed"}},
		{"zero is a measured value", figure{Name: "a", Edge: samples{0}, Goal: 1},
			[]string{"a", "-", "0", "", "at most 1", "met"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.figure.cells(); !slices.Equal(got, test.want) {
				t.Errorf("cells of %+v = %q, want %q", test.figure, got, test.want)
			}
		})
	}
}

func TestReportWrite(t *testing.T) {
	r := report{
		Machine: machine{Kernel: "6.1", CPU: "Some CPU", Cores: 2, LoadAverage: "0.1 0.2 0.3", Go: "go1.26", Version: "abc"},
		Rounds:  5, Changes: 3, Loops: 2, Sized: "answers", FloorBytes: 170, EdgeBytes: 171,
		Figures: []*figure{
			{Name: "longer name", Unit: "ms", Floor: samples{1}, Edge: samples{2}},
			{Name: "b", Edge: samples{3}, Goal: 2},
		},
	}
	const want = `
kernel 6.1, Some CPU, 2 cores, load 0.1 0.2 0.3, go1.26, version abc
medians (least-most) of 5 rounds of 3 changes, 2 loops or threads, answers of 171 bytes (floor 170)

figure            floor   edge   edge/floor   goal        
longer name, ms   1       2      2.00x                    
b                 -       3                   at most 2   missed
`
	var got strings.Builder
	if err := r.write(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got report\n%s\nwant\n%s", got.String(), want)
	}
}

// What is compared has names.
func TestReportContenders(t *testing.T) {
	r := report{Contenders: [2]string{"plain", "TLS"}, Figures: []*figure{{Name: "a", Floor: samples{1}, Edge: samples{2}}}}
	var got strings.Builder
	if err := r.write(&got); err != nil {
		t.Fatal(err)
	}
	if want := []string{"figure", "plain", "TLS", "TLS/plain", "goal"}; !strings.Contains(strings.Join(strings.Fields(got.String()), " "), strings.Join(want, " ")) {
		t.Errorf("got report\n%s\nwant the columns %q", got.String(), want)
	}
}
