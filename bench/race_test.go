package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A small race, by the commands as they are: everybody has every message, and what
// is to be measured has been.
func TestRaceOfServers(t *testing.T) {
	workloads := "long poll 100 B; stream TLS"
	_, err := exec.LookPath("strace")
	traced := err == nil
	if traced {
		workloads += "; " + tracedStream
	} else {
		t.Log(errNoStrace)
	}
	out := filepath.Join(t.TempDir(), "race")
	cmd := exec.CommandContext(t.Context(), filepath.Join(buildCommands(t), "bench"), "race", "-rounds", "1",
		"-contenders", raceFloor+";"+raceMarquee, "-workloads", workloads, "-out", out)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("bench race: %v\n%s", err, text)
	}
	r, err := readRace(filepath.Join(out, "race.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		workload, contender string
		of                  []func(*raceResult) samples
	}{
		{tracedStream, raceFloor, []func(*raceResult) samples{func(x *raceResult) samples { return x.Syscalls }}},
		{tracedStream, raceMarquee, []func(*raceResult) samples{func(x *raceResult) samples { return x.Syscalls }}},
		{"long poll 100 B", raceFloor, []func(*raceResult) samples{lastOf, serverCPUOf, memoryOf}},
		{"long poll 100 B", raceMarquee, []func(*raceResult) samples{lastOf, serverCPUOf, memoryOf}},
		{"stream TLS", raceMarquee, []func(*raceResult) samples{lastOf, serverCPUOf}},
	} {
		if want.workload == tracedStream && !traced {
			continue
		}
		i := slices.IndexFunc(r.Results, func(x *raceResult) bool { return x.Workload == want.workload && x.Contender == want.contender })
		if i < 0 {
			t.Errorf("%s has no result of %q", want.contender, want.workload)
			continue
		}
		x := r.Results[i]
		if x.Failed != "" || x.Lost > 0 {
			t.Errorf("%s, %q: failed %q, %d lost", x.Contender, x.Workload, x.Failed, x.Lost)
		}
		for _, of := range want.of {
			if s := of(x); len(s) == 0 || slices.Min(s) <= 0 {
				t.Errorf("%s, %q: samples %v, want some, all above 0", x.Contender, x.Workload, s)
			}
		}
	}
	if want := map[bool]int{false: 3, true: 5}[traced]; len(r.Results) != want {
		t.Errorf("%d results, want %d", len(r.Results), want)
	}
	tables, err := os.ReadFile(filepath.Join(out, "race.md"))
	if err != nil || !strings.Contains(string(tables), "| marquee |") {
		t.Errorf("race.md: %v\n%s", err, tables)
	}
}

func TestChoose(t *testing.T) {
	all := []string{"a", "b", "b", "c, d"}
	name := func(s string) string { return s }
	for _, tt := range []struct {
		value string
		want  []string // nil for an error
	}{
		{"", all}, {"a", []string{"a"}}, {"c, d; b", []string{"c, d", "b", "b"}}, {"x", nil}, {"a;", nil},
	} {
		got, err := choose("names", tt.value, all, name)
		if !slices.Equal(got, tt.want) || (err != nil) != (tt.want == nil) {
			t.Errorf("choose %q: got %q, %v, want %q", tt.value, got, err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), "a; b; c, d") {
			t.Errorf("choose %q: error %v does not say what there is", tt.value, err)
		}
	}
}
