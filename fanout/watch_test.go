package fanout

import (
	"reflect"
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

func TestFollow(t *testing.T) {
	w := Watch{Channels: []grip.Channel{{Name: "a", PrevID: "1"}, {Name: "b", PrevID: "7"}}}
	w.places = make([]place, 2)
	w.follow(&Delivery{item: item("b", "8", "7")})
	if want := []grip.Channel{{Name: "a", PrevID: "1"}, {Name: "b", PrevID: "8"}}; !reflect.DeepEqual(w.Channels, want) {
		t.Errorf("after item 8 on b: got %v, want %v", w.Channels, want)
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
