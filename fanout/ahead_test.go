package fanout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// foretold notes what a shard says that clients are about to be given, and checks it
// against what they are given until the end of it.
type foretold struct {
	t      testing.TB
	names  map[Client]string
	sends  []string // that are being given
	wires  [][]byte // of sends
	given  []string
	counts []int // of sends, each time
	open   bool  // told of, and not passed yet
}

// foretell has the shard tell it.
func foretell(t testing.TB, s *Shard) *foretold {
	f := &foretold{t: t, names: make(map[Client]string)}
	s.SendAhead(f.hear, f.passed)
	return f
}

func (f *foretold) hear(sends []Send) {
	f.t.Helper()
	if f.open {
		f.t.Error("told twice, with nothing between")
	}
	f.open = true
	f.counts = append(f.counts, len(sends))
	for _, s := range sends {
		f.sends = append(f.sends, f.names[s.Client]+" "+content(s.Wire))
		f.wires = append(f.wires, s.Wire)
	}
}

// passed checks, when all have been given it.
func (f *foretold) passed() {
	f.t.Helper()
	if f.open = false; !slices.Equal(f.sends, f.given) {
		f.t.Errorf("told of %q, then given %q", f.sends, f.given)
	}
	f.sends, f.given, f.wires = nil, nil, nil
}

// give notes what a client is given: with the very bytes that were told of.
func (f *foretold) give(c Client, wire []byte) {
	f.t.Helper()
	if !f.open {
		f.t.Errorf("%s is given %q, and it was not told of", f.names[c], content(wire))
	}
	if i := len(f.given); i < len(f.wires) && len(wire) > 0 && &f.wires[i][0] != &wire[0] {
		f.t.Errorf("%s is given other bytes than those told of", f.names[c])
	}
	f.given = append(f.given, f.names[c]+" "+content(wire))
}

// content is what is in an answer or a chunk; "" for no bytes.
func content(wire []byte) string {
	if _, body, ok := strings.Cut(string(wire), "\r\n\r\n"); ok {
		return body
	}
	return strings.ReplaceAll(string(wire), "\r\n", "|")
}

// viewer is a client that tells a foretold what it is given.
type viewer struct {
	f        *foretold
	hold     Hold
	finished int
	then     func() // what it does when it is given something, if anything
}

func (v *viewer) given(wire []byte) Outcome {
	v.f.give(v, wire)
	if v.then != nil {
		v.then()
	}
	return Written
}

func (v *viewer) Deliver(wire []byte) Outcome { return v.given(wire) }
func (v *viewer) Append(p *Piece) Outcome     { return v.given(p.Wire(v.hold.Variant)) }
func (v *viewer) Finish()                     { v.finished++ }

// view puts n viewers into the group, every third of which has another variant.
func (f *foretold) view(g *Group, n int) []*viewer {
	vs := make([]*viewer, n)
	for i := range vs {
		vs[i] = &viewer{f: f}
		if i%3 == 2 {
			vs[i].hold.Variant = Close | Raw
		}
		f.names[vs[i]] = fmt.Sprint("viewer ", i)
		g.Join(&vs[i].hold, vs[i])
	}
	return vs
}

