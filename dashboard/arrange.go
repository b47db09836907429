package main

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"marquee/bus"
)

// settleTime is how long the dashboard only listens when it starts: every node
// that is there announces itself within a second, and who is missed would lose
// its pair.
const settleTime = 1500 * time.Millisecond

// joinTime is how long after a node has come up new groups wait for the next one
// before they are paired, while fewer are up than needed: who is paired stays
// paired, and pairs made of whoever came first would not be balanced.
const joinTime = 2 * time.Second

// rearrange has the arrangement made anew soon: a node or the capacity has
// changed. Safe from any goroutine.
func (d *dashboard) rearrange() {
	select {
	case d.rearrangeCh <- struct{}{}:
	default: // will be made anew anyway
	}
	d.changed()
}

// arrangeLoop matches nodes, pairs and set-ups to the capacity until ctx ends.
func (d *dashboard) arrangeLoop(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(d.settleTime):
	}
	for {
		var againCh <-chan time.Time // nil when nobody waits
		if d.arrange(ctx) {
			againCh = time.After(joinTime)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.rearrangeCh:
		case <-againCh:
		}
	}
}

// An arrangement is what the nodes that are there, and the capacity, ask for.
type arrangement struct {
	needed int
	there  []bus.Node
	origin *bus.Node // nil for none
	orders map[string]order
	pairs  pairs
	within int // pairs within one region
	// waiting says that groups wait for others to come up.
	waiting bool
}

// arrange makes the arrangement and has everybody carry it out. It reports
// whether groups wait for others to come up.
func (d *dashboard) arrange(ctx context.Context) (waiting bool) {
	a := d.plan(time.Now())
	if within := a.within > 0; within != d.pairsWithin {
		d.pairsWithin = within
		if within {
			d.log.Warn("client groups are paired with edges of their own region: no others are there", "pairs", a.within)
		}
	}
	if d.fleet != nil {
		d.fleet.match(ctx, a.needed, a.there, a.origin)
	}
	d.conductor.conduct(ctx, a.orders)
	if !maps.Equal(a.pairs, d.keptPairs) {
		if err := d.keepPairs(ctx, a.pairs); err == nil {
			d.keptPairs = a.pairs
		} else if ctx.Err() == nil {
			d.log.Warn("pairs of groups and edges not kept for a restart", "err", err)
		}
	}
	d.changed()
	return a.waiting
}

func (d *dashboard) keepPairs(ctx context.Context, p pairs) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	return d.bus.Keep(ctx, pairsKey, data)
}

// plan computes the arrangement, and takes its pairs.
func (d *dashboard) plan(now time.Time) arrangement {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := arrangement{needed: nodesNeeded(d.capacity, d.cfg.nodeCapacity), orders: make(map[string]order)}
	for _, n := range d.roster.nodes {
		a.there = append(a.there, n.Node)
	}
	if origin := d.roster.origin(); origin != nil {
		d.headlineURL = origin.Addresses[apiAddress]
		a.origin = &origin.Node
	}
	var groups, edges []place
	groupsUp, edgesUp := d.roster.upByName(bus.KindGroup), d.roster.upByName(bus.KindEdge)
	joining := min(len(groupsUp), len(edgesUp)) < a.needed && now.Sub(d.roster.cameUp) < joinTime
	for _, n := range groupsUp {
		if joining && d.pairs[n.Name] == "" {
			a.waiting = true
			continue
		}
		groups = append(groups, n.place())
	}
	for _, n := range edgesUp {
		edges = append(edges, n.place())
	}
	d.pairs = pair(d.pairs, groups, edges, d.cfg.regions)
	a.pairs = d.pairs
	limits := make(map[string]int)
	for group, edge := range d.pairs {
		limits[group] = min(d.roster.nodes[group].Capacity, d.cfg.nodeCapacity)
		if d.roster.nodes[group].Region == d.roster.nodes[edge].Region {
			a.within++
		}
	}
	// Before there is a headline clients would only be refused, again and again,
	// and be slow to come back when there is one.
	if d.headlineURL == "" || d.deliveries.newest.ID == 0 {
		return a
	}
	// A group without an edge is told nothing: its clients go on trying the one
	// that they had.
	for group, count := range spread(d.capacity, a.needed, limits) {
		a.orders[group] = order{
			instance: d.roster.nodes[group].Instance,
			Setup: bus.Setup{
				Count:   count,
				URL:     d.headlineURL,
				Connect: d.roster.nodes[d.pairs[group]].Addresses[clientsAddress],
			},
		}
	}
	return a
}
