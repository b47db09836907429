package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"marquee/bus"
)

// A fleet is the edges and client groups that this dashboard runs itself.
type fleet struct {
	// Immutable after newFleet.
	cfg                  *config
	edgePath, clientPath string
	log                  *slog.Logger
	changed              func() // called when a process is gone for good

	mu      sync.Mutex // all below
	members map[string]*member
	started int
	loops   sync.WaitGroup // process.run of each member
}

// A member is a process that is to be a node of the demonstration.
type member struct {
	place
	kind   bus.Kind
	origin string // host:port, of an edge
	number int    // the fleet's count when it was started
	stop   context.CancelFunc
	// stopping is true from stop until the process is gone.
	stopping bool
}

func newFleet(cfg *config, log *slog.Logger, changed func()) (*fleet, error) {
	edgePath, err := binary("edge")
	if err != nil {
		return nil, err
	}
	clientPath, err := binary("loadclient")
	if err != nil {
		return nil, err
	}
	return &fleet{
		cfg: cfg, edgePath: edgePath, clientPath: clientPath, log: log, changed: changed,
		members: make(map[string]*member),
	}, nil
}

// match starts and stops processes until there are as many edges, and groups, as
// needed, with those that are there without it. It does not wait for any of
// them. No edge is started while it is not known where the origin is.
func (f *fleet) match(ctx context.Context, needed int, there []bus.Node, origin *bus.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := make(map[string]bool)
	for name := range f.members {
		taken[name] = true
	}
	others := make(map[bus.Kind][]bus.Node)
	for _, n := range there {
		if f.members[n.Name] == nil {
			others[n.Kind] = append(others[n.Kind], n)
		}
		taken[n.Name] = true
	}
	address := ""
	if origin != nil {
		if u, err := url.Parse(origin.Addresses[apiAddress]); err == nil {
			address = u.Host
		}
	}
	if address != "" {
		for _, m := range f.running(bus.KindEdge) {
			if m.origin != address {
				f.end(m)
			}
		}
		f.matchKind(ctx, bus.KindEdge, needed, others[bus.KindEdge], taken, address)
	}
	f.matchKind(ctx, bus.KindGroup, needed, others[bus.KindGroup], taken, "")
}

func (f *fleet) matchKind(ctx context.Context, kind bus.Kind, needed int, others []bus.Node, taken map[string]bool, origin string) {
	running := f.running(kind)
	perRegion := make(map[string]int)
	for _, m := range running {
		perRegion[m.region]++
	}
	for _, n := range others {
		perRegion[n.Region]++
	}
	for surplus := len(running) + len(others) - needed; surplus > 0 && len(running) > 0; surplus-- {
		// The newest first, so that regions stay as even as they were made.
		f.end(running[len(running)-1])
		running = running[:len(running)-1]
	}
	for missing := needed - len(running) - len(others); missing > 0; missing-- {
		region := regionToGrow(f.cfg.regions, perRegion)
		perRegion[region]++
		name := freeName(region, kind, taken)
		taken[name] = true
		f.begin(ctx, &member{place: place{name, region}, kind: kind, origin: origin})
	}
}

// running returns the members of a kind that are to stay, in the order of their
// start.
func (f *fleet) running(kind bus.Kind) []*member {
	var running []*member
	for _, m := range f.members {
		if m.kind == kind && !m.stopping {
			running = append(running, m)
		}
	}
	slices.SortFunc(running, func(a, b *member) int { return cmp.Compare(a.number, b.number) })
	return running
}

// freeName returns the first of REGION-KIND-01, -02, … that is not taken.
func freeName(region string, kind bus.Kind, taken map[string]bool) string {
	for i := 1; ; i++ {
		if name := fmt.Sprintf("%s-%s-%02d", region, kind, i); !taken[name] {
			return name
		}
	}
}

// begin starts m's process; mu is held.
func (f *fleet) begin(ctx context.Context, m *member) {
	ctx, m.stop = context.WithCancel(ctx)
	f.started++
	m.number = f.started
	f.members[m.name] = m
	p := f.process(m)
	f.loops.Go(func() {
		_ = p.run(ctx) // nil without mustStart
		f.mu.Lock()
		delete(f.members, m.name)
		f.mu.Unlock()
		f.changed()
	})
}

// end has m's process leave; mu is held.
func (f *fleet) end(m *member) {
	m.stopping = true
	m.stop()
}

// wait returns when all processes are gone. The context of match has ended.
func (f *fleet) wait() { f.loops.Wait() }

// process returns m's process.
func (f *fleet) process(m *member) *process {
	p := &process{name: m.name, log: f.log}
	p.args = append(busArgs(f.cfg.bus), "-name", m.name, "-region", m.region, "-log-format", "json")
	if m.kind == bus.KindEdge {
		p.path = f.edgePath
		p.env = childEnv("MARQUEE_EDGE_NATS", f.cfg.bus.URL)
		// One loop each: there are more edges than cores.
		p.args = append(p.args, "-origin", m.origin, "-share-all", "-loops", "1",
			"-listen", "127.0.0.1:0", "-control", "127.0.0.1:0")
	} else {
		p.path = f.clientPath
		p.env = childEnv("MARQUEE_LOADCLIENT_NATS", f.cfg.bus.URL)
		p.args = append(p.args, "-c", strconv.Itoa(f.cfg.nodeCapacity))
	}
	return p
}

// busArgs returns the flags that reach NATS as we do, but for -nats, which may
// have a password in it that a list of processes would show.
func busArgs(cfg bus.Config) []string {
	var args []string
	for _, flag := range []struct{ name, value string }{
		{"-nats-creds", cfg.Credentials}, {"-nats-ca", cfg.CA}, {"-nats-cert", cfg.Cert}, {"-nats-key", cfg.Key},
	} {
		if flag.value != "" {
			args = append(args, flag.name, flag.value)
		}
	}
	return args
}

// childEnv returns our environment without our own settings, which may be
// secret, and with one more variable.
func childEnv(name, value string) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, envPrefix+"_")
	})
	return append(env, name+"="+value)
}
