package main

import (
	"testing"
	"time"
)

func TestLogLine(t *testing.T) {
	at := time.Date(2013, 4, 1, 1, 43, 45, 187_000_000, time.UTC)
	tests := []struct {
		name string
		f    figures
		want string
	}{
		{"as in 2013", figures{edgesUp: 20, groupsUp: 20, needed: 20, ping: &span{16 * ms, 181 * ms, 79 * ms}, received: 1, delivery: &span{73 * ms, 73 * ms, 73 * ms}},
			"01:43:45.187 en=20/20 cn=20/20 ping=16/181/79 r=1 rt=73/73/73"},
		{"nothing known yet", figures{needed: 1}, "01:43:45.187 en=0/1 cn=0/1 ping=0/0/0 r=0 rt=0/0/0"},
		{"rounded", figures{edgesUp: 3, groupsUp: 2, needed: 1, ping: &span{499 * time.Microsecond, 500 * time.Microsecond, 1499 * time.Microsecond}, received: 100_000, delivery: &span{1682 * ms, 1682 * ms, 501 * ms}},
			"01:43:45.187 en=3/1 cn=2/1 ping=0/1/1 r=100000 rt=1682/1682/501"},
	}
	for _, tt := range tests {
		if got := logLine(at, tt.f); got != tt.want {
			t.Errorf("%s: log line is\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
}
