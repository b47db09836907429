package fanout

import (
	"time"

	"marquee/grip"
)

// Asker is who put a group's question to the origin. The shard tells it, on the
// loop, what became of the watch.
type Asker interface {
	// Answered: an item has answered the group, and a is being written to its
	// holds. The watch stays, without a group, until Superseded.
	Answered(a *Answer)
	// Superseded: a channel has moved on from the answer that was watched. The
	// watch has ended.
	Superseded()
	// Missed: an item came that does not follow the group's prev-id, so
	// something was missed. The watch has ended, the group is as it was: ask
	// the origin again.
	Missed()
}

// Watch is an interest in channels. Loop only.
type Watch struct {
	// Channels to follow, none twice, each from its PrevID; an empty PrevID
	// follows from whatever comes next. The watch's own: advanced as items
	// arrive.
	Channels []grip.Channel
	// Template is the response that came with the hold; nil without a group.
	Template *Template
	// Group holds for the channels; nil when only an answer is watched.
	Group *Group
	// Asked is when the origin was asked for the hold, or for the answer that is
	// watched: if after the last item, it may be ahead of the next one.
	Asked time.Time
	Asker Asker

	places  []int32 // per channel, the index in its list; nil: not registered
	doubted bool    // since it was registered, and not yet rechecked
}

// verdict is what an item means for a watch.
type verdict uint8

const (
	ignore     verdict = iota // known already, or not for it
	answers                   // ends the hold
	misses                    // something came between
	supersedes                // the watched answer is no longer the newest
)

// judge says what item means for w, which watches the item's channel.
func (w *Watch) judge(item *grip.Item) verdict {
	prevID := w.Channels[w.index(item.Channel)].PrevID
	switch {
	case item.ID != "" && item.ID == prevID:
		return ignore // the origin knew it already when it answered
	case w.Group == nil:
		return supersedes
	case item.HTTPResponse == nil:
		return ignore // for other kinds of holds
	case prevID == "" || item.PrevID == prevID:
		return answers
	default:
		return misses // GRIP: also when the item has no prev-id
	}
}

func (w *Watch) index(channel string) int {
	for i := range w.Channels {
		if w.Channels[i].Name == channel {
			return i
		}
	}
	panic("fanout: watch is listed under a channel that it does not watch")
}

// follow notes that w has been answered with the item.
func (w *Watch) follow(item *grip.Item) {
	w.Channels[w.index(item.Channel)].PrevID = item.ID
}

// watches is the list of watches of one channel on one loop. Loop only.
type watches struct {
	list   []*Watch
	wanted [codings]bool // codings that the hub has been told of
}

func (ws *watches) add(w *Watch, channel int) {
	w.places[channel] = int32(len(ws.list))
	ws.list = append(ws.list, w)
}

func (ws *watches) remove(w *Watch, channel int) {
	i, last := w.places[channel], len(ws.list)-1
	moved := ws.list[last]
	ws.list[i] = moved
	moved.places[moved.index(w.Channels[channel].Name)] = i
	ws.list[last] = nil
	ws.list = ws.list[:last]
}
