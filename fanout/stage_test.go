package fanout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

// stage is a hub whose clock and loops move only when the test says so.
type stage struct {
	t        testing.TB
	now      time.Time
	hub      *Hub
	shards   []*Shard
	woken    []bool
	receipts []Receipt // of what the loops were given, in the order of their ends
}

func newStage(t testing.TB, shards int) *stage {
	t.Helper()
	st := &stage{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), woken: make([]bool, shards)}
	st.hub = NewHub(
		func() time.Time { return st.now },
		func(r Receipt) { st.receipts = append(st.receipts, r) })
	for i := range shards {
		st.shards = append(st.shards, st.hub.NewShard(func() { st.woken[i] = true }))
	}
	return st
}

// item makes an item whose body is its id.
func item(channel, id, prevID string) grip.Item {
	return grip.Item{Channel: channel, ID: id, PrevID: prevID, HTTPResponse: &grip.HTTPResponse{Response: grip.Response{Code: 200, Body: []byte(id)}}}
}

// streamItem is item for streams. Its content is its id, but what comes after a !
// in that is not its id but its action.
func streamItem(channel, id, prevID string) grip.Item {
	id, action, _ := strings.Cut(id, "!")
	f := &grip.HTTPStream{Content: []byte(id)}
	switch action {
	case "hint":
		f.Action = grip.Hint
	case "close":
		f.Action = grip.Close
	}
	return grip.Item{Channel: channel, ID: id, PrevID: prevID, HTTPStream: f}
}

// publishAll publishes items for streams, written channel:id<prev-id, whatever
// becomes of them.
func (st *stage) publishAll(items ...string) (ds []*Delivery) {
	for _, it := range items {
		channel, rest, _ := strings.Cut(it, ":")
		id, prevID, _ := strings.Cut(rest, "<")
		d, _ := st.hub.Publish(streamItem(channel, id, prevID))
		ds = append(ds, d)
	}
	return ds
}

// publish publishes an item that is expected to go through.
func (st *stage) publish(channel, id, prevID string) *Delivery {
	st.t.Helper()
	d, fate := st.hub.Publish(item(channel, id, prevID))
	if fate != Delivered {
		st.t.Fatalf("publish %q after %q on %q: got fate %v, want delivered", id, prevID, channel, fate)
	}
	return d
}

// run gives turns to the loops that are woken until none is, and returns how
// many turns that took.
func (st *stage) run() (turns int) {
	for slices.Contains(st.woken, true) {
		for i, s := range st.shards {
			if st.woken[i] {
				turns++
				st.woken[i] = s.Turn()
			}
		}
	}
	return turns
}

// wantEmpty checks that nothing is left of watches, holds and items on their
// way, and that the hub's accounts of what it remembers agree.
func (st *stage) wantEmpty() {
	st.t.Helper()
	for i, s := range st.shards {
		if len(s.channels)+len(s.queue)+len(s.batches)+len(s.mail)+len(s.doubtful) > 0 {
			st.t.Errorf("shard %d keeps %d channels, %d+%d items, %d batches, %d watches in doubt, want none",
				i, len(s.channels), len(s.mail), len(s.queue), len(s.batches), len(s.doubtful))
		}
		for _, w := range s.passed[:cap(s.passed)] {
			if w != nil {
				st.t.Errorf("shard %d keeps a watch in its scratch space", i)
			}
		}
	}
	h, bytes := st.hub, 0
	for name, c := range h.channels {
		if c.loops != 0 || c.place == nil || len(c.early) > 0 {
			st.t.Errorf("channel %.20q: loops %b, quiet %t, %d items wait; want it quiet, with none",
				name, c.loops, c.place != nil, len(c.early))
		}
		if c.last != nil {
			bytes += c.last.weight()
		}
	}
	if h.underway != 0 || len(h.early) != 0 || h.quiet.Len() != len(h.channels) || h.quietBytes != bytes {
		st.t.Errorf("hub: %d items underway, %d channels with items that wait, %d of %d channels quiet, %d of %d bytes accounted for",
			h.underway, len(h.early), h.quiet.Len(), len(h.channels), h.quietBytes, bytes)
	}
}

