package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildCommands builds all commands and returns their directory.
func buildCommands(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator),
		"marquee/bench", "marquee/dashboard", "marquee/edge", "marquee/loadclient", "marquee/origin")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the commands: %v\n%s", err, out)
	}
	return dir
}

// The demonstration from start to end, with a thousandth of its clients.
func TestDemo100k(t *testing.T) {
	t.Parallel()
	dir := buildCommands(t)
	out := filepath.Join(t.TempDir(), "made", "demo")
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "bench"),
		"demo-100k", "-capacity", "100", "-node-capacity", "40", "-changes", "1", "-out", out)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("bench demo-100k: %v\n%s", err, text)
	}
	for _, want := range []string{
		" en=3/3 cn=3/3 ", " r=100 ", "100 of 100 clients held, edges 3/3, groups 3/3",
		"100 clients of 3 edges, in 3 groups, held after", "2013, 42 machines", "CPU seconds a change: ",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("bench demo-100k does not say %q but\n%s", want, text)
		}
	}
	var r demoReport
	data, err := os.ReadFile(out + ".json")
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Changes) != 1 {
		t.Fatalf("report has %d changes, want 1", len(r.Changes))
	}
	c := r.Changes[0]
	if c.Received != 100 || len(c.Curve) == 0 || c.Curve[len(c.Curve)-1][1] != 100 {
		t.Errorf("change reached %d clients with the curve %v, want 100", c.Received, c.Curve)
	}
	if c.True.Max <= 0 || c.True.Avg > c.True.Max || c.True.Min > c.True.Avg {
		t.Errorf("true times are %+v, want first, average and last in this order", c.True)
	}
	for _, command := range []string{"bench", "dashboard", "edge", "loadclient", "origin"} {
		if c.CPU[command] <= 0 {
			t.Errorf("CPU seconds are %v, want some of %s", c.CPU, command)
		}
	}
	for _, extension := range []string{".png", ".svg"} {
		if _, err := os.Stat(out + extension); err != nil {
			t.Errorf("no picture: %v", err)
		}
	}
}
