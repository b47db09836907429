package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"marquee/bus"
)

func edgeNode(name, region string) bus.Node {
	return bus.Node{Kind: bus.KindEdge, Name: name, Region: region, Capacity: 5000, Addresses: map[string]string{"clients": "127.0.0.1:7999"}}
}

func groupNode(name, region string) bus.Node {
	return bus.Node{Kind: bus.KindGroup, Name: name, Region: region, Capacity: 5000}
}

func originNode(api string) bus.Node {
	return bus.Node{Kind: bus.KindOrigin, Name: "origin", Addresses: map[string]string{"api": api}}
}

func TestCheckNode(t *testing.T) {
	without := func(n bus.Node, change func(*bus.Node)) bus.Node { change(&n); return n }
	tests := []struct {
		name string
		node bus.Node
		want string // in the error, "" for none
	}{
		{"edge", edgeNode("e", "a"), ""},
		{"edge without an address", without(edgeNode("e", "a"), func(n *bus.Node) { n.Addresses = nil }), `address "clients" for clients is "": want host:port`},
		{"edge without a port", without(edgeNode("e", "a"), func(n *bus.Node) { n.Addresses["clients"] = "10.0.0.1" }), "want host:port"},
		{"group", groupNode("g", "a"), ""},
		{"group for nobody", without(groupNode("g", "a"), func(n *bus.Node) { n.Capacity = 0 }), "capacity is 0: want 1 or more"},
		{"origin", originNode("http://127.0.0.1:8080/headline/value/"), ""},
		{"origin without an address", originNode(""), `address "api" of the headline is "": want http://host:port/path`},
		{"origin with host:port only", originNode("127.0.0.1:8080"), "want http://host:port/path"},
		{"something else", bus.Node{Kind: "toaster", Name: "t"}, `kind is "toaster": want origin, edge or group`},
	}
	for _, tt := range tests {
		err := checkNode(tt.node)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: checkNode(%+v) = %v, want %q", tt.name, tt.node, err, tt.want)
		}
	}
}

func TestIsOurs(t *testing.T) {
	tests := []struct {
		node bus.Node
		want bool
	}{
		{bus.Node{Kind: bus.KindDashboard, Name: "dashboard"}, true},
		{edgeNode("page-edge", ""), true},
		{edgeNode("page-edge", "a"), false},
		{edgeNode("edge", ""), false},
		{groupNode("page-edge", ""), false},
	}
	for _, tt := range tests {
		if got := isOurs(tt.node); got != tt.want {
			t.Errorf("isOurs(%s %q in region %q) = %t, want %t", tt.node.Kind, tt.node.Name, tt.node.Region, got, tt.want)
		}
	}
}

func TestRosterSeen(t *testing.T) {
	var r roster
	n := edgeNode("e", "a")
	steps := []struct {
		name                 string
		node                 func() bus.Node
		wantNew, wantMatters bool
	}{
		{"first", func() bus.Node { return n }, true, true},
		{"again", func() bus.Node { return n }, false, false},
		{"with another load", func() bus.Node { n.Load.Held = 5; return n }, false, false},
		{"with another capacity", func() bus.Node { n.Capacity = 6; return n }, false, true},
		{"with another address", func() bus.Node { n.Addresses = map[string]string{"clients": "127.0.0.1:1"}; return n }, false, true},
		{"in another region", func() bus.Node { n.Region = "b"; return n }, false, true},
	}
	for _, step := range steps {
		if isNew, matters := r.seen(step.node()); isNew != step.wantNew || matters != step.wantMatters {
			t.Errorf("%s: seen is %t, %t, want %t, %t", step.name, isNew, matters, step.wantNew, step.wantMatters)
		}
		if got := r.nodes["e"].Node; !reflect.DeepEqual(got, n) {
			t.Errorf("%s: the roster has %+v, want %+v", step.name, got, n)
		}
	}
}

func names(nodes []bus.Node) string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.Name)
	}
	return strings.Join(list, " ")
}

// Nobody is asked again before his time, or while he has not answered; those who
// have waited longest come first.
func TestDuePings(t *testing.T) {
	var r roster
	for _, name := range []string{"c", "a", "b"} {
		r.seen(groupNode(name, "a"))
	}
	now := start
	due := func(wait time.Duration, limit int, want string) []bus.Node {
		t.Helper()
		now = now.Add(wait)
		got := r.duePings(now, 5*time.Second, limit)
		if names(got) != want {
			t.Errorf("%v later, for %d: due are %q, want %q", wait, limit, names(got), want)
		}
		return got
	}
	first := due(0, 2, "a b")
	rest := due(time.Second, 2, "c")
	due(time.Minute, 2, "") // all are open
	for _, n := range append(rest, first...) {
		r.pinged(now, n, ms, nil)
	}
	due(0, 9, "a b c")
	due(4999*ms, 9, "")
	r.pinged(now, groupNode("b", "a"), 0, errors.New("no answer"))
	due(ms, 9, "b")
}

func TestPinged(t *testing.T) {
	var r roster
	one, two := groupNode("g", "a"), groupNode("g", "a")
	one.Instance, two.Instance = "1", "2"
	r.seen(one)
	pinged := func(n bus.Node, err error, wantUp, wantIsUp bool) {
		t.Helper()
		if up := r.pinged(start, n, 3*ms, err); up != wantUp {
			t.Errorf("pinged(instance %s, %v) = %t, want %t", n.Instance, err, up, wantUp)
		}
		if got := len(r.upByName(bus.KindGroup)) == 1; got != wantIsUp {
			t.Errorf("after pinged(instance %s, %v) up is %t, want %t", n.Instance, err, got, wantIsUp)
		}
	}
	pinged(one, errors.New("no answer"), false, false)
	pinged(one, nil, true, true)
	pinged(one, nil, false, true)
	pinged(one, errors.New("no answer"), false, true) // once up, until it leaves
	r.left("g")
	pinged(one, nil, false, false)
	r.seen(two)
	pinged(one, nil, false, false) // a late answer of the one before
	pinged(two, nil, true, true)
}

func TestSumPings(t *testing.T) {
	var r roster
	r.sumPings()
	if r.pings != nil {
		t.Errorf("pings of nobody are %v, want nil", r.pings)
	}
	for name, ping := range map[string]time.Duration{"a": 10 * ms, "b": 20 * ms, "c": 60 * ms} {
		r.seen(edgeNode(name, "a"))
		r.pinged(start, edgeNode(name, "a"), ping, nil)
	}
	r.seen(groupNode("down", "a"))
	r.seen(originNode("http://127.0.0.1:1/"))
	r.pinged(start, originNode(""), time.Second, nil)
	r.sumPings()
	if want := (span{10 * ms, 60 * ms, 30 * ms}); r.pings == nil || *r.pings != want {
		t.Errorf("pings are %v, want %v: of edges and groups that are up", r.pings, want)
	}
}
