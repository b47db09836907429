package fanout

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"marquee/grip"
)

// A watch pauses while somebody is asked about an item, and what comes meanwhile
// does not overtake it.
func TestFilter(t *testing.T) {
	check := "/" + grip.FilterHTTPCheck
	for _, tt := range []struct {
		name   string
		stream bool
		play   func(st *stage, s *Shard, a *asker, ds []*Delivery) // ds: 8, 9, 10
		got    []string
		told   []string
		end    string // PrevID of the watch, "" when it has ended
	}{
		{"content as it is", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, false)
			s.Filtered(&a.watch, ds[1], nil, false)
			s.Filtered(&a.watch, ds[2], nil, false)
		}, []string{"+8", "+9", "+10"}, []string{"filter 8", "filter 9", "filter 10"}, "10"},
		{"other content", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], []byte("x"), false)
		}, []string{"+x"}, []string{"filter 8", "filter 9"}, "8"},
		{"dropped", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, true)
			s.Filtered(&a.watch, ds[1], nil, false)
		}, []string{"+9"}, []string{"filter 8", "filter 9", "filter 10"}, "9"},
		{"an answer that comes twice", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, false)
			s.Filtered(&a.watch, ds[0], nil, false)
		}, []string{"+8"}, []string{"filter 8", "filter 9"}, "8"},
		{"never", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			if r := ds[0].Receipt(Delivered); r.Complete {
				t.Errorf("got receipt %+v, want it to be incomplete", r)
			}
		}, nil, []string{"filter 8"}, "7"},
		{"after the watch has left", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Leave(&a.watch)
			s.Filtered(&a.watch, ds[0], nil, false)
		}, nil, []string{"filter 8"}, ""},
		{"doubt waits until it goes on", true, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Doubt("c")
			s.Recheck(1)
			if s.Pause(&a.watch) {
				t.Error("a watch that pauses for a filter was paused")
			}
			s.Filtered(&a.watch, ds[0], nil, false)
			s.Filtered(&a.watch, ds[1], nil, false)
			s.Filtered(&a.watch, ds[2], nil, false)
			s.Recheck(1)
		}, []string{"+8", "+9", "+10"}, []string{"filter 8", "filter 9", "filter 10", "missed"}, "10"},
		{"a response, as it is", false, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, false)
		}, []string{"8"}, []string{"filter 8", "answered 8", "superseded"}, ""},
		{"a response, other content", false, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			a.then = func() { s.Append(new(Group), NewPiece([]byte("takes a turn, in the midst"))) }
			st.publishAll("c:11<10")
			s.Filtered(&a.watch, ds[0], []byte("x"), false)
		}, []string{"x"}, []string{"filter 8", "answered x", "superseded"}, ""},
		{"a response, dropped", false, func(st *stage, s *Shard, a *asker, ds []*Delivery) {
			s.Filtered(&a.watch, ds[0], nil, true)
		}, nil, []string{"filter 8", "filter 9"}, "8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			a := newAsker("c@7" + check)
			if tt.stream {
				a = newStreams("c@7" + check)
			}
			cs := a.join(2)
			s.Enter(&a.watch)
			var ds []*Delivery
			for i := 8; i <= 10; i++ {
				it := streamItem("c", fmt.Sprint(i), fmt.Sprint(i-1))
				it.HTTPResponse = item("c", it.ID, "").HTTPResponse
				d, _ := st.hub.Publish(it)
				ds = append(ds, d)
			}
			st.run()
			if !ds[1].Receipt(Delivered).Complete || ds[1].Receipt(Delivered).Missed != 2 {
				t.Errorf("item 9, which waits: got receipt %+v, want it complete with 2 missed", ds[1].Receipt(Delivered))
			}
			tt.play(st, s, a, ds)
			st.run()
			wantGot(t, cs, tt.got...)
			a.want(t, tt.told...)
			if tt.end != "" {
				a.wantChannels(t, "c@"+tt.end)
			} else if a.watch.places != nil {
				t.Error("the watch is registered, want it to have ended")
			}
			written := int64(0)
			if slices.Contains([]string{"+8", "8", "+x", "x"}, strings.Join(tt.got[:min(1, len(tt.got))], "")) {
				written = 2
			}
			a.leave(s)
			if r := ds[0].Receipt(Delivered); r.Written != written || !r.Complete {
				t.Errorf("item 8: got receipt %+v, want it complete with %d written", r, written)
			}
			st.wantEmpty()
		})
	}
}

// However many filters do not answer, publishers need not wait for them.
func TestFiltersThatNeverAnswer(t *testing.T) {
	st := newStage(t, 1)
	s := st.shards[0]
	var as []*asker
	for i := range maxUnderway + 1 {
		name := fmt.Sprint(i)
		a := newStreams(name + "/" + grip.FilterHTTPCheck)
		a.join(1)
		s.Enter(&a.watch)
		as = append(as, a)
		st.publishAll(name + ":1") // must not wait
		st.run()
		a.want(t, "filter 1")
	}
	if len(st.receipts) != 0 {
		t.Errorf("%d items are done, want none", len(st.receipts))
	}
	for _, a := range as {
		a.leave(s)
	}
	if len(st.receipts) != maxUnderway+1 {
		t.Errorf("the watches having left, %d items are done, want all", len(st.receipts))
	}
	st.wantEmpty()
}

