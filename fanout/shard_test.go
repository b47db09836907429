package fanout

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

func TestEnter(t *testing.T) {
	for _, tt := range []struct {
		name     string
		items    []string // published before: channel:id<prev-id
		after    time.Duration
		watch    []string // channel@prev-id
		want     Standing
		wantOnly Standing // when only an answer is watched
		answer   string   // with AtHand
	}{
		{name: "3.3 nothing is known of the channel", watch: []string{"c@7"}},
		{name: "3.3 at the last id", items: []string{"c:7<6"}, watch: []string{"c@7"}},
		{name: "3.3 without prev-id", items: []string{"c:7<6"}, watch: []string{"c"}},
		{name: "3.3 the last item had no id", items: []string{"c:7<6", "c:<7"}, watch: []string{"c@6"}},
		{name: "3.3 one item behind", items: []string{"c:8<7"}, watch: []string{"c@7"},
			want: AtHand, wantOnly: Behind, answer: "8"},
		{name: "3.3 one item behind that is nearly a minute old", items: []string{"c:8<7"}, after: seenFor - 1, watch: []string{"c@7"},
			want: AtHand, wantOnly: Behind, answer: "8"},
		{name: "3.3 one item behind that is a minute old", items: []string{"c:8<7"}, after: seenFor, watch: []string{"c@7"},
			want: Behind, wantOnly: Behind},
		{name: "3.3 two items behind", items: []string{"c:8<7", "c:9<8"}, watch: []string{"c@7"}, want: Behind, wantOnly: Behind},
		{name: "3.3 ahead of the last item", items: []string{"c:8<7"}, watch: []string{"c@9"}, want: Behind, wantOnly: Behind},
		{name: "3.3 the last item says not what it follows", items: []string{"c:8"}, watch: []string{"c@7"}, want: Behind, wantOnly: Behind},
		{name: "two channels, both up to date", items: []string{"a:1", "b:1"}, watch: []string{"a@1", "b@1"}},
		{name: "two channels, the second one behind", items: []string{"a:1", "b:3<2"}, watch: []string{"a@1", "b@1"},
			want: Behind, wantOnly: Behind},
		{name: "two channels, the second one's item at hand", items: []string{"a:1", "b:2<1"}, watch: []string{"a@1", "b@1"},
			want: AtHand, wantOnly: Behind, answer: "2"},
		{name: "two channels, one behind, one at hand", items: []string{"a:3<2", "b:2<1"}, watch: []string{"a@1", "b@1"},
			want: AtHand, wantOnly: Behind, answer: "2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 2)
			s := st.shards[1]
			for _, it := range tt.items {
				channel, rest, _ := strings.Cut(it, ":")
				id, prevID, _ := strings.Cut(rest, "<")
				st.publish(channel, id, prevID)
			}
			st.now = st.now.Add(tt.after)

			only := newAsker(tt.watch...)
			only.watch.Group = nil
			if got, answer := s.Enter(&only.watch); got != tt.wantOnly || answer != nil {
				t.Errorf("an answer: got standing %d and %v, want %d and no answer", got, answer, tt.wantOnly)
			}
			s.Leave(&only.watch)

			a := newAsker(tt.watch...)
			a.join(1)
			got, answer := s.Enter(&a.watch)
			if got != tt.want || (answer != nil) != (tt.want == AtHand) {
				t.Fatalf("a group: got standing %d and %v, want %d", got, answer, tt.want)
			}
			for _, name := range tt.watch {
				name, _, _ = strings.Cut(name, "@")
				if registered := s.channels[name] != nil; registered != (tt.want != Behind) {
					t.Errorf("channel %s is registered: %t, with standing %d", name, registered, got)
				}
			}
			if tt.want == AtHand {
				if body := string(answer.Response().Body); body != tt.answer {
					t.Errorf("got item %s at hand, want %s", body, tt.answer)
				}
				if a.watch.Group != nil || a.group.Answering() || a.group.Len() != 1 {
					t.Error("at hand: want the group off the watch, with its hold, for the caller to answer")
				}
				if last := a.watch.Channels[len(a.watch.Channels)-1]; last.PrevID != tt.answer {
					t.Errorf("the watch follows %v, want the answer %s", last, tt.answer)
				}
			}
			s.Leave(&a.watch)
			st.wantEmpty()
		})
	}
}

