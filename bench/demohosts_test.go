package main

import (
	"slices"
	"testing"
)

func TestDifferences(t *testing.T) {
	edge := func(name string, up bool) statusNode { return statusNode{Kind: "edge", Name: name, Up: up, Pair: "g"} }
	group := func(name, pair string) statusNode { return statusNode{Kind: "group", Name: name, Up: true, Pair: pair} }
	nodes := func(n ...statusNode) *status { return &status{Nodes: n} }
	for _, test := range []struct {
		name          string
		before, after *status
		want          []string
	}{
		{"the first", nil, nodes(edge("e1", true), group("g1", "e1"), group("g2", "")),
			[]string{"e1 is there", "g1 is there", "g1 asks e1", "g2 is there"}},
		{"the same", nodes(edge("e1", true), group("g1", "e1")), nodes(edge("e1", true), group("g1", "e1")), nil},
		{"gone", nodes(edge("e1", true), edge("e2", true)), nodes(edge("e2", true)), []string{"e1 is missed"}},
		{"not up any more", nodes(edge("e1", true)), nodes(edge("e1", false)), []string{"e1 is missed"}},
		{"still not up", nodes(edge("e1", false)), nodes(edge("e1", false)), nil},
		{"gone when it was not up", nodes(edge("e1", false)), nodes(), nil},
		{"up", nodes(edge("e1", false)), nodes(edge("e1", true)), []string{"e1 is there"}},
		{"moved", nodes(group("g1", "e1")), nodes(group("g1", "e2")), []string{"g1 asks e2"}},
		{"without an edge", nodes(group("g1", "e1")), nodes(group("g1", "")), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := differences(test.before, test.after); !slices.Equal(got, test.want) {
				t.Errorf("differences(%+v, %+v) = %q, want %q", test.before, test.after, got, test.want)
			}
		})
	}
}
