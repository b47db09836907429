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

func TestParseStat(t *testing.T) {
	for _, test := range []struct {
		text        string
		wantPID     int
		wantCommand string
		wantParent  int
	}{
		{"12 (edge) S 7 12 12 0 -1", 12, "edge", 7},
		{"12 (a) b (c) R 1 2", 12, "a) b (c", 1},
		{"12 (sleep)", 0, "", 0},
		{"12", 0, "", 0},
		{"x (edge) S 7", 0, "", 0},
		{"12 (edge) S x", 0, "", 0},
		{"", 0, "", 0},
	} {
		pid, command, parent, err := parseStat(test.text)
		if test.wantPID == 0 {
			if err == nil {
				t.Errorf("parseStat(%q) = %d, %q, %d, want an error", test.text, pid, command, parent)
			}
			continue
		}
		if err != nil || pid != test.wantPID || command != test.wantCommand || parent != test.wantParent {
			t.Errorf("parseStat(%q) = %d, %q, %d, %v, want %d, %q, %d",
				test.text, pid, command, parent, err, test.wantPID, test.wantCommand, test.wantParent)
		}
	}
}

// A grandchild's time counts. The test ends with that, or not at all.
func TestCPUByCommand(t *testing.T) {
	shell(t, "dd if=/dev/zero of=/dev/null & wait")
	for {
		seconds, err := cpuByCommand()
		if err != nil {
			t.Fatal(err)
		}
		if seconds["dd"] > 0 && seconds["bench"] > 0 {
			break
		}
		runtime.Gosched()
	}
}

func TestParseDropped(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64 // -1 for an error
	}{
		{"00f7eadc 0000191b 00000000\n00e4af81 00000001 00000004\n", 0x191c},
		{"", 0},
		{"00f7eadc\n", -1},
		{"00f7eadc zz\n", -1},
	} {
		got, err := parseDropped(test.text)
		if test.want < 0 && err == nil || test.want >= 0 && (err != nil || got != test.want) {
			t.Errorf("parseDropped(%q) = %d, %v, want %d (-1 for an error)", test.text, got, err, test.want)
		}
	}
	if got, err := droppedPackets(); err != nil || got < 0 {
		t.Errorf("droppedPackets() = %d, %v, want what this machine counts", got, err)
	}
}
