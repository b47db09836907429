package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDisk(t *testing.T) {
	if err := canMakeDisks(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	d, err := newDisk(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	write := func() error {
		return d.inside(func() error {
			return os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("x"), 100<<10), 0o600)
		})
	}
	if err := d.fill(); err != nil {
		t.Fatalf("fill: %v", err)
	}
	if err := write(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write to a full disk: %v, want %v", err, unix.ENOSPC)
	}
	if err := d.clear(); err != nil {
		t.Fatalf("clear: %v", err)
	}
	if err := write(); err != nil {
		t.Errorf("write to a disk with room: %v", err)
	}

	// A program sees it, and nobody else does.
	var out bytes.Buffer
	script := shellScript("ls " + dir)
	script.stdout, script.disk = &out, d
	p, err := start(io.Discard, script)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "file\n" {
		t.Errorf("a program sees %q on its disk, want file", got)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("who is elsewhere sees %v, %v on the disk, want nothing", left, err)
	}
}
