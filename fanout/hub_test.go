package fanout

import (
	"testing"
	"testing/synctest"
	"time"
)

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
