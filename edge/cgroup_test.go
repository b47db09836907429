package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// files makes a file system of files and their contents.
func files(contents map[string]string) fstest.MapFS {
	root := make(fstest.MapFS)
	for name, text := range contents {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

// mountsV2 is what a machine of today has mounted, and mountsV1 what one had with
// the memory controller of version 1 beside a hierarchy of version 2.
const (
	mountsV2 = "24 30 0:22 / /proc rw,relatime shared:14 - proc proc rw\n" +
		"35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	mountsV1 = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
		"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)

// The limits of all groups that the process is in are found, wherever they are.
func TestCgroups(t *testing.T) {
	const unlimited = "9223372036854771712\n"
	for _, tt := range []struct {
		name   string
		files  map[string]string
		limits []int64 // from within outwards
	}{
		{"v2, nested, high below max", map[string]string{
			"proc/self/cgroup":    "0::/system.slice/edge.service\n",
			"proc/self/mountinfo": mountsV2,
			"sys/fs/cgroup/system.slice/edge.service/memory.max":  "1000000\n",
			"sys/fs/cgroup/system.slice/edge.service/memory.high": "900000\n",
			"sys/fs/cgroup/system.slice/memory.max":               "5000000\n",
			"sys/fs/cgroup/system.slice/memory.high":              "max\n",
		}, []int64{900_000, 5_000_000}},
		{"v2, the outer one is lower", map[string]string{
			"proc/self/cgroup":             "0::/a/b\n",
			"proc/self/mountinfo":          mountsV2,
			"sys/fs/cgroup/a/b/memory.max": "max\n",
			"sys/fs/cgroup/a/memory.max":   "700000\n",
		}, []int64{700_000}},
		{"v2, a container with a namespace of its own", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"proc/self/mountinfo":      strings.Replace(mountsV2, "0:30 /", "0:30 /", 1),
			"sys/fs/cgroup/memory.max": "300000\n",
		}, []int64{300_000}},
		{"v2, the mount begins at the container's group", map[string]string{
			"proc/self/cgroup":         "0::/docker/f00\n",
			"proc/self/mountinfo":      strings.Replace(mountsV2, "0:30 /", "0:30 /docker/f00", 1),
			"sys/fs/cgroup/memory.max": "300000\n",
		}, []int64{300_000}},
		{"v2, the group is outside of what is mounted", map[string]string{
			"proc/self/cgroup":         "0::/../other\n",
			"proc/self/mountinfo":      strings.Replace(mountsV2, "0:30 /", "0:30 /docker/f00", 1),
			"sys/fs/cgroup/memory.max": "300000\n",
		}, []int64{300_000}},
		{"v2, a blank in the path", map[string]string{
			"proc/self/cgroup":        "0::/a b\n",
			"proc/self/mountinfo":     strings.Replace(mountsV2, "/sys/fs/cgroup", `/sys/c\040g`, 1),
			"sys/c g/a b/memory.max":  "300000\n",
			"sys/c g/a b/memory.high": "max\n",
		}, []int64{300_000}},
		{"v2 without the controller", map[string]string{
			"proc/self/cgroup":    "0::/a\n",
			"proc/self/mountinfo": mountsV2,
		}, nil},
		{"v1 beside v2", map[string]string{
			"proc/self/cgroup":    "4:memory:/outer/inner\n1:cpu:/\n0::/\n",
			"proc/self/mountinfo": mountsV1,
			"sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes": unlimited,
			"sys/fs/cgroup/memory/outer/memory.limit_in_bytes":       "400000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":             unlimited,
		}, []int64{400_000}},
		{"v1, several controllers mounted together", map[string]string{
			"proc/self/cgroup":                             "4:cpu,memory:/a\n",
			"proc/self/mountinfo":                          strings.Replace(mountsV1, "rw,memory", "rw,cpu,memory", 1),
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "400000\n",
		}, []int64{400_000}},
		{"nonsense", map[string]string{
			"proc/self/cgroup":               "\n:::\n0::\nx\n",
			"proc/self/mountinfo":            " - \n\n1 2 - cgroup2\n" + mountsV2,
			"sys/fs/cgroup/memory.max":       "many\n",
			"sys/fs/cgroup/a/memory.current": "",
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			groups, err := cgroups(files(tt.files))
			var got []int64
			for _, g := range groups {
				got = append(got, g.limit)
			}
			if err != nil || !slices.Equal(got, tt.limits) {
				t.Errorf("limits %v, %v, want %v", got, err, tt.limits)
			}
		})
	}
	if _, err := cgroups(files(nil)); err == nil {
		t.Error("without /proc, no error is returned")
	}
}

// What the kernel gives up by itself does not count.
func TestCgroupUsed(t *testing.T) {
	for _, tt := range []struct {
		name, usage, stat string
		want              int64
	}{
		{"little", "600\n", "", 600},
		{"much, of which is cache", "950\n", "anon 500\ninactive_file 300\nactive_file 150\n", 650},
		{"much", "950\n", "anon 950\n", 950},
		{"more cache than there is", "950\n", "inactive_file 1000\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := files(map[string]string{"g/memory.current": tt.usage, "g/memory.stat": tt.stat})
			g := cgroup{limit: 1000, usage: "g/memory.current", stat: "g/memory.stat", cache: "inactive_file"}
			if got, err := g.used(root); got != tt.want || err != nil {
				t.Errorf("used %d, %v, want %d", got, err, tt.want)
			}
		})
	}
}

// ownCgroup makes a control group with a limit on memory, for the length of the
// test. enter is what a shell does to be in it.
func ownCgroup(t *testing.T, limit int64) (enter string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	name := "memory.limit_in_bytes"
	at, _, found := cgroupMount(string(mounts), "memory")
	if !found {
		name = "memory.max"
		at, _, found = cgroupMount(string(mounts), "")
	}
	if !found {
		t.Skip("no control groups are mounted")
	}
	dir, err := os.MkdirTemp(at, "marquee-test-")
	if err != nil {
		t.Skipf("a control group of one's own needs root: %v", err)
	}
	t.Cleanup(func() {
		eventually(t, func() error { return os.Remove(dir) }) // when its processes have ended
	})
	if err := os.WriteFile(filepath.Join(dir, name), fmt.Append(nil, limit), 0); err != nil {
		t.Skipf("the memory of a control group cannot be limited: %v", err)
	}
	return "echo $$ >" + filepath.Join(dir, "cgroup.procs")
}

// startProcessIn is startProcess in a control group.
func startProcessIn(t *testing.T, enter, origin string, args ...string) *process {
	t.Helper()
	clearEnv(t)
	shell := append([]string{"-c", enter + ` && exec "$@"`, "sh", os.Args[0]}, processArgs(origin, args)...)
	return startCommand(t, exec.Command("/bin/sh", shell...))
}
