package main

import (
	"math/rand/v2"
	"testing"

	"marquee/fanout"
)

// Streams that come and go at any moment, while items are published, lost and
// put in another order, get every line once and in order, from the one that they
// had to the one that they stay for.
func TestCrowd(t *testing.T) {
	const lines, joiners = 100, 5
	random := rand.New(rand.NewPCG(1, 2))
	j := new(journal)
	r := newRig(t, j, "-share-all")
	errCh := make(chan error, lines*joiners)
	var late []int // ids that are held back
	fates := make(map[string]int)
	publish := func(id int) { fates[r.publish(j.item(id))[0].Fate]++ }
	for range lines {
		id := j.write()
		switch what := random.IntN(20); {
		case id == lines || what > 5:
			publish(id)
		case what > 0 || id < lines/2: // one in forty is lost
			late = append(late, id)
		}
		if len(late) > 2 {
			random.Shuffle(len(late), func(a, b int) { late[a], late[b] = late[b], late[a] })
			for _, id := range late {
				publish(id)
			}
			late = late[:0]
		}
		for range joiners {
			f := r.follow(j, max(0, id-random.IntN(4)))
			to := lines
			if random.IntN(3) == 0 { // leaves, some at once, some in the middle
				to = min(lines, f.last+random.IntN(10))
			}
			go func() {
				err := f.readTo(to)
				f.leave()
				errCh <- err
			}()
		}
	}
	for range lines * joiners {
		if err := await(t, errCh, "the end of a stream"); err != nil {
			t.Error(err)
		}
	}
	if fates[fanout.Waiting.String()] == 0 || fates[fanout.Delivered.String()] == 0 {
		t.Errorf("fates %v, want some items that waited", fates)
	}
	r.waitHolds(0)
	r.onLoops(func(l *loop) {
		if len(l.streams) > 0 {
			t.Errorf("a loop has streams under %d keys, want none", len(l.streams))
		}
	})
}
