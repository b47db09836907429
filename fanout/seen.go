package fanout

import (
	"hash/maphash"
	"time"

	"marquee/grip"
)

// itemKey stands for a channel and an id, whatever their lengths: two hashes with
// seeds of this process. That two items of a minute share both, so that one is
// taken for the other, is not to be expected in the life of the universe.
type itemKey [2]uint64

var itemSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func newItemKey(channel, id string) (k itemKey) {
	for i, seed := range itemSeeds {
		k[i] = maphash.Comparable(seed, [2]string{channel, id})
	}
	return k
}

type seenItem struct {
	key itemKey
	at  time.Time
}

// firstSight notes the item's id and reports whether it is new. Hub lock.
func (h *Hub) firstSight(item *grip.Item) bool {
	key := newItemKey(item.Channel, item.ID)
	if _, ok := h.seen[key]; ok {
		return false
	}
	if len(h.seenOrder) == maxSeen {
		h.unsee()
	}
	h.seen[key] = struct{}{}
	h.seenOrder = append(h.seenOrder, seenItem{key, h.now()})
	return true
}

// unsee forgets the oldest id. Hub lock.
func (h *Hub) unsee() {
	delete(h.seen, h.seenOrder[0].key)
	h.seenOrder[0] = seenItem{}
	h.seenOrder = h.seenOrder[1:]
}
