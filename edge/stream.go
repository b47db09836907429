package main

import (
	"encoding/binary"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"time"

	"marquee/fanout"
	"marquee/grip"
	"marquee/route"
	"marquee/upstream"
)

// streamState is how far streams have come:
//
//	asking → following → ended
//	   ↑         │ missed an item, or a hint, or the link's time
//	   └─────────┘
type streamState uint8

const (
	linking   streamState = iota // the next link is being asked, or its answer sent
	following                    // what is published is appended
	ended                        // by an item, an answer, or because all have left
)

// stream is the streams of a loop that have come to the same point, so that
// everything appended to one from now on is appended to all: those of clients
// whose requests had the same instruct, while it stands. Loop only.
type stream struct {
	loop    *loop
	service *service
	// base is the URL of the request that they began with, and at that of the answer
	// which they have come to: the links in it are relative to that.
	base, at *url.URL

	state streamState
	key   string // what it is found by; "" when nobody can join
	group fanout.Group
	watch fanout.Watch

	keepAlive *keepAlive // nil for none
	next      *grip.Link // nil for none
	gone      string     // what to tell when a client has left; "" for nobody
	slow      route.SlowPolicy
	slowBytes int
	// opening is what the first client gets before anything else, but not before
	// the channels are followed: who has seen it may count on what is published
	// from then on. nil when it has been written.
	opening []byte

	tracked []grip.Channel // what the tracker was told

	ticket   *upstream.Ticket
	asked    int    // times that a link was asked: a result of an earlier time is void
	failures int    // in a row
	feed     *feed  // appends a body; nil for none
	taken    func() // what to do when all clients have taken what they were sent; nil for nothing
	waited   int    // ticks that some have been waited for
	timer    timer[*stream]
}

// keepAlive is what streams get when there is nothing else.
type keepAlive struct {
	piece    *fanout.Piece
	timeout  time.Duration
	interval bool
}

func newKeepAlive(k *grip.KeepAlive) *keepAlive {
	if k == nil || len(k.Content) == 0 {
		return nil
	}
	return &keepAlive{fanout.NewPiece(k.Content), k.Timeout, k.Interval}
}

// pause returns how long until the next one: up to a second less than its
// timeout, so that those of many streams are spread.
func (k *keepAlive) pause() time.Duration { return k.timeout - rand.N(time.Second) }

// deadline implements entry.
func (s *stream) deadline() *timer[*stream] { return &s.timer }

// streamOf returns the streams that a client with this answer belongs to: those
// that are at the same point, or new ones, which the caller begins.
func (l *loop) streamOf(a *ask, answer *upstream.Answer) (s *stream, fresh bool) {
	base := urlOf(a.secure, a.req.Host, a.target)
	var channels []grip.Channel
	var key string
	if answer.Hold != nil && answer.Body == nil {
		channels = a.service.prefixed(answer.Hold.Channels)
		key = a.service.streamKey(base, base, answer.Gone, answer)
		for _, s := range l.streams[key] {
			if s.state == following && slices.EqualFunc(s.watch.Channels, channels, sameChannel) {
				return s, false
			}
		}
	}
	s = &stream{loop: l, service: a.service, base: base, at: base, gone: answer.Gone}
	s.group.Tally = &a.service.counts.messages
	s.list(key)
	s.obey(answer)
	return s, true
}

// list lets others find the streams by a key; by "" nobody does.
func (s *stream) list(key string) {
	if s.key = key; key != "" {
		s.loop.streams[key] = append(s.loop.streams[key], s)
	}
}

// unlist puts the streams out of the reach of others.
func (s *stream) unlist() {
	l := s.loop
	if same := l.streams[s.key]; s.key != "" {
		if same = slices.DeleteFunc(same, func(o *stream) bool { return o == s }); len(same) == 0 {
			delete(l.streams, s.key)
		} else {
			l.streams[s.key] = same
		}
	}
}

func sameChannel(a, b grip.Channel) bool { return a.Name == b.Name && a.PrevID == b.PrevID }

