// Package deploy holds what it takes to run the commands; there is nothing here but
// its test.
package deploy

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// libexec is where the units expect the commands.
const libexec = "/usr/local/lib/marquee/"

// analyze runs systemd-analyze, where it is installed.
func analyze(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze %q: %v\n%s", args, err, text)
	}
	return string(text)
}

// installed returns the units in a folder of their own, with commands beside them
// in place of those that are not installed.
func installed(t *testing.T) (units []string) {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob("marquee-*")
	if err != nil || len(files) < 5 {
		t.Fatalf("units %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"edge", "origin"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			text = bytes.ReplaceAll(text, []byte(libexec+name), []byte(filepath.Join(dir, name)))
		}
		unit := filepath.Join(dir, file)
		if err := os.WriteFile(unit, text, 0o644); err != nil {
			t.Fatal(err)
		}
		units = append(units, unit)
	}
	return units
}

// systemd has nothing to say against the units.
func TestUnits(t *testing.T) {
	units := installed(t)
	if text := analyze(t, append([]string{"verify"}, units...)...); text != "" {
		t.Errorf("systemd-analyze verify:\n%s", text)
	}
}

// What an intruder could do in the services is little, by systemd's own measure
// from 0 to 10.
func TestExposure(t *testing.T) {
	const most = 1.5
	for _, unit := range []string{"marquee-edge.service", "marquee-origin.service"} {
		text := analyze(t, "security", "--no-pager", "--offline=true", unit)
		_, rest, _ := strings.Cut(text, "Overall exposure level for "+unit+": ")
		level, _, _ := strings.Cut(rest, " ")
		if got, err := strconv.ParseFloat(level, 64); err != nil || got > most {
			t.Errorf("exposure of %s is %q, %v, want at most %v\n%s", unit, level, err, most, text)
		}
	}
}
