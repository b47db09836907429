package main

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"
)

// setUpTest is a pool whose loop does not run, and whose clients connect to
// listeners that accept nobody.
type setUpTest struct {
	*testing.T
	*pool
	targets [2]*target
}

func newSetUpTest(t *testing.T, clients int, flags ...string) *setUpTest {
	t.Helper()
	st := &setUpTest{T: t, pool: newUnsetPool(t, clients, flags...)}
	for i := range st.targets {
		var err error
		u := &url.URL{Scheme: "http", Host: "headline.example", Path: "/"}
		if st.targets[i], err = newTarget(t.Context(), st.cfg, u, listening(t)); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// give puts clients into states, as if they had been answered headline 1.
func (t *setUpTest) give(in ...state) {
	for i, s := range in {
		if s == idle {
			continue
		}
		c := &t.clients[i]
		c.started, c.id = true, 1
		t.pool.started++
		t.tally.receive(&headline{id: 1}, 0)
		t.enter(int32(i), s)
	}
}

func (t *setUpTest) states() []state {
	var in []state
	for i := range t.clients {
		in = append(in, t.clients[i].state)
	}
	return in
}

// TestShrink ends clients without a poll in flight first.
func TestShrink(t *testing.T) {
	mixed := []state{polling, resting, polling, connecting, idle, polling, asking}
	for _, tt := range []struct {
		count int
		want  []state
	}{
		{7, mixed},
		{6, mixed},
		{5, []state{polling, resting, polling, connecting, idle, polling, idle}},
		{3, []state{polling, idle, polling, idle, idle, polling, idle}},
		{2, []state{polling, idle, polling, idle, idle, idle, idle}},
		{0, make([]state, 7)},
	} {
		t.Run(fmt.Sprint("to ", tt.count), func(t *testing.T) {
			st := newSetUpTest(t, len(mixed))
			st.give(mixed...)
			st.fail(6, status, errLoopEnded)
			st.enter(6, asking)
			st.shrink(tt.count)
			if got := st.states(); !slices.Equal(got, tt.want) {
				t.Errorf("left %v, want %v", got, tt.want)
			}
			left := min(tt.count, 6)
			if st.pool.started != left || st.tally.have != left || st.active() != left {
				t.Errorf("%d started, %d have the headline, %d active, want %d", st.pool.started, st.tally.have, st.active(), left)
			}
			if want := left / 6; st.errored != want {
				t.Errorf("%d errored, want %d", st.errored, want)
			}
			if _, ok := st.timers.next(); ok != (left == 6) {
				t.Errorf("timer left: %v", ok)
			}
		})
	}
}

// TestMovePace moves clients at -rate: until its turn, each stays where it is.
func TestMovePace(t *testing.T) {
	st := newSetUpTest(t, 10, "-rate", "100")
	st.setUp(5, st.targets[0])
	st.epoch = st.epoch.Add(-time.Second) // a second later, all five may have begun
	st.turn(nil)
	if st.active() != 5 || st.connections != 5 {
		t.Fatalf("%d clients, %d connections, want 5", st.active(), st.connections)
	}
	moved := func() (n int) {
		for i := range st.clients {
			if c := &st.clients[i]; c.state != idle && c.generation == st.generation {
				n++
			}
		}
		return n
	}
	if change := st.setUp(7, st.targets[1]); change != "clients connect elsewhere" {
		t.Errorf("change %q", change)
	}
	for _, step := range []struct {
		at            time.Duration
		moved, active int
	}{
		{0, 1, 5},
		{25 * time.Millisecond, 3, 5},
		{60 * time.Millisecond, 7, 7},
		{time.Second, 7, 7},
	} {
		wait := st.ramp(st.beganAt + step.at)
		if got := moved(); got != step.moved || st.active() != step.active || st.connections != step.active {
			t.Errorf("after %v: %d moved, %d active, %d connections, want %d, %d, %d", step.at, got, st.active(), st.connections,
				step.moved, step.active, step.active)
		}
		if wait < 0 != (step.at == time.Second) {
			t.Errorf("after %v: wait %v", step.at, wait)
		}
	}
	if change := st.setUp(7, st.targets[1]); change != "" || st.ramp(st.now()) != -1 {
		t.Errorf("the same again: change %q", change)
	}
}

// TestMoveOnItsOwn has a client reconnect before its turn to move.
func TestMoveOnItsOwn(t *testing.T) {
	st := newSetUpTest(t, 2)
	st.setUp(2, st.targets[0])
	st.ramp(st.now() + time.Second)
	st.setUp(2, st.targets[1])
	st.fail(1, reset, errLoopEnded)
	st.request(1) // its backoff is over
	fd := st.clients[1].fd
	st.ramp(st.now() + time.Second)
	if c := &st.clients[1]; c.fd != fd || c.state != connecting {
		t.Errorf("state %v on socket %d, want connecting on %d still", c.state, c.fd, fd)
	}
}

// TestPollAfterMove polls on a connection to where clients no longer
// connect.
func TestPollAfterMove(t *testing.T) {
	st := newSetUpTest(t, 1)
	st.setUp(1, st.targets[0])
	st.ramp(st.now())
	st.enter(0, resting)
	st.setUp(1, st.targets[1])
	st.request(0)
	if c := &st.clients[0]; c.state != connecting || c.generation != st.generation || st.connections != 1 {
		t.Errorf("state %v, generation %d of %d, %d connections, want connecting anew", c.state, c.generation, st.generation, st.connections)
	}
}