// One group holds for several channels: the first item of any answers it.
func TestWatchOfSeveralChannels(t *testing.T) {
	for _, tt := range []struct {
		name  string
		items []string // channel:id<prev-id, one turn each
		got   []string // by the client
		told  []string
	}{
		{"the second channel answers", []string{"b:5<4"}, []string{"5"}, []string{"answered 5"}},
		{"the other channel's next item supersedes the answer", []string{"b:5<4", "a:2<1"}, []string{"5"}, []string{"answered 5", "superseded"}},
		{"what was known does not", []string{"b:4<3", "a:1<0", "b:5<4", "a:1"}, []string{"5"}, []string{"answered 5"}},
		{"a gap in one channel", []string{"b:7<6", "a:2<1"}, nil, []string{"missed"}},
		{"both in one turn", []string{"a:2<1 b:5<4"}, []string{"2"}, []string{"answered 2", "superseded"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			a := newAsker("a@1", "b@4", "idle@9")
			cs := a.join(1)
			st.shards[0].Enter(&a.watch)
			for _, turn := range tt.items {
				for it := range strings.FieldsSeq(turn) {
					channel, rest, _ := strings.Cut(it, ":")
					id, prevID, _ := strings.Cut(rest, "<")
					st.hub.Publish(item(channel, id, prevID))
				}
				st.run()
			}
			wantGot(t, cs, tt.got...)
			a.want(t, tt.told...)
			st.shards[0].Leave(&a.watch)
			st.wantEmpty()
		})
	}
}

// A client may leave at any moment, and a watch end, without a trace and
// without harm to the others.
func TestLeavingInEveryState(t *testing.T) {
	const others = turnWrites + 100 // two turns
	for _, tt := range []struct {
		name string
		// play publishes 8 and makes c, one of all, leave at some moment.
		play    func(st *stage, a *asker, all []*client, c *client)
		got     []string // by c
		dropped int64
	}{
		{"before", func(st *stage, _ *asker, _ []*client, c *client) {
			c.hold.Leave()
			st.publish("c", "8", "7")
			st.run()
		}, nil, 0},
		{"before the loop sees the item", func(st *stage, _ *asker, _ []*client, c *client) {
			st.publish("c", "8", "7")
			c.hold.Leave()
			st.run()
		}, nil, 0},
		{"when the asker is told", func(st *stage, a *asker, _ []*client, c *client) {
			a.then = func() { c.hold.Leave() }
			st.publish("c", "8", "7")
			st.run()
		}, nil, 1},
		{"while it gets its answer", func(st *stage, _ *asker, _ []*client, c *client) {
			c.then = func() { c.hold.Leave() }
			st.publish("c", "8", "7")
			st.run()
		}, []string{"8"}, 0},
		{"while an earlier one gets its answer", func(st *stage, _ *asker, all []*client, c *client) {
			all[0].then = func() { c.hold.Leave() }
			st.publish("c", "8", "7")
			st.run()
		}, nil, 1},
		{"while a later one gets its answer", func(st *stage, _ *asker, all []*client, c *client) {
			all[len(all)-1].then = func() { c.hold.Leave() }
			st.publish("c", "8", "7")
			st.run()
		}, []string{"8"}, 0},
		{"after", func(st *stage, _ *asker, _ []*client, c *client) {
			st.publish("c", "8", "7")
			st.run()
			c.hold.Leave()
		}, []string{"8"}, 0},
		{"the watch before the loop sees the item", func(st *stage, a *asker, all []*client, _ *client) {
			st.publish("c", "8", "7")
			st.shards[0].Leave(&a.watch)
			st.run()
			wantGot(st.t, all)
			st.shards[0].Give(a.group, NewAnswer(item("", "8", "").HTTPResponse.Response))
			st.run()
		}, []string{"8"}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			a := newAsker("c@7")
			all := a.join(others + 1)
			i := others / 3
			c := all[i]
			st.shards[0].Enter(&a.watch)
			tt.play(st, a, all, c)
			wantGot(t, []*client{c}, tt.got...)
			wantGot(t, slices.Delete(slices.Clone(all), i, i+1), "8")
			if a.group.Len() != 0 || c.hold.Group() != nil {
				t.Errorf("group has %d holds, the client's is %v; want none", a.group.Len(), c.hold.Group())
			}
			want := Receipt{Channel: "c", ID: "8", Fate: "delivered", Dropped: tt.dropped, Complete: true}
			want.Written = others + int64(len(tt.got))
			if tt.dropped < 0 { // the item found no watch
				want.Written, want.Dropped = 0, 0
			}
			want.Matched = want.Written + want.Dropped
			if !slices.Equal(st.receipts, []Receipt{want}) {
				t.Errorf("got receipts %+v, want %+v", st.receipts, want)
			}
			st.shards[0].Leave(&a.watch)
			st.wantEmpty()
		})
	}
}

