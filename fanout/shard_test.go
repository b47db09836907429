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
