package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"marquee/bus"
)

// newTestFleet returns a fleet of processes that do nothing until they are told
// to leave, and a context for match.
func newTestFleet(t *testing.T) (*fleet, context.Context) {
	t.Helper()
	idle := filepath.Join(t.TempDir(), "idle")
	if err := os.WriteFile(idle, []byte("#!/bin/sh\nexec sleep 600\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		cfg:      &config{nodeCapacity: 100, regions: []string{"a", "b"}},
		edgePath: idle, clientPath: idle,
		log:     slog.New(slog.DiscardHandler),
		changed: func() {},
		members: make(map[string]*member),
	}
	f.cfg.bus.URL = "nats://127.0.0.1:4222"
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		f.wait()
	})
	return f, ctx
}

// is returns the names of those that are to stay.
func (f *fleet) is() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name, m := range f.members {
		if !m.stopping {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestFleetMatch(t *testing.T) {
	here, moved := originNode("http://127.0.0.1:8080/headline/value/"), originNode("http://127.0.0.1:8081/headline/value/")
	foreign := []bus.Node{edgeNode("theirs", "a"), groupNode("a-group-01", "a")}
	f, ctx := newTestFleet(t)
	steps := []struct {
		name   string
		needed int
		there  []bus.Node
		origin *bus.Node
		want   string
	}{
		{"no edges without an origin", 1, nil, nil, "a-group-01"},
		{"the origin is there", 1, nil, &here, "a-edge-01 a-group-01"},
		{"more, spread over regions", 3, nil, &here, "a-edge-01 a-edge-02 a-group-01 a-group-02 b-edge-01 b-group-01"},
		{"what announces itself is ours", 3, []bus.Node{edgeNode("a-edge-01", "a"), groupNode("b-group-01", "b")}, &here, "a-edge-01 a-edge-02 a-group-01 a-group-02 b-edge-01 b-group-01"},
		{"others are enough for one each, the newest leave", 3, []bus.Node{edgeNode("theirs", "a"), groupNode("theirs-too", "b")}, &here, "a-edge-01 a-group-01 b-edge-01 b-group-01"},
		{"the origin is away", 3, []bus.Node{edgeNode("theirs", "a"), groupNode("theirs-too", "b")}, nil, "a-edge-01 a-group-01 b-edge-01 b-group-01"},
		{"none needed", 0, nil, &here, ""},
	}
	for _, step := range steps {
		f.match(ctx, step.needed, step.there, step.origin)
		if got := f.is(); got != step.want {
			t.Errorf("%s: the fleet is %q, want %q", step.name, got, step.want)
		}
	}
	eventually(t, "all processes are gone", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.members) == 0
	})

	// Names that others have are not taken, and regions that others use count.
	f.match(ctx, 3, foreign, &here)
	if got, want := f.is(), "a-edge-01 a-group-02 b-edge-01 b-group-01"; got != want {
		t.Errorf("beside %s: the fleet is %q, want %q", names(foreign), got, want)
	}

	// An origin that has moved needs edges that know so.
	f.match(ctx, 3, foreign, &moved)
	for _, m := range f.running(bus.KindEdge) {
		if m.origin != "127.0.0.1:8081" {
			t.Errorf("edge %s is in front of %s, want 127.0.0.1:8081", m.name, m.origin)
		}
	}
	if got := f.is(); strings.Count(got, "edge") != 2 || strings.Count(got, "group") != 2 {
		t.Errorf("after the origin has moved the fleet is %q, want 2 edges and 2 groups", got)
	}
}

func TestFleetProcess(t *testing.T) {
	f, _ := newTestFleet(t)
	f.cfg.bus = bus.Config{URL: "nats://user:password@127.0.0.1:4222", Credentials: "file.creds"}
	edge := f.process(&member{place: place{"a-edge-01", "a"}, kind: bus.KindEdge, origin: "127.0.0.1:8080"})
	group := f.process(&member{place: place{"a-group-01", "a"}, kind: bus.KindGroup})
	tests := []struct {
		p        *process
		wantArgs string
		wantEnv  string
	}{
		{edge, "-nats-creds file.creds -name a-edge-01 -region a -log-format json -origin 127.0.0.1:8080 -share-all -loops 1 -listen 127.0.0.1:0 -control 127.0.0.1:0", "MARQUEE_EDGE_NATS=" + f.cfg.bus.URL},
		{group, "-nats-creds file.creds -name a-group-01 -region a -log-format json -c 100", "MARQUEE_LOADCLIENT_NATS=" + f.cfg.bus.URL},
	}
	for _, tt := range tests {
		if got := strings.Join(tt.p.args, " "); got != tt.wantArgs {
			t.Errorf("%s is started with %s, want %s", tt.p.name, got, tt.wantArgs)
		}
		if !slices.Contains(tt.p.env, tt.wantEnv) {
			t.Errorf("%s is started without %s in its environment", tt.p.name, tt.wantEnv)
		}
		if strings.Contains(fmt.Sprint(tt.p.args), "password") {
			t.Errorf("%s is started with a password that everybody sees: %q", tt.p.name, tt.p.args)
		}
	}
}
