package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseHeadline(t *testing.T) {
	for _, tt := range []struct {
		in      string
		id      uint64
		text    string
		changed bool
		err     string
	}{
		{`{"id": 1, "body": "Flight 123 arriving in terminal A."}`, 1, "Flight 123 arriving in terminal A.", true, ""},
		{`{"body":"\u00e9\"\\","id":18446744073709551615}` + "\n", 18446744073709551615, `é"\`, true, ""},
		{`{"id":1,"body":""}`, 1, "", true, ""},
		{"{}", 0, "", false, ""},
		{"{ }\n", 0, "", false, ""},
		{"", 0, "", false, "no JSON object"},
		{"null", 0, "", false, "no JSON object"},
		{`{"id":1,"body":"x"`, 0, "", false, "parse body"},
		{`{"id":1,"body":"x"}{}`, 0, "", false, "parse body"},
		{`{"id":"1","body":"x"}`, 0, "", false, "parse body"},
		{`{"id":-1,"body":"x"}`, 0, "", false, "parse body"},
		{`{"id":0,"body":"x"}`, 0, "", false, "no id"},
		{`{"body":"x"}`, 0, "", false, "no id"},
		{`{"id":1}`, 0, "", false, "no body"},
	} {
		id, text, changed, err := parseHeadline([]byte(tt.in))
		if fmt.Sprint(err) == "<nil>" != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: error %v, want %q", tt.in, err, tt.err)
		}
		if err == nil && (id != tt.id || text != tt.text || changed != tt.changed) {
			t.Errorf("%q: got %d %q %v", tt.in, id, text, changed)
		}
	}
}

// ledgerTest makes a ledger's test read as a list of what happens to it.
type ledgerTest struct {
	*testing.T
	*ledger
	now        time.Duration
	recipients int // started clients behind whatever headline is asked about
	settledN   int
}

func newLedgerTest(t *testing.T, posting bool) *ledgerTest {
	lt := &ledgerTest{T: t, recipients: 3, now: time.Second}
	lt.ledger = newLedger(10*time.Second, !posting, func() { lt.settledN++ })
	return lt
}

// answer has a client answered with a headline that must be believed.
func (t *ledgerTest) answer(id uint64, text string) *headline {
	t.Helper()
	body := fmt.Appendf(nil, `{"id":%d,"body":%q}`, id, text)
	if h := t.known(body); h != nil {
		return h
	}
	h, _, err := t.learn(body, body, t.now, func(uint64) int { return t.recipients })
	if err != nil {
		t.Fatalf("answer %s: %v", body, err)
	}
	if t.known(body) != h {
		t.Errorf("%s is not known after it was learned", body)
	}
	return h
}

func (t *ledgerTest) wantWrong(id uint64, text, want string) {
	t.Helper()
	body := fmt.Appendf(nil, `{"id":%d,"body":%q}`, id, text)
	if _, f, err := t.learn(body, body, t.now, func(uint64) int { return t.recipients }); f != wrong || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("answer %s: %v %v, want wrong with %q", body, f, err, want)
	}
	if t.known(body) != nil {
		t.Errorf("%s is known though it is wrong", body)
	}
}

func (t *ledgerTest) wantChange(h *headline, recipients, received int, settled bool) {
	t.Helper()
	if h.recipients != recipients || h.received != received || h.settled != settled {
		t.Errorf("headline %d: recipients %d received %d settled %v, want %d %d %v", h.id,
			h.recipients, h.received, h.settled, recipients, received, settled)
	}
}

func TestLedgerWatching(t *testing.T) {
	lt := newLedgerTest(t, false)
	lt.recipients = 0
	first := lt.answer(1, "a")
	lt.recipients = 3
	second := lt.answer(2, "b")
	lt.now += 20 * time.Millisecond
	lt.receive(second, lt.now)
	lt.startedAt(first) // a late client, which is to receive 2 as well
	lt.wantChange(second, 4, 1, false)
	for range 3 {
		lt.receive(second, lt.now)
	}
	lt.wantChange(second, 4, 4, true)
	lt.startedAt(first)
	lt.receive(second, lt.now)
	lt.wantChange(second, 4, 4, true)
	if second.spread.Max != 20_000 || len(lt.changes) != 1 || lt.settledN != 1 {
		t.Errorf("max %v ms, %d changes, %d settled", second.spread.Max, len(lt.changes), lt.settledN)
	}
	lt.wantWrong(2, "c", `headline 2 is "c", was "b" before`)
	lt.recipients = 0
	lt.answer(7, "seven")
	lt.answer(5, "five, seen late")
	lt.wantWrong(5, "x", "was")
	lt.wantWrong(7, "x", "was")
}

func TestLedgerPosting(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(*ledgerTest)
	}{
		{"POST answered first", func(lt *ledgerTest) {
			h := lt.post("b", 3)
			if err := lt.confirm(h, 2); err != nil {
				lt.Fatal(err)
			}
			if lt.answer(2, "b") != h {
				lt.Error("delivery is not of the posted headline")
			}
			lt.wantWrong(3, "b", "not posted by this run")
			lt.wantWrong(2, "c", "was")
		}},
		{"delivered first", func(lt *ledgerTest) {
			h := lt.post("b", 3)
			lt.wantWrong(2, "c", "not posted by this run")
			if lt.answer(2, "b") != h || h.id != 2 {
				lt.Error("delivery is not of the posted headline")
			}
			if err := lt.confirm(h, 2); err != nil {
				lt.Fatal(err)
			}
		}},
		{"several under way, in another order", func(lt *ledgerTest) {
			b, c, d := lt.post("b", 3), lt.post("c", 3), lt.post("d", 3)
			if lt.answer(2, "c") != c || lt.answer(3, "b") != b {
				lt.Error("delivery is not of the posted headline")
			}
			lt.wantWrong(4, "e", "not posted by this run")
			lt.wantWrong(4, "b", "not posted by this run")
			for id, h := range map[uint64]*headline{2: c, 3: b, 4: d} {
				if err := lt.confirm(h, id); err != nil {
					lt.Error(err)
				}
			}
			if len(lt.posted) > 0 {
				lt.Errorf("%d headlines are without an id, want none", len(lt.posted))
			}
		}},
		{"delivered under another id", func(lt *ledgerTest) {
			h := lt.post("b", 3)
			lt.answer(3, "b")
			if err := lt.confirm(h, 2); err == nil || err.Error() != "headline was posted as 2 but delivered as 3" {
				lt.Error(err)
			}
		}},
		{"posted under an id there was", func(lt *ledgerTest) {
			if err := lt.confirm(lt.post("b", 3), 1); err == nil || !strings.Contains(err.Error(), `which is "a" already`) {
				lt.Error(err)
			}
		}},
		{"missed after its time, counted no more", func(lt *ledgerTest) {
			h := lt.post("b", 3)
			if at, ok := lt.deadline(); ok {
				lt.Errorf("deadline %v before the first byte was written", at)
			}
			h.begins(time.Second)
			h.begins(2 * time.Second) // a second write: no effect
			lt.receive(lt.answer(2, "b"), 3*time.Second)
			if at, ok := lt.deadline(); !ok || at != 11*time.Second {
				lt.Errorf("deadline %v %v, want 11s", at, ok)
			}
			lt.expire(11*time.Second - 1)
			lt.wantChange(h, 3, 1, false)
			lt.expire(11 * time.Second)
			lt.receive(h, 12*time.Second)
			lt.wantChange(h, 3, 1, true)
			<-h.settledCh
			if h.missed() != 2 || h.spread.Max != 2_000_000 {
				lt.Errorf("missed %d, max %v", h.missed(), h.spread.Max)
			}
		}},
		{"others' changes before the first do not count", func(lt *ledgerTest) {
			lt.answer(2, "somebody's")
			if len(lt.changes) != 0 {
				lt.Errorf("%d changes", len(lt.changes))
			}
		}},
		{"the run ends in between", func(lt *ledgerTest) {
			h := lt.post("b", 3)
			lt.settleAll()
			lt.wantChange(h, 3, 0, true)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lt := newLedgerTest(t, true)
			lt.answer(1, "a")
			tt.run(lt)
		})
	}
}

// TestLedgerKnown checks that the last bodies are known, and those before them
// forgotten.
func TestLedgerKnown(t *testing.T) {
	lt := newLedgerTest(t, false)
	const more = 5
	for id := range len(lt.seen) + more {
		lt.answer(uint64(id+1), "x")
	}
	for id := range len(lt.seen) + more {
		body := fmt.Appendf(nil, `{"id":%d,"body":"x"}`, id+1)
		if h := lt.known(body); (h != nil) != (id >= more) {
			t.Errorf("headline %d of %d: known %v", id+1, len(lt.seen)+more, h != nil)
		}
	}
}

// TestLedgerLater checks that the first change is not among the later ones, and when
// they began.
func TestLedgerLater(t *testing.T) {
	lt := newLedgerTest(t, true)
	if first, last := lt.began(); first != 0 || last != 0 {
		t.Errorf("before a change: %v, %v", first, last)
	}
	lt.post("never posted", 2)
	for n, at := range []time.Duration{30, 10, 20} {
		h := lt.post(fmt.Sprint(n), 2)
		h.begins(at * time.Second)
		for i := range 2 {
			lt.receive(h, at*time.Second+time.Duration(i+1)*time.Millisecond)
		}
	}
	if first, last := lt.began(); first != 10*time.Second || last != 30*time.Second {
		t.Errorf("began %v to %v, want 10s to 30s", first, last)
	}
	if lt.overall.count != 6 || lt.later.count != 6 {
		t.Errorf("%d deliveries, %d later, want 6, 6: the first change has none", lt.overall.count, lt.later.count)
	}
	lt.receive(lt.changes[0], time.Minute)
	lt.settleAll()
	if lt.overall.count != 7 || lt.later.count != 6 {
		t.Errorf("%d deliveries, %d later, want 7, 6", lt.overall.count, lt.later.count)
	}
}

// TestLedgerUnshown checks that a change is shown when its count has risen,
// and once more after it was settled.
func TestLedgerUnshown(t *testing.T) {
	lt := newLedgerTest(t, true)
	h := lt.post("b", 2)
	h.begins(time.Second)
	want := func(received ...int) {
		t.Helper()
		var got []int
		for _, d := range lt.unshown() {
			got = append(got, d.received)
		}
		if fmt.Sprint(got) != fmt.Sprint(received) {
			t.Errorf("unshown %v, want %v", got, received)
		}
	}
	want()
	lt.receive(h, 2*time.Second)
	want(1)
	want()
	lt.receive(h, 3*time.Second)
	want(2)
	want()
}

// TestLedgerForgetsBodies fills the memory for seen bodies over and over.
func TestLedgerForgetsBodies(t *testing.T) {
	lt := newLedgerTest(t, false)
	lt.recipients = 0
	for id := uint64(1); id <= 100; id++ {
		lt.answer(id, fmt.Sprint(id))
		if again := lt.answer(1, "1"); again.id != 1 {
			t.Fatalf("headline 1 became %d", again.id)
		}
	}
}
