package fanout

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"marquee/grip"
)

// step is something that happens to a channel: an item comes, or time passes.
type step struct {
	publish string // "id" or "id<prev-id"; "" when only time passes
	noSeq   bool
	after   time.Duration // passes before, and the hub ticks
	fate    Fate          // that the publisher learns
	mail    string        // ids that reach the loop, in order
}

// mailbox empties a shard's mailbox and returns the ids in it.
func mailbox(s *Shard) string {
	var ids []string
	for _, d := range s.mail {
		ids = append(ids, d.item.ID)
	}
	s.mail = nil
	return strings.Join(ids, " ")
}

func TestSequence(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"3.6.1 an id seen before is a duplicate", []step{
			{publish: "1", mail: "1"},
			{publish: "1", fate: Duplicate},
			{publish: "1<9", fate: Duplicate},
			{publish: "2<1", mail: "2"},
			{publish: "1", fate: Duplicate},
		}},
		{"3.6.1 also with no-seq", []step{
			{publish: "1", mail: "1"},
			{publish: "1", noSeq: true, fate: Duplicate},
		}},
		{"3.6.1 an id that waits has been seen", []step{
			{publish: "1", mail: "1"},
			{publish: "3<2", fate: Waiting},
			{publish: "3", fate: Duplicate},
		}},
		{"3.6.1 for a minute", []step{
			{publish: "1", mail: "1"},
			{after: seenFor - time.Nanosecond, publish: "1", fate: Duplicate},
			{after: time.Nanosecond, publish: "1", mail: "1"},
		}},
		{"3.6.1 items without id are no duplicates", []step{
			{publish: "", mail: ""},
			{publish: "<", mail: ""},
		}},
		{"3.6.2 no-seq goes out at once and is not followed", []step{
			{publish: "1", mail: "1"},
			{publish: "5<4", noSeq: true, mail: "5"},
			{publish: "6<5", fate: Waiting},
			{publish: "2<1", mail: "2"},
		}},
		{"3.6.2 no-seq lets nothing that waits through", []step{
			{publish: "1", mail: "1"},
			{publish: "3<2", fate: Waiting},
			{publish: "2<1", noSeq: true, mail: "2"},
		}},
		{"3.6.3 an early item waits", []step{
			{publish: "1", mail: "1"},
			{publish: "3<2", fate: Waiting},
			{publish: "2<1", mail: "2 3"},
			{publish: "4<3", mail: "4"},
		}},
		{"3.6.3 the second item that follows the same one is dropped", []step{
			{publish: "1", mail: "1"},
			{publish: "3<2", fate: Waiting},
			{publish: "4<2", fate: Duplicate},
			{publish: "2<1", mail: "2 3"},
		}},
		{"3.6.3 an unknown last id makes nothing wait", []step{
			{publish: "3<2", mail: "3"},
			{publish: "4<3", mail: "4"},
		}},
		{"3.6.3 nor does an item without prev-id wait", []step{
			{publish: "1", mail: "1"},
			{publish: "7", mail: "7"},
			{publish: "8<7", mail: "8"},
		}},
		{"3.6.4 an item without id makes the last id unknown", []step{
			{publish: "1", mail: "1"},
			{publish: "<1", mail: ""},
			{publish: "9<8", mail: "9"},
		}},
		{"3.6.4 items that wait come in a chain", []step{
			{publish: "1", mail: "1"},
			{publish: "5<4", fate: Waiting},
			{publish: "4<3", fate: Waiting},
			{publish: "3<2", fate: Waiting},
			{publish: "9<8", fate: Waiting},
			{publish: "2<1", mail: "2 3 4 5"},
			{publish: "8<7", fate: Waiting},
			{publish: "6<5", mail: "6"},
			{publish: "7<6", mail: "7 8 9"},
		}},
		{"3.6.5 after 5 s they are delivered, in time order, with their chains", []step{
			{publish: "1", mail: "1"},
			{publish: "7<6", fate: Waiting},
			{after: time.Second, publish: "4<3", fate: Waiting},
			{after: time.Second, publish: "8<7", fate: Waiting},
			{after: 2 * time.Second},
			{after: 999 * time.Millisecond},
			{after: time.Millisecond, mail: "7 8"},
			{after: time.Second, mail: "4"},
			{publish: "5<4", mail: "5"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			a := newAsker("c")
			st.shards[0].Enter(&a.watch)
			for i, step := range tt.steps {
				if step.after > 0 {
					st.now = st.now.Add(step.after)
					st.hub.Tick()
				}
				if step.publish != "" {
					id, prevID, _ := strings.Cut(step.publish, "<")
					it := item("c", id, prevID)
					it.NoSeq = step.noSeq
					if _, fate := st.hub.Publish(it); fate != step.fate {
						t.Errorf("step %d, publish %s: got fate %v, want %v", i, step.publish, fate, step.fate)
					}
				}
				if got := mailbox(st.shards[0]); got != step.mail {
					t.Errorf("step %d, publish %q after %v: the loop got items %q, want %q", i, step.publish, step.after, got, step.mail)
				}
			}
		})
	}
}

