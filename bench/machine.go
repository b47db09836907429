package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A machine is what a figure was measured on and with. A fact that cannot be
// found out is empty.
type machine struct {
	Kernel      string `json:"kernel"`
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	LoadAverage string `json:"load_average"` // 1, 5 and 15 minutes, before the start
	Go          string `json:"go"`
	Commit      string `json:"commit"` // of the checkout that the binaries lie in
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = cpuModel(info)
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fields := strings.Fields(string(load))
		m.LoadAverage = strings.Join(fields[:min(3, len(fields))], " ")
	}
	if self, err := os.Executable(); err == nil {
		describe := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12")
		describe.Dir = filepath.Dir(self)
		if commit, err := describe.Output(); err == nil {
			m.Commit = strings.TrimSpace(string(commit))
		}
	}
	return m
}

// cpuModel finds the first model name in the contents of /proc/cpuinfo.
func cpuModel(info []byte) string {
	lines := bufio.NewScanner(bytes.NewReader(info))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (m machine) String() string {
	return fmt.Sprintf("kernel %s, %s, %d cores, load %s, %s, commit %s",
		m.Kernel, m.CPU, m.Cores, m.LoadAverage, m.Go, m.Commit)
}
