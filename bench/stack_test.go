package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"testing"
)

// Without the other commands beside it a stack does not start, and what was made
// for it is gone.
func TestStartStackCleansUp(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	if _, err := startStack(t.Context(), testLog(t), anywhere); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("startStack without an edge: got error %v, want %v", err, fs.ErrNotExist)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("startStack left %v behind", left)
	}
}

func TestFreeAddr(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := l.Addr().String()
	got, err := freeAddr(taken)
	if err != nil || got == taken {
		t.Errorf("freeAddr(%q), which is taken, = %q, %v, want another", taken, got, err)
	}
	l.Close()
	if got, err := freeAddr(taken); err != nil || got != taken {
		t.Errorf("freeAddr(%q), which is free, = %q, %v, want it", taken, got, err)
	}
	if got, err := freeAddr("nowhere"); err == nil {
		t.Errorf("freeAddr(%q) = %q, want an error", "nowhere", got)
	}
}
