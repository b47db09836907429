package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var testTortureReport = tortureReport{Trials: []*trialResult{
	{
		Name: "edge-killed", Clients: 5000, Changes: 12, Refused: 1, HealedMS: 1234,
		Before:  deliveryTimes{P50: samples{1, 2, 3}, P99: samples{4}, Last: samples{5}},
		After:   deliveryTimes{P50: samples{7}, P99: samples{8}, Last: samples{9}},
		Figures: []trialFigure{{"memory", "MB", samples{12.5}}}, Notes: []string{"a | note"},
	},
	{Name: "slowloris", Clients: 2, Lost: 1200, Failures: []string{"it was\nslow"}},
	{Name: "partition", LeftOut: "needs root"},
}}

func TestTortureReport(t *testing.T) {
	var text strings.Builder
	if err := testTortureReport.write(&text); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.md")
	if err := testTortureReport.writeMarkdown(file); err != nil {
		t.Fatal(err)
	}
	markdown, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| attack or fault | load held | lost | before | during | after | note |\n| --- | --- |",
		`| edge-killed | 5,000 clients | nothing | 2/4/5 | - | 7/8/9 | all caught up 1234 ms after the end; 1 of 12 changes refused; memory 12.5 MB; a \| note |`,
		"| slowloris | 2 clients | 1,200 | - | - | - | FAILED: it was slow |",
		"| partition |  |  |  |  |  | left out: needs root |",
	} {
		if !strings.Contains(string(markdown), want) {
			t.Errorf("Markdown has no %q:\n%s", want, markdown)
		}
	}
	for _, want := range []string{"edge-killed", "5,000 clients", "2/4/5", "a | note"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("text has no %q:\n%s", want, &text)
		}
	}
	if testTortureReport.OK() {
		t.Error("a report with a failure is OK")
	}
}
