package fanout

import (
	"testing"
	"time"
)

// An item that waits for one which was lost is given up when the origin has been
// asked since: its answer is as new. Delivered all the same, five seconds late,
// it would send every hold of the channel back to the origin.
func TestEarlyGivenUp(t *testing.T) {
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
