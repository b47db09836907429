package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

var fourRegions = []string{"us-west-1", "us-west-2", "us-east-1", "eu-west-1"}

func TestNodesNeeded(t *testing.T) {
	tests := []struct{ capacity, nodeCapacity, want int }{
		{0, 5000, 0}, {1, 5000, 1}, {5000, 5000, 1}, {5001, 5000, 2}, {100_000, 5000, 20}, {20_000_000, 1, 20_000_000},
	}
	for _, tt := range tests {
		if got := nodesNeeded(tt.capacity, tt.nodeCapacity); got != tt.want {
			t.Errorf("nodesNeeded(%d, %d) = %d, want %d", tt.capacity, tt.nodeCapacity, got, tt.want)
		}
	}
}

func TestRegionToGrow(t *testing.T) {
	regions := []string{"c", "a", "b"}
	tests := []struct {
		name  string
		nodes map[string]int
		want  string
	}{
		{"the first as configured, with none anywhere", nil, "c"},
		{"fewest", map[string]int{"c": 2, "a": 2, "b": 1}, "b"},
		{"the first of equals", map[string]int{"c": 2, "a": 1, "b": 1}, "a"},
		{"nodes elsewhere do not matter", map[string]int{"c": 1, "mars": 0}, "a"},
	}
	for _, tt := range tests {
		if got := regionToGrow(regions, tt.nodes); got != tt.want {
			t.Errorf("%s: regionToGrow(%v, %v) = %q, want %q", tt.name, regions, tt.nodes, got, tt.want)
		}
	}
}

// at makes places in a region.
func at(region string, names ...string) []place {
	var places []place
	for _, name := range names {
		places = append(places, place{name, region})
	}
	return places
}

func TestPair(t *testing.T) {
	tests := []struct {
		name          string
		previous      pairs
		groups, edges []place
		regions       []string
		want          pairs
	}{
		{
			name: "nobody", regions: []string{"a"}, want: pairs{},
		}, {
			name:   "another region than its own",
			groups: at("a", "g"), edges: slices.Concat(at("a", "e1"), at("b", "e2")), regions: []string{"a", "b"},
			want: pairs{"g": "e2"},
		}, {
			name:   "cyclic order after its own, when equally used",
			groups: at("b", "g"), edges: slices.Concat(at("a", "ea"), at("b", "eb"), at("c", "ec")), regions: []string{"a", "b", "c"},
			want: pairs{"g": "ec"},
		}, {
			name:   "lowest name first",
			groups: at("a", "g"), edges: at("b", "e3", "e1", "e2"), regions: []string{"a", "b"},
			want: pairs{"g": "e1"},
		}, {
			name:   "least used other region, then the next best",
			groups: at("a", "g1", "g2", "g3", "g4"), edges: slices.Concat(at("b", "b1"), at("c", "c1", "c2", "c3")), regions: []string{"a", "b", "c"},
			want: pairs{"g1": "b1", "g2": "c1", "g3": "c2", "g4": "c3"},
		}, {
			name:     "what is paired stays",
			previous: pairs{"g1": "b2", "g2": "c1"},
			groups:   at("a", "g1", "g2", "g3"), edges: slices.Concat(at("b", "b1", "b2"), at("c", "c1")), regions: []string{"a", "b", "c"},
			want: pairs{"g1": "b2", "g2": "c1", "g3": "b1"},
		}, {
			name:     "an edge has left, its group gets another one",
			previous: pairs{"g1": "b1", "g2": "c1"},
			groups:   at("a", "g1", "g2"), edges: slices.Concat(at("b", "b2"), at("c", "c1")), regions: []string{"a", "b", "c"},
			want: pairs{"g1": "b2", "g2": "c1"},
		}, {
			name:     "a group has left, its edge is free",
			previous: pairs{"g1": "b1"},
			groups:   at("a", "g2"), edges: at("b", "b1"), regions: []string{"a", "b"},
			want: pairs{"g2": "b1"},
		}, {
			name:   "more groups than edges",
			groups: at("a", "g1", "g2"), edges: at("b", "b1"), regions: []string{"a", "b"},
			want: pairs{"g1": "b1"},
		}, {
			name:     "a group lets another one have its edge when that helps",
			previous: pairs{"ga": "c1"},
			groups:   slices.Concat(at("a", "ga"), at("b", "gb")), edges: slices.Concat(at("c", "c1"), at("b", "b1")), regions: []string{"a", "b", "c"},
			want: pairs{"ga": "b1", "gb": "c1"},
		}, {
			name:   "one region only",
			groups: at("a", "g1", "g2"), edges: at("a", "e1", "e2"), regions: []string{"a"},
			want: pairs{"g1": "e1", "g2": "e2"},
		}, {
			name:     "one region only, and paired already",
			previous: pairs{"g1": "e2"},
			groups:   at("a", "g1", "g2"), edges: at("a", "e1", "e2"), regions: []string{"a"},
			want: pairs{"g1": "e2", "g2": "e1"},
		}, {
			name:     "within the region only until there is a way out",
			previous: pairs{"g": "e1"},
			groups:   at("a", "g"), edges: slices.Concat(at("a", "e1"), at("b", "e2")), regions: []string{"a", "b"},
			want: pairs{"g": "e2"},
		}, {
			name:   "regions that are not configured follow those that are",
			groups: at("b", "g"), edges: slices.Concat(at("moon", "m"), at("mars", "n"), at("a", "a1")), regions: []string{"a", "b"},
			want: pairs{"g": "n"},
		}, {
			name:     "an edge that is no pair any more, twice",
			previous: pairs{"g1": "e1", "g2": "e1", "gone": "e2"},
			groups:   at("a", "g1", "g2"), edges: at("b", "e1", "e2"), regions: []string{"a", "b"},
			want: pairs{"g1": "e1", "g2": "e2"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := pair(tt.previous, tt.groups, tt.edges, tt.regions); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("pair(%v, groups %v, edges %v, %v) = %v, want %v", tt.previous, tt.groups, tt.edges, tt.regions, got, tt.want)
			}
		})
	}
}

