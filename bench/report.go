package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A report is what "bench main", "bench streams" or "bench tls" found out.
type report struct {
	Machine machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	Changes int     `json:"changes_per_round"`
	Loops   int     `json:"loops"`
	// Sized is what FloorBytes and EdgeBytes are the lengths of, the same from
	// each: "answers", with the head, or "messages" on a stream, with what HTTP
	// puts around them. A fair race has them equal.
	Sized      string    `json:"sized"`
	FloorBytes int       `json:"floor_answer_bytes"`
	EdgeBytes  int       `json:"edge_answer_bytes"`
	Figures    []*figure `json:"figures"`
	// Contenders are the names of what is compared, if not floor and edge.
	Contenders [2]string `json:"contenders,omitzero"`
}

// contenders returns the names of what is compared.
func (r *report) contenders() (floor, edge string) {
	if r.Contenders == [2]string{} {
		return "floor", "edge"
	}
	return r.Contenders[0], r.Contenders[1]
}

// A figure is one measured quantity. Less is better for all of them but those with
// a goal to be reached from above.
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
	// Least is the least that the edge's median may be, 0 for no such goal.
	Least float64 `json:"least,omitempty"`
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
		(f.RatioGoal == 0 || f.ratio() <= f.RatioGoal) &&
		f.Edge.median() >= f.Least
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
		goal = "at most " + strings.Join(goals, " and ")
	} else if f.Least > 0 {
		goal = "at least " + strconv.FormatFloat(f.Least, 'f', -1, 64)
	}
	if goal != "" {
		verdict = "missed"
		if f.met() {
			verdict = "met"
		}
	}
	return []string{name, f.Floor.String(), f.Edge.String(), ratio, goal, verdict}
}

// row adds a figure to the table.
func (r *report) row(f figure) *figure {
	r.Figures = append(r.Figures, &f)
	return &f
}

// write prints the report as text.
func (r *report) write(w io.Writer) error {
	floor, edge := r.contenders()
	fmt.Fprintf(w, "\n%s\nmedians (least-most) of %d rounds of %d changes, %d loops or threads, %s of %d bytes (%s %d)\n\n",
		r.Machine, r.Rounds, r.Changes, r.Loops, r.Sized, r.EdgeBytes, floor, r.FloorBytes)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "figure\t%s\t%s\t%s/%s\tgoal\t\n", floor, edge, edge, floor)
	for _, f := range r.Figures {
		fmt.Fprintln(table, strings.Join(f.cells(), "\t"))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// writeJSON writes a report with all samples to file, if that is not empty.
func writeJSON(file string, report any) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// markdownRow writes a row of a Markdown table.
func markdownRow(b *strings.Builder, cells []string) {
	for _, c := range cells {
		b.WriteString("| " + markdownText(c) + " ")
	}
	b.WriteString("|\n")
}

// markdownText makes text fit for a cell of a Markdown table, or an item of a list.
func markdownText(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), "|", `\|`)
}
