package main

import "testing"

func TestVerdict(t *testing.T) {
	whole := changeSummary{ID: 2, Recipients: 5, Received: 5}
	for _, tt := range []struct {
		name   string
		s      summary
		wanted int
		want   string
	}{
		{"all received all", summary{Clients: 5, Started: 5, Changes: []changeSummary{whole}}, 1, ""},
		{"watched, no change", summary{Clients: 5, Started: 5}, 0, ""},
		{"errors that were made good", summary{Clients: 5, Started: 5, Errors: map[string]int{"connect": 3, "reset": 1, "timeout": 1, "status": 2}}, 0, ""},
		{"clients missing", summary{Clients: 5, Started: 3}, 0, "2 of 5 clients never got a headline"},
		{"interrupted", summary{Clients: 5, Started: 5, Changes: []changeSummary{whole}}, 3, "2 of 3 changes were not made"},
		{"missed", summary{Clients: 5, Started: 5, Changes: []changeSummary{whole, {Recipients: 5, Received: 3, Missed: 2}}}, 2, "2 deliveries missed"},
		{"torn and wrong", summary{Clients: 5, Started: 5, Errors: map[string]int{"torn": 1, "wrong": 4}}, 0, "1 answers torn\n4 answers wrong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := tt.s.verdict(tt.wanted); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("verdict %q, want %q", got, tt.want)
			}
		})
	}
}
