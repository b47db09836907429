package main

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// maxHeadlines bounds how many headlines are remembered: a group may run for
// months. Far more than clients can be behind.
const maxHeadlines = 1000

// ledger knows which headlines were published and who received them: what was
// posted, and what clients were answered. A change is settled, and counts for
// the report, when all recipients have received it or deliverWithin after its
// start; who has not by then missed it. Loop only.
type ledger struct {
	deliverWithin time.Duration
	watching      bool   // headlines that others publish count as changes
	settled       func() // called after a change has been settled

	headlines []*headline // by id, the newest maxHeadlines
	posting   bool        // headlines that were not published before are ours
	posted    []*headline // posted, and nobody has told their ids yet
	changes   []*headline // in the order they began
	live      []*headline // changes not settled, in the same order
	ended     []*headline // changes settled since the last call of unshown
	overall   *latency    // of all settled changes
	later     *latency    // of those but the first, which may be slower: nothing is warm

	// The last bodies seen and what they say, so that a body is parsed once and
	// not once a client. More than are in use at a time: polls are answered with a
	// headline, the one before, or {}; some streams may be a second behind others.
	seen     [32]seenBody
	seenNext int
}

type seenBody struct {
	body     []byte
	headline *headline
}

func newLedger(deliverWithin time.Duration, watching bool, settled func()) *ledger {
	return &ledger{deliverWithin: deliverWithin, watching: watching, settled: settled, overall: newLatency(), later: newLatency()}
}

// known returns the headline of a body that was seen before, nil if it was not.
func (l *ledger) known(body []byte) *headline {
	for i := range l.seen { // the newest first
		s := &l.seen[(l.seenNext+len(l.seen)-1-i)%len(l.seen)]
		if s.headline == nil {
			break
		}
		if bytes.Equal(s.body, body) {
			return s.headline
		}
	}
	return nil
}

// learn returns the headline of a body that is not known, and whose JSON is as
// given; fault says in what way the answer is bad when err is not nil. recipients
// counts the started clients whose headline is older than an id.
func (l *ledger) learn(body, json []byte, now time.Duration, recipients func(id uint64) int) (h *headline, fault fault, err error) {
	id, text, changed, err := parseHeadline(json)
	if err != nil {
		return nil, torn, err
	}
	h = noChange
	if changed {
		if h, err = l.judge(id, text, now, recipients); err != nil {
			return nil, wrong, err
		}
	}
	l.seen[l.seenNext] = seenBody{bytes.Clone(body), h}
	l.seenNext = (l.seenNext + 1) % len(l.seen)
	return h, 0, nil
}

// judge finds the headline of that id and text, taking it in when it is new,
// or says why it cannot have been published.
func (l *ledger) judge(id uint64, text string, now time.Duration, recipients func(id uint64) int) (*headline, error) {
	at, found := l.find(id)
	if found {
		if h := l.headlines[at]; h.text != text {
			return nil, fmt.Errorf("headline %d is %.80q, was %.80q before", id, text, h.text)
		}
		return l.headlines[at], nil
	}
	if l.posting {
		// Before the POST is answered, the text says which headline this is.
		i := slices.IndexFunc(l.posted, func(h *headline) bool { return h.text == text })
		if i < 0 {
			return nil, fmt.Errorf("headline %d %.80q was not posted by this run", id, text)
		}
		h := l.posted[i]
		l.name(h, id, at)
		return h, nil
	}
	h := &headline{id: id, text: text, settled: true}
	l.insert(at, h)
	if l.watching {
		if n := recipients(id); n > 0 {
			l.begin(h, n)
			h.begins(now)
		}
	}
	return h, nil
}

// forget forgets all headlines. Not for use when there are changes.
func (l *ledger) forget() {
	l.headlines = nil
	l.seen = [len(l.seen)]seenBody{}
}

// find returns where the headline of that id is or belongs in l.headlines.
func (l *ledger) find(id uint64) (at int, found bool) {
	return slices.BinarySearchFunc(l.headlines, id, func(h *headline, id uint64) int {
		switch {
		case h.id < id:
			return -1
		case h.id > id:
			return 1
		}
		return 0
	})
}

