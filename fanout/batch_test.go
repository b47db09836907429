package fanout

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"marquee/grip"
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

func TestWalkedClosesGapsInOrder(t *testing.T) {
	a := newAsker()
	cs := a.join(12)
	g := a.group
	g.walks = 3
	other := new(Group)
	waiting := []batch{{group: g, end: 4}, {group: other, end: 7}, {group: g, end: 9}}
	for _, i := range []int{0, 2, 3, 4, 6, 9, 10} {
		cs[i].hold.Leave()
	}
	g.walked(waiting)
	if len(g.holds) != 5 || waiting[0].end != 1 || waiting[1].end != 7 || waiting[2].end != 4 {
		t.Fatalf("5 of 12 stay: %d places, batches end at %d, %d and the other's at %d; want 5, 1, 4, 7",
			len(g.holds), waiting[0].end, waiting[2].end, waiting[1].end)
	}
	for i, was := range []int{1, 5, 7, 8, 11} {
		if h := &cs[was].hold; g.holds[i] != h || h.index != int32(i) {
			t.Errorf("place %d: want the hold that was at %d, knowing it", i, was)
		}
	}
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

func TestMerge(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	a, cs := st.enterStreams(0, 2*turnWrites, "c@7")
	late := newStreams("c@7")
	joined := late.join(2)
	st.publishAll("c:8<7")
	st.woken[0] = s.Turn() // 8 is on its way to a
	s.Append(late.group, NewPiece([]byte("8")))
	if s.Written(late.group) || late.group.Merge(a.group) {
		t.Error("content is on its way to the group, want it not to merge")
	}
	st.run()
	st.publishAll("c:9<8")
	st.woken[0] = s.Turn() // 9 is on its way to a, and late has not had it
	if !s.Written(late.group) || a.group.Merge(late.group) {
		t.Error("content is on its way from the group, want it not to merge")
	}
	s.Append(late.group, NewPiece([]byte("9")))
	st.run()
	if !late.group.Merge(a.group) || late.group.Len() != 0 || a.group.Len() != 2*turnWrites+2 {
		t.Errorf("want the groups merged: %d and %d holds", late.group.Len(), a.group.Len())
	}
	for _, c := range joined {
		if c.hold.Group() != a.group {
			t.Error("a hold is not in the group that it was merged into")
		}
	}
	st.publishAll("c:10<9")
	st.run()
	wantGot(t, append(cs, joined...), "+8", "+9", "+10")
	s.Finish(a.group)
	if late.join(1); late.group.Merge(a.group) {
		t.Error("merged with streams that end")
	}
	st.run()
	late.leave(s)
	a.leave(s)
	st.wantEmpty()
}

// A watch pauses while somebody is asked about an item, and what comes meanwhile
// does not overtake it.
func TestFilter(t *testing.T) {
	check := "/" + grip.FilterHTTPCheck
	for _, tt := range []struct {
		name   string
		stream bool
		play   func(st *stage, s *Shard, a *asker, ds []*Delivery) // ds: 8, 9, 10
		got    []string
		told   []string
		end    string // PrevID of the watch, "" when it has ended
	}{
		{"content as it is", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, false)
			s.Filtered(&a.watch, ds[1], nil, false)
			s.Filtered(&a.watch, ds[2], nil, false)
		}, []string{"+8", "+9", "+10"}, []string{"filter 8", "filter 9", "filter 10"}, "10"},
		{"other content", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], []byte("x"), false)
		}, []string{"+x"}, []string{"filter 8", "filter 9"}, "8"},
		{"dropped", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, true)
			s.Filtered(&a.watch, ds[1], nil, false)
		}, []string{"+9"}, []string{"filter 8", "filter 9", "filter 10"}, "9"},
		{"an answer that comes twice", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, false)
			s.Filtered(&a.watch, ds[0], nil, false)
		}, []string{"+8"}, []string{"filter 8", "filter 9"}, "8"},
		{"never", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			if r := ds[0].Receipt(Delivered); r.Complete {
				t.Errorf("got receipt %+v, want it to be incomplete", r)
			}
		}, nil, []string{"filter 8"}, "7"},
		{"after the watch has left", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Leave(&a.watch)
			s.Filtered(&a.watch, ds[0], nil, false)
		}, nil, []string{"filter 8"}, ""},
		{"doubt waits until it goes on", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Doubt("c")
			s.Recheck(1)
			if s.Pause(&a.watch) {
				t.Error("a watch that pauses for a filter was paused")
			}
			s.Filtered(&a.watch, ds[0], nil, false)
			s.Filtered(&a.watch, ds[1], nil, false)
			s.Filtered(&a.watch, ds[2], nil, false)
			s.Recheck(1)
		}, []string{"+8", "+9", "+10"}, []string{"filter 8", "filter 9", "filter 10", "missed"}, "10"},
		{"a response, as it is", false, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, false)
		}, []string{"8"}, []string{"filter 8", "answered 8", "superseded"}, ""},
		{"a response, other content", false, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			a.then = func() { s.Append(new(Group), NewPiece([]byte("takes a turn, in the midst"))) }
			st.publishAll("c:11<10")
			s.Filtered(&a.watch, ds[0], []byte("x"), false)
		}, []string{"x"}, []string{"filter 8", "answered x", "superseded"}, ""},
		{"a response, dropped", false, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, true)
		}, nil, []string{"filter 8", "filter 9"}, "8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			a := newAsker("c@7" + check)
			if tt.stream {
				a = newStreams("c@7" + check)
			}
			cs := a.join(2)
			s.Enter(&a.watch)
			var ds []*Delivery
			for i := 8; i <= 10; i++ {
				it := streamItem("c", fmt.Sprint(i), fmt.Sprint(i-1))
				it.HTTPResponse = item("c", it.ID, "").HTTPResponse
				d, _ := st.hub.Publish(it)
				ds = append(ds, d)
			}
			st.run()
			if !ds[1].Receipt(Delivered).Complete || ds[1].Receipt(Delivered).Missed != 2 {
				t.Errorf("item 9, which waits: got receipt %+v, want it complete with 2 missed", ds[1].Receipt(Delivered))
			}
			tt.play(st, s, a, ds)
			st.run()
			wantGot(t, cs, tt.got...)
			a.want(t, tt.told...)
			if tt.end != "" {
				a.wantChannels(t, "c@"+tt.end)
			} else if a.watch.places != nil {
				t.Error("the watch is registered, want it to have ended")
			}
			written := int64(0)
			if slices.Contains([]string{"+8", "8", "+x", "x"}, strings.Join(tt.got[:min(1, len(tt.got))], "")) {
				written = 2
			}
			a.leave(s)
			if r := ds[0].Receipt(Delivered); r.Written != written || !r.Complete {
				t.Errorf("item 8: got receipt %+v, want it complete with %d written", r, written)
			}
			st.wantEmpty()
		})
	}
}