// asker is a question to an origin that has answered: a watch and its group. It
// notes what it is told.
type asker struct {
	watch Watch
	group *Group
	told  []string
	then  func() // what it does when it is told something, if anything
}

// newAsker makes an asker with a group. Channels are written as channels reads
// them.
func newAsker(names ...string) *asker {
	a := &asker{group: new(Group)}
	a.watch = Watch{Channels: channels(names...), Template: NewTemplate(grip.Response{}, nil), Group: a.group, Asker: a}
	return a
}

// newStreams makes an asker whose group is of streams.
func newStreams(names ...string) *asker {
	a := newAsker(names...)
	a.watch.Mode, a.watch.Template = grip.HoldStream, nil
	return a
}

// channels reads channels that are written name@prev-id, or name@prev-id/filter.
func channels(names ...string) (cs []grip.Channel) {
	for _, name := range names {
		name, filters, _ := strings.Cut(name, "/")
		name, prevID, _ := strings.Cut(name, "@")
		c := grip.Channel{Name: name, PrevID: prevID}
		if filters != "" {
			c.Filters = strings.Split(filters, "/")
		}
		cs = append(cs, c)
	}
	return cs
}

// join puts n new clients into the group.
func (a *asker) join(n int) []*client {
	cs := make([]*client, n)
	for i := range cs {
		cs[i] = new(client)
		a.group.Join(&cs[i].hold, cs[i])
	}
	return cs
}

func (a *asker) tell(what string) {
	a.told = append(a.told, what)
	if a.then != nil {
		a.then()
	}
}

func (a *asker) Answered(answer *Answer) { a.tell("answered " + string(answer.Response().Body)) }
func (a *asker) Superseded()             { a.tell("superseded") }
func (a *asker) Missed()                 { a.tell("missed") }
func (a *asker) Closed()                 { a.tell("closed") }
func (a *asker) Filter(d *Delivery)      { a.tell("filter " + d.item.ID) }
func (a *asker) Unfiltered(err error)    { a.tell("unfiltered: " + err.Error()) }

// want compares what the asker was told, in order.
func (a *asker) want(t testing.TB, told ...string) {
	t.Helper()
	if !slices.Equal(a.told, told) {
		t.Errorf("asker was told %q, want %q", a.told, told)
	}
}

// client is a held connection in memory.
type client struct {
	hold    Hold
	got     []string // bodies
	outcome Outcome  // of what is delivered to it
	then    func()   // what it does in Deliver, if anything
}

func (c *client) Deliver(wire []byte) Outcome {
	_, body, _ := strings.Cut(string(wire), "\r\n\r\n")
	c.got = append(c.got, body)
	if c.then != nil {
		c.then()
	}
	return c.outcome
}

// Append implements Client: a stream's content is noted with + before each piece
// of it.
func (c *client) Append(p *Piece) Outcome {
	parts := p.parts
	if parts == nil {
		parts = []*Piece{p}
	}
	var got strings.Builder
	for _, part := range parts {
		got.WriteByte('+')
		got.Write(part.Wire(Raw))
	}
	c.got = append(c.got, got.String())
	if c.then != nil {
		c.then()
	}
	return c.outcome
}

func (c *client) Finish() {
	c.got = append(c.got, "end")
	if c.then != nil {
		c.then()
	}
}

// wantGot checks that every client got exactly these bodies.
func wantGot(t testing.TB, cs []*client, bodies ...string) {
	t.Helper()
	for i, c := range cs {
		if !slices.Equal(c.got, bodies) {
			t.Fatalf("client %d of %d got %q, want %q", i, len(cs), c.got, bodies)
		}
	}
}