// evenFleet is what placement starts: as many edges and groups in each region.
func evenFleet(regions []string, n int) (groups, edges []place) {
	nodes := map[string]int{}
	for range n {
		region := regionToGrow(regions, nodes)
		nodes[region]++
		groups = append(groups, at(region, fmt.Sprintf("%s-group-%02d", region, nodes[region]))...)
		edges = append(edges, at(region, fmt.Sprintf("%s-edge-%02d", region, nodes[region]))...)
	}
	return groups, edges
}

// usedBy counts pairs by ordered pairs of regions.
func usedBy(got pairs, groups, edges []place) map[[2]string]int {
	used := map[[2]string]int{}
	for _, g := range groups {
		for _, e := range edges {
			if got[g.name] == e.name {
				used[[2]string{g.region, e.region}]++
			}
		}
	}
	return used
}

// In a fleet of the dashboard's own all ordered pairs of two regions are used
// alike.
func TestPairIsBalancedOverOrderedPairsOfRegions(t *testing.T) {
	for count := 2; count <= 6; count++ {
		var regions []string
		for i := range count {
			regions = append(regions, string(rune('a'+i)))
		}
		for n := count; n <= 8*count; n += count {
			groups, edges := evenFleet(regions, n)
			used := usedBy(pair(nil, groups, edges, regions), groups, edges)
			low, high := n, 0
			for _, a := range regions {
				for _, b := range regions {
					if a != b {
						low, high = min(low, used[[2]string{a, b}]), max(high, used[[2]string{a, b}])
					}
				}
			}
			if high-low > 1 {
				t.Errorf("%d nodes in %d regions: ordered pairs of regions are used %d to %d times, want at most 1 apart: %v", n, count, low, high, used)
			}
		}
	}
}

// mostAcross is the most groups that can have an edge of another region: all
// pairs that can be made, less those that must stay within one region. Only one
// region can be so big that some must.
func mostAcross(groups, edges []place) int {
	perRegion := map[string][2]int{}
	for _, g := range groups {
		n := perRegion[g.region]
		perRegion[g.region] = [2]int{n[0] + 1, n[1]}
	}
	for _, e := range edges {
		n := perRegion[e.region]
		perRegion[e.region] = [2]int{n[0], n[1] + 1}
	}
	most := min(len(groups), len(edges))
	for _, n := range perRegion { // König: cover by the other groups and the other edges
		most = min(most, len(groups)-n[0]+len(edges)-n[1])
	}
	return most
}

