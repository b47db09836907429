package main

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// ticks is a duration of n ticks.
func ticks(n int) time.Duration { return time.Duration(n) * tick }

// expiries advances w n times and returns at which tick each connection of
// names came out.
func expiries(w *wheel[*conn], n int, names map[*conn]string) []string {
	var all []string
	for range n {
		var now []string
		for _, c := range w.advance(nil) {
			now = append(now, fmt.Sprintf("%s@%d", names[c], w.now))
		}
		slices.Sort(now)
		all = append(all, now...)
	}
	return all
}

func TestWheel(t *testing.T) {
	const turn = wheelSlots
	type step struct {
		advance int // first
		name    string
		set     time.Duration
		remove  bool
	}
	tests := []struct {
		name  string
		steps []step
		want  []string // name@tick, of three turns
	}{
		{"a deadline passes up to one tick late", []step{{name: "a", set: ticks(4)}}, []string{"a@5"}},
		{"part of a tick counts as a tick", []step{{name: "a", set: 1}}, []string{"a@2"}},
		{"no time is the next tick", []step{{name: "a", set: nextTick}}, []string{"a@1"}},
		{"at the end of a turn", []step{{name: "a", set: ticks(turn - 1)}}, []string{fmt.Sprint("a@", turn)}},
		{"one turn and one tick", []step{{name: "a", set: ticks(turn)}}, []string{fmt.Sprint("a@", turn+1)}},
		{"two turns and a half", []step{{name: "a", set: ticks(5 * turn / 2)}}, []string{fmt.Sprint("a@", 5*turn/2+1)}},
		{"later", []step{{name: "a", set: ticks(4)}, {advance: 3, name: "a", set: ticks(10)}}, []string{"a@14"}},
		{"later by more than a turn", []step{{name: "a", set: ticks(4)}, {advance: 3, name: "a", set: ticks(turn + 10)}}, []string{fmt.Sprint("a@", turn+14)}},
		{"earlier", []step{{name: "a", set: ticks(100)}, {advance: 3, name: "a", set: ticks(2)}}, []string{"a@6"}},
		{"earlier from far away", []step{{name: "a", set: ticks(2 * turn)}, {advance: 3, name: "a", set: ticks(2)}}, []string{"a@6"}},
		{"later, then earlier", []step{{name: "a", set: ticks(10)}, {name: "a", set: ticks(50)}, {name: "a", set: ticks(20)}}, []string{"a@21"}},
		{"removed", []step{{name: "a", set: ticks(4)}, {name: "b", set: ticks(4)}, {name: "a", remove: true}}, []string{"b@5"}},
		{"removed when put on", []step{{name: "a", set: ticks(4)}, {name: "a", set: ticks(9)}, {advance: 6, name: "a", remove: true}}, nil},
		{"removed, never set", []step{{name: "a", remove: true}}, nil},
		{"removed twice", []step{{name: "a", set: ticks(4)}, {name: "a", remove: true}, {name: "a", remove: true}}, nil},
		{"set again after removal", []step{{name: "a", set: ticks(4)}, {name: "a", remove: true}, {name: "a", set: ticks(2)}}, []string{"a@3"}},
		{"many in one slot", []step{{name: "a", set: ticks(4)}, {name: "b", set: ticks(4)}, {name: "c", set: ticks(turn + 4)}, {name: "d", set: ticks(4)}},
			[]string{"a@5", "b@5", "d@5", fmt.Sprint("c@", turn+5)}},
		{"middle of a slot removed", []step{{name: "a", set: ticks(4)}, {name: "b", set: ticks(4)}, {name: "c", set: ticks(4)}, {name: "b", remove: true}},
			[]string{"a@5", "c@5"}},
		{"behind the first turn", []step{{advance: turn + 7, name: "a", set: ticks(3)}}, []string{fmt.Sprint("a@", turn+11)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var w wheel[*conn]
			conns := map[string]*conn{"a": {}, "b": {}, "c": {}, "d": {}}
			names := make(map[*conn]string)
			for name, c := range conns {
				names[c] = name
			}
			var got []string
			for _, s := range tt.steps {
				got = append(got, expiries(&w, s.advance, names)...)
				if s.remove {
					w.remove(conns[s.name])
				} else {
					w.set(conns[s.name], s.set)
				}
			}
			got = append(got, expiries(&w, 3*turn, names)...)
			if !slices.Equal(got, tt.want) {
				t.Errorf("deadlines passed %v, want %v", got, tt.want)
			}
			w.each(func(c *conn) { t.Errorf("%s is still in the wheel", names[c]) })
		})
	}
}

// each sees every connection, also when the one it sees is removed.
func TestWheelEach(t *testing.T) {
	var w wheel[*conn]
	conns := make([]conn, 100)
	for i := range conns {
		w.set(&conns[i], ticks(i/10)) // ten to a slot
	}
	seen := make(map[*conn]int)
	w.each(func(c *conn) {
		seen[c]++
		if len(seen)%2 == 0 {
			w.remove(c)
		}
	})
	if len(seen) != len(conns) {
		t.Errorf("each saw %d connections, want %d", len(seen), len(conns))
	}
	left := 0
	w.each(func(c *conn) {
		left++
		if seen[c] != 1 {
			t.Errorf("a connection was seen %d times", seen[c])
		}
	})
	if left != len(conns)/2 {
		t.Errorf("%d connections are left, want %d", left, len(conns)/2)
	}
}

// The usual case, a deadline that moves away with every request, does not
// allocate and does not touch the lists.
func BenchmarkWheelSet(b *testing.B) {
	var w wheel[*conn]
	conns := make([]conn, 5000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w.set(&conns[i%len(conns)], idleTimeout)
		if i%len(conns) == 0 {
			w.advance(nil)
		}
	}
}

// A deadline that has passed, but has not been dealt with when the connection
// gets a new one, is void: here the answer to a hold comes in between.
func TestDeadlineSetAgainIsVoid(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, h, "-loops", "1")
	c := r.dial()
	c.get(pollPath(1))
	r.waitHolds(1)
	r.onLoops(func(l *loop) {
		l.wheel.each(func(c *conn) {
			l.wheel.remove(c)
			l.due = append(l.due, c)
		})
	})
	h.change()
	r.publish(headlineItem(2))
	c.wantAnswer(200, headlineBody(2))
	r.onLoops(func(l *loop) { l.expire() })
	c.get(headlinePath)
	c.wantAnswer(200, headlineBody(2))
}
