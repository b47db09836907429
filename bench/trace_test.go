package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestCountCalls(t *testing.T) {
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 75.00    0.000300           1       200           write
 25.00    0.000100           1       100         7 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.000400           1       300         7 total
`
	for _, tt := range []struct {
		name, table string
		want        float64
		ok          bool
	}{
		{"a table", table, 300, true},
		{"without errors", strings.Replace(table, "         7 total", "           total", 1), 300, true},
		{"nothing", "", 0, false},
		{"cut short", table[:200], 0, false},
		{"no number", strings.Replace(table, "300         7 total", "x           7 total", 1), 0, false},
	} {
		got, err := countCalls(strings.NewReader(tt.table))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: got %v, %v, want %v, ok %t", tt.name, got, err, tt.want, tt.ok)
		}
	}
}

// The calls of a real process are counted, all that it makes meanwhile.
func TestTrace(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip(errNoStrace)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	cat := exec.Command("cat")
	cat.Stdin = read
	out, err := cat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cat.Process.Signal(syscall.SIGKILL)
		_ = cat.Wait()
	}()
	echo := func() {
		t.Helper()
		if _, err := write.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	echo() // it has begun
	trace, err := startTrace(t.Output(), []int{cat.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		echo()
	}
	calls, err := trace.end()
	if err != nil || calls < 199 || calls > 202 {
		t.Errorf("%v calls are counted, %v, want about two an echo: 200", calls, err)
	}
}
