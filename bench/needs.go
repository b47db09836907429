package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// What the demonstration takes from the machine that it runs on as a whole.
const (
	// An edge keeps back descriptors for requests to the origin and for itself
	// (its -max-open-requests and some more); a client group needs fewer.
	edgeSpareFiles = 700
	// nodeSpareFiles is what a process has open that is neither client nor
	// held, rounded up, for the sum over all.
	nodeSpareFiles = 50

	// Both ends of each connection are here. Measured: MemAvailable falls by 1,160
	// MB at 100,000 clients of 20 edges, deliveries included, and by 330 MB at
	// most with 20 clients of 20 edges. So, rounded up:
	clientBytes = 12 << 10
	nodeBytes   = 12 << 20 // an edge or a client group without clients
	otherBytes  = 256 << 20

	// A load client that asks an edge on the loopback uses sourceShare of the
	// local ports of each of maxSources source addresses.
	maxSources  = 250
	sourceShare = 3. / 8
)

// A need is something that the demonstration takes from the machine, in whatever
// unit.
type need struct {
	what       string
	want, have int64
	remedy     string
}

// A supply is what the machine has.
type supply struct {
	filesPerProcess int64 // RLIMIT_NOFILE, the hard one: Go programs raise theirs to it
	files           int64 // that may still be opened on the machine
	memory          int64 // bytes that are available
	ports           int64 // local ones, for each source address
	// tracked is how many connections more the kernel can track; -1 where it
	// tracks none.
	tracked int64
}

// missing returns an error that names everything of which the machine has too
// little for capacity clients, nodeCapacity on each edge; nil if it is enough.
func (s supply) missing(capacity, nodeCapacity int) error {
	nodes := int64((capacity+nodeCapacity-1)/nodeCapacity) * 2 // edges and groups
	perNode := int64(min(capacity, nodeCapacity))
	clients := int64(capacity)
	needs := []need{
		{"open files of one process", perNode + edgeSpareFiles, s.filesPerProcess,
			"raise the hard limit (ulimit -Hn as root, LimitNOFILE= in a systemd unit) or lower -node-capacity"},
		{"open files of the machine", 2*clients + nodes*nodeSpareFiles, s.files,
			"raise fs.file-max (make tune)"},
		{"bytes of memory", clients*clientBytes + nodes*nodeBytes + otherBytes, s.memory,
			"lower -capacity"},
		{"local ports from one group to its edge", perNode, int64(float64(s.ports) * sourceShare * maxSources),
			"widen net.ipv4.ip_local_port_range (make tune)"},
	}
	if s.tracked >= 0 {
		needs = append(needs, need{"connections that are tracked", clients, s.tracked,
			"raise net.netfilter.nf_conntrack_max, or do not track connections of the loopback"})
	}
	var errs []error
	for _, n := range needs {
		if n.have < n.want {
			errs = append(errs, fmt.Errorf("%s clients need %s %s, there are %s: %s",
				thousands(capacity), thousands(int(n.want)), n.what, thousands(int(max(n.have, 0))), n.remedy))
		}
	}
	return errors.Join(errs...)
}

// checkSupply returns an error when this machine cannot do it.
func checkSupply(capacity, nodeCapacity int) error {
	s, err := readSupply()
	if err != nil {
		return err
	}
	if err := s.missing(capacity, nodeCapacity); err != nil {
		return fmt.Errorf("this machine cannot do it:\n%w", err)
	}
	return nil
}

// readSupply finds out what this machine has.
func readSupply() (s supply, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return s, fmt.Errorf("read the limit of open files: %w", err)
	}
	s.filesPerProcess = int64(min(limit.Max, 1<<30))

	var open, free, most int64 // proc_sys_fs(5)
	if err := scanFile("/proc/sys/fs/file-nr", &open, &free, &most); err != nil {
		return s, err
	}
	s.files = min(most, 1<<40) - open
	var low, high int64
	if err := scanFile("/proc/sys/net/ipv4/ip_local_port_range", &low, &high); err != nil {
		return s, err
	}
	s.ports = high - low + 1
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return s, fmt.Errorf("read the available memory: %w", err)
	}
	if s.memory, err = availableMemory(info); err != nil {
		return s, err
	}
	s.tracked, err = trackable()
	return s, err
}

// trackable returns how many connections more the kernel can track, -1 if it
// tracks none. It may be able to and yet not do it: then it has none now.
func trackable() (int64, error) {
	var count, most int64
	err := scanFile("/proc/sys/net/netfilter/nf_conntrack_count", &count)
	if errors.Is(err, fs.ErrNotExist) || err == nil && count == 0 {
		return -1, nil
	}
	if err == nil {
		err = scanFile("/proc/sys/net/netfilter/nf_conntrack_max", &most)
	}
	return most - count, err
}

// availableMemory finds MemAvailable in the contents of /proc/meminfo.
func availableMemory(info []byte) (int64, error) {
	lines := bufio.NewScanner(bytes.NewReader(info))
	for lines.Scan() {
		var kilobytes int64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10, nil
		}
	}
	return 0, errors.New("read the available memory: no MemAvailable in /proc/meminfo")
}

// scanFile reads the numbers that a file of /proc begins with.
func scanFile(path string, numbers ...any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read a limit: %w", err)
	}
	if _, err := fmt.Sscan(strings.TrimSpace(string(text)), numbers...); err != nil {
		return fmt.Errorf("read a limit from %s: %w", path, err)
	}
	return nil
}