func TestOverflow(t *testing.T) {
	st := newStage(t, 1)
	a := newAsker("c")
	st.shards[0].Enter(&a.watch)
	st.publish("c", "0", "")
	for i := 2; i < 2+maxEarly; i++ {
		if _, fate := st.hub.Publish(item("c", fmt.Sprint(i), fmt.Sprint(i-1))); fate != Waiting {
			t.Fatalf("3.6.3 item %d: got fate %v, want waiting", i, fate)
		}
	}
	d, fate := st.hub.Publish(item("c", "1000", "999"))
	if fate != Overflow {
		t.Errorf("3.6.3 item number %d that waits: got fate %v, want overflow", maxEarly+1, fate)
	}
	if r := d.Receipt(fate); r.Fate != "overflow" || !r.Complete || r.Matched != 0 {
		t.Errorf("got receipt %+v, want overflow, complete, none matched", r)
	}
	st.publish("c", "1", "0")
	if got, want := len(st.shards[0].mail), 2+maxEarly; got != want {
		t.Errorf("the loop got %d items, want %d", got, want)
	}
	if len(st.hub.early) != 0 || st.hub.channels["c"].early != nil {
		t.Error("items wait still, want none")
	}
}

// 3.6: order matters only to those who hold, or did so a minute ago.
func TestLinger(t *testing.T) {
	for _, tt := range []struct {
		name  string
		held  bool
		since time.Duration
		fate  Fate
	}{
		{"never held", false, 0, Delivered},
		{"left just now", true, 0, Waiting},
		{"left a moment less than a minute ago", true, linger - time.Nanosecond, Waiting},
		{"left a minute ago", true, linger, Delivered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			st.publish("c", "1", "")
			if tt.held {
				a := newAsker("c@1")
				st.shards[0].Enter(&a.watch)
				st.shards[0].Leave(&a.watch)
			}
			st.now = st.now.Add(tt.since)
			d, fate := st.hub.Publish(item("c", "3", "2"))
			if fate != tt.fate {
				t.Errorf("early item: got fate %v, want %v", fate, tt.fate)
			}
			if r := d.Receipt(fate); r.Complete != (fate == Delivered) || r.Matched != 0 {
				t.Errorf("got receipt %+v, want complete when delivered, none matched", r)
			}
		})
	}
}

func TestRememberedIDsAreBounded(t *testing.T) {
	st := newStage(t, 1)
	first := item("c", "first", "")
	st.hub.Publish(first)
	for i := range maxSeen - 1 {
		st.hub.firstSight(&grip.Item{Channel: "c", ID: fmt.Sprint(i)})
	}
	if _, fate := st.hub.Publish(first); fate != Duplicate {
		t.Errorf("with %d ids known: got fate %v, want duplicate", maxSeen, fate)
	}
	st.publish("c", "one more", "")
	st.publish("c", "first", "")
	if len(st.hub.seen) != maxSeen || len(st.hub.seenOrder) != maxSeen {
		t.Errorf("hub knows %d ids, %d in order, want %d", len(st.hub.seen), len(st.hub.seenOrder), maxSeen)
	}
	st.now = st.now.Add(seenFor)
	st.hub.Tick()
	if len(st.hub.seen) != 0 || len(st.hub.seenOrder) != 0 {
		t.Errorf("a minute later hub knows %d ids, want none", len(st.hub.seen))
	}
}

func TestQuietChannelsAreBounded(t *testing.T) {
	st := newStage(t, 1)
	a := newAsker("held")
	st.shards[0].Enter(&a.watch)
	st.publish("held", "1", "")
	st.run() // answered: the watch stays
	st.publish("busy", "1", "")
	st.publish("oldest", "1", "")
	for i := range maxQuiet - 2 {
		st.publish(fmt.Sprint(i), "1", "")
	}
	st.publish("busy", "2", "1")
	if n := st.hub.quiet.Len(); n != maxQuiet {
		t.Errorf("%d channels are quiet, want %d", n, maxQuiet)
	}
	st.publish("one more", "1", "")
	for name, want := range map[string]bool{"held": true, "busy": true, "oldest": false, "0": true, "one more": true} {
		if got := st.hub.channels[name] != nil; got != want {
			t.Errorf("channel %q is known: %t, want %t", name, got, want)
		}
	}
	late := newAsker("oldest@0")
	if got, _ := st.shards[0].Enter(&late.watch); got != Holding {
		t.Errorf("entering a forgotten channel: got standing %d, want holding", got)
	}
	st.shards[0].Leave(&late.watch)
	st.shards[0].Leave(&a.watch)
	st.wantEmpty()
}