// name gives a posted headline its id.
func (l *ledger) name(h *headline, id uint64, at int) {
	h.id = id
	l.posted = slices.DeleteFunc(l.posted, func(x *headline) bool { return x == h })
	l.insert(at, h)
}

// insert takes in a headline, for the oldest if there are many.
func (l *ledger) insert(at int, h *headline) {
	l.headlines = slices.Insert(l.headlines, at, h)
	if len(l.headlines) > maxHeadlines {
		l.headlines = slices.Delete(l.headlines, 0, 1)
	}
}

// post takes in a headline that is about to be posted. From now on every
// headline that was not published before must be one that was posted.
func (l *ledger) post(text string, recipients int) *headline {
	h := &headline{text: text, settledCh: make(chan struct{})}
	l.posting = true
	l.posted = append(l.posted, h)
	l.begin(h, recipients)
	return h
}

func (l *ledger) begin(h *headline, recipients int) {
	h.settled = false
	h.recipients = recipients
	h.latency = newLatency()
	l.changes = append(l.changes, h)
	l.live = append(l.live, h)
}

// confirm notes the id in the answer to the POST of h. An error says that
// deliveries or earlier headlines contradict it.
func (l *ledger) confirm(h *headline, id uint64) error {
	at, found := l.find(id)
	switch {
	case h.id == id:
	case h.id != 0:
		return fmt.Errorf("headline was posted as %d but delivered as %d", id, h.id)
	case found:
		return fmt.Errorf("headline was posted as %d, which is %.80q already", id, l.headlines[at].text)
	default:
		l.name(h, id, at)
	}
	return nil
}

// startedAt notes that a client's first answer was h: it is to receive the
// changes after it too.
func (l *ledger) startedAt(h *headline) {
	for _, later := range l.live {
		if later.id > h.id {
			later.recipients++
		}
	}
}

// receive counts a delivery of h complete at now.
func (l *ledger) receive(h *headline, now time.Duration) {
	if h.settled {
		return
	}
	h.latency.record(now - time.Duration(h.start.Load()))
	if h.received++; h.received == h.recipients {
		l.settle(h)
	}
}

// deadline returns when expire has something to settle; ok is false when
// nothing.
func (l *ledger) deadline() (at time.Duration, ok bool) {
	if len(l.live) == 0 || l.live[0].start.Load() == 0 {
		return 0, false
	}
	return time.Duration(l.live[0].start.Load()) + l.deliverWithin, true
}

// expire settles the changes that have had their time.
func (l *ledger) expire(now time.Duration) {
	for {
		at, ok := l.deadline()
		if !ok || at > now {
			return
		}
		l.settle(l.live[0])
	}
}

// began returns when the first change began and when the last one did; zero when
// none has.
func (l *ledger) began() (first, last time.Duration) {
	for _, h := range l.changes {
		at := time.Duration(h.start.Load())
		if at > 0 && (first == 0 || at < first) {
			first = at
		}
		last = max(last, at)
	}
	return first, last
}

// settleAll settles every change, at the end of a run.
func (l *ledger) settleAll() {
	for len(l.live) > 0 {
		l.settle(l.live[0])
	}
}

func (l *ledger) settle(h *headline) {
	h.settled = true
	l.live = slices.DeleteFunc(l.live, func(x *headline) bool { return x == h })
	l.ended = append(l.ended, h)
	l.overall.merge(h.latency)
	if h != l.changes[0] {
		l.later.merge(h.latency)
	}
	h.spread = h.latency.spread()
	h.latency.histogram = nil // large, and a run may have very many changes
	if h.settledCh != nil {
		close(h.settledCh)
	}
	l.settled()
}

// deliveries is how a change stands at a moment.
type deliveries struct {
	received          int
	min, max, average time.Duration
}

// unshown returns how each change stands that was received by more clients
// than at the last call.
func (l *ledger) unshown() []deliveries {
	var ds []deliveries
	for _, h := range slices.Concat(l.ended, l.live) {
		if h.shown < h.received {
			h.shown = h.received
			ds = append(ds, deliveries{h.received, h.latency.min, h.latency.max, h.latency.average()})
		}
	}
	l.ended = l.ended[:0]
	return ds
}
