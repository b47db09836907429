package main

import (
	"strings"
	"testing"
)

func TestParseMetrics(t *testing.T) {
	const text = `# HELP marquee_holds Held requests.
# TYPE marquee_holds gauge
marquee_holds 5000

marquee_origin_requests_total{result="ok"} 3
marquee_origin_requests_total{result="a b"} 4
process_resident_memory_bytes 1.2517376e+07
`
	m, err := parseMetrics(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"marquee_holds":                 5000,
		"marquee_origin_requests_total": 7,
		"process_resident_memory_bytes": 12517376,
	} {
		if got := m[name]; got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}

func TestParseMetricsRefuses(t *testing.T) {
	for _, line := range []string{"marquee_holds", "marquee_holds many", "<html>"} {
		if m, err := parseMetrics(strings.NewReader(line + "\n")); err == nil {
			t.Errorf("parseMetrics(%q) = %v, want an error", line, m)
		}
	}
}
