package fanout

import "testing"

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
