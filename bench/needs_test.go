package main

import (
	"strings"
	"testing"
)

func TestSupplyMissing(t *testing.T) {
	ample := supply{filesPerProcess: 20_000, files: 1 << 30, memory: 16 << 30, ports: 28_232, tracked: -1}
	for _, test := range []struct {
		name                   string
		change                 func(*supply)
		capacity, nodeCapacity int
		want                   []string // what the error says, a line each; none for no error
	}{
		{"enough", func(*supply) {}, 100_000, 5000, nil},
		{"tracked and enough", func(s *supply) { s.tracked = 100_000 }, 100_000, 5000, nil},
		{"few files a process", func(s *supply) { s.filesPerProcess = 1024 }, 100_000, 5000,
			[]string{"100,000 clients need 5,700 open files of one process, there are 1,024: raise"}},
		{"few files a process and few clients", func(s *supply) { s.filesPerProcess = 1024 }, 200, 5000, nil},
		{"large nodes", func(*supply) {}, 100_000, 20_000,
			[]string{"100,000 clients need 20,700 open files of one process, there are 20,000: raise"}},
		{"few files in all", func(s *supply) { s.files = 200_000 }, 100_000, 5000,
			[]string{"100,000 clients need 202,000 open files of the machine, there are 200,000: raise fs.file-max"}},
		{"little memory", func(s *supply) { s.memory = 1 << 30 }, 100_000, 5000,
			[]string{"bytes of memory, there are 1,073,741,824: lower -capacity"}},
		{"few ports", func(s *supply) { s.ports = 10 }, 100_000, 5000,
			[]string{"100,000 clients need 5,000 local ports from one group to its edge, there are 937: widen"}},
		{"table of connections almost full", func(s *supply) { s.tracked = 99_999 }, 100_000, 5000,
			[]string{"100,000 clients need 100,000 connections that are tracked, there are 99,999: raise"}},
		{"table of connections full", func(s *supply) { s.tracked = 0 }, 100_000, 5000,
			[]string{"100,000 clients need 100,000 connections that are tracked, there are 0: raise"}},
		{"nothing", func(s *supply) { *s = supply{} }, 1, 1,
			[]string{"1 clients need 701 open files of one process", "open files of the machine", "bytes of memory", "local ports", "tracked"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ample
			test.change(&s)
			err := s.missing(test.capacity, test.nodeCapacity)
			if err == nil {
				if len(test.want) > 0 {
					t.Errorf("missing(%d, %d) of %+v = nil, want %q", test.capacity, test.nodeCapacity, s, test.want)
				}
				return
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("missing(%d, %d) of %+v = %q, want %q", test.capacity, test.nodeCapacity, s, lines, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("missing(%d, %d) of %+v says %q, want %q", test.capacity, test.nodeCapacity, s, lines[i], want)
				}
			}
		})
	}
}

// This machine runs the test, so it has some of everything.
func TestReadSupply(t *testing.T) {
	s, err := readSupply()
	if err != nil {
		t.Fatal(err)
	}
	if s.filesPerProcess < 10 || s.files < 10 || s.memory < 1<<20 || s.ports < 1 || s.tracked < -1 {
		t.Errorf("readSupply() = %+v, want some of everything", s)
	}
}

func TestAvailableMemory(t *testing.T) {
	got, err := availableMemory([]byte("MemTotal:       24683520 kB\nMemAvailable:   23900248 kB\n"))
	if err != nil || got != 23900248<<10 {
		t.Errorf("availableMemory = %d, %v, want %d", got, err, 23900248<<10)
	}
	if got, err := availableMemory([]byte("MemTotal: 1 kB\n")); err == nil {
		t.Errorf("availableMemory without MemAvailable = %d, want an error", got)
	}
}