// streamKey is equal for answers that want the same of streams, but for the ids:
// answers from the URL at, to streams that began with the one that base is the URL
// of, and gone the link.
func (s *service) streamKey(base, at *url.URL, gone string, answer *upstream.Answer) string {
	k := binary.AppendUvarint(nil, s.serial)
	text := func(s string) {
		k = binary.AppendUvarint(k, uint64(len(s)))
		k = append(k, s...)
	}
	number := func(n int) { k = binary.AppendUvarint(k, uint64(n)) }
	link := func(from *url.URL, link string) {
		text(base.Scheme)
		text(base.Host)
		if u, err := from.Parse(link); err == nil {
			link = u.String()
		}
		text(link)
	}
	hold := answer.Hold
	asks := false
	number(len(hold.Channels))
	for _, c := range hold.Channels {
		text(c.Name)
		number(len(c.Filters))
		for _, f := range c.Filters {
			text(f)
		}
		asks = asks || grip.AsksElsewhere(c.Filters)
	}
	number(len(hold.Meta))
	for _, m := range hold.Meta {
		text(m.Name)
		text(m.Value)
	}
	if asks {
		link(at, hold.Meta.Get("url"))
	}
	if ka := hold.KeepAlive; ka != nil {
		k = append(k, 'k')
		text(string(ka.Content))
		number(int(ka.Timeout))
		k = strconv.AppendBool(k, ka.Interval)
	}
	if n := answer.Next; n != nil {
		k = append(k, 'n')
		link(at, n.URL)
		number(int(n.Timeout))
	}
	if gone != "" {
		k = append(k, 'g')
		link(base, gone)
	}
	return string(k)
}

// obey takes over what an answer says of the time after it.
func (s *stream) obey(answer *upstream.Answer) {
	s.next = answer.Next
	if answer.Hold == nil {
		return
	}
	s.keepAlive = newKeepAlive(answer.Hold.KeepAlive)
	s.watch.Mode, s.watch.Meta = grip.HoldStream, answer.Hold.Meta
	s.watch.Asked, s.watch.Group, s.watch.Asker = answer.Asked, &s.group, s
	s.slow, s.slowBytes = s.service.slow(s.service.prefixed(answer.Hold.Channels))
}

// begin does what comes after the head of an answer has been sent: the rest of
// its body, and then what follows.
func (s *stream) begin(answer *upstream.Answer) {
	if answer.Body != nil {
		s.feedBody(answer)
		return
	}
	s.goOn(answer)
}

// goOn does what comes after a whole answer: the hold, the next link, or the end.
func (s *stream) goOn(answer *upstream.Answer) {
	shard := s.loop.shard
	switch {
	case answer.Hold == nil && s.next == nil:
		s.end()
		shard.Finish(&s.group)
	case answer.Hold == nil:
		shard.Leave(&s.watch)
		s.track(nil)
		s.state = linking
		s.whenTaken(func() { s.ask(time.Time{}) })
	default:
		s.hold(s.service.prefixed(answer.Hold.Channels))
	}
}

// hold follows the channels from here on, if nothing is missing.
func (s *stream) hold(channels []grip.Channel) {
	s.state, s.failures = following, 0
	s.track(channels)
	s.group.Each(func(_ *fanout.Hold, client fanout.Client) { client.(*conn).armKeepAlive() })
	standing := s.follow(channels)
	if standing == fanout.Behind && s.next == nil {
		s.goOnUnasked()
		standing = fanout.Holding
	}
	switch {
	case s.state != following: // has ended, or asks its link
	case standing == fanout.Behind:
		s.ask(s.loop.shard.Moved(&s.watch))
	default:
		s.group.Each(func(h *fanout.Hold, _ fanout.Client) { s.loop.shard.Want(&s.watch, h.Variant) })
		s.arm()
	}
}

// track tells the tracker which channels the streams hold now.
func (s *stream) track(channels []grip.Channel) {
	t := s.loop.edge.tracker
	if t == nil {
		return
	}
	t.hold(grip.HoldStream, channels, s.group.Len())
	t.hold(grip.HoldStream, s.tracked, -s.group.Len())
	s.tracked = slices.Clone(channels)
}

// follow tells the shard which channels to follow, and from where.
func (s *stream) follow(channels []grip.Channel) fanout.Standing {
	if s.watch.Registered() {
		return s.loop.shard.Resume(&s.watch, channels)
	}
	s.watch.Channels = channels
	standing, _ := s.loop.shard.Enter(&s.watch)
	return standing
}

// arm sets the time after which the link is asked.
func (s *stream) arm() {
	if s.next != nil {
		s.loop.links.set(s, s.next.Timeout)
	} else {
		s.loop.links.remove(s)
	}
}