// Doubt that comes while the origin is being asked is not settled by its answer.
func TestDoubtOfStreams(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	a, _ := st.enterStreams(0, 1, "c@7")
	s.Doubt("c")
	s.Recheck(5)
	a.want(t, "missed")
	s.Doubt("c")
	s.Doubt("c")
	s.Recheck(5)
	a.want(t, "missed") // nobody is asked twice at a time
	s.Resume(&a.watch, channels("c@7"))
	s.Recheck(5)
	a.want(t, "missed", "missed")
	s.Resume(&a.watch, channels("c@7"))
	s.Recheck(5)
	a.want(t, "missed", "missed")
	s.Doubt("c")
	s.Pause(&a.watch) // the origin is asked after the doubt
	s.Resume(&a.watch, channels("c@7"))
	s.Recheck(5)
	a.want(t, "missed", "missed")
	a.leave(s)
	st.wantEmpty()
}

// A hint whose id the origin does not know costs one question more, not one after
// the other.
func TestHintWithID(t *testing.T) {
	for _, streams := range []bool{false, true} {
		st := newStage(t, 1)
		s := st.shards[0]
		it := streamItem("c", "8!hint", "7")
		it.HTTPResponse = &grip.HTTPResponse{Action: grip.Hint}
		st.hub.Publish(it)
		a := newAsker("c@7")
		if streams {
			a = newStreams("c@7")
		}
		a.join(1)
		first, _ := s.Enter(&a.watch)
		var second Standing
		if streams { // they are registered all the same
			second = s.Resume(&a.watch, channels("c@7"))
		} else {
			second, _ = s.Enter(&a.watch)
		}
		if first != Behind || second != Holding {
			t.Errorf("streams %t: got standings %d and %d, want %d and %d", streams, first, second, Behind, Holding)
		}
		st.publishAll("c:9<7")
		a.leave(s)
		st.run()
		st.wantEmpty()
	}
}

func TestRefreshed(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	a, _ := st.enterStreams(0, 1, "a", "b", "c")
	begin := st.now
	for i, step := range []struct {
		item string
		want int // seconds since the beginning; 0 for never
	}{
		{"a:1", 0}, {"b:1", 0}, {"a:2", 0}, {"c:1", 4},
		{"c:2", 4}, {"c:3", 4}, {"b:2", 4}, {"a:3", 8},
		{"a:4", 8}, {"resume", 0}, {"b:3", 0}, {"a:5", 12}, {"b:4", 12}, {"a:6", 14},
	} {
		st.now = st.now.Add(1e9)
		if step.item == "resume" {
			s.Pause(&a.watch)
			s.Resume(&a.watch, channels("a", "b"))
		} else {
			st.publishAll(step.item)
			st.run()
		}
		got := a.watch.Refreshed()
		if got.IsZero() != (step.want == 0) || !got.IsZero() && int(got.Sub(begin).Seconds()) != step.want {
			t.Errorf("step %d, %s: refreshed at %v, want %d s after %v", i+1, step.item, got, step.want, begin)
		}
	}
	a.leave(s)
	s.Enter(&a.watch)
	if got := a.watch.Refreshed(); !got.IsZero() {
		t.Errorf("entered anew: refreshed at %v, want never", got)
	}
	a.leave(s)
	st.wantEmpty()
}