// Who is told or written to may give other groups their answers; they come
// after what is being written, in order.
func TestGiveFromInside(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	var order []string
	note := func(c *client, what string) { c.then = func() { order = append(order, what) } }
	give := func(a *asker, body string) { s.Give(a.group, NewAnswer(grip.Response{Body: []byte(body)})) }

	answered, missed, superseded := newAsker("c@7"), newAsker("c@6"), newAsker("c@7")
	superseded.watch.Group = nil
	held := answered.join(1)[0]
	notHeld := missed.join(1)[0]
	fromAnswered, fromSuperseded, fromDeliver := newAsker(), newAsker(), newAsker()
	note(fromAnswered.join(1)[0], "given in Answered")
	note(fromSuperseded.join(1)[0], "given in Superseded")
	note(fromDeliver.join(1)[0], "given in Deliver")
	note(notHeld, "given in Missed")
	for _, a := range []*asker{answered, missed, superseded} {
		s.Enter(&a.watch)
	}
	answered.then = func() { give(fromAnswered, "a") }
	missed.then = func() { give(missed, "m") }
	superseded.then = func() { give(fromSuperseded, "s") }
	held.then = func() {
		order = append(order, "held")
		give(fromDeliver, "d")
	}
	d := st.publish("c", "8", "7")
	st.run()
	if want := []string{"held", "given in Answered", "given in Missed", "given in Superseded", "given in Deliver"}; !slices.Equal(order, want) {
		t.Errorf("answers came in the order %q, want %q", order, want)
	}
	if r := d.Receipt(Delivered); r.Matched != 1 || r.Written != 1 || r.Missed != 1 || !r.Complete {
		t.Errorf("got receipt %+v, want what the item itself did: one written, one missed", r)
	}
	s.Leave(&answered.watch)
	st.wantEmpty()
}

// A turn writes to so many holds and no more, whatever they are given, and goes
// on where the one before has ended.
func TestTurnsAreBounded(t *testing.T) {
	st := newStage(t, 2)
	var cs []*client
	s := st.shards[0]
	for range 3 {
		a := newAsker("c@7")
		cs = append(cs, a.join(turnWrites-1)...)
		a.then = func() { s.Leave(&a.watch) }
		s.Enter(&a.watch)
	}
	given := newAsker()
	cs = append(cs, given.join(3*turnWrites)...)
	total := len(cs)
	written := 0
	for _, c := range cs {
		c.then = func() { written++ }
	}
	st.publish("c", "8", "7")
	s.Give(given.group, NewAnswer(item("", "8", "").HTTPResponse.Response)) // takes the first turn
	for turn := 1; ; turn++ {
		if want := min(turn*turnWrites, total); written != want {
			t.Fatalf("after %d turns: %d holds written to, want %d", turn, written, want)
		}
		if written == total {
			break
		}
		if !st.woken[0] {
			t.Fatalf("after %d turns: %d of %d holds written to, and the loop wants no turn", turn, written, total)
		}
		st.woken[0] = s.Turn()
	}
	wantGot(t, cs, "8")
	st.run()
	st.wantEmpty()
}

// Items come one after the other, each complete before the next. Loops that hold
// for nothing of it are left alone.
func TestItemsKeepTheirOrder(t *testing.T) {
	st := newStage(t, 3)
	var got []string
	for i, s := range st.shards[:2] {
		for range 2 {
			a := newAsker("c")
			c := a.join(1)[0]
			c.then = func() {
				got = append(got, string('0'+rune(i))+" "+c.got[len(c.got)-1])
				if len(c.got) == 3 {
					s.Leave(&a.watch)
					return
				}
				// Hold again, for whatever comes next.
				s.Leave(&a.watch)
				a.group = new(Group)
				a.watch.Group, a.watch.Channels[0].PrevID = a.group, ""
				a.group.Join(&c.hold, c)
				s.Enter(&a.watch)
			}
			s.Enter(&a.watch)
		}
	}
	st.publish("c", "1", "0")
	st.publish("c", "2", "1")
	st.publish("other", "1", "0")
	st.publish("c", "3", "2")
	if st.woken[2] {
		t.Error("a loop that holds for nothing was woken")
	}
	st.run()
	if want := []string{"0 1", "0 1", "0 2", "0 2", "0 3", "0 3", "1 1", "1 1", "1 2", "1 2", "1 3", "1 3"}; !slices.Equal(got, want) {
		t.Errorf("got loop and item %q, want %q", got, want)
	}
	for i, r := range st.receipts {
		if want := []string{"1", "2", "3"}[i]; r.ID != want || r.Written != 4 {
			t.Errorf("receipt %d: %+v, want 4 written of item %s", i, r, want)
		}
	}
	st.wantEmpty()
}

