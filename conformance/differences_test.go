package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// differencesFile has the table of all that differs, between two marks.
const differencesFile = "../docs/conformance.md"

const (
	tableBegins = "<!-- the table is written by go test ./conformance -update -->\n"
	tableEnds   = "<!-- end of the table -->\n"
)

// allCases are those of every section.
func allCases() []testCase {
	return slices.Concat(requestCases, instructCases, longPollCases, sequenceCases, streamCases, linkCases, publishCases, sharingCases,
		filterCases, routeCases, crossOriginCases, recoverCases)
}

// differences returns the table of the cases that differ, by section.
func differences() string {
	var rows []string
	for _, c := range allCases() {
		if c.differs != nil {
			section, sentence, _ := strings.Cut(c.name, " ")
			rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", section, sentence,
				c.differs.pushpin, c.differs.marquee, c.differs.why, c.differs.notice))
		}
	}
	slices.SortStableFunc(rows, func(a, b string) int { return strings.Compare(sectionOf(a), sectionOf(b)) })
	return "| § | case | Pushpin | Marquee | why | what a user notices |\n|---|---|---|---|---|---|\n" + strings.Join(rows, "")
}

// sectionOf returns the section of a row, in a form that sorts.
func sectionOf(row string) string {
	var major, minor int
	_, _ = fmt.Sscanf(row, "| %d.%d", &major, &minor)
	return fmt.Sprintf("%03d.%03d", major, minor)
}

// The document lists exactly the cases that differ.
func TestDifferences(t *testing.T) {
	data, err := os.ReadFile(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(data), tableBegins)
	got, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("%s lacks the marks of the table", differencesFile)
	}
	want := differences()
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the table of %s is not that of the cases: run go test ./conformance -run TestDifferences -update\ngot\n%swant\n%s", differencesFile, got, want)
	}
	if err := os.WriteFile(differencesFile, []byte(before+tableBegins+want+tableEnds+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Each case has a name of its own that begins with a section.
func TestCaseNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range allCases() {
		if sectionOf("| "+c.name) == "000.000" {
			t.Errorf("%q does not begin with a section", c.name)
		}
		if seen[c.name] {
			t.Errorf("two cases are named %q", c.name)
		}
		seen[c.name] = true
	}
}
