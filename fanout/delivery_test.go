package fanout

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"marquee/grip"
)

func TestReceipt(t *testing.T) {
	st := newStage(t, 3)
	for i, outcomes := range [][]Outcome{
		{Written, Written, Queued, Dropped},
		{Written, Dropped, Dropped},
	} {
		a := newAsker("c@7")
		for j, c := range a.join(len(outcomes)) {
			c.outcome = outcomes[j]
			c.then = func() { st.now = st.now.Add(time.Millisecond) }
		}
		st.shards[i].Enter(&a.watch)
		defer st.shards[i].Leave(&a.watch)
	}
	missed := newAsker("c@5")
	missed.join(4)
	st.shards[2].Enter(&missed.watch)

	d := st.publish("c", "8", "7")
	if got, want := d.Receipt(Delivered), (Receipt{Channel: "c", ID: "8", Fate: "delivered"}); got != want {
		t.Errorf("underway: got %+v, want %+v", got, want)
	}
	st.shards[0].Turn()
	if got, want := d.Receipt(Delivered), (Receipt{
		Channel: "c", ID: "8", Fate: "delivered", Matched: 4, Written: 2, Queued: 1, Dropped: 1,
	}); got != want {
		t.Errorf("with two loops to go: got %+v, want %+v", got, want)
	}
	select {
	case <-d.Done():
		t.Error("with two loops to go, the item is done")
	default:
	}
	st.run()
	<-d.Done()
	want := Receipt{
		Channel: "c", ID: "8", Fate: "delivered", Matched: 7, Written: 3, Queued: 1, Dropped: 3, Missed: 4,
		Elapsed: 7, Complete: true,
	}
	if got := d.Receipt(Delivered); got != want {
		t.Errorf("done: got %+v, want %+v", got, want)
	}
	if !slices.Equal(st.receipts, []Receipt{want}) {
		t.Errorf("hub was told %+v, want %+v", st.receipts, want)
	}
	text, err := json.Marshal(want)
	if want := `{"channel":"c","id":"8","fate":"delivered","matched":7,"streams":0,"written":3,"queued":1,"dropped":3,"shed":0,"missed":4,"elapsed_ms":7,"complete":true}`; string(text) != want || err != nil {
		t.Errorf("got JSON %s (%v), want %s", text, err, want)
	}
}

// An item that waits is done when it has been delivered, or given up with its
// channel.
func TestItemThatWaitsIsDoneLater(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(st *stage)
	}{
		{"the one before it comes", func(st *stage) { st.publish("c", "8", "7") }},
		{"its time is over", func(st *stage) {
			st.now = st.now.Add(earlyWait)
			st.hub.Tick()
		}},
		{"its channel is forgotten", func(st *stage) {
			for i := range maxQuiet {
				st.publish(fmt.Sprint("quiet ", i), "", "")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStage(t, 1)
			st.publish("c", "7", "6")
			a := newAsker("c@7")
			st.shards[0].Enter(&a.watch)
			st.shards[0].Leave(&a.watch)
			d, fate := st.hub.Publish(item("c", "9", "8"))
			if r := d.Receipt(fate); r.Fate != "waiting" || r.Complete {
				t.Errorf("got receipt %+v, want it waiting, not complete", r)
			}
			tt.play(st)
			select {
			case <-d.Done():
			default:
				t.Error("the item is not done")
			}
			st.wantEmpty()
		})
	}
}

// Holds that came with equal responses get the same bytes, on every loop.
func TestEqualTemplatesShareAnAnswer(t *testing.T) {
	st := newStage(t, 2)
	header := func(fields ...string) *Template {
		var h grip.Header
		for i := 0; i < len(fields); i += 2 {
			h = append(h, grip.Field{Name: fields[i], Value: fields[i+1]})
		}
		return NewTemplate(grip.Response{Code: 200, Header: h, Body: []byte("{}")}, nil)
	}
	d := st.publish("c", "8", "7")
	d.loops.Store(1) // as if it was on its way
	first := d.answer(header("Server", "origin", "X", "1"))
	for _, tt := range []struct {
		name     string
		template *Template
		same     bool
	}{
		{"equal", header("Server", "origin", "X", "1"), true},
		{"of another date", header("Date", "Thu, 01 Jan 2026 00:00:00 GMT", "Server", "origin", "X", "1"), true},
		{"with another body and status", NewTemplate(grip.Response{
			Code: 404, Header: grip.Header{{Name: "Server", Value: "origin"}, {Name: "X", Value: "1"}},
		}, nil), true},
		{"another value", header("Server", "origin", "X", "2"), false},
		{"another order", header("X", "1", "Server", "origin"), false},
		{"fewer fields", header("Server", "origin"), false},
		{"name and value shifted", header("Server", "origin", "X1", ""), false},
	} {
		if same := d.answer(tt.template) == first; same != tt.same {
			t.Errorf("%s: the answer is the same: %t, want %t", tt.name, same, tt.same)
		}
	}
}

// The hub keeps a channel's last item, whose size it accounts for, but not the
// bytes that were made of it: as many forms as there were templates.
func TestAnswersAreForgottenOnceDelivered(t *testing.T) {
	st := newStage(t, 2)
	template := func(i int) *Template {
		return NewTemplate(grip.Response{Header: grip.Header{{Name: "X-Request-Id", Value: fmt.Sprint(i)}}}, nil)
	}
	for i := range 10 {
		a := newAsker("c@7")
		a.watch.Template = template(i)
		a.join(1)
		a.then = func() { st.shards[i%2].Leave(&a.watch) }
		st.shards[i%2].Enter(&a.watch)
	}
	d := st.publish("c", "8", "7")
	st.shards[0].Turn()
	if n := len(d.answers); n != 5 {
		t.Errorf("with one loop to go, the item has %d answers, want 5", n)
	}
	st.run()
	if n := len(d.answers); n != 0 {
		t.Errorf("delivered, the item has %d answers, want 0", n)
	}

	late := newAsker("c@7")
	late.watch.Template = template(1)
	standing, at := st.shards[0].Enter(&late.watch)
	if standing != AtHand || string(at.Response().Body) != "8" {
		t.Errorf("a late watch got %d and %v, want at hand and item 8", standing, at)
	}
	if n := len(d.answers); n != 0 {
		t.Errorf("after a late watch, the item has %d answers, want 0", n)
	}
	st.shards[0].Leave(&late.watch)
	st.wantEmpty()
}