func TestBehindUntilTheTurn(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	a := newAsker("c@7")
	s.Enter(&a.watch)
	for _, tt := range []struct {
		name string
		do   func()
		want bool
	}{
		{"nothing published", func() {}, false},
		{"published", func() { st.publish("c", "8", "7") }, true},
		{"published on a channel that the loop does not hold for", func() { st.publish("d", "1", "") }, true},
		{"after the turn", func() { st.run() }, false},
	} {
		if tt.do(); s.Behind() != tt.want {
			t.Errorf("%s: behind is %t, want %t", tt.name, s.Behind(), tt.want)
		}
	}
}

// Items are coded for those who said that they take a coding, before the
// publish, on any loop; and for nobody else.
func TestWant(t *testing.T) {
	text := []byte(strings.Repeat("All flights are on time. ", 40))
	for _, tt := range []struct {
		name   string
		wants  []Variant // of shards 0 and 1
		offers map[Variant]bool
	}{
		{"nobody", nil, nil},
		{"identity", []Variant{0, Close}, nil},
		{"gzip", []Variant{Gzip}, map[Variant]bool{Gzip: true}},
		{"zstd, closing, on the other loop", []Variant{0, Zstd | Close}, map[Variant]bool{Zstd: true}},
		{"both", []Variant{Gzip | HeadOnly, Zstd}, map[Variant]bool{Gzip: true, Zstd: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 2)
			as := []*asker{newAsker("c"), newAsker("c")}
			for i, a := range as {
				st.shards[i].Enter(&a.watch)
			}
			for i, v := range tt.wants {
				st.shards[i].Want(&as[i].watch, v)
				st.shards[i].Want(&as[i].watch, v)
			}
			it := item("c", "1", "")
			it.HTTPResponse.Body = text
			d, _ := st.hub.Publish(it)
			st.run()
			for _, coding := range []Variant{Gzip, Zstd} {
				if got := d.coded[coding] != nil; got != tt.offers[coding] {
					t.Errorf("coding %d: offered %t, want %t", coding, got, tt.offers[coding])
				}
			}
			if !bytes.Equal(d.coded[0], text) {
				t.Error("the body as it is has changed")
			}
			for i, a := range as {
				st.shards[i].Leave(&a.watch)
				st.shards[i].Want(&a.watch, Gzip) // too late, and no matter
			}
			st.wantEmpty()
		})
	}
}

func TestHoldThatLeavesWhileAnsweringIsDropped(t *testing.T) {
	st := newStage(t, 1)
	a := newAsker("c@7")
	cs := a.join(turnWrites + 10)
	st.shards[0].Enter(&a.watch)
	d := st.publish("c", "8", "7")
	st.shards[0].Turn()
	for _, c := range cs[turnWrites : turnWrites+3] {
		c.hold.Leave()
	}
	st.run()
	wantGot(t, cs[:turnWrites], "8")
	wantGot(t, cs[turnWrites:turnWrites+3])
	wantGot(t, cs[turnWrites+3:], "8")
	got := d.Receipt(Delivered)
	if got.Matched != turnWrites+10 || got.Written != turnWrites+7 || got.Dropped != 3 {
		t.Errorf("got receipt %+v, want 522 matched, 519 written, 3 dropped", got)
	}
	st.shards[0].Leave(&a.watch)
	st.wantEmpty()
}

// Who is told of an item may end watches that it has not come to yet.
func TestWatchThatLeavesInsideAnAskerIsToldNothing(t *testing.T) {
	for _, tt := range []struct{ name, first, second, told string }{
		{"Answered", "c@7", "c@7", "answered 8"},
		{"Missed", "c@6", "c@6", "missed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			first, second := newAsker(tt.first), newAsker(tt.second)
			first.join(1)
			cs := second.join(1)
			st.shards[0].Enter(&first.watch)
			st.shards[0].Enter(&second.watch)
			first.then = func() {
				st.shards[0].Leave(&first.watch)
				st.shards[0].Leave(&second.watch)
			}
			d := st.publish("c", "8", "7")
			st.run()
			first.want(t, tt.told)
			second.want(t)
			wantGot(t, cs)
			if r := d.Receipt(Delivered); r.Matched+r.Missed != 1 {
				t.Errorf("got receipt %+v, want one hold matched or missed", r)
			}
			if second.group.Len() != 1 || second.group.Answering() {
				t.Errorf("group of the watch that left: %d holds, answering %t; want 1, false",
					second.group.Len(), second.group.Answering())
			}
			st.wantEmpty()
		})
	}
}

