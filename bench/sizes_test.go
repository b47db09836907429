package main

import (
	"slices"
	"testing"
)

func TestSizes(t *testing.T) {
	var s sizes
	if err := s.Set("5000,15000"); err != nil || !slices.Equal(s, sizes{5000, 15000}) {
		t.Errorf("Set(%q) = %v, set %v", "5000,15000", err, s)
	}
	if got := s.String(); got != "5000,15000" {
		t.Errorf("String() = %q, want %q", got, "5000,15000")
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 15000: "15,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
}
