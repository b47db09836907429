package main

import (
	"errors"
	"testing"
)

func TestHighest(t *testing.T) {
	for _, tt := range []struct {
		name            string
		limit           float64 // the highest rate that is sustained
		want, wantTries float64 // tries at most
	}{
		{"the start", 10, 10, 7},
		{"higher", 47, 47, 10},
		{"higher than is asked for", 1000, 200, 9},
		{"lower", 3.3, 3.3, 9},
		{"the least", 1, 1, 10},
		{"none", 0.5, 0, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tries := 0.
			got, err := highest(10, 1, 200, func(rate float64) (bool, error) {
				if tries++; rate < 1 || rate > 200 {
					t.Errorf("rate %v is tried", rate)
				}
				return rate <= tt.limit, nil
			})
			if err != nil || got > tt.want || got < tt.want/rateSpread || tries > tt.wantTries {
				t.Errorf("got %v, %v in %v tries, want %v to %v in at most %v", got, err, tries, tt.want/rateSpread, tt.want, tt.wantTries)
			}
		})
	}
	failure := errors.New("no server")
	if _, err := highest(10, 1, 200, func(float64) (bool, error) { return false, failure }); err != failure {
		t.Errorf("got error %v, want %v", err, failure)
	}
}
