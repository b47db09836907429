package main

import (
	"strings"
	"testing"
)

func TestGrown(t *testing.T) {
	const mb = 1 << 20
	then := vitals{100 * mb, 50, 20}
	for _, tt := range []struct {
		name      string
		then, now vitals
		want      string // the beginning
	}{
		{"nothing", then, then, ""},
		{"less", then, vitals{50 * mb, 10, 1}, ""},
		{"within the slack", then, vitals{110 * mb, 66, 36}, ""},
		{"memory", then, vitals{111 * mb, 50, 20}, "memory from 104.9 MB to 116.4 MB"},
		{"files", then, vitals{100 * mb, 67, 20}, "open files from 50 to 67"},
		{"goroutines", then, vitals{100 * mb, 50, 37}, "goroutines from 20 to 37"},
		{"little memory", vitals{memory: 10 * mb}, vitals{memory: 12 * mb}, ""},
		{"little memory, more of it", vitals{memory: 10 * mb}, vitals{memory: 14 * mb}, "memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.now.grown(tt.then); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("grown %q, want %q", got, tt.want)
			}
		})
	}
}

func TestThirds(t *testing.T) {
	var c course
	for i := range 9 {
		c = append(c, vitals{float64(i), float64(10 * i), float64(100 * i)})
	}
	if first, last := c.third(false), c.third(true); first != (vitals{1, 10, 100}) || last != (vitals{7, 70, 700}) {
		t.Errorf("medians of thirds %v and %v, want those of the second and the eighth", first, last)
	}
	if first, last := c[:1].third(false), c[:1].third(true); first != c[0] || last != c[0] {
		t.Errorf("of one, %v and %v, want it", first, last)
	}
}
