package main

import "testing"

func TestSamples(t *testing.T) {
	for _, test := range []struct {
		name       string
		samples    samples
		wantMedian float64
		wantString string
	}{
		{"none", nil, 0, "-"},
		{"one", samples{7}, 7, "7"},
		{"odd, unsorted", samples{30, 10, 20}, 20, "20 (10-30)"},
		{"even", samples{400, 100, 200, 300}, 250, "250 (100-400)"},
		{"equal", samples{5, 5}, 5, "5 (5-5)"},
		{"three digits", samples{0.12345, 1.2345, 12.345}, 1.2345, "1.23 (0.123-12.3)"},
		{"whole above a thousand", samples{0, 999.6, 1234.5}, 999.6, "1000 (0-1234)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.samples.median(); got != test.wantMedian {
				t.Errorf("median of %v = %v, want %v", []float64(test.samples), got, test.wantMedian)
			}
			if got := test.samples.String(); got != test.wantString {
				t.Errorf("String of %v = %q, want %q", []float64(test.samples), got, test.wantString)
			}
		})
	}
}

func TestMedianKeepsOrder(t *testing.T) {
	s := samples{3, 1, 2}
	s.median()
	if s[0] != 3 || s[1] != 1 || s[2] != 2 {
		t.Errorf("median reordered the samples to %v", []float64(s))
	}
}

func TestStable(t *testing.T) {
	for _, test := range []struct {
		name    string
		samples samples
		want    bool
	}{
		{"too few", samples{100, 100}, false},
		{"equal", samples{100, 100, 100}, true},
		{"within the spread", samples{100, 99.5, 99}, true},
		{"still falling", samples{110, 105, 100}, false},
		{"settled after a fall", samples{500, 100, 100, 100}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.samples.stable(3, 0.01); got != test.want {
				t.Errorf("stable(3, 0.01) of %v = %v, want %v", []float64(test.samples), got, test.want)
			}
		})
	}
}
