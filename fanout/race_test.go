package fanout

import (
	"testing"
	"time"
)

// The race of grip.md 3.3: between the origin's answer, "hold, you are at id
// 7", and the hold's registration, items may be published.

func TestItemPublishedAroundEnter(t *testing.T) {
	enter := func(st *stage, a *asker, want Standing) *Answer {
		st.t.Helper()
		got, answer := st.shards[0].Enter(&a.watch)
		if got != want {
			st.t.Fatalf("enter at %q: got standing %d, want %d", a.watch.Channels, got, want)
		}
		return answer
	}
	for _, tt := range []struct {
		name string
		play func(st *stage, a *asker)
	}{
		{"8 after the registration", func(st *stage, a *asker) {
			enter(st, a, Holding)
			st.publish("c", "8", "7")
			st.run()
		}},
		{"8 before the registration, nobody holding", func(st *stage, a *asker) {
			st.publish("c", "8", "7")
			st.shards[0].Give(a.group, enter(st, a, AtHand))
		}},
		{"8 before the registration, another holding on the loop", func(st *stage, a *asker) {
			other := newAsker("c@7")
			cs := other.join(1)
			enter(st, other, Holding)
			st.publish("c", "8", "7")
			st.shards[0].Give(a.group, enter(st, a, AtHand)) // and the mailbox has 8 as well
			st.run()
			wantGot(st.t, cs, "8")
			st.shards[0].Leave(&other.watch)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			st.publish("c", "7", "6")
			a := newAsker("c@7")
			cs := a.join(3)
			tt.play(st, a)
			wantGot(t, cs, "8")
			st.shards[0].Leave(&a.watch)
			st.wantEmpty()
		})
	}
}

// Two loops share the origin's answer, and two items pass before it comes to
// them: what the first one learns must not hide it from the second.
func TestEachLoopThatIsBehindAsksAgain(t *testing.T) {
	st := newStage(t, 2)
	a, b := newAsker("c@7"), newAsker("c@7")
	st.publish("c", "8", "7")
	st.publish("c", "9", "8")
	for i, a := range []*asker{a, b} {
		if got, _ := st.shards[i].Enter(&a.watch); got != Behind {
			t.Errorf("loop %d: entering at 7 when 9 has passed, got standing %d, want behind", i, got)
		}
	}
	for i, a := range []*asker{a, b} {
		a.watch.Channels[0].PrevID = "9"
		if got, _ := st.shards[i].Enter(&a.watch); got != Holding {
			t.Errorf("loop %d: entering at 9, got standing %d, want holding", i, got)
		}
	}
}

// An origin that stores first and publishes then answers with an id that the
// edge has not seen. Asked again it insists, and is believed.
func TestOriginAheadOfItsItems(t *testing.T) {
	ahead := func(t *testing.T) (*stage, *asker, []*client) {
		st := newStage(t, 1)
		st.publish("c", "8", "7")
		a := newAsker("c@9")
		cs := a.join(1)
		for _, want := range []Standing{Behind, Holding} {
			if got, _ := st.shards[0].Enter(&a.watch); got != want {
				t.Fatalf("entering at 9 when 8 was the last: got standing %d, want %d", got, want)
			}
			a.watch.Asked = st.now
		}
		return st, a, cs
	}
	t.Run("9 comes", func(t *testing.T) {
		st, a, cs := ahead(t)
		st.publish("c", "9", "8")
		st.run()
		wantGot(t, cs)
		st.publish("c", "10", "9")
		st.run()
		wantGot(t, cs, "10")
		a.want(t, "answered 10")
	})
	t.Run("9 is lost", func(t *testing.T) {
		st, a, cs := ahead(t)
		st.publish("c", "10", "9") // and does not wait for 9
		st.run()
		wantGot(t, cs, "10")
		a.want(t, "answered 10")
	})
	t.Run("others learn what it insisted on", func(t *testing.T) {
		st, _, _ := ahead(t)
		b := newAsker("c@9")
		if got, _ := st.shards[0].Enter(&b.watch); got != Holding {
			t.Errorf("entering at 9: got standing %d, want holding", got)
		}
		c := newAsker("c@7")
		if got, _ := st.shards[0].Enter(&c.watch); got != AtHand {
			t.Errorf("entering at 7 when 8 is at hand: got standing %d, want at hand", got)
		}
	})
	t.Run("an item that passed after the question was put", func(t *testing.T) {
		st := newStage(t, 1)
		st.publish("c", "8", "7")
		a := newAsker("c@6")
		for _, next := range []string{"9", "10", "11"} {
			if got, _ := st.shards[0].Enter(&a.watch); got != Behind {
				t.Fatalf("entering at 6 just before %s: got standing %d, want behind", next, got)
			}
			st.publish("c", next, st.hub.channels["c"].lastID)
		}
	})
}

// A group that has missed something asks again, and the origin's word counts
// even if it is not the last id: ids that do not fit cost one request.
func TestMissedGroupIsNotAskedTwice(t *testing.T) {
	st := newStage(t, 2)
	a := newAsker("c@5")
	st.shards[0].Enter(&a.watch)
	st.publish("c", "8", "7")
	st.run()
	a.want(t, "missed")
	b := newAsker("c@6")
	if got, _ := st.shards[1].Enter(&b.watch); got != Behind {
		t.Errorf("another group entering at 6 when 8 has passed: got standing %d, want behind", got)
	}
	a.watch.Asked = st.shards[0].Moved(&a.watch)
	if got, _ := st.shards[0].Enter(&a.watch); got != Holding {
		t.Errorf("the origin says 5 again: got standing %d, want holding", got)
	}
}

// Who has missed something may be given what the origin says to a question that
// another loop has put meanwhile: it need be no newer than the items of the
// channels in question. If that names further channels, it is not believed of
// them when it is older than their items.
func TestAnswerToAnotherLoopsQuestion(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  []string
		want    Standing
		further string // item that passes when the other loop has asked
	}{
		{"another channel has moved", []string{"c@4"}, Holding, "d:9<8"},
		{"a channel that the answer names too has moved", []string{"c@4", "d@3"}, Behind, "d:9<8"},
		{"the channel itself has moved", []string{"c@2"}, Behind, "c:4<3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s, a := st.shards[0], newStreams("c@1")
			a.join(1)
			s.Enter(&a.watch)
			st.publishAll("c:3<2")
			asked := st.now // by the other loop, whose turn comes first
			st.now = st.now.Add(time.Millisecond)
			st.publishAll(tt.further)
			st.run()
			if got := s.Moved(&a.watch).After(asked); got != (tt.further == "c:4<3") {
				t.Errorf("the channels have moved since the other question: got %t", got)
			}
			a.watch.Asked = asked
			if got := s.Resume(&a.watch, channels(tt.answer...)); got != tt.want {
				t.Errorf("got standing %d, want %d", got, tt.want)
			}
			a.leave(s)
			st.wantEmpty()
		})
	}
}
