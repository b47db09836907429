package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
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
	Version     string `json:"version"` // of this command, and those built with it
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Version: version}
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
	return m
}

// kernelSettings are those that a delivery to very many depends on, as they are.
func kernelSettings() map[string]string {
	settings := make(map[string]string)
	for _, name := range []string{
		"net.core.netdev_max_backlog", "net.core.somaxconn", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_congestion_control",
		"net.ipv4.tcp_mem", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
	} {
		if value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/")); err == nil {
			settings[name] = strings.Join(strings.Fields(string(value)), " ")
		}
	}
	return settings
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
	return fmt.Sprintf("kernel %s, %s, %d cores, load %s, %s, version %s",
		m.Kernel, m.CPU, m.Cores, m.LoadAverage, m.Go, m.Version)
}
