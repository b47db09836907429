package main

import (
	"context"
	"fmt"
	"os"
)

// vitals are what must not grow in a server that serves the same load: memory in
// bytes, open files, and goroutines.
type vitals struct{ memory, files, goroutines float64 }

// vitals looks at an edge.
func (v *server) vitals(ctx context.Context) (vitals, error) {
	m, err := scrape(ctx, "http://"+v.at.Control)
	if err != nil {
		return vitals{}, err
	}
	files, err := v.process.files()
	if err != nil {
		return vitals{}, err
	}
	memory, err := v.process.memory()
	return vitals{memory, float64(files), m[goroutines]}, err
}

// settledVitals is vitals when the memory has settled.
func (v *server) settledVitals(ctx context.Context) (vitals, error) {
	memory, err := v.process.settledMemory(ctx)
	if err != nil {
		return vitals{}, err
	}
	now, err := v.vitals(ctx)
	now.memory = memory
	return now, err
}

// files returns how many files the child has open.
func (p *process) files() (int, error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	if err != nil {
		return 0, fmt.Errorf("count the files of %s: %w", p.name, err)
	}
	return len(fds), nil
}

// The slack of two looks at the same server: what a scrape, an idle connection to
// the origin and the runtime's own goroutines make of difference; and by what part
// its memory may differ, or, where it is small, by how much.
const (
	vitalsSlack = 16
	memorySlack = 0.10
	leastMemory = 3 << 20
)

// grown says what has grown beyond the slack between then and now, "" if nothing
// has.
func (now vitals) grown(then vitals) string {
	switch {
	case now.memory-then.memory > max(memorySlack*then.memory, leastMemory):
		return fmt.Sprintf("memory from %.1f MB to %.1f MB", then.memory/1e6, now.memory/1e6)
	case now.files > then.files+vitalsSlack:
		return fmt.Sprintf("open files from %.0f to %.0f", then.files, now.files)
	case now.goroutines > then.goroutines+vitalsSlack:
		return fmt.Sprintf("goroutines from %.0f to %.0f", then.goroutines, now.goroutines)
	}
	return ""
}

// A course is the vitals of a server over time.
type course []vitals

// third returns the medians of the first third, or of the last.
func (c course) third(last bool) vitals {
	n := max(len(c)/3, 1)
	part := c[:n]
	if last {
		part = c[len(c)-n:]
	}
	var memory, files, goroutines samples
	for _, v := range part {
		memory, files, goroutines = append(memory, v.memory), append(files, v.files), append(goroutines, v.goroutines)
	}
	return vitals{memory.median(), files.median(), goroutines.median()}
}