// Whoever joins and leaves, in whatever order: one to one, as many as can be,
// another region where that is possible at all, and no move without need.
func TestPairProperties(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		regions := fourRegions[:1+rng.IntN(4)]
		var groups, edges []place
		got := pairs{}
		for step := range 60 {
			kind, nodes := "group", &groups
			if rng.IntN(2) == 0 {
				kind, nodes = "edge", &edges
			}
			if n := len(*nodes); n > 0 && rng.IntN(10) < 4 {
				i := rng.IntN(n)
				*nodes = slices.Delete(*nodes, i, i+1)
			} else {
				*nodes = append(*nodes, place{fmt.Sprintf("%s-%d", kind, step), regions[rng.IntN(len(regions))]})
			}
			previous := maps.Clone(got)
			got = pair(previous, groups, edges, regions)
			if problem := pairingProblem(previous, got, groups, edges, regions); problem != "" {
				t.Fatalf("seed %d, step %d: %s\nprevious %v\ngroups %v\nedges %v\ngot %v", seed, step, problem, previous, groups, edges, got)
			}
		}
	}
}

// pairingProblem says what is wrong with got, "" for nothing.
func pairingProblem(previous, got pairs, groups, edges []place, regions []string) string {
	regionOf := map[string]string{}
	for _, n := range slices.Concat(groups, edges) {
		regionOf[n.name] = n.region
	}
	taken := map[string]bool{}
	across, moved := 0, 0
	for group, edge := range got {
		if _, ok := regionOf[group]; !ok {
			return fmt.Sprintf("%s is paired and not there", group)
		}
		if _, ok := regionOf[edge]; !ok {
			return fmt.Sprintf("%s is paired and not there", edge)
		}
		if taken[edge] {
			return fmt.Sprintf("%s has two groups", edge)
		}
		taken[edge] = true
		if regionOf[group] != regionOf[edge] {
			across++
		}
		old, wasPaired := previous[group]
		oldRegion, stillThere := regionOf[old]
		if wasPaired && stillThere && oldRegion != regionOf[group] && old != edge {
			moved++
		}
	}
	if want := min(len(groups), len(edges)); len(got) != want {
		return fmt.Sprintf("%d pairs, want %d", len(got), want)
	}
	if want := mostAcross(groups, edges); across != want {
		return fmt.Sprintf("%d pairs of different regions, want %d", across, want)
	}
	// One joins or leaves at a time, so one group at most takes another's edge.
	if moved > 1 {
		return fmt.Sprintf("%d groups moved without need", moved)
	}
	// Balanced where possible: a new pair takes no region's edge while one of a
	// region that is used less is left over.
	used := usedBy(got, groups, edges)
	for _, e := range edges {
		if taken[e.name] {
			continue
		}
		for _, g := range groups {
			edge, old := got[g.name], previous[g.name]
			if edge == "" || edge == old || e.region == g.region || moved > 0 {
				continue
			}
			here, there := used[[2]string{g.region, regionOf[edge]}], used[[2]string{g.region, e.region}]
			if here > there+1 {
				return fmt.Sprintf("%s newly has %s, whose region is used %d times, and %s of a region used %d times is left over", g.name, edge, here, e.name, there)
			}
		}
	}
	return ""
}

func TestSpread(t *testing.T) {
	tests := []struct {
		name             string
		capacity, needed int
		limits           map[string]int
		want             map[string]int
	}{
		{"nobody", 100, 1, nil, map[string]int{}},
		{"even", 100_000, 20, map[string]int{"a": 5000, "b": 5000}, map[string]int{"a": 5000, "b": 5000}},
		{"one more for the first", 11, 3, map[string]int{"a": 5, "b": 5, "c": 5}, map[string]int{"a": 4, "b": 4, "c": 3}},
		{"the same share while others are missing", 11, 3, map[string]int{"a": 5, "b": 5}, map[string]int{"a": 4, "b": 4}},
		{"more groups than needed share", 10, 1, map[string]int{"a": 10, "b": 10}, map[string]int{"a": 5, "b": 5}},
		{"others make up for a small one", 12, 3, map[string]int{"a": 10, "b": 2, "c": 10}, map[string]int{"a": 5, "b": 2, "c": 5}},
		{"not more than all can have", 100, 2, map[string]int{"a": 3, "b": 4}, map[string]int{"a": 3, "b": 4}},
		{"nothing", 0, 0, map[string]int{"a": 10}, map[string]int{"a": 0}},
	}
	for _, tt := range tests {
		if got := spread(tt.capacity, tt.needed, tt.limits); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: spread(%d, %d, %v) = %v, want %v", tt.name, tt.capacity, tt.needed, tt.limits, got, tt.want)
		}
	}
}
