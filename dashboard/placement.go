package main

import (
	"cmp"
	"slices"
	"strings"
)

// A place is a node's name and region: what placement looks at.
type place struct{ name, region string }

// pairs says which edge each client group asks: one group to one edge, by name.
type pairs map[string]string

// nodesNeeded returns how many edges, and how many groups, serve capacity clients.
func nodesNeeded(capacity, nodeCapacity int) int {
	return (capacity + nodeCapacity - 1) / nodeCapacity
}

// regionToGrow returns the region for one more node: the one with the fewest,
// the first of those that have equally few.
func regionToGrow(regions []string, nodes map[string]int) string {
	return slices.MinFunc(regions, func(a, b string) int { return cmp.Compare(nodes[a], nodes[b]) })
}

// pair gives each group one edge of another region, as long as there are both.
//
// What is paired stays so, since a group that moves drops all its clients'
// connections. A group without an edge gets one of the region that has the
// fewest edges for groups of this group's region; of regions with equally few,
// the first in the cyclic order after its own; there, the first by name.
//
// When only edges of the group's own region are left, it takes another group's
// edge if that group can use one of those instead, and one of its own region
// only if there is no such group.
func pair(previous pairs, groups, edges []place, regions []string) pairs {
	p := newPairing(groups, edges, regions)
	for _, group := range p.groups {
		edge := previous[group.name]
		if p.isFree(edge) && p.regionOf[edge] != group.region {
			p.join(group, edge)
		}
	}
	hasFree := func(region string) bool { return len(p.free[region]) > 0 }
	for _, group := range p.groups {
		if p.edgeOf[group.name] != "" {
			continue
		}
		if region, ok := p.bestRegion(group.region, hasFree); ok {
			p.join(group, p.free[region][0])
		}
	}
	// All edges that are still free, and all groups that still have none, are of
	// one and the same region.
	for _, group := range p.groups {
		if p.edgeOf[group.name] != "" || len(p.free[group.region]) == 0 {
			continue
		}
		if p.takeOver(group) {
			continue
		}
		edge := previous[group.name]
		if !p.isFree(edge) {
			edge = p.free[group.region][0]
		}
		p.join(group, edge)
	}
	return p.edgeOf
}

// A pairing is one call of pair.
type pairing struct {
	groups   []place             // by name
	regions  []string            // in cyclic order: those configured, and others that nodes have
	regionOf map[string]string   // of edges
	free     map[string][]string // edges without a group, by region, in order of names
	used     map[[2]string]int   // pairs, by the group's region and the edge's
	edgeOf   pairs
}

func newPairing(groups, edges []place, regions []string) *pairing {
	byName := func(a, b place) int { return strings.Compare(a.name, b.name) }
	p := &pairing{
		groups:   slices.SortedFunc(slices.Values(groups), byName),
		regions:  slices.Clone(regions),
		regionOf: make(map[string]string),
		free:     make(map[string][]string),
		used:     make(map[[2]string]int),
		edgeOf:   make(pairs),
	}
	var others []string
	for _, edge := range slices.SortedFunc(slices.Values(edges), byName) {
		p.regionOf[edge.name] = edge.region
		p.free[edge.region] = append(p.free[edge.region], edge.name)
		others = append(others, edge.region)
	}
	for _, group := range groups {
		others = append(others, group.region)
	}
	slices.Sort(others)
	for _, region := range slices.Compact(others) {
		if !slices.Contains(regions, region) {
			p.regions = append(p.regions, region)
		}
	}
	return p
}

func (p *pairing) isFree(edge string) bool {
	return slices.Contains(p.free[p.regionOf[edge]], edge)
}

// join pairs group with an edge that is free.
func (p *pairing) join(group place, edge string) {
	region := p.regionOf[edge]
	p.free[region] = slices.DeleteFunc(p.free[region], func(name string) bool { return name == edge })
	p.used[[2]string{group.region, region}]++
	p.edgeOf[group.name] = edge
}

// bestRegion returns the region whose edges groups of own use least, of those
// other than own that are possible.
func (p *pairing) bestRegion(own string, possible func(region string) bool) (best string, ok bool) {
	at := slices.Index(p.regions, own)
	for i := 1; i < len(p.regions); i++ {
		region := p.regions[(at+i)%len(p.regions)]
		if possible(region) && (!ok || p.used[[2]string{own, region}] < p.used[[2]string{own, best}]) {
			best, ok = region, true
		}
	}
	return best, ok
}

// takeOver pairs group with the edge of a group of another region, which gets an
// edge of group's region instead; one is free.
func (p *pairing) takeOver(group place) bool {
	giverIn := func(region string) (giver place, ok bool) {
		for _, giver = range p.groups {
			edge := p.edgeOf[giver.name]
			if edge != "" && p.regionOf[edge] == region && giver.region != group.region {
				return giver, true
			}
		}
		return place{}, false
	}
	region, ok := p.bestRegion(group.region, func(region string) bool {
		_, ok := giverIn(region)
		return ok
	})
	if !ok {
		return false
	}
	giver, _ := giverIn(region)
	edge := p.edgeOf[giver.name]
	p.used[[2]string{giver.region, region}]--
	p.join(giver, p.free[group.region][0])
	p.free[region] = append(p.free[region], edge)
	p.join(group, edge)
	return true
}

// spread divides capacity among groups, by name and with the number of clients
// that each can have, as evenly as these numbers allow. While fewer groups than
// needed are there, each gets what it will have when all are, and the rest waits.
func spread(capacity, needed int, limits map[string]int) map[string]int {
	var names []string
	for name := range limits {
		names = append(names, name)
	}
	// Those that can have least come first, so that the others make up for them.
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(limits[a], limits[b]), strings.Compare(a, b))
	})
	counts := make(map[string]int)
	shares := max(needed, len(names))
	for _, name := range names {
		count := min(limits[name], (capacity+shares-1)/shares)
		counts[name] = count
		capacity -= count
		shares--
	}
	return counts
}
