package fanout

import (
	"testing"

	"marquee/grip"
)

// Doubt that comes again and again, as from a loop that reads too slowly, asks
// the origin no more often than it can answer, and fills no memory.
func TestDoubtAgain(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	a, other := newAsker("b@1", "c@7"), newAsker("b@1")
	a.then = func() { s.Enter(&a.watch) } // the origin has nothing new
	s.Enter(&a.watch)
	s.Enter(&other.watch)
	for range 1000 {
		s.Doubt("c")
		s.DoubtAll()
	}
	if len(s.doubtful) > 2 {
		t.Errorf("%d watches are in doubt, want 2", len(s.doubtful))
	}
	for len(s.doubtful) > 0 {
		s.Recheck(1)
	}
	a.want(t, "missed") // who was asked after the doubt is no longer in doubt
	other.want(t, "missed")

	s.DoubtAll()
	s.Leave(&a.watch)
	s.Enter(&a.watch)
	s.DoubtAll()
	s.Leave(&a.watch)
	s.Enter(&a.watch)
	s.Recheck(10)
	a.want(t, "missed") // it was asked after both
	s.Doubt("c")
	s.Recheck(1)
	a.want(t, "missed", "missed")
	s.Leave(&a.watch)
	st.wantEmpty()
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
		a.watch.Asked = st.now
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
