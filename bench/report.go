package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A report is what "bench main" found out.
type report struct {
	Machine machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	Changes int     `json:"changes_per_round"`
	Loops   int     `json:"loops"`
	// FloorBytes and EdgeBytes are the lengths of the same answer, head
	// included, from each. A fair race has them equal.
	FloorBytes int       `json:"floor_answer_bytes"`
	EdgeBytes  int       `json:"edge_answer_bytes"`
	Figures    []*figure `json:"figures"`
}

// A figure is one measured quantity. Less is better for all of them.
type figure struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	// Floor has no samples where the floor has nothing to compare.
	Floor samples `json:"floor,omitempty"`
	Edge  samples `json:"edge"`
	// Goal is the most that the edge's median may be, RatioGoal the most that
	// edge/floor may be. 0 means that there is no goal.
	Goal      float64 `json:"goal,omitempty"`
	RatioGoal float64 `json:"ratio_goal,omitempty"`
}

// ratio returns the edge's median over the floor's, 0 if there is none.
func (f *figure) ratio() float64 {
	if f.Floor.median() == 0 {
		return 0
	}
	return f.Edge.median() / f.Floor.median()
}

// met says whether every goal that there is was reached.
func (f *figure) met() bool {
	return (f.Goal == 0 || f.Edge.median() <= f.Goal) &&
		(f.RatioGoal == 0 || f.ratio() <= f.RatioGoal)
}

// cells are the figure's row of the table.
func (f *figure) cells() []string {
	name := f.Name
	if f.Unit != "" {
		name += ", " + f.Unit
	}
	ratio, goal, verdict := "", "", ""
	if f.ratio() > 0 {
		ratio = fmt.Sprintf("%.2fx", f.ratio())
	}
	var goals []string
	if f.Goal > 0 {
		goals = append(goals, strconv.FormatFloat(f.Goal, 'f', -1, 64))
	}
	if f.RatioGoal > 0 {
		goals = append(goals, strconv.FormatFloat(f.RatioGoal, 'f', -1, 64)+"x")
	}
	if len(goals) > 0 {
		goal, verdict = "at most "+strings.Join(goals, " and "), "missed"
		if f.met() {
			verdict = "met"
		}
	}
	return []string{name, f.Floor.String(), f.Edge.String(), ratio, goal, verdict}
}

// write prints the report as text.
func (r *report) write(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\nmedians (least-most) of %d rounds of %d changes, %d loops or threads, answers of %d bytes (floor %d)\n\n",
		r.Machine, r.Rounds, r.Changes, r.Loops, r.EdgeBytes, r.FloorBytes)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "figure\tfloor\tedge\tedge/floor\tgoal\t")
	for _, f := range r.Figures {
		fmt.Fprintln(table, strings.Join(f.cells(), "\t"))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
