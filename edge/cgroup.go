package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// cgroup is a control group that this process is in, directly or by a group in
// it, and that limits the memory of all its processes together: that of the
// kernel for their sockets too. When there is none left, the kernel kills one of
// them (Linux Documentation/admin-guide: cgroup-v2.rst, cgroup-v1/memory.rst).
type cgroup struct {
	limit int64 // bytes
	// The files that say what is used, and what of that the kernel gives up by
	// itself when it must: the line of stat called cache.
	usage, stat, cache string
}

// noLimit is what version 1 says where nothing is limited, or more: the most
// pages that it can count.
const noLimit = math.MaxInt64 &^ 0xffff

// cgroups returns the control groups that limit this process's memory, from
// within outwards; none where it is in none. root is the root directory.
func cgroups(root fs.FS) ([]cgroup, error) {
	member, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("read the control group: %w", err)
	}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read where control groups are mounted: %w", err)
	}
	var all []cgroup
	for line := range strings.Lines(string(member)) { // hierarchy:controllers:path
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) < 3 {
			continue
		}
		read := readCgroup1
		switch {
		case parts[0] == "0" && parts[1] == "":
			read = readCgroup2
		case !hasWord(parts[1], "memory"):
			continue
		}
		at, from, found := cgroupMount(string(mounts), parts[1])
		if !found {
			continue
		}
		dir := "/"
		if rest, ok := strings.CutPrefix(parts[2], strings.TrimSuffix(from, "/")); ok {
			dir = path.Join("/", rest)
		}
		for {
			if g, limited := read(root, strings.TrimPrefix(path.Join(at, dir), "/")); limited {
				all = append(all, g)
			}
			if dir == "/" {
				break
			}
			dir = path.Dir(dir)
		}
	}
	return all, nil
}

// cgroupMount finds, in the contents of /proc/self/mountinfo (proc(5)), where a
// hierarchy is mounted, and from which of its groups: that of version 1 with the
// memory controller, or without controllers that of version 2.
func cgroupMount(mounts, controllers string) (at, from string, found bool) {
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		mount, source := strings.Fields(before), strings.Fields(after)
		if len(mount) < 5 || len(source) < 3 {
			continue
		}
		if controllers == "" && source[0] == "cgroup2" ||
			controllers != "" && source[0] == "cgroup" && hasWord(source[2], "memory") {
			return unescaped.Replace(mount[4]), unescaped.Replace(mount[3]), true
		}
	}
	return "", "", false
}

// unescaped undoes what mountinfo does to paths.
var unescaped = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// hasWord reports whether a list with commas has word.
func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// readCgroup2 reads the lower of the limits of a group of version 2: at high the
// kernel slows its processes down, at max it kills.
func readCgroup2(root fs.FS, dir string) (g cgroup, limited bool) {
	g = cgroup{limit: noLimit, usage: dir + "/memory.current", stat: dir + "/memory.stat", cache: "inactive_file"}
	for _, name := range []string{"/memory.max", "/memory.high"} {
		if n, err := readCount(root, dir+name); err == nil { // else there is none, or it says max
			g.limit = min(g.limit, n)
		}
	}
	return g, g.limit < noLimit
}

// readCgroup1 reads the limit of a group of version 1.
func readCgroup1(root fs.FS, dir string) (g cgroup, limited bool) {
	n, err := readCount(root, dir+"/memory.limit_in_bytes")
	return cgroup{limit: n, usage: dir + "/memory.usage_in_bytes", stat: dir + "/memory.stat", cache: "total_inactive_file"},
		err == nil && n < noLimit
}

// used returns the bytes that the group uses and the kernel would not give up.
func (g cgroup) used(root fs.FS) (int64, error) {
	n, err := readCount(root, g.usage)
	if err != nil {
		return 0, err
	}
	if float64(n) < memoryAmple*float64(g.limit) {
		return n, nil // enough in any case: stat costs the kernel more
	}
	text, err := fs.ReadFile(root, g.stat)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		if name != g.cache {
			continue
		}
		cache, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s of %s: %w", name, g.stat, err)
		}
		return max(n-cache, 0), nil
	}
	return n, nil
}

// readCount reads a file that is one number.
func readCount(root fs.FS, name string) (int64, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
