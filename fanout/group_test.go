package fanout

import (
	"slices"
	"testing"
)

// members returns the group's clients as Each finds them.
func members(g *Group) map[Client]bool {
	found := make(map[Client]bool)
	g.Each(func(_ *Hold, c Client) { found[c] = true })
	return found
}

func TestHoldLeavesGroup(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave []int
	}{
		{"first", []int{0}},
		{"last", []int{3}},
		{"all from the front", []int{0, 1, 2, 3}},
		{"all from the back", []int{3, 2, 1, 0}},
		{"one that was moved into a gap", []int{1, 3, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAsker("c")
			cs := a.join(4)
			for i, leaver := range tt.leave {
				c := cs[leaver]
				c.hold.Leave()
				c.hold.Leave() // once is enough
				if c.hold.Group() != nil {
					t.Errorf("client %d has left and is in a group", leaver)
				}
				found := members(a.group)
				if len(found) != a.group.Len() || a.group.Len() != 4-i-1 || found[c] {
					t.Errorf("client %d having left, group of %d has %d members, itself %t; want %d, without it",
						leaver, a.group.Len(), len(found), found[c], 4-i-1)
				}
				for j, c := range cs {
					if found[c] == slices.Contains(tt.leave[:i+1], j) {
						t.Errorf("clients %v having left, client %d is there: %t", tt.leave[:i+1], j, found[c])
					}
				}
			}
		})
	}
}

func TestEachMayMakeTheHoldLeave(t *testing.T) {
	a := newAsker("c")
	a.join(10)
	visited := 0
	a.group.Each(func(h *Hold, _ Client) {
		if visited++; visited%2 == 0 {
			h.Leave()
		}
	})
	if visited != 10 || a.group.Len() != 5 || len(members(a.group)) != 5 {
		t.Errorf("Each visited %d of 10, %d stayed, %d are found; want 10, 5, 5", visited, a.group.Len(), len(members(a.group)))
	}
}

func TestAnsweringGroup(t *testing.T) {
	st := newStage(t, 1)
	a := newAsker("c")
	cs := a.join(turnWrites + 2)
	if a.group.Answering() {
		t.Error("nobody has answered, and the group is answering")
	}
	st.shards[0].Give(a.group, NewAnswer(item("", "x", "").HTTPResponse.Response))
	if !a.group.Answering() || a.group.Len() != 2 || len(members(a.group)) != 2 {
		t.Errorf("after one turn: answering %t, %d holds, %d found; want true, 2, 2",
			a.group.Answering(), a.group.Len(), len(members(a.group)))
	}
	cs[turnWrites].hold.Leave()
	if got := members(a.group); len(got) != 1 || !got[cs[turnWrites+1]] {
		t.Errorf("one of two having left, %d are found, want the other", len(got))
	}
	st.run()
	if a.group.Len() != 0 || len(members(a.group)) != 0 {
		t.Errorf("answered, the group has %d holds, want none", a.group.Len())
	}
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
