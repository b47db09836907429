package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// kernelWarnings compares settings in force with what the connection count
// needs; tuning/sysctl.conf has the arithmetic.
func kernelWarnings(connections int) []string {
	var warnings []string
	for _, s := range []struct {
		path, name string
		least      int
		why        string
	}{
		{"/proc/sys/net/core/somaxconn", "net.core.somaxconn", min(connections, 4096),
			"connections that come together overflow the accept queue and try again a second later"},
		{"/proc/sys/net/ipv4/tcp_max_syn_backlog", "net.ipv4.tcp_max_syn_backlog", min(connections, 1024),
			"connections that come together are dropped before they are accepted"},
	} {
		text, err := os.ReadFile(s.path)
		if err != nil {
			continue // not shown in this network namespace
		}
		if v, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && v < s.least {
			warnings = append(warnings, fmt.Sprintf("%s is %d, below %d for %d connections: %s; make tune sets it",
				s.name, v, s.least, connections, s.why))
		}
	}
	return warnings
}
