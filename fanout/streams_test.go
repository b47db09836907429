package fanout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

// wantChannels checks how far a watch has come, as channels reads it.
func (a *asker) wantChannels(t testing.TB, names ...string) {
	t.Helper()
	var got []string
	for _, c := range a.watch.Channels {
		got = append(got, c.Name+"@"+c.PrevID)
	}
	if !slices.Equal(got, names) {
		t.Errorf("the watch has come to %q, want %q", got, names)
	}
}

// leave ends an asker's watch and lets its clients go.
func (a *asker) leave(s *Shard) {
	a.group.Each(func(h *Hold, _ Client) { h.Leave() })
	s.Leave(&a.watch)
}

// What streams get of items, one turn each.
func TestStreams(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []string // published before the streams hold
		hold   []string // channels
		meta   grip.Meta
		items  []string // turns of items, with blanks between those of one turn
		got    []string
		told   []string
		end    []string // channels at the end; nil when the watch has ended
	}{
		{name: "4.2 items are appended", hold: []string{"c@7"},
			items: []string{"c:8<7", "c:9<8"}, got: []string{"+8", "+9"}, end: []string{"c@9"}},
		{name: "4.2 items of one turn leave at once", hold: []string{"c@7"},
			items: []string{"c:8<7 c:9<8 c:10<9"}, got: []string{"+8+9+10"}, end: []string{"c@10"}},
		{name: "4.2 also those of several channels, in their order", hold: []string{"a@1", "b@1"},
			items: []string{"b:2<1 a:2<1 b:3<2"}, got: []string{"+2+2+3"}, end: []string{"a@2", "b@3"}},
		{name: "4.2 close ends the streams", hold: []string{"c@7"},
			items: []string{"c:8!close<7"}, got: []string{"end"}, told: []string{"closed"}},
		{name: "4.2 close after content, in one turn", hold: []string{"c@7"},
			items: []string{"c:8<7 c:9!close<8 c:10<9"}, got: []string{"+8", "end"}, told: []string{"closed"}},
		{name: "4.2 hint", hold: []string{"c@7"},
			items: []string{"c:8!hint<7 c:9<8"}, told: []string{"missed"}, end: []string{"c@7"}},
		{name: "4.2 a gap", hold: []string{"c@7"},
			items: []string{"c:9<8"}, told: []string{"missed"}, end: []string{"c@7"}},
		{name: "3.3 no prev-id, whatever the items say", hold: []string{"c"},
			items: []string{"c:1<0", "c:2", "c:3<2", "c:", "c:6<5"}, got: []string{"+1", "+2", "+3", "+", "+6"}, end: []string{"c@"}},
		{name: "3.3 an item without id ends the sequence", hold: []string{"c@7"},
			items: []string{"c:<7", "c:12<11"}, got: []string{"+", "+12"}, end: []string{"c@"}},
		{name: "3.3 an item that the origin knew", hold: []string{"c@7"},
			items: []string{"c:7<6", "c:8<7"}, got: []string{"+8"}, end: []string{"c@8"}},
		{name: "4.1 an item at hand", before: []string{"c:8<7"}, hold: []string{"c@7"},
			items: []string{"c:9<8"}, got: []string{"+8", "+9"}, end: []string{"c@9"}},
		{name: "4.1 items at hand of several channels", before: []string{"a:2<1", "b:5<4"}, hold: []string{"a@1", "b@4", "c@1"},
			got: []string{"+2+5"}, end: []string{"a@2", "b@5", "c@1"}},
		{name: "4.1 a close at hand", before: []string{"a:2<1", "b:5!close<4", "c:8<7"}, hold: []string{"a@1", "b@4", "c@7"},
			got: []string{"+2", "end"}, told: []string{"closed"}},
		{name: "9 skip-self", hold: []string{"c@7/skip-self"}, meta: grip.Meta{{Name: "user", Value: "u"}},
			items: []string{"c:8<7", "c:9<8"}, got: []string{"+8", "+9"}, end: []string{"c@9"}},
		{name: "9 var-subst that changes nothing", hold: []string{"c@7/var-subst"},
			items: []string{"c:8<7"}, got: []string{"+8"}, end: []string{"c@8"}},
		{name: "9 var-subst", hold: []string{"c@7/var-subst"}, meta: grip.Meta{{Name: "user", Value: "u"}},
			items: []string{"c:%(user)s8<7", "c:9<%(user)s8"}, got: []string{"+u8", "+9"}, end: []string{"c@9"}},
		{name: "9 build-id knows the item's id", hold: []string{"c@7/build-id"}, meta: grip.Meta{{Name: "id_format", Value: "n%(c)s"}},
			items: []string{"c:%I<7"}, got: []string{"+n%I"}, end: []string{"c@%I"}},
		{name: "9 a filter that cannot be applied skips the item", hold: []string{"c@7/var-subst"},
			items: []string{"c:%!<7", "c:9<%"}, got: []string{"+9"}, told: []string{"unfiltered"}, end: []string{"c@9"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			st.publishAll(tt.before...)
			a := newStreams(tt.hold...)
			a.watch.Meta = tt.meta
			cs := a.join(3)
			if got, answer := s.Enter(&a.watch); got != Holding || answer != nil {
				t.Fatalf("got standing %d and %v, want streams to hold", got, answer)
			}
			for _, turn := range tt.items {
				st.publishAll(strings.Fields(turn)...)
				st.run()
			}
			wantGot(t, cs, tt.got...)
			for i, what := range a.told {
				a.told[i], _, _ = strings.Cut(what, ":")
			}
			a.want(t, tt.told...)
			if held := a.watch.places != nil; held != (tt.end != nil) {
				t.Fatalf("the watch holds: %t, want %t", held, tt.end != nil)
			} else if held {
				a.wantChannels(t, tt.end...)
			}
			a.leave(s)
			st.wantEmpty()
		})
	}
}

