package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestTorture carries out the short form of every trial, each by a command of its
// own.
func TestTorture(t *testing.T) {
	dir := buildCommands(t)
	for _, trial := range trials() {
		t.Run(trial.name, func(t *testing.T) {
			t.Parallel()
			if trial.needs != nil {
				if err := trial.needs(); err != nil {
					t.Skip(err)
				}
			}
			file := filepath.Join(t.TempDir(), "report.json")
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "bench"), "torture", "-short", "-only", trial.name, "-json", file)
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
			text, err := cmd.CombinedOutput()
			t.Logf("%s", text)
			if err != nil {
				t.Fatalf("bench torture -short -only %s: %v", trial.name, err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r tortureReport
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatal(err)
			}
			if len(r.Trials) != 1 || r.Trials[0].Name != trial.name || r.Trials[0].Clients != trial.short.clients ||
				len(r.Trials[0].Before.Last) == 0 || len(r.Trials[0].After.Last) == 0 || len(r.Trials[0].Commands) < 4 {
				t.Errorf("report:\n%s", data)
			}
		})
	}
}

func TestTrials(t *testing.T) {
	var names []string
	for _, trial := range trials() {
		if slices.Contains(names, trial.name) {
			t.Errorf("there are two trials %q", trial.name)
		}
		names = append(names, trial.name)
		if trial.name == "" || strings.ContainsAny(trial.name, ", ") || trial.does == "" || trial.run == nil {
			t.Errorf("trial %q: wants a name without commas and spaces, what it does, and to be run", trial.name)
		}
		for _, s := range []size{trial.long, trial.short} {
			if s.clients < 2 || s.changes < 1 || s.every <= 0 {
				t.Errorf("trial %q: size %+v has no clients, changes or pace", trial.name, s)
			}
		}
	}
}

func TestPick(t *testing.T) {
	all := []trial{{name: "a"}, {name: "b"}, {name: "c"}}
	for _, test := range []struct {
		names, want, wantErr string
	}{
		{"", "a b c", ""},
		{"b", "b", ""},
		{"c,a", "c a", ""},
		{"d", "", `-only "d": no such trial`},
	} {
		picked, err := pick(all, test.names)
		var got []string
		for _, p := range picked {
			got = append(got, p.name)
		}
		if test.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("pick(%q): error %v, want %q", test.names, err, test.wantErr)
			}
		} else if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("pick(%q) = %q, %v, want %q", test.names, got, err, test.want)
		}
	}
}
