package main

import (
	"os"
	"runtime"
	"testing"
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
	block := make([]byte, size)
	for i := 0; i < size; i += os.Getpagesize() {
		block[i] = 1
	}
	after, err := self.memory()
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(block)
	// The race detector takes as much again for itself, and more.
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