// Streams that pause go on where the origin's answer ends.
func TestResume(t *testing.T) {
	many := func(n int) (items []string) {
		for i := range n {
			items = append(items, "c:"+string(rune('A'+i/26))+string(rune('a'+i%26))+"<"+string(rune('A'+(i-1)/26))+string(rune('a'+(i+25)%26)))
		}
		return items
	}
	for _, tt := range []struct {
		name    string
		hold    []string // channels
		cause   []string // why they pause; nil: by Pause
		waiting []string // published until the answer comes
		late    bool     // and before the origin was asked
		answer  []string // its channels
		want    Standing
		got     []string
		told    []string // beside the cause
		after   []string // published after it
		end     []string
		shed    int64
	}{
		{name: "4.3 the answer has what was missed", hold: []string{"c@7"}, cause: []string{"c:9<8"}, answer: []string{"c@9"},
			after: []string{"c:10<9"}, got: []string{"+10"}, end: []string{"c@10"}},
		{name: "4.3 nothing was missed", hold: []string{"c@7"}, answer: []string{"c@7"},
			after: []string{"c:8<7"}, got: []string{"+8"}, end: []string{"c@8"}},
		{name: "4.2 what came meanwhile follows", hold: []string{"c@7"}, waiting: []string{"c:8<7", "c:9<8"}, answer: []string{"c@7"},
			got: []string{"+8+9"}, end: []string{"c@9"}},
		{name: "4.2 what the answer has is passed over", hold: []string{"c@7"}, waiting: []string{"c:8<7", "c:9<8", "c:10<9"}, answer: []string{"c@9"},
			got: []string{"+10"}, end: []string{"c@10"}},
		{name: "4.2 all is in the answer", hold: []string{"c@7"}, waiting: []string{"c:8<7", "c:9<8"}, answer: []string{"c@9"}, end: []string{"c@9"}},
		{name: "4.2 a gap while it pauses", hold: []string{"c@7"}, waiting: []string{"c:9<8"}, answer: []string{"c@7"}, want: Behind, end: []string{"c@7"}},
		{name: "4.3 the answer is ahead of an item that was lost", hold: []string{"c@6"}, cause: []string{"c:7<6", "c:h!hint"}, answer: []string{"c@8"},
			after: []string{"c:9<8"}, got: []string{"+7", "+9"}, end: []string{"c@9"}},
		{name: "4.3 the answer is ahead of the newest item, which the streams had", hold: []string{"c@6"}, cause: []string{"c:7<6", ""}, answer: []string{"c@8"},
			after: []string{"c:8<7", "c:9<8"}, got: []string{"+7", "+9"}, end: []string{"c@9"}},
		{name: "4.3 the answer is older than what the streams had", hold: []string{"c@6"}, cause: []string{"c:7<6", ""}, answer: []string{"c@6"},
			after: []string{"c:8<7"}, got: []string{"+7", "+8"}, end: []string{"c@8"}},
		{name: "5.1 no-seq items change nothing of that", hold: []string{"c@6"}, cause: []string{"c:7<6", "c:n", ""}, answer: []string{"c@6"},
			after: []string{"c:8<7"}, got: []string{"+7", "+n", "+8"}, end: []string{"c@8"}},
		{name: "4.2 a hint meanwhile", hold: []string{"c@7"}, waiting: []string{"c:8!hint<7"}, answer: []string{"c@7"}, want: Behind, end: []string{"c@7"}},
		{name: "4.2 a hint before the origin was asked", hold: []string{"c@7"}, waiting: []string{"c:8!hint<7", "c:9<8"}, late: true, answer: []string{"c@8"},
			got: []string{"+9"}, end: []string{"c@9"}},
		{name: "4.2 a hint without id", hold: []string{"c@7"}, waiting: []string{"c:!hint"}, answer: []string{"c@7"}, want: Behind, end: []string{"c@7"}},
		{name: "4.2 an item without ids meanwhile", hold: []string{"c@7"}, waiting: []string{"c:"}, answer: []string{"c@7"}, want: Behind, end: []string{"c@7"}},
		{name: "4.2 a close meanwhile", hold: []string{"c@7"}, waiting: []string{"c:8<7", "c:9!close<8", "c:10<9"}, answer: []string{"c@7"},
			got: []string{"+8", "end"}, told: []string{"closed"}},
		{name: "4.3 other channels", hold: []string{"a@1", "b@1", "c@1"}, waiting: []string{"a:2<1", "c:2<1", "d:5<4"}, answer: []string{"c@1", "d@5", "e@1"},
			after: []string{"a:3<2", "b:2<1", "c:3<2", "d:6<5", "e:2<1"}, got: []string{"+2", "+3+6+2"}, end: []string{"c@3", "d@6", "e@2"}},
		{name: "4.3 a channel whose item is at hand", hold: []string{"a@1"}, waiting: []string{"d:5<4"}, answer: []string{"d@4"},
			got: []string{"+5"}, end: []string{"d@5"}},
		{name: "4.3 a channel that has moved on", hold: []string{"a@1"}, waiting: []string{"d:5<4", "d:6<5"}, answer: []string{"a@1", "d@4"}, want: Behind,
			end: []string{"a@1", "d@4"}},
		{name: "4.3 no channels", hold: []string{"a@1"}, waiting: []string{"a:2<1"}, end: []string{}},
		{name: "4.2 a hundred items wait", hold: []string{"c@@a"}, waiting: many(100), answer: []string{"c@Du"}, got: []string{"+Dv"}, end: []string{"c@Dv"}},
		{name: "4.2 with one more all are forgotten", hold: []string{"c@@z"}, waiting: many(101), answer: []string{"c@@z"}, want: Behind, end: []string{"c@@z"}, shed: 200},
		{name: "4.2 unless the answer has them", hold: []string{"c@@z"}, waiting: many(101), answer: []string{"c@Dv"}, got: []string{"+Dw"}, end: []string{"c@Dw"}, shed: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			a := newStreams(tt.hold...)
			a.group.Tally = new(Tally)
			cs := a.join(2)
			s.Enter(&a.watch)
			a.watch.Asked = st.now
			paused := false
			for _, it := range tt.cause {
				switch it {
				case "c:n":
					st.hub.Publish(func() grip.Item { i := streamItem("c", "n", ""); i.NoSeq = true; return i }())
				case "":
					paused = s.Pause(&a.watch)
				default:
					st.publishAll(it)
				}
				st.run()
				st.now = st.now.Add(earlyWait) // for what waits for a lost one
				st.hub.Tick()
				st.run()
			}
			if tt.cause == nil {
				paused = s.Pause(&a.watch)
			}
			if !paused {
				a.want(t, "missed")
				a.told = nil
			}
			if s.Pause(&a.watch) {
				t.Error("a watch that pauses can be paused, want it to say no")
			}
			st.now = st.now.Add(time.Second)
			if !tt.late {
				a.watch.Asked = st.now
			}
			for _, it := range tt.waiting {
				st.publishAll(it)
				st.now = st.now.Add(time.Millisecond)
			}
			if tt.late {
				a.watch.Asked = st.now
			}
			st.now = st.now.Add(earlyWait)
			st.hub.Tick()
			before := len(cs[0].got)
			if got := s.Resume(&a.watch, channels(tt.answer...)); got != tt.want {
				t.Errorf("got standing %d, want %d", got, tt.want)
			}
			if tt.want == Behind && len(cs[0].got) > before {
				t.Errorf("behind, the streams got %q", cs[0].got[before:])
			}
			st.publishAll(tt.after...)
			st.run()
			wantGot(t, cs, tt.got...)
			a.want(t, tt.told...)
			if tt.end != nil {
				a.wantChannels(t, tt.end...)
				if a.watch.paused != (tt.want == Behind) {
					t.Errorf("the watch pauses: %t, with standing %d", a.watch.paused, tt.want)
				}
			}
			if got := a.group.Tally.Of(Shed); got != tt.shed {
				t.Errorf("%d shed, want %d", got, tt.shed)
			}
			a.leave(s)
			st.wantEmpty()
		})
	}
}