// A loop is told of just those who are given something next, in the order in which
// they are, with the same bytes, and then that they have been given it.
func TestSendAhead(t *testing.T) {
	const many = turnWrites + 100
	for _, tt := range []struct {
		name    string
		streams bool
		n       int
		before  func(vs []*viewer)
		items   string
		counts  []int // told of, each time
		ended   bool  // all streams have
	}{
		{name: "answers", n: 5, items: "c:8<7", counts: []int{5}},
		{name: "one answer", n: 1, items: "c:8<7", counts: []int{1}},
		{name: "more than a turn's answers", n: many, items: "c:8<7", counts: []int{turnWrites, 100}},
		{name: "just a turn's answers", n: turnWrites, items: "c:8<7", counts: []int{turnWrites}},
		{name: "gaps among the answers", n: 6, items: "c:8<7", counts: []int{3}, before: func(vs []*viewer) {
			for _, v := range vs[1:4] {
				v.hold.Leave()
			}
		}},
		{name: "a piece", streams: true, n: 5, items: "c:8<7", counts: []int{5}},
		{name: "pieces of one turn", streams: true, n: 5, items: "c:8<7 c:9<8", counts: []int{5}},
		{name: "more than a turn's pieces", streams: true, n: many, items: "c:8<7 c:9<8", counts: []int{turnWrites, 100}},
		{name: "an empty piece", streams: true, n: 5, items: "c:<7", counts: []int{5}},
		{name: "a piece, and the end", streams: true, n: 5, items: "c:8<7 c:9!close<8", counts: []int{5}, ended: true},
		{name: "more than a turn's ends", streams: true, n: many, items: "c:8<7 c:9!close<8", counts: []int{turnWrites, 100}, ended: true},
		{name: "gaps among the streams, made meanwhile", streams: true, n: many, items: "c:8<7", before: func(vs []*viewer) {
			vs[3].then = func() { // in the first turn, of those of the second
				for _, v := range vs[turnWrites : turnWrites+40] {
					v.hold.Leave()
				}
			}
		}, counts: []int{turnWrites, 60}},
		{name: "who leaves when it is given it", streams: true, n: 5, items: "c:8<7", before: func(vs []*viewer) {
			for _, v := range vs {
				v.then = v.hold.Leave
			}
		}, counts: []int{5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			f := foretell(t, s)
			a := newAsker("c@7")
			if tt.streams {
				a = newStreams("c@7")
			}
			vs := f.view(a.group, tt.n)
			if got, _ := s.Enter(&a.watch); got != Holding {
				t.Fatalf("got standing %d, want a hold", got)
			}
			if tt.before != nil {
				tt.before(vs)
			}
			for _, it := range strings.Fields(tt.items) {
				if tt.streams {
					st.publishAll(it)
					continue
				}
				_, rest, _ := strings.Cut(it, ":")
				id, prevID, _ := strings.Cut(rest, "<")
				st.publish("c", id, prevID)
			}
			st.run()
			if f.open {
				t.Error("it was never told that all have been given it")
			}
			if !slices.Equal(f.counts, tt.counts) {
				t.Errorf("told of %d, want %d", f.counts, tt.counts)
			}
			for i, v := range vs {
				if want := map[bool]int{true: 1}[tt.ended]; v.finished != want {
					t.Fatalf("viewer %d has ended %d times, want %d", i, v.finished, want)
				}
			}
			for _, send := range s.sends[:cap(s.sends)] {
				if send.Client != nil || send.Wire != nil {
					t.Fatal("the shard keeps what was sent in its scratch space")
				}
			}
			if !tt.streams {
				s.Leave(&a.watch)
				return
			}
			a.leave(s)
			st.wantEmpty()
		})
	}
}

// Who leaves between being told of and being given it is not given it, and nobody
// else comes in its place.
func TestSendAheadOfWhoLeaves(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	f := foretell(t, s)
	a := newStreams("c@7")
	vs := f.view(a.group, turnWrites+3)
	s.Enter(&a.watch)
	vs[0].then = vs[5].hold.Leave
	var told, given []string
	s.SendAhead(func(sends []Send) {
		f.open, f.wires = true, nil
		for _, send := range sends {
			told = append(told, f.names[send.Client])
		}
	}, func() {
		for _, name := range f.given {
			name, _, _ = strings.Cut(name, " 1|") // the chunk
			given = append(given, name)
		}
		f.given = nil
	})
	st.publishAll("c:8<7")
	st.run()
	// The budget goes to one more than was told of; that one is told of in no turn.
	want := slices.DeleteFunc(slices.Clone(told), func(name string) bool { return name == f.names[vs[5]] })
	if missing := len(vs) - 1 - len(want); missing != 1 {
		t.Errorf("%d of those who were given it were not told of, want 1", missing)
	}
	if len(given) != len(vs)-1 || slices.Contains(given, f.names[vs[5]]) {
		t.Errorf("%d are given it, want %d without the one who left", len(given), len(vs)-1)
	}
	a.leave(s)
	st.wantEmpty()
}
