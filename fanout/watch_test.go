package fanout

import (
	"testing"

	"marquee/grip"
)

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name       string
		prevID     string // of the watch
		item       grip.Item
		group      verdict // with a group
		answerOnly verdict // without
	}{
		{"3.3 the next item", "7", item("c", "8", "7"), answers, supersedes},
		{"3.3 the item that the origin knew", "7", item("c", "7", "6"), ignore, ignore},
		{"3.3 a later item", "7", item("c", "9", "8"), misses, supersedes},
		{"3.3 an earlier item", "7", item("c", "6", "5"), misses, supersedes},
		{"3.3 an item without prev-id", "7", item("c", "8", ""), misses, supersedes},
		{"3.3 an item without id", "7", item("c", "", "7"), answers, supersedes},
		{"3.3 an item without id and prev-id", "7", item("c", "", ""), misses, supersedes},
		{"3.3 a hold without prev-id takes all", "", item("c", "9", "8"), answers, supersedes},
		{"3.3 also those without id", "", item("c", "", ""), answers, supersedes},
		{"3.2 another format, next", "7", grip.Item{Channel: "c", ID: "8", PrevID: "7"}, skips, supersedes},
		{"3.2 another format, later", "7", grip.Item{Channel: "c", ID: "9", PrevID: "8"}, ignore, supersedes},
		{"3.2 another format, known", "7", grip.Item{Channel: "c", ID: "7", PrevID: "6"}, ignore, ignore},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := Watch{Channels: []grip.Channel{{Name: "other", PrevID: "0"}, {Name: "c", PrevID: tt.prevID}}}
			if got := w.judge(&tt.item); got != tt.answerOnly {
				t.Errorf("item %s after %q for an answer at %q: got verdict %d, want %d",
					tt.item.ID, tt.item.PrevID, tt.prevID, got, tt.answerOnly)
			}
			w.Group = new(Group)
			if got := w.judge(&tt.item); got != tt.group {
				t.Errorf("item %s after %q for a hold at %q: got verdict %d, want %d",
					tt.item.ID, tt.item.PrevID, tt.prevID, got, tt.group)
			}
		})
	}
}

