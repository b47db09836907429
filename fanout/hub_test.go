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
