package bus

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A rosterScript drives a roster by a clock of its own, in seconds.
type rosterScript struct {
	t      *testing.T
	bus    *Bus
	roster *roster
	now    time.Time
	events []string // since the last want
}

func newRosterScript(t *testing.T) *rosterScript {
	s := &rosterScript{t: t, bus: &Bus{opening: opening("script")}, now: time.Unix(0, 0)}
	s.roster = &roster{
		nodes: make(map[string]*presence),
		seen:  func(n Node) { s.events = append(s.events, "seen "+n.Name+n.Instance) },
		left:  func(n Node, why string) { s.events = append(s.events, "left "+n.Name+n.Instance+": "+why) },
	}
	s.roster.sweep(s.now, true)
	return s
}

func (s *rosterScript) announce(name, instance string) {
	n := Node{Name: name, Identity: Identity{Host: "h", PID: 7, Instance: instance, Since: time.Unix(0, 0)}}
	s.hear(&nats.Msg{Subject: nodePrefix + token(name), Data: s.bus.seal(marshal(n))})
}

func (s *rosterScript) goodbye(name, instance string) {
	s.hear(&nats.Msg{Subject: byePrefix + token(name), Data: s.bus.seal(marshal(goodbye{instance}))})
}

func (s *rosterScript) hear(m *nats.Msg) {
	s.t.Helper()
	if err := s.roster.hear(m, s.now); err != nil {
		s.t.Error(err)
	}
}

// pass lets time pass, with a sweep as often as there is one.
func (s *rosterScript) pass(d time.Duration, connected bool) {
	for ; d > 0; d -= sweepInterval {
		s.now = s.now.Add(sweepInterval)
		s.roster.sweep(s.now, connected)
	}
}

func (s *rosterScript) want(events ...string) {
	s.t.Helper()
	if !reflect.DeepEqual(s.events, events) {
		s.t.Errorf("events %q, want %q", s.events, events)
	}
	s.events = nil
}

func TestRoster(t *testing.T) {
	tests := []struct {
		name string
		run  func(s *rosterScript)
	}{
		{"silence", func(s *rosterScript) {
			s.announce("a", "1")
			s.announce("b", "1")
			s.want("seen a1", "seen b1")
			s.pass(4*time.Second, true)
			s.announce("b", "1")
			s.pass(silence-4*time.Second-sweepInterval, true)
			s.want("seen b1")
			s.pass(sweepInterval, true)
			s.want("left a1: silent for 5s")
			s.announce("a", "1")
			s.want("seen a1")
		}},
		{"goodbye", func(s *rosterScript) {
			s.announce("a", "1")
			s.goodbye("a", "1")
			s.goodbye("a", "1")
			s.want("seen a1", "left a1: said goodbye")
			s.pass(2*silence, true)
			s.want()
		}},
		{"replaced by a restart", func(s *rosterScript) {
			s.announce("a", "1")
			s.announce("a", "2")
			s.want("seen a1", "left a1: replaced by pid 7 on h (since 1970-01-01T00:00:00Z)", "seen a2")
			s.goodbye("a", "1") // late
			s.want()
			s.goodbye("a", "2")
			s.want("left a2: said goodbye")
		}},
		{"goodbye of a stranger", func(s *rosterScript) {
			s.goodbye("a", "1")
			s.want()
		}},
		{"cut off", func(s *rosterScript) {
			s.announce("a", "1")
			s.pass(3*time.Second, true)
			s.pass(time.Minute, false)
			s.pass(silence-sweepInterval, true) // the others come back, too
			s.want("seen a1")
			s.pass(sweepInterval, true)
			s.want("left a1: silent for 1m8s")
		}},
		{"this process stood still", func(s *rosterScript) {
			s.announce("a", "1")
			s.now = s.now.Add(time.Minute) // without a sweep
			s.pass(sweepInterval, true)
			s.want("seen a1")
			s.announce("a", "1")
			s.want("seen a1")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newRosterScript(t)
			tt.run(s)
		})
	}
}

func TestRosterRefuses(t *testing.T) {
	s := newRosterScript(t)
	for _, m := range []*nats.Msg{
		{Subject: "marquee.node.b", Data: []byte(`{"v":1,"name":"a"}`)}, // forged
		{Subject: "marquee.bye.%2e", Data: []byte(`{"v":1}`)},           // no name
		{Subject: "marquee.bye.a", Data: []byte(`{"v":1,"instance":1}`)},
	} {
		if err := s.roster.hear(m, s.now); err == nil {
			t.Errorf("%s %s is accepted", m.Subject, m.Data)
		}
	}
	s.want()
}

// TestSilentNode has a node that stops without a goodbye.
func TestSilentNode(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Options{})
	other := connect(t, s.ClientURL(), "other")
	seenCh, leftCh := watchNodes(t, s, connect(t, s.ClientURL(), "dashboard"))
	a := &announcer{bus: other, name: "n", node: func() Node { return Node{} }, id: exampleID}
	start := time.Now()
	a.announce()
	receive(t, seenCh, "announcement")
	if got := receive(t, leftCh, "departure"); got.node.Identity != exampleID || !strings.HasPrefix(got.why, "silent for ") {
		t.Errorf("left: %+v", got)
	}
	if took := time.Since(start); took < silence {
		t.Errorf("left after %v", took)
	}
}
