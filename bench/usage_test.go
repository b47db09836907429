package main

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A busy child uses CPU time. The test ends with that, or not at all.
func TestCPUTime(t *testing.T) {
	p := shell(t, "while :; do :; done")
	before, err := p.cpuTime()
	if err != nil {
		t.Fatal(err)
	}
	for {
		now, err := p.cpuTime()
		if err != nil {
			t.Fatal(err)
		}
		if now > before {
			break
		}
		runtime.Gosched()
	}
}

func TestMemory(t *testing.T) {
	self := &process{name: "self", pid: os.Getpid()}
	before, err := self.memory()
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	// Not from the heap, which may have pages left that are in memory already.
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(block)
	for i := 0; i < size; i += os.Getpagesize() {
		block[i] = 1
	}
	after, err := self.memory()
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < size*9/10 {
		t.Errorf("memory grew by %.0f bytes after %d were written", grown, size)
	}
}

func TestUsageOfEndedProcess(t *testing.T) {
	p := shell(t, "exit 0")
	if err := p.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := p.memory(); err == nil {
		t.Errorf("memory of an ended process = %v, want an error", got)
	}
	if got, err := p.cpuTime(); err == nil {
		t.Errorf("cpuTime of an ended process = %v, want an error", got)
	}
}
