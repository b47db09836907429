package main

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestSoak is make soak in a minute: nothing is lost, and nothing grows.
func TestSoak(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), filepath.Join(buildCommands(t), "bench"), "soak", "-for", "1m", "-clients", "400")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	text, err := cmd.CombinedOutput()
	t.Logf("%s", text)
	if err != nil {
		t.Fatalf("bench soak: %v", err)
	}
}