// What may have passed by unseen is asked again, so many watches at a time.
func TestDoubt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		doubt func(s *Shard)
		told  [][]string // of each asker, in the order of the table below
	}{
		{"one channel", func(s *Shard) { s.Doubt("c") }, [][]string{{"missed"}, {"superseded"}, {"missed"}, nil, nil}},
		{"a channel that nobody watches", func(s *Shard) { s.Doubt("x") }, [][]string{nil, nil, nil, nil, nil}},
		{"all", func(s *Shard) { s.DoubtAll() }, [][]string{{"missed"}, {"superseded"}, {"missed"}, {"missed"}, nil}},
		{"all, twice", func(s *Shard) { s.DoubtAll(); s.DoubtAll() }, [][]string{{"missed"}, {"superseded"}, {"missed"}, {"missed"}, nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			as := []*asker{newAsker("c@7"), newAsker("c@7"), newAsker("b@1", "c@7"), newAsker("b@1"), newAsker("c@7", "b@1")}
			as[1].watch.Group = nil
			cs := as[0].join(2)
			for _, a := range as {
				s.Enter(&a.watch)
			}
			tt.doubt(s)
			s.Leave(&as[4].watch) // in doubt, and gone
			for len(s.doubtful) > 0 {
				before := 0
				for _, a := range as {
					before += len(a.told)
				}
				s.Recheck(2)
				for _, a := range as {
					before -= len(a.told)
				}
				if before < -2 {
					t.Errorf("one recheck told %d, want at most 2", -before)
				}
			}
			for i, a := range as {
				a.want(t, tt.told[i]...)
				if got, want := a.watch.places != nil, len(tt.told[i]) == 0 && i != 4; got != want {
					t.Errorf("asker %d was told %q and is registered: %t, want %t", i, a.told, got, want)
				}
			}
			wantGot(t, cs)
			if as[0].group.Len() != 2 || as[0].group.Answering() {
				t.Error("a group in doubt has changed, want its holds to wait on")
			}
			for _, a := range as {
				s.Leave(&a.watch)
			}
			st.wantEmpty()
		})
	}
}

// An item at hand that is not for the hold does not hide what it has missed of
// another channel.
func TestEnterPastItemsForOthers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		b     []string // id<prev-id of items on b, at whose 1 the hold is
		watch []string
		want  Standing
		end   []string // channels
	}{
		{"nothing missed", nil, []string{"a@1", "b@1"}, Holding, []string{"a@2", "b@1"}},
		{"an item at hand", []string{"2<1"}, []string{"a@1", "b@1"}, AtHand, []string{"a@2", "b@2"}},
		{"behind", []string{"2<1", "3<2"}, []string{"a@1", "b@1"}, Behind, []string{"a@2", "b@1"}},
		{"behind, a filter that drops", []string{"2<1", "3<2"}, []string{"a@1/skip-self", "b@1"}, Behind, []string{"a@2", "b@1"}},
		{"behind, a filter that cannot be applied", []string{"2<1", "3<2"}, []string{"a@1/build-id", "b@1"}, Behind, []string{"a@2", "b@1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			it := streamItem("a", "2", "1")
			if strings.Contains(tt.name, "filter") {
				it = item("a", "2", "1")
				it.Meta = grip.Meta{{Name: "sender", Value: "u"}}
			}
			st.hub.Publish(it)
			for _, id := range tt.b {
				id, prevID, _ := strings.Cut(id, "<")
				st.publish("b", id, prevID)
			}
			a := newAsker(tt.watch...)
			a.watch.Meta = grip.Meta{{Name: "user", Value: "u"}}
			a.join(1)
			got, answer := s.Enter(&a.watch)
			if got != tt.want || (answer != nil) != (tt.want == AtHand) {
				t.Errorf("got standing %d and %v, want %d", got, answer, tt.want)
			}
			if a.watch.Registered() != (tt.want != Behind) {
				t.Errorf("the watch is registered: %t, with standing %d", a.watch.Registered(), got)
			}
			a.wantChannels(t, tt.end...)
			a.leave(s)
			st.wantEmpty()
		})
	}
}