// expired acts on the deadline of the streams: their link's, or that of clients
// to take what they were sent.
func (s *stream) expired() {
	switch {
	case s.taken != nil:
		then := s.taken
		s.taken = nil
		s.whenTaken(then)
	case s.state != following:
	default:
		// The time begins anew whenever every channel has had an item.
		if left := s.watch.Refreshed().Add(s.next.Timeout).Sub(s.loop.now); left > 0 {
			s.loop.links.set(s, left)
			return
		}
		if !s.loop.shard.Pause(&s.watch) {
			s.loop.links.set(s, nextTick) // a filter is being asked
			return
		}
		s.ask(s.loop.now) // what is kept has been appended already
	}
}

// feedPatience is how many ticks streams wait for those of their clients who do not
// take what they were sent, while others do. Then the streams go on, and what is
// sent waits for the slow ones as messages do, as far as their route lets it.
const feedPatience = int(5 * time.Second / tick)

// whenTaken calls then when all clients have taken what they were sent, or have been
// waited for long enough: at once, or at a later tick.
func (s *stream) whenTaken(then func()) {
	slow := 0
	s.group.Each(func(_ *fanout.Hold, client fanout.Client) {
		if client.(*conn).slow {
			slow++
		}
	})
	if slow == 0 {
		s.waited = 0
	}
	patient := slow == s.group.Len() || s.waited < feedPatience
	if s.loop.shard.Written(&s.group) && (slow == 0 || !patient) {
		then()
		return
	}
	s.waited++
	s.taken = then
	s.loop.links.set(s, nextTick)
}

// Answered implements fanout.Asker: streams are not answered.
func (s *stream) Answered(*fanout.Answer) {}

// Superseded implements fanout.Asker: nor do they end so.
func (s *stream) Superseded() {}

// Missed implements fanout.Asker.
func (s *stream) Missed() {
	if s.next == nil {
		s.goOnUnasked()
		return
	}
	notBefore := s.loop.shard.Moved(&s.watch)
	if c := s.loop.edge.cluster; c != nil {
		notBefore = later(notBefore, c.cutOff())
	}
	s.ask(notBefore)
}

// goOnUnasked lets streams go on that were to ask their link and have none. Only
// hints say so: a channel without a link has no prev-id (GRIP §4.1).
func (s *stream) goOnUnasked() {
	for s.loop.shard.Resume(&s.watch, s.watch.Channels) == fanout.Behind {
		// Another hint has waited meanwhile, and has been taken account of.
	}
}

// Closed implements fanout.Asker.
func (s *stream) Closed() { s.end() }

// Filter implements fanout.Asker.
func (s *stream) Filter(d *fanout.Delivery) {
	s.loop.filter(s.service, s.base, s.at, &s.watch, d, func(content []byte, drop bool) {
		if s.state == following {
			s.loop.shard.Filtered(&s.watch, d, content, drop)
		}
	})
}

// Unfiltered implements fanout.Asker.
func (s *stream) Unfiltered(err error) { s.loop.unfiltered(s.service, err) }

// left notes that a client has left the group, for whatever reason.
func (s *stream) left() {
	s.loop.holds.Add(-1)
	s.loop.counts(s.service).streams.Add(-1)
	s.loop.edge.tracker.hold(grip.HoldStream, s.tracked, -1)
	s.tellGone()
	if s.group.Len() == 0 && s.state != ended {
		s.end()
	}
}

// end lets nobody join any more and stops whatever goes on for the streams.
func (s *stream) end() {
	if s.state == ended {
		return
	}
	l := s.loop
	s.state = ended
	s.unlist()
	s.taken = nil
	l.links.remove(s)
	l.shard.Leave(&s.watch)
	if s.ticket != nil {
		s.ticket.Leave()
	}
	if s.feed != nil {
		s.feed.stop()
	}
}

// cut ends the streams in the middle: what they were to get next is not to be
// had, and a proper end would hide that.
func (s *stream) cut() {
	s.end()
	var all []*conn
	s.group.Each(func(_ *fanout.Hold, client fanout.Client) { all = append(all, client.(*conn)) })
	for _, c := range all {
		if c.sendOpening(); c.state == streaming {
			s.loop.edge.brokenOff.Add(1)
			if c.record != nil {
				c.record.cut(endOrigin)
			}
			c.close()
		}
	}
}
