package fanout

import (
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"marquee/grip"
)

// Fate is what the sequencing made of a published item.
type Fate uint8

const (
	// Delivered: handed to every loop that holds for the channel, be it none.
	Delivered Fate = iota
	// Waiting: it came before the item that it follows, and waits for that one.
	Waiting
	// Duplicate: an item with that id, or with that prev-id, was there before.
	Duplicate
	// Overflow: too many items of the channel wait already.
	Overflow
)

func (f Fate) String() string {
	return [...]string{"delivered", "waiting", "duplicate", "overflow"}[f]
}

// Receipt says what became of an item. The counts are of holds.
type Receipt struct {
	Channel string `json:"channel"`
	ID      string `json:"id,omitempty"`
	Fate    string `json:"fate"`
	// Matched = Written + Queued + Dropped + Shed.
	Matched int64 `json:"matched"`
	Streams int64 `json:"streams"` // of Matched, holds of mode stream
	Written int64 `json:"written"`
	Queued  int64 `json:"queued"`  // behind clients that read slowly
	Dropped int64 `json:"dropped"` // gone before the write
	// Shed are slow clients that lost something over the item: it pushed older
	// ones out, or they were cut off.
	Shed int64 `json:"shed"`
	// Missed did not get it in this delivery: it did not follow their prev-id, or
	// their watch was pausing. They get what it says later.
	Missed int64 `json:"missed"`
	// Elapsed is the time from the publish to the last write, in milliseconds.
	Elapsed float64 `json:"elapsed_ms"`
	// Complete is false while some loop has not finished writing.
	Complete bool `json:"complete"`
}

// Delivery is one item on its way to the loops. Safe from any goroutine.
type Delivery struct {
	// Immutable once the first loop sees it.
	hub   *Hub
	item  grip.Item
	start time.Time
	sent  uint64 // Hub.sent when it went through
	// outdated: while it waited for another the origin has gone on without it.
	outdated bool
	coded    [codings][]byte // of the http-response body
	piece    *Piece          // of the http-stream content; nil without

	mu      sync.Mutex                        // answers
	answers map[unique.Handle[string]]*Answer // nil when no loop writes

	loops   atomic.Int32 // still writing, or waiting for a filter
	passing atomic.Int32 // still writing
	given   Tally
	streams atomic.Int64
	missed  atomic.Int64
	elapsed atomic.Int64 // ns; set when the last loop is done
	doneCh  chan struct{}
}

func newDelivery(h *Hub, item grip.Item) *Delivery {
	d := &Delivery{hub: h, item: item, start: h.now(), doneCh: make(chan struct{})}
	if item.HTTPResponse != nil {
		d.coded[0] = item.HTTPResponse.Body
	}
	if item.HTTPStream != nil {
		d.piece = NewPiece(item.HTTPStream.Content)
	}
	return d
}

// Content returns what the item has for the holds of w, before filters. It must
// not be changed.
func (d *Delivery) Content(w *Watch) []byte { return d.content(w.Template, w.Mode) }

// Item returns the item. It must not be changed.
func (d *Delivery) Item() *grip.Item { return &d.item }

// Done is closed when every loop has written to its holds. An item that waits
// for another is not done until it has been delivered or given up.
func (d *Delivery) Done() <-chan struct{} { return d.doneCh }

// Receipt returns the figures so far.
func (d *Delivery) Receipt(fate Fate) Receipt {
	r := Receipt{
		Channel: d.item.Channel, ID: d.item.ID, Fate: fate.String(),
		Written: d.given.Of(Written), Queued: d.given.Of(Queued),
		Dropped: d.given.Of(Dropped), Shed: d.given.Of(Shed), Missed: d.missed.Load(),
		Elapsed: float64(d.elapsed.Load()) / float64(time.Millisecond),
	}
	r.Streams = d.streams.Load()
	r.Matched = r.Written + r.Queued + r.Dropped + r.Shed
	select {
	case <-d.doneCh:
		r.Complete = true
	default:
	}
	return r
}

// compress makes the coded forms that some holder of the channel accepts.
func (d *Delivery) compress(wanted [codings]bool) {
	if f := d.item.HTTPResponse; f != nil && len(d.coded[0]) >= minCompress && transformable(f.Response) {
		for coding := Gzip; coding < codings; coding++ {
			if wanted[coding] {
				d.coded[coding] = compressed(d.coded[0], coding)
			}
		}
	}
	if d.piece != nil && d.piece.Len() >= minCompress {
		for coding := Gzip; coding < codings; coding++ {
			if wanted[coding] {
				d.piece.coded[coding] = compressedBlocks(d.piece.content, coding)
			}
		}
	}
}

// weight is how many bytes of content the item has.
func (d *Delivery) weight() int {
	n := len(d.coded[0])
	if d.piece != nil {
		n += d.piece.Len()
	}
	return n
}

// answer returns the answer for holds of that template: one object for all of
// them, on every loop, while the item is on its way. The hub may keep the item
// long after that, so it does not keep the answers.
func (d *Delivery) answer(t *Template) *Answer {
	key, f := t.key, d.item.HTTPResponse
	if f.Patch != nil {
		key = t.bodyKey()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.answers[key]
	if a == nil {
		a = NewAnswer(t.finish.On(f.Answer(t.response)))
		a.offer(&d.coded)
		if d.loops.Load() > 0 {
			if d.answers == nil {
				d.answers = make(map[unique.Handle[string]]*Answer)
			}
			d.answers[key] = a
		}
	}
	return a
}

// answerWith is answer with another body, for one group.
func (d *Delivery) answerWith(t *Template, body []byte) *Answer {
	r := d.item.HTTPResponse.Response
	r.Body = body
	return NewAnswer(t.finish.On(t.response.With(r)))
}

// content returns what the item has for holds of that mode, before filters.
func (d *Delivery) content(t *Template, mode grip.HoldMode) []byte {
	if mode == grip.HoldStream {
		return d.piece.content
	}
	switch f := d.item.HTTPResponse; {
	case f.Patch == nil:
		return d.coded[0]
	case t.finish != nil && t.finish.Whole:
		return f.Answer(t.response).Body // that of d.answer is finished
	}
	return d.answer(t).response.Body
}

// loopPassed notes that one loop does no more with it than to wait for filters.
func (d *Delivery) loopPassed() {
	if d.passing.Add(-1) == 0 {
		d.hub.passed()
	}
}

// loopDone adds one loop's share. The last loop ends the delivery.
func (d *Delivery) loopDone(given tally, streams, missed int64) {
	d.given.add(given, 1)
	d.streams.Add(streams)
	d.missed.Add(missed)
	if d.loops.Add(-1) == 0 {
		d.finish()
		d.hub.done(d.Receipt(Delivered))
	}
}

// finish ends a delivery, once.
func (d *Delivery) finish() {
	d.mu.Lock()
	d.answers = nil
	d.mu.Unlock()
	d.elapsed.Store(int64(d.hub.now().Sub(d.start)))
	close(d.doneCh)
}