func TestJudgeStreams(t *testing.T) {
	self := grip.Meta{{Name: "user", Value: "u"}}
	stream := func(id, prevID string, change func(*grip.Item)) grip.Item {
		it := streamItem("c", id, prevID)
		if change != nil {
			change(&it)
		}
		return it
	}
	noSeq := func(it *grip.Item) { it.NoSeq = true }
	onlyFor := func(filters ...string) func(*grip.Item) {
		return func(it *grip.Item) { it.HTTPStream.ContentFilters = filters }
	}
	by := func(name, value string) func(*grip.Item) {
		return func(it *grip.Item) { it.Meta = grip.Meta{{Name: name, Value: value}} }
	}
	for _, tt := range []struct {
		name  string
		watch string // its channel
		item  grip.Item
		want  verdict
	}{
		{"4.2 the next item", "c@7", stream("8", "7", nil), appends},
		{"4.2 close", "c@7", stream("8!close", "7", nil), closes},
		{"4.2 hint", "c@7", stream("8!hint", "7", nil), misses},
		{"4.2 prev-id mismatch", "c@7", stream("9", "8", nil), misses},
		{"3.3 no prev-id at all", "c@7", stream("8", "", nil), misses},
		{"3.3 close that does not follow", "c@7", stream("9!close", "8", nil), misses},
		{"3.3 hint that does not follow", "c@7", stream("9!hint", "8", nil), misses},
		{"3.3 known", "c@7", stream("7", "6", nil), ignore},
		{"3.3 known hint", "c@7", stream("7!hint", "6", nil), ignore},
		{"3.3 without prev-id everything", "c", stream("9", "8", nil), appends},
		{"3.3 without prev-id also a close", "c", stream("9!close", "8", nil), closes},
		{"3.3 without prev-id also a hint", "c", stream("9!hint", "8", nil), misses},
		{"3.6 no-seq", "c@7", stream("9", "8", noSeq), appends},
		{"3.6 no-seq without ids", "c@7", stream("", "", noSeq), appends},
		{"3.6 no-seq close", "c@7", stream("9!close", "", noSeq), closes},
		{"5.1 another format, next", "c@7", item("c", "8", "7"), skips},
		{"5.1 another format, later", "c@7", item("c", "9", "8"), ignore},
		{"5.1 another format, without prev-id", "c", item("c", "9", "8"), skips},
		{"5.1 content-filters that are those of the hold", "c@7/skip-self/build-id", stream("8", "7", onlyFor("build-id")), appends},
		{"5.1 content-filters that the hold has not", "c@7", stream("8", "7", onlyFor("build-id")), skips},
		{"5.1 content-filters that the hold has not, later", "c@7", stream("9", "8", onlyFor("build-id")), ignore},
		{"5.1 content-filters in another order", "c@7/build-id/var-subst", stream("8", "7", onlyFor("var-subst", "build-id")), skips},
		{"5.1 no content-filters, for a hold with some", "c@7/build-id", stream("8", "7", onlyFor()), appends},
		{"5.1 a hint with content-filters that the hold has not", "c@7", stream("8!hint", "7", onlyFor("build-id")), skips},
		{"9 skip-self, the sender", "c@7/skip-self", stream("8", "7", by("sender", "u")), skips},
		{"9 skip-self, the sender, later", "c@7/skip-self", stream("9", "8", by("sender", "u")), misses},
		{"9 skip-self, another", "c@7/skip-self", stream("8", "7", by("sender", "v")), appends},
		{"9 skip-self, the sender closes", "c@7/skip-self", stream("8!close", "7", by("sender", "u")), skips},
		{"9 skip-self, the sender hints", "c@7/skip-self", stream("8!hint", "7", by("sender", "u")), misses},
		{"9 skip-users, in the list", "c@7/skip-users", stream("8", "7", by("skip_users", "a,u")), skips},
		{"9 skip-users, not in it", "c@7/skip-users", stream("8", "7", by("skip_users", "a,b")), appends},
		{"9 require-sub, subscribed", "c@7/require-sub", stream("8", "7", by("require_sub", "other")), appends},
		{"9 require-sub, not subscribed", "c@7/require-sub", stream("8", "7", by("require_sub", "third")), skips},
		{"9 no such filter", "c@7/shout", stream("8", "7", nil), appends},
		{"9 http-check", "c@7/http-check", stream("8", "7", nil), filters},
		{"9 http-modify", "c@7/http-modify", stream("8", "7", nil), filters},
		{"9 http-check, later", "c@7/http-check", stream("9", "8", nil), misses},
		{"9 http-check after a filter that drops", "c@7/skip-self/http-check", stream("8", "7", by("sender", "u")), skips},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := Watch{Mode: grip.HoldStream, Meta: self, Channels: channels("other@0", tt.watch), Group: new(Group)}
			if got := w.judge(&tt.item); got != tt.want {
				t.Errorf("item %q after %q for streams at %s: got verdict %d, want %d", tt.item.ID, tt.item.PrevID, tt.watch, got, tt.want)
			}
		})
	}
}

func TestFollow(t *testing.T) {
	for _, tt := range []struct {
		name string
		item grip.Item
		want []string
	}{
		{"3.3 the next item", item("b", "8", "7"), []string{"a@1", "b@8", "c@"}},
		{"3.3 an item without id", item("b", "", "7"), []string{"a@1", "b@", "c@"}},
		{"3.3 without prev-id nothing is followed", item("c", "8", "7"), []string{"a@1", "b@7", "c@"}},
		{"3.6 no-seq", grip.Item{Channel: "b", ID: "9", NoSeq: true}, []string{"a@1", "b@7", "c@"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAsker("a@1", "b@7", "c")
			a.watch.enter(make([]place, 3))
			a.watch.follow(&Delivery{item: tt.item})
			a.wantChannels(t, tt.want...)
		})
	}
}

// Watches that leave in any order leave no gap and no stranger in the lists.
func TestWatchesRemove(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}} {
		st := newStage(t, 1)
		s := st.shards[0]
		as := []*asker{newAsker("a", "b"), newAsker("b", "a"), newAsker("b"), newAsker("a", "c")}
		for _, a := range as {
			s.Enter(&a.watch)
		}
		left := map[*Watch]bool{}
		for _, i := range order {
			s.Leave(&as[i].watch)
			s.Leave(&as[i].watch) // once is enough
			left[&as[i].watch] = true
			for name, ws := range s.channels {
				for place, w := range ws.list {
					if left[w] {
						t.Errorf("order %v: watch that left is in the list of %s", order, name)
					} else if got := w.places[w.index(name)]; int(got.index) != place {
						t.Errorf("order %v: watch at %d of %s believes to be at %d", order, place, name, got.index)
					}
				}
			}
		}
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
