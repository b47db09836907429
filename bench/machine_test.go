package main

import "testing"

func TestCPUModel(t *testing.T) {
	for _, test := range []struct{ name, info, want string }{
		{"first of two", "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: Other\n", "Some CPU @ 2 GHz"},
		{"no model name", "processor\t: 0\nBogoMIPS\t: 100\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := cpuModel([]byte(test.info)); got != test.want {
				t.Errorf("cpuModel(%q) = %q, want %q", test.info, got, test.want)
			}
		})
	}
}
