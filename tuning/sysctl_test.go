// Package tuning holds the kernel settings; there is nothing here but their
// test.
package tuning

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// hostOnly are the settings that exist in the first network namespace only. In a
// container their keys are hidden.
var hostOnly = map[string]bool{
	"net.core.netdev_max_backlog": true,
	"net.ipv4.tcp_mem":            true,
}

// setting is one line of sysctl.conf with the comment above it.
type setting struct {
	key, value, comment string
}

func parse(t *testing.T) []setting {
	t.Helper()
	f, err := os.Open("sysctl.conf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var settings []setting
	var comment []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "":
			comment = nil
		case line[0] == '#':
			comment = append(comment, strings.TrimSpace(line[1:]))
		default:
			key, value, found := strings.Cut(line, "=")
			if !found {
				t.Fatalf("line %q: want key = value", line)
			}
			settings = append(settings, setting{strings.TrimSpace(key), strings.TrimSpace(value), strings.Join(comment, " ")})
			comment = nil
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(settings) == 0 {
		t.Fatal("no settings found")
	}
	return settings
}

func TestSettings(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range parse(t) {
		t.Run(s.key, func(t *testing.T) {
			if seen[s.key] {
				t.Errorf("set twice")
			}
			seen[s.key] = true
			if !strings.Contains(s.comment, "[") {
				t.Errorf("comment %q: want one right above that names the unit in brackets", s.comment)
			}
			for _, field := range strings.Fields(s.value) {
				if _, err := strconv.ParseInt(field, 10, 64); err != nil {
					t.Errorf("value %q: want integers: %v", s.value, err)
				}
			}

			path := filepath.Join("/proc/sys", strings.ReplaceAll(s.key, ".", "/"))
			current, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) && hostOnly[s.key] {
				t.Skipf("hidden in this network namespace, not checked")
			}
			if err != nil {
				t.Fatalf("the kernel has no such setting: %v", err)
			}
			if got, want := len(strings.Fields(s.value)), len(strings.Fields(string(current))); got != want {
				t.Errorf("value %q has %d numbers, the kernel's %q has %d", s.value, got, strings.TrimSpace(string(current)), want)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm()&0o200 == 0 {
				t.Errorf("the kernel's setting cannot be written (mode %v)", info.Mode())
			}
		})
	}
}
