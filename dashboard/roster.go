package main

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"marquee/bus"
)

// A node is one that has announced itself and not left since.
type node struct {
	bus.Node
	ping time.Duration // of the last answer
	up   bool          // has answered a ping
	// shownPing is ping when pings was summed up last, 0 before: what is shown
	// must not change all the time.
	shownPing time.Duration
	// asked is when the last ping was sent, asking whether it is unanswered.
	asked  time.Time
	asking bool
}

func (n *node) place() place { return place{n.Name, n.Region} }

// A span is a smallest, a largest and an average time.
type span struct{ min, max, avg time.Duration }

// A roster is who is there, by name. It is the dashboard's, under its mutex.
type roster struct {
	nodes map[string]*node
	// pings sums up those of edges and groups, nil before the first answer.
	pings *span
	// cameUp is when a node came up last.
	cameUp time.Time
}

// The names of addresses that nodes of a kind announce.
const (
	clientsAddress = "clients" // edge: host:port
	apiAddress     = "api"     // origin: base URL of the headline
)

// checkNode returns what makes an announced node of no use here.
func checkNode(n bus.Node) error {
	switch n.Kind {
	case bus.KindEdge:
		if _, _, err := net.SplitHostPort(n.Addresses[clientsAddress]); err != nil {
			return fmt.Errorf("address %q for clients is %q: want host:port", clientsAddress, n.Addresses[clientsAddress])
		}
	case bus.KindOrigin:
		u, err := url.Parse(n.Addresses[apiAddress])
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("address %q of the headline is %q: want http://host:port/path", apiAddress, n.Addresses[apiAddress])
		}
	case bus.KindGroup:
		if n.Capacity < 1 {
			return fmt.Errorf("capacity is %d: want 1 or more", n.Capacity)
		}
	default:
		return fmt.Errorf("kind is %q: want origin, edge or group", n.Kind)
	}
	return nil
}

// checkStats returns what makes statistics of no use here.
func checkStats(s bus.Stats) error {
	for _, n := range []int{s.Total, s.Started, s.Errored, s.Received} {
		if n < 0 || n > maxNodeCapacity {
			return fmt.Errorf("statistics tell of %d clients, of whom %d have started, %d have failed and %d have received: want 0 to %d each",
				s.Total, s.Started, s.Errored, s.Received, maxNodeCapacity)
		}
	}
	return nil
}

// isOurs reports whether n is a part of the dashboard itself: it, or the edge in
// front of its page.
func isOurs(n bus.Node) bool {
	return n.Kind == bus.KindDashboard ||
		n.Kind == bus.KindEdge && n.Region == "" && strings.HasPrefix(n.Name, frontName)
}

// seen takes an announcement, and reports whether the node is new, and whether
// it says anything that the placement depends on for the first time.
func (r *roster) seen(announced bus.Node) (isNew, matters bool) {
	if n := r.nodes[announced.Name]; n != nil {
		before := n.Node
		n.Node = announced
		return false, announced.Capacity != before.Capacity || announced.Region != before.Region ||
			!maps.Equal(announced.Addresses, before.Addresses)
	}
	if r.nodes == nil {
		r.nodes = make(map[string]*node)
	}
	r.nodes[announced.Name] = &node{Node: announced}
	return true, true
}

func (r *roster) left(name string) { delete(r.nodes, name) }

// upByName returns the nodes of a kind that are up, ascending.
func (r *roster) upByName(kind bus.Kind) []*node {
	var nodes []*node
	for _, n := range r.nodes {
		if n.Kind == kind && n.up {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(a, b *node) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}

// origin returns the origin, the first by name of several, nil for none.
func (r *roster) origin() *node {
	var origin *node
	for _, n := range r.nodes {
		if n.Kind == bus.KindOrigin && (origin == nil || n.Name < origin.Name) {
			origin = n
		}
	}
	return origin
}

// duePings returns at most limit nodes whose last ping is at least interval ago
// and not open any more, those that have waited longest first. It notes that
// they are being pinged.
func (r *roster) duePings(now time.Time, interval time.Duration, limit int) []bus.Node {
	var due []*node
	for _, n := range r.nodes {
		if !n.asking && now.Sub(n.asked) >= interval {
			due = append(due, n)
		}
	}
	slices.SortFunc(due, func(a, b *node) int {
		return cmp.Or(a.asked.Compare(b.asked), strings.Compare(a.Name, b.Name))
	})
	var asked []bus.Node
	for _, n := range due[:min(limit, len(due))] {
		n.asked, n.asking = now, true
		asked = append(asked, n.Node)
	}
	return asked
}

// pinged takes the result of a ping of asked, and reports whether the node is up
// since now. It may have been replaced or have left meanwhile.
func (r *roster) pinged(now time.Time, asked bus.Node, ping time.Duration, err error) bool {
	n := r.nodes[asked.Name]
	if n == nil || n.Instance != asked.Instance {
		return false
	}
	n.asking = false
	if err != nil {
		return false
	}
	n.ping = ping
	if n.up {
		return false
	}
	n.up, r.cameUp = true, now
	return true
}

// sumPings renews pings.
func (r *roster) sumPings() {
	var sum time.Duration
	var count int
	var s span
	for _, n := range r.nodes {
		n.shownPing = n.ping
		if !n.up || n.Kind == bus.KindOrigin {
			continue
		}
		if count == 0 || n.ping < s.min {
			s.min = n.ping
		}
		s.max = max(s.max, n.ping)
		sum += n.ping
		count++
	}
	if count == 0 {
		r.pings = nil
		return
	}
	s.avg = sum / time.Duration(count)
	r.pings = &s
}