func TestQuietBytesAreBounded(t *testing.T) {
	st := newStage(t, 1)
	body := make([]byte, maxQuietBytes/4)
	large := func(channel, id string) {
		it := item(channel, id, "")
		it.HTTPResponse = &grip.HTTPResponse{Response: grip.Response{Body: body}}
		if _, fate := st.hub.Publish(it); fate != Delivered {
			t.Fatalf("publish on %q: got fate %v, want delivered", channel, fate)
		}
		st.run()
	}
	a := newAsker("held")
	st.shards[0].Enter(&a.watch)
	large("held", "1") // not accounted for while held
	for _, name := range []string{"1", "2", "3", "4"} {
		large(name, "1")
		large(name, "2") // in place of the first
	}
	if n := len(st.hub.channels); n != 5 {
		t.Errorf("hub knows %d channels, want 5", n)
	}
	st.shards[0].Leave(&a.watch)
	if st.hub.channels["1"] != nil || st.hub.channels["held"] == nil {
		t.Error("the hold having left, want the channel known, and the longest quiet one forgotten")
	}
	late := newAsker("2@2")
	st.shards[0].Enter(&late.watch)
	large("5", "1") // has the room that channel 2 had, who is held again
	if n := len(st.hub.channels); n != 5 {
		t.Errorf("hub knows %d channels, want 5", n)
	}
	st.shards[0].Leave(&late.watch)
	st.wantEmpty()
}

// Publishers that waited for room and then did not need it, their items being
// duplicates, must not keep the others waiting.
func TestPublishersThatWaitForRoomAllGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(time.Now, func(Receipt) {})
		s := h.NewShard(func() {})
		a := newAsker("c")
		s.Enter(&a.watch)
		h.Publish(item("quiet", "1", ""))
		for range maxUnderway {
			h.Publish(item("c", "", ""))
		}
		const publishers = 2 * maxUnderway
		fateCh := make(chan Fate, publishers)
		for range publishers {
			go func() {
				_, fate := h.Publish(item("quiet", "1", ""))
				fateCh <- fate
			}()
		}
		synctest.Wait()
		if n := len(fateCh); n > 0 {
			t.Fatalf("with no room, %d publishers went on", n)
		}
		for s.Turn() {
		}
		synctest.Wait()
		if n := len(fateCh); n != publishers {
			t.Fatalf("with room again, %d of %d publishers went on", n, publishers)
		}
	})
}

// An item larger than all that quiet channels may keep closes its own channel
// too, with the items that waited there.
func TestItemBeyondQuietBytesIsForgottenWithItsChannel(t *testing.T) {
	st := newStage(t, 1)
	a := newAsker("c")
	st.shards[0].Enter(&a.watch)
	st.publish("c", "1", "")
	st.run()
	st.shards[0].Leave(&a.watch)
	early, fate := st.hub.Publish(item("c", "3", "2")) // lingering: order matters
	if fate != Waiting {
		t.Fatalf("got fate %v, want waiting", fate)
	}
	large := item("c", "2", "1")
	large.HTTPResponse.Body = make([]byte, maxQuietBytes+1)
	st.hub.Publish(large)
	select {
	case <-early.Done():
	default:
		t.Error("the item that waited is not done")
	}
	if n := len(st.hub.channels); n != 0 {
		t.Errorf("hub knows %d channels, want 0", n)
	}
	st.wantEmpty()
}

func TestHolds(t *testing.T) {
	st := newStage(t, 2)
	as := []*asker{newAsker("c"), newAsker("c")}
	want := func(want bool) {
		t.Helper()
		if got := st.hub.Holds("c"); got != want {
			t.Errorf("hub holds: %t, want %t", got, want)
		}
	}
	want(false)
	st.publish("c", "1", "")
	want(false)
	for i, a := range as {
		st.shards[i].Enter(&a.watch)
		want(true)
	}
	st.shards[0].Leave(&as[0].watch)
	want(true)
	st.shards[1].Leave(&as[1].watch)
	want(false)
}