// Who pauses for a filter as soon as the origin has answered follows the channels
// of that answer, and is told what it has missed of them once the filter has.
func TestFilterAfterResume(t *testing.T) {
	filtered := "a@1/" + grip.FilterHTTPCheck
	for _, tt := range []struct {
		name    string
		waiting []string // published while the origin is asked
		during  []string // and while the filter is
		after   []string // and then
		got     []string
		told    []string
		end     []string
	}{
		{"nothing missed", []string{"a:2<1"}, nil, []string{"d:6<5"},
			[]string{"+2", "+6"}, []string{"filter 2"}, []string{"a@2", "d@6"}},
		{"an item during the filter", []string{"a:2<1"}, []string{"d:6<5"}, []string{"d:7<6"},
			[]string{"+2+6", "+7"}, []string{"filter 2"}, []string{"a@2", "d@7"}},
		{"an item at hand", []string{"a:2<1", "d:6<5"}, nil, []string{"d:7<6"},
			[]string{"+2+6", "+7"}, []string{"filter 2"}, []string{"a@2", "d@7"}},
		{"behind", []string{"a:2<1", "d:6<5", "d:7<6"}, nil, nil,
			[]string{"+2"}, []string{"filter 2", "missed"}, []string{"a@2", "d@5"}},
		{"a second filter", []string{"a:2<1", "a:3<2", "d:6<5", "d:7<6"}, nil, nil,
			[]string{"+2", "+3"}, []string{"filter 2", "filter 3", "missed"}, []string{"a@3", "d@5"}},
		{"a hint meanwhile", []string{"a:2<1", "a:h!hint"}, nil, nil,
			[]string{"+2"}, []string{"filter 2", "missed"}, []string{"a@2", "d@5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			a := newStreams(filtered)
			cs := a.join(2)
			s.Enter(&a.watch)
			if !s.Pause(&a.watch) {
				t.Fatal("the watch does not pause")
			}
			a.watch.Asked = st.now
			st.publishAll(tt.waiting...)
			st.run()
			if got := s.Resume(&a.watch, channels(filtered, "d@5")); got != Holding {
				t.Fatalf("got standing %d, want it to hold, and pause", got)
			}
			st.publishAll(tt.during...)
			st.run()
			for a.watch.filtering != nil {
				s.Filtered(&a.watch, a.watch.filtering, nil, false)
				st.run()
			}
			for _, it := range tt.after {
				st.publishAll(it)
				st.run()
			}
			wantGot(t, cs, tt.got...)
			a.want(t, tt.told...)
			a.wantChannels(t, tt.end...)
			a.leave(s)
			st.wantEmpty()
		})
	}
}

// However many channels have moved on before a hold begins whose items are not for
// it, those of the others are not missed.
func TestFiltersBeforeComparison(t *testing.T) {
	check := "/" + grip.FilterHTTPCheck
	for _, tt := range []struct {
		name     string
		channels []string
		items    []grip.Item
		got      []string
		told     []string
	}{
		{"an item at hand", []string{"a@1" + check, "b@1" + check, "c@1"},
			[]grip.Item{item("a", "2", "1"), item("b", "3", "1"), item("c", "4", "1")},
			[]string{"4"}, []string{"filter 2", "filter 3", "answered 4"}},
		{"one for others between", []string{"a@1" + check, "b@1", "c@1"},
			[]grip.Item{item("a", "2", "1"), streamItem("b", "3", "1"), item("c", "4", "1")},
			[]string{"4"}, []string{"filter 2", "answered 4"}},
		{"behind", []string{"a@1" + check, "b@1" + check, "c@1"},
			[]grip.Item{item("a", "2", "1"), item("b", "3", "1"), item("c", "4", "1"), item("c", "5", "4")},
			nil, []string{"filter 2", "filter 3", "missed"}},
		{"nothing more", []string{"a@1" + check, "b@1" + check, "c@1"},
			[]grip.Item{item("a", "2", "1"), item("b", "3", "1")},
			nil, []string{"filter 2", "filter 3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			s := st.shards[0]
			a := newAsker(tt.channels...)
			a.watch.Asked = st.now
			cs := a.join(2)
			for _, it := range tt.items {
				st.hub.Publish(it)
			}
			st.run()
			if got, _ := s.Enter(&a.watch); got != Holding {
				t.Fatalf("got standing %d, want it to hold, and pause", got)
			}
			for a.watch.filtering != nil {
				s.Filtered(&a.watch, a.watch.filtering, nil, true)
				st.run()
			}
			wantGot(t, cs, tt.got...)
			a.want(t, tt.told...)
			a.leave(s)
			st.wantEmpty()
		})
	}
}

// A filter is applied to what the item has for the group, before the last step of
// the answer.
func TestFilterBeforeFinish(t *testing.T) {
	wrap := &Finish{Key: "w", Whole: true, Apply: func(r grip.Response) grip.Response {
		r.Body = fmt.Appendf(nil, "f(%s)", r.Body)
		return r
	}}
	for _, tt := range []struct {
		name string
		item *grip.HTTPResponse
	}{
		{"body", &grip.HTTPResponse{Response: grip.Response{Body: []byte(`{"a":"%(user)s"}`)}}},
		{"body-patch", &grip.HTTPResponse{Patch: []byte(`[{"op":"add","path":"/a","value":"%(user)s"}]`)}},
	} {
		for _, finish := range []*Finish{nil, wrap} {
			st := newStage(t, 1)
			a := newAsker("c/" + grip.FilterVarSubst)
			a.watch.Meta = grip.Meta{{Name: "user", Value: "u"}}
			a.watch.Template = NewTemplate(grip.Response{Body: []byte("{}")}, finish)
			cs := a.join(1)
			st.shards[0].Enter(&a.watch)
			st.hub.Publish(grip.Item{Channel: "c", HTTPResponse: tt.item})
			st.run()
			want := `{"a":"u"}`
			if finish != nil {
				want = "f(" + want + ")"
			}
			wantGot(t, cs, want)
			a.leave(st.shards[0])
			st.wantEmpty()
		}
	}
}
