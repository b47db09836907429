package fanout

import (
	"slices"
	"time"

	"marquee/grip"
)

// maxWaiting is how many items may wait for a watch that pauses; with one more
// the watch has missed something, and forgets them.
const maxWaiting = 100

// Asker is who put a group's question to the origin. The shard tells it, on the
// loop, what became of the watch.
type Asker interface {
	// Answered: an item has answered the group, and a is being written to its
	// holds. The watch stays, without a group, until Superseded.
	Answered(a *Answer)
	// Superseded: a channel has moved on from the answer that was watched. The
	// watch has ended.
	Superseded()
	// Missed: the group has missed something, or an item says that it might
	// have: ask the origin again. The watch of streams pauses, see Shard.Resume;
	// any other has ended. The group is as it was. It is not told again before
	// Resume.
	Missed()
	// Closed: an item has ended the streams; what was sent before is still being
	// written. The watch has ended, and its group takes nobody any more.
	Closed()
	// Filter: before the group may have the item, somebody has to be asked (the
	// filters http-check and http-modify). The watch pauses until
	// Shard.Filtered, which must come at some time: there is no timeout here.
	Filter(d *Delivery)
	// Unfiltered: the group does not get an item because a filter cannot be
	// applied to it.
	Unfiltered(err error)
}

// Watch is an interest in channels. Loop only.
type Watch struct {
	// Channels to follow, none twice, each from its PrevID; without one the group
	// gets whatever comes (GRIP §3.3). The watch's own: advanced as items arrive.
	Channels []grip.Channel
	// Mode is that of the group's holds. Zero is HoldResponse.
	Mode grip.HoldMode
	// Meta is what filters know of the subscription.
	Meta grip.Meta
	// Template is the response that came with a hold of mode response; nil
	// without one.
	Template *Template
	// Group holds for the channels; nil when only an answer is watched.
	Group *Group
	// Asked is when the origin was asked for the hold, or for the answer that is
	// watched: what it says of a channel counts against the items that passed
	// before. It may be ahead of the next one.
	Asked time.Time
	Asker Asker

	places  []place // by channel; nil: not registered
	doubted bool    // since it was registered or told so, and not yet rechecked
	listed  bool    // in Shard.doubtful
	paused  bool
	waiting []*Delivery // what came while it pauses, maxWaiting at the most
	// filtering is the item for which Asker.Filter was called, nil for none: that
	// is why the watch pauses then. held is how far that item has come.
	filtering *Delivery
	held      *progress
	// uncompared: it paused for a filter before the comparison with what has passed
	// through the hub, which comes when it goes on. outdated: what the origin said
	// last is, whatever that comparison finds.
	uncompared, outdated bool

	round     int32 // of items on every channel: the one that is not complete
	arrived   int   // channels that have had an item in it
	refreshed time.Time
}

// place is where a watch is registered for a channel.
type place struct {
	index int32  // in the channel's list
	round int32  // Watch.round when the channel had an item last
	sent  uint64 // Delivery.sent of the last item in the channel's order that was followed
}

// Registered reports whether w has been entered, and has not ended.
func (w *Watch) Registered() bool { return w.places != nil }

// Refreshed returns when, by the time of its publishing, the item came with which
// every channel had had one since the moment that Refreshed gave before. It is
// zero while that has not come since Enter or Resume.
func (w *Watch) Refreshed() time.Time { return w.refreshed }

// verdict is what an item means for a watch.
type verdict uint8

const (
	ignore     verdict = iota // known already, or not for it
	skips                     // not for it, but the state after it is known now
	answers                   // ends the hold
	appends                   // goes on the streams
	closes                    // ends the streams
	filters                   // somebody has to be asked what it means
	misses                    // something came between, or might have
	supersedes                // the watched answer is no longer the newest
)

// verdict says what d means for w, which watches its channel. An item that comes
// late tells nothing new to who has asked the origin after it was published.
func (w *Watch) verdict(d *Delivery) verdict {
	v := w.judge(&d.item)
	if d.outdated && (v == misses || v == supersedes) && w.Asked.After(d.start) {
		return ignore
	}
	return v
}

