package fanout

import (
	"slices"
	"testing"
)

// enterStreams makes streams hold, n of them.
func (st *stage) enterStreams(shard, n int, names ...string) (*asker, []*client) {
	a := newStreams(names...)
	a.group.Tally = new(Tally)
	cs := a.join(n)
	if got, _ := st.shards[shard].Enter(&a.watch); got != Holding {
		st.t.Fatalf("streams of %v got standing %d, want them to hold", names, got)
	}
	return a, cs
}

// Who joins gets what comes from then on, and nothing that was there before.
func TestJoiningStreams(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	a, first := st.enterStreams(0, turnWrites+5, "c@0")
	st.publishAll("c:1<0", "c:2<1")
	st.woken[0] = s.Turn() // begins, and does not end
	second := a.join(1)    // in the midst of it
	st.publishAll("c:3<2", "c:4<3")
	s.collect()
	s.beginNext()
	third := a.join(1) // 3 waits to be written
	s.beginNext()
	fourth := a.join(1)
	st.run()
	st.publishAll("c:5<4")
	st.run()
	wantGot(t, first, "+1+2", "+3", "+4", "+5")
	wantGot(t, second, "+3", "+4", "+5")
	wantGot(t, third, "+4", "+5")
	wantGot(t, fourth, "+5")
	for i, want := range []int64{turnWrites + 5, turnWrites + 5, turnWrites + 6, turnWrites + 7, turnWrites + 8} {
		if r := st.receipts[i]; r.Written != want || r.Matched != want || !r.Complete {
			t.Errorf("receipt of item %d: %+v, want %d written", i+1, r, want)
		}
	}
	if got, want := a.group.Tally.Of(Written), int64(5*(turnWrites+5)+3+2+1); got != want {
		t.Errorf("%d written by the tally, want %d", got, want)
	}
	a.leave(s)
	st.wantEmpty()
}

// A stream may leave at any moment without harm to the others.
func TestLeavingStreams(t *testing.T) {
	const others = turnWrites + 100
	for _, tt := range []struct {
		name    string
		play    func(st *stage, all []*client, c *client)
		got     []string // by c
		dropped int64
	}{
		{"before", func(st *stage, _ []*client, c *client) {
			c.hold.Leave()
		}, nil, 0},
		{"in its Append", func(st *stage, _ []*client, c *client) {
			c.then = func() { c.hold.Leave() }
		}, []string{"+8"}, 0},
		{"in an earlier one's Append", func(st *stage, all []*client, c *client) {
			all[0].then = func() { c.hold.Leave() }
		}, nil, 1},
		{"in a later one's Append", func(st *stage, all []*client, c *client) {
			all[len(all)-1].then = func() { c.hold.Leave() }
		}, []string{"+8"}, 0},
		{"with its neighbours", func(st *stage, all []*client, c *client) {
			c.then = func() {
				for _, c := range all[others/3-1 : others/3+2] {
					c.hold.Leave()
				}
			}
		}, []string{"+8"}, 1},
	} {
		for _, end := range []string{"8", "8!close"} {
			t.Run(tt.name+", item "+end, func(t *testing.T) {
				st := newStage(t, 1)
				a, all := st.enterStreams(0, others+1, "c@7")
				c := all[others/3]
				tt.play(st, all, c)
				d := st.publishAll("c:" + end + "<7")[0]
				st.run()
				got := "+8"
				if end != "8" {
					got = "end"
				}
				for i := range tt.got {
					tt.got[i] = got
				}
				wantGot(t, []*client{c}, tt.got...)
				wantGot(t, slices.Delete(slices.Clone(all), others/3-1, others/3+2), got)
				if r := d.Receipt(Delivered); r.Dropped != tt.dropped || !r.Complete || r.Matched != r.Written+r.Dropped {
					t.Errorf("got receipt %+v, want %d dropped", r, tt.dropped)
				}
				a.leave(st.shards[0])
				if len(a.group.holds) != 0 || a.group.walks != 0 {
					t.Errorf("%d places are left, %d walks; want none", len(a.group.holds), a.group.walks)
				}
				st.wantEmpty()
			})
		}
	}
}

// The places of those who leave are taken away also where some batch is always
// on its way, and who joined between two batches still gets the second alone.
func TestStreamsWithoutRest(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	a, stay := st.enterStreams(0, 10, "c")
	most := 0
	last := stay[9]
	n := 0
	last.then = func() { // there is always one more
		if most = max(most, len(a.group.holds)); n < 50 {
			n++
			for _, c := range a.join(turnWrites) {
				c.then = func() { c.hold.Leave() }
			}
			s.Append(a.group, NewPiece([]byte("x")))
		}
	}
	s.Append(a.group, NewPiece([]byte("x")))
	st.run()
	for _, c := range stay {
		if len(c.got) != 51 {
			t.Fatalf("a stream got %d pieces, want 51", len(c.got))
		}
	}
	if most > 4*turnWrites {
		t.Errorf("the group had %d places for at most %d streams", most, turnWrites+10)
	}
	if a.group.Len() != 10 || len(a.group.holds) != 10 {
		t.Errorf("%d streams have %d places, want 10", a.group.Len(), len(a.group.holds))
	}
	a.leave(s)
	st.wantEmpty()
}

