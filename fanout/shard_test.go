package fanout

import (
	"testing"
)

func TestHoldThatLeavesWhileAnsweringIsDropped(t *testing.T) {
	st := newStage(t, 1)
	a := newAsker("c@7")
	cs := a.join(turnWrites + 10)
	st.shards[0].Enter(&a.watch)
	d := st.publish("c", "8", "7")
	st.shards[0].Turn()
	for _, c := range cs[turnWrites : turnWrites+3] {
		c.hold.Leave()
	}
	st.run()
	wantGot(t, cs[:turnWrites], "8")
	wantGot(t, cs[turnWrites:turnWrites+3])
	wantGot(t, cs[turnWrites+3:], "8")
	got := d.Receipt(Delivered)
	if got.Matched != turnWrites+10 || got.Written != turnWrites+7 || got.Dropped != 3 {
		t.Errorf("got receipt %+v, want 522 matched, 519 written, 3 dropped", got)
	}
	st.shards[0].Leave(&a.watch)
	st.wantEmpty()
}

// Who is told of an item may end watches that it has not come to yet.
func TestWatchThatLeavesInsideAnAskerIsToldNothing(t *testing.T) {
	for _, tt := range []struct{ name, first, second, told string }{
		{"Answered", "c@7", "c@7", "answered 8"},
		{"Missed", "c@6", "c@6", "missed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			first, second := newAsker(tt.first), newAsker(tt.second)
			first.join(1)
			cs := second.join(1)
			st.shards[0].Enter(&first.watch)
			st.shards[0].Enter(&second.watch)
			first.then = func() {
				st.shards[0].Leave(&first.watch)
				st.shards[0].Leave(&second.watch)
			}
			d := st.publish("c", "8", "7")
			st.run()
			first.want(t, tt.told)
			second.want(t)
			wantGot(t, cs)
			if r := d.Receipt(Delivered); r.Matched+r.Missed != 1 {
				t.Errorf("got receipt %+v, want one hold matched or missed", r)
			}
			if second.group.Len() != 1 || second.group.Answering() {
				t.Errorf("group of the watch that left: %d holds, answering %t; want 1, false",
					second.group.Len(), second.group.Answering())
			}
			st.wantEmpty()
		})
	}
}
