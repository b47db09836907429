package fanout

import (
	"strings"
	"testing"
	"time"
)

// An item that waits for one which was lost comes five seconds late, and sends
// those back to the origin who have not asked it since: to the others it is no
// news.
func TestEarlyOverdue(t *testing.T) {
	for _, tt := range []struct {
		name  string
		asked time.Duration // after the item came
		told  []string      // ten seconds later
	}{
		{"asked after it came", time.Second, nil},
		{"asked before it came", -time.Second, []string{"missed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			a := newAsker("c@1")
			a.join(1)
			st.publish("c", "1", "")
			if standing, _ := st.shards[0].Enter(&a.watch); standing != Holding {
				t.Fatalf("standing %v, want %v", standing, Holding)
			}
			st.now = st.now.Add(time.Second)
			early, fate := st.hub.Publish(item("c", "3", "2"))
			if fate != Waiting {
				t.Fatalf("fate %v, want %v", fate, Waiting)
			}
			came := st.now

			// The hold asks again, for whatever reason, and learns of a later
			// item, which the origin insists on.
			st.shards[0].Leave(&a.watch)
			a.watch.Channels[0].PrevID = "4"
			a.watch.Asked = came.Add(tt.asked)
			a.group.asked = st.hub.sent
			if standing, _ := st.shards[0].Enter(&a.watch); standing != Holding {
				t.Fatalf("standing %v when the origin insists, want %v", standing, Holding)
			}
			st.now = st.now.Add(10 * time.Second)
			st.hub.Tick()
			st.run()
			a.want(t, tt.told...)
			select {
			case <-early.Done():
			default:
				t.Error("the item is still on its way")
			}
			st.shards[0].Leave(&a.watch)
		})
	}
}

// An item that waits for one that the origin knows, as it turns out, waits no
// longer: a hold that has come to that one gets it, and so do the others.
func TestEarlyThatFollowsTheOrigin(t *testing.T) {
	for _, tt := range []struct {
		name  string
		early []string // id<prev-id, published while the origin is asked
		only  bool     // an answer of the origin is watched, no hold
		want  Standing
		last  string // of the channel
	}{
		{"an item that waits", []string{"4<3"}, false, AtHand, "4"},
		{"two items that wait", []string{"4<3", "5<4"}, false, Behind, "5"},
		{"an item that waits for another", []string{"5<4"}, false, Holding, "1"},
		{"an answer that is watched", []string{"4<3"}, true, Behind, "4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 2)
			other := newAsker("c@1") // without it the order does not matter
			cs := other.join(1)
			st.publish("c", "1", "0")
			st.shards[1].Enter(&other.watch)
			st.now = st.now.Add(time.Second)
			a := newAsker("c@3")
			a.join(1)
			a.watch.Asked = st.now
			if tt.only {
				a.watch.Group = nil
			} else {
				a.group.asked = st.hub.sent
			}
			st.now = st.now.Add(time.Millisecond)
			for _, it := range tt.early {
				id, prevID, _ := strings.Cut(it, "<")
				if _, fate := st.hub.Publish(item("c", id, prevID)); fate != Waiting {
					t.Fatalf("item %s: fate %v, want %v", it, fate, Waiting)
				}
			}
			got, answer := st.shards[0].Enter(&a.watch)
			if got != tt.want || (answer != nil) != (tt.want == AtHand) {
				t.Errorf("got standing %d and %v, want %d", got, answer, tt.want)
			}
			if last := st.hub.channels["c"].lastID; last != tt.last {
				t.Errorf("the channel is at %s, want %s", last, tt.last)
			}
			st.run()
			wantGot(t, cs) // what it misses it asks for
			if missed := tt.last != "1"; missed {
				other.want(t, "missed")
			} else {
				other.want(t)
			}
			st.shards[0].Leave(&a.watch)
			st.shards[1].Leave(&other.watch)
			st.now = st.now.Add(earlyWait)
			st.hub.Tick()
			st.run()
			st.wantEmpty()
		})
	}
}

// An item that waits is not lost to who has not come as far, though the origin has
// been asked since on behalf of somebody else.
func TestEarlyOutdated(t *testing.T) {
	for _, tt := range []struct {
		name  string
		items []string // id<prev-id, published then; "" for when all that waits is overdue
		got   []string // by the streams that are at 1
		told  []string
		last  string // of the channel
	}{
		{"the one that it waits for comes late", []string{"2<1", "4<3"}, []string{"+2+3+4"}, nil, "4"},
		{"the one that it waits for is lost", []string{""}, nil, []string{"missed"}, "1"},
		{"and the channel moves on", []string{"4<3", "", "5<4"}, nil, []string{"missed"}, "5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			behind, ahead := newStreams("c@1"), newStreams("c@3")
			cs := behind.join(1)
			ahead.join(1)
			st.publishAll("c:1<0")
			s.Enter(&behind.watch)
			st.now = st.now.Add(time.Second)
			st.publishAll("c:3<2")
			st.now = st.now.Add(time.Second)
			ahead.watch.Asked, ahead.group.asked = st.now, st.hub.sent
			if got, _ := s.Enter(&ahead.watch); got != Holding {
				t.Fatalf("standing %v when the origin insists, want %v", got, Holding)
			}
			for _, it := range tt.items {
				if it == "" {
					st.now = st.now.Add(earlyWait)
					st.hub.Tick()
				} else {
					st.publishAll("c:" + it)
				}
			}
			st.run()
			wantGot(t, cs, tt.got...)
			behind.want(t, tt.told...)
			if tt.items[0] != "2<1" {
				ahead.want(t) // 2 would tell it that its answer was older than what came
			}
			if last := st.hub.channels["c"].lastID; last != tt.last {
				t.Errorf("the channel is at %s, want %s", last, tt.last)
			}
			behind.leave(s)
			ahead.leave(s)
			st.wantEmpty()
		})
	}
}