// Content that the edge appends comes in order with that of items, and after the
// end there is none.
func TestAppendAndFinish(t *testing.T) {
	piece := func(s string) *Piece { return NewPiece([]byte(s)) }
	for _, tt := range []struct {
		name string
		play func(st *stage, s *Shard, a *asker)
		got  []string
		told []string
	}{
		{"at once", func(st *stage, s *Shard, a *asker) {
			s.Append(a.group, piece("x"))
		}, []string{"+x"}, nil},
		{"published before", func(st *stage, s *Shard, a *asker) {
			st.publishAll("c:8<7")
			s.Append(a.group, piece("x")) // takes the turn, in which 8 comes
		}, []string{"+x+8"}, nil},
		{"finished", func(st *stage, s *Shard, a *asker) {
			s.Append(a.group, piece("x"))
			s.Finish(a.group)
			s.Finish(a.group)
			s.Append(a.group, piece("y"))
		}, []string{"+x", "end"}, nil},
		{"in Closed", func(st *stage, s *Shard, a *asker) {
			a.then = func() {
				s.Append(a.group, piece("x"))
				s.Finish(a.group)
			}
			st.publishAll("c:8<7", "c:9!close<8")
		}, []string{"+8", "end"}, []string{"closed"}},
		{"in Missed", func(st *stage, s *Shard, a *asker) {
			a.then = func() { s.Append(a.group, piece("x")) }
			st.publishAll("c:8<7", "c:9!hint<8", "c:10<9")
		}, []string{"+8+x"}, []string{"missed"}},
		{"in Missed, going on at once", func(st *stage, s *Shard, a *asker) {
			a.then = func() {
				s.Append(a.group, piece("x"))
				if got := s.Resume(&a.watch, channels("c@9")); got != Holding {
					t.Errorf("resumed inside Missed: got standing %d, want %d", got, Holding)
				}
			}
			st.publishAll("c:8<7", "c:9!hint<8", "c:10<9")
		}, []string{"+8+x+10"}, []string{"missed"}},
		{"in Missed, ending", func(st *stage, s *Shard, a *asker) {
			a.then = func() {
				s.Leave(&a.watch)
				s.Finish(a.group)
			}
			st.publishAll("c:8<7", "c:9!hint<8", "c:10<9")
		}, []string{"+8", "end"}, []string{"missed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			a, cs := st.enterStreams(0, 2, "c@7")
			tt.play(st, st.shards[0], a)
			st.run()
			wantGot(t, cs, tt.got...)
			a.want(t, tt.told...)
			if !st.shards[0].Written(a.group) {
				t.Error("something is on its way, want all written")
			}
			a.leave(st.shards[0])
			st.wantEmpty()
		})
	}
}

// What a client says to Append is what receipt and tally say, and who is gone is
// not told the end.
func TestOutcomesOfStreams(t *testing.T) {
	st := newStage(t, 2)
	a, cs := st.enterStreams(0, 4, "c@0")
	b, more := st.enterStreams(1, 3, "c@0")
	for i, o := range []Outcome{Written, Queued, Dropped, Shed} {
		cs[i].outcome = o
	}
	more[0].outcome = Shed
	st.publishAll("c:1<0", "c:2<1", "c:3!close<2")
	st.run()
	wantGot(t, []*client{cs[0], cs[1], cs[3], more[0]}, "+1+2", "end")
	wantGot(t, cs[2:3], "+1+2")
	for _, r := range st.receipts {
		want := Receipt{Channel: "c", ID: r.ID, Fate: "delivered", Matched: 7, Streams: 7, Written: 3, Queued: 1, Dropped: 1, Shed: 2, Complete: true}
		if r != want {
			t.Errorf("got receipt %+v, want %+v", r, want)
		}
	}
	for o, want := range []int64{3, 3, 3, 3} {
		if got := a.group.Tally.Of(Outcome(o)); got != want {
			t.Errorf("tally of the first loop: %d with outcome %d, want %d", got, o, want)
		}
	}
	if got := b.group.Tally.Of(Written); got != 6 {
		t.Errorf("tally of the second loop: %d written, want 6", got)
	}
	st.wantEmpty()
}