// judge says what item means for w, which watches the item's channel.
func (w *Watch) judge(item *grip.Item) verdict {
	c := &w.Channels[w.index(item.Channel)]
	if item.ID != "" && item.ID == c.PrevID {
		return ignore // the origin knew it already when it answered
	}
	if w.Group == nil {
		return supersedes
	}
	action, wanted, ok := w.format(item)
	follows := c.PrevID == "" || item.PrevID == c.PrevID || item.NoSeq
	switch {
	case !ok || !grip.Matches(wanted, c.Filters): // for other holds
		if follows {
			return skips
		}
		return ignore
	case action == grip.Hint:
		return misses
	case !follows:
		return misses // GRIP: also when the item has no prev-id
	case !grip.Passes(c.Filters, w.Meta, item.Meta, w.Channels):
		return skips
	case grip.AsksElsewhere(c.Filters):
		return filters
	}
	return w.sends(action)
}

// hinted reports whether item says that w's group is to ask the origin.
func (w *Watch) hinted(item *grip.Item) bool {
	action, _, ok := w.format(item)
	return ok && action == grip.Hint
}

// sends returns the verdict on an item that is for the group.
func (w *Watch) sends(action grip.Action) verdict {
	switch {
	case w.Mode != grip.HoldStream:
		return answers
	case action == grip.Close:
		return closes
	default:
		return appends
	}
}

// format returns what item has for holds of the watch's mode.
func (w *Watch) format(item *grip.Item) (action grip.Action, contentFilters []string, ok bool) {
	if w.Mode == grip.HoldStream {
		if f := item.HTTPStream; f != nil {
			return f.Action, f.ContentFilters, true
		}
	} else if f := item.HTTPResponse; f != nil {
		return f.Action, f.ContentFilters, true
	}
	return 0, nil, false
}

// follow notes that w has come to the state after d's item. An item that is
// outside of the sequence leads to none, and who follows no sequence is in none.
func (w *Watch) follow(d *Delivery) {
	i := w.index(d.item.Channel)
	p := &w.places[i]
	if p.round != w.round {
		p.round = w.round
		w.arrived++
	}
	if w.arrived == len(w.places) {
		w.refreshed, w.arrived = d.start, 0
		w.round++
	}
	if d.item.NoSeq {
		return
	}
	p.sent = d.sent
	if w.Channels[i].PrevID != "" {
		w.Channels[i].PrevID = d.item.ID
	}
}

// settle takes the group, which d answers, off the watch: from here on w watches
// that answer.
func (w *Watch) settle(d *Delivery) *Group {
	g := w.Group
	w.Group = nil
	if !d.item.NoSeq {
		w.Channels[w.index(d.item.Channel)].PrevID = d.item.ID
	}
	return g
}

// enter begins with the places of the watch's channels, before there is an item.
func (w *Watch) enter(places []place) {
	for i := range places {
		places[i].round = 0
	}
	w.places, w.round, w.arrived, w.refreshed = places, 1, 0, time.Time{}
}

// wait keeps d until the watch goes on. It reports whether there was room: if
// not, all that waited before is forgotten.
func (w *Watch) wait(d *Delivery) (room bool) {
	if room = len(w.waiting) < maxWaiting; !room {
		clear(w.waiting)
		w.waiting = w.waiting[:0]
	}
	w.waiting = append(w.waiting, d)
	return room
}

// Channel returns the channel of that name, as the watch follows it.
func (w *Watch) Channel(name string) grip.Channel { return w.Channels[w.index(name)] }

// next takes the first of the items that wait; there is one.
func (w *Watch) next() *Delivery {
	d := w.waiting[0]
	w.waiting[0] = nil
	if w.waiting = w.waiting[1:]; len(w.waiting) == 0 {
		w.waiting = nil
	}
	return d
}

// watches reports whether w watches the channel.
func (w *Watch) watches(channel string) bool {
	return slices.ContainsFunc(w.Channels, func(c grip.Channel) bool { return c.Name == channel })
}

func (w *Watch) index(channel string) int {
	for i := range w.Channels {
		if w.Channels[i].Name == channel {
			return i
		}
	}
	panic("fanout: watch is listed under a channel that it does not watch")
}

// watches is the list of watches of one channel on one loop. Loop only.
type watches struct {
	list   []*Watch
	wanted [codings]bool // codings that the hub has been told of
}

func (ws *watches) add(w *Watch, channel int) {
	w.places[channel].index = int32(len(ws.list))
	ws.list = append(ws.list, w)
}

func (ws *watches) remove(w *Watch, channel int) {
	i, last := w.places[channel].index, len(ws.list)-1
	moved := ws.list[last]
	ws.list[i] = moved
	moved.places[moved.index(w.Channels[channel].Name)].index = i
	ws.list[last] = nil
	ws.list = ws.list[:last]
}
