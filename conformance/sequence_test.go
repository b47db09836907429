package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// §3.3 to §3.6: ids, what was missed, and items that come out of order.

func TestSequences(t *testing.T) { runCases(t, sequenceCases) }

// passTwo has an item with the id 2 pass: the channel's last id is known from another
// hold when the next one comes.
func (s *scene) passTwo() {
	s.Helper()
	s.originAt("/first", poll("$C; prev-id=1"))
	first := s.dial()
	first.get("/first")
	s.askedAt("/first")
	s.witness()
	s.publish(response("2", "1", "two"))
	first.answer().want(200, "two")
}

var sequenceCases = []testCase{
	{name: "3.3 a publish between answer and hold is not lost", run: func(s *scene) {
		s.passTwo()
		s.originAt("", poll("$C; prev-id=1"), reply(200, "the origin's two"))
		s.get("").want(200, either(s, "the origin's two", "two"))
		s.asked()
		if s.pushpin {
			s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
		}
	}, differs: &difference{
		pushpin: "asks the origin again for a hold whose prev-id is not the channel's last id",
		marquee: "answers the hold with the last item if it follows the hold's prev-id; else it asks, too",
		why:     "the item is at hand",
		notice:  "the answer comes sooner, and the origin is asked less",
	}},
	{name: "3.3 a hold that has missed more than one item asks the origin again", run: func(s *scene) {
		s.passTwo()
		s.originAt("", poll("$C; prev-id=0"), reply(200, "the origin's two"))
		s.get("").want(200, "the origin's two")
		s.asked()
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=0")})
	}},
	{name: "3.3 any of several channels can be in conflict", run: func(s *scene) {
		s.originAt("/first", poll("$C-b; prev-id=1"))
		first := s.dial()
		first.get("/first")
		s.askedAt("/first")
		s.witness()
		s.publish(strings.Replace(response("2", "1", "two"), "$C", "$C-b", 1))
		first.answer().want(200, "two")
		s.originAt("", poll("$C-a; prev-id=7, $C-b; prev-id=0"), reply(200, "asked again"))
		s.get("").want(200, "asked again")
		s.asked()
		last := s.asked()
		for _, want := range []string{"$C-a; last-id=7", "$C-b; last-id=0"} {
			if got := last.field("Grip-Last"); !strings.Contains(got, s.expand(want)) {
				s.Errorf("origin got Grip-Last: %q, want %q in it", got, s.expand(want))
			}
		}
	}},
	{name: "3.3 an origin that insists on an older id is asked once more, then the client is held", run: func(s *scene) {
		s.passTwo()
		s.origin(poll("$C; prev-id=0"))
		c := s.dial()
		c.get("")
		s.asked()
		s.held()
		c.publishUntilAnswered(func(n int) string {
			return item(fmt.Sprint("2-", n), "0", `"http-response":{"body":"next of none"}`, `"no-seq":true`)
		}).want(200, "next of none")
	}},
	{name: "3.3 an unknown last id is no conflict", run: func(s *scene) {
		s.origin(poll("$C; prev-id=anything"))
		c := s.hold()
		s.publish(response("2", "anything", "news"))
		c.answer().want(200, "news")
	}},
	{name: "3.3 an item that follows is the answer", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"))
		c := s.hold()
		s.publish(response("2", "1", "two"))
		c.answer().want(200, "two")
	}},
	{name: "3.3 an item that does not follow makes the origin be asked again", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "the origin's three"))
		c := s.hold()
		s.publish(response("3", "2", "three"))
		c.answer().want(200, "the origin's three")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
	}},
	{name: "3.3 an item without prev-id makes the origin be asked again for a hold that has one", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold()
		s.publish(response("2", "", "two"))
		c.answer().want(200, "asked again")
	}},
	{name: "3.3 a hold without prev-id takes every item", run: func(s *scene) {
		for i, ids := range [][2]string{{"", ""}, {"7", ""}, {"8", "7"}} {
			s := newScene(s.T)
			s.origin(poll("$C"))
			c := s.hold()
			s.publish(response(ids[0], ids[1], fmt.Sprint("news ", i)))
			c.answer().want(200, fmt.Sprint("news ", i))
		}
	}},
	{name: "3.3 a filtered item advances the hold", run: func(s *scene) {
		s.origin(reply(200, "timeout", "Grip-Hold: response", "Grip-Channel: $C; prev-id=1; filter=skip-self", "Grip-Set-Meta: user=alice"), reply(200, "asked again"))
		c := s.hold()
		s.publish(item("2", "1", `"http-response":{"body":"two"}`, `"meta":{"sender":"alice"}`), response("3", "2", "three"))
		c.answer().want(200, "three")
	}},
	{name: "3.3 an item without the hold's format", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold()
		s.publish(streamed("2", "1", "two"), response("3", "2", "three"))
		c.answer().want(200, either(s, "asked again", "three"))
	}, differs: &difference{
		pushpin: "does not advance a hold by an item that lacks the hold's format, so that the next one makes it ask the origin again",
		marquee: "advances the hold",
		why:     "nothing was lost that the client could have had",
		notice:  "fewer requests at the origin",
	}},
	{name: "3.3 a channel lingers between two polls", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"))
		c := s.hold()
		s.publish(response("2", "1", "two"))
		c.answer().want(200, "two")
		// nobody is held; the ids are remembered, and so two items found to be missed
		s.publish(response("3", "2", "three"), response("4", "3", "four"))
		s.originAt("/again", poll("$C; prev-id=2"), reply(200, "the origin's four"))
		c.get("/again")
		c.answer().want(200, "the origin's four")
	}},

	{name: "3.4 a retry is the client's request with its body, and Grip-Last", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.dial()
		c.request("POST", "?a=1", "question", "X-A: 1", "Content-Type: text/odd")
		first := s.held()
		s.publish(response("3", "2", "three"))
		c.answer().want(200, "asked again")
		again := s.asked()
		if again.method != "POST" || again.target != first.target || again.body != "question" {
			s.Errorf("origin got %s %s %q, want POST %s question", again.method, again.target, again.body, first.target)
		}
		s.wantFields(again, map[string]string{"X-A": "1", "Content-Type": "text/odd", "Host": "grip.test", "Grip-Last": s.expand("$C; last-id=1")})
		if first.has("Grip-Last") {
			s.Errorf("origin got Grip-Last: %q with the first request, want none", first.field("Grip-Last"))
		}
	}},
	{name: "3.4 Grip-Last is for channels with prev-id only", run: func(s *scene) {
		s.origin(poll("$C-a; prev-id=1, $C-b"), reply(200, "asked again"))
		c := s.hold()
		s.publish(strings.Replace(response("3", "2", "three"), "$C", "$C-a", 1))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C-a; last-id=1")})
	}},
	{name: "3.4 after a retry the new instruct counts", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1", "X-A: old"), poll("$C-new; prev-id=3", "X-A: new"))
		c := s.hold()
		s.publish(response("3", "2", "three"))
		s.held()
		s.publish(strings.Replace(response("4", "3", "four"), "$C", "$C-new", 1))
		c.answer().want(200, "four").wantField("X-A", "new")
	}},
	{name: "3.4 a retry goes through the same route", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold("Host: target-host.test")
		s.publish(response("3", "2", "three"))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Host": "target.example"})
	}},
	{name: "3.4 a retry that finds the origin broken", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), "")
		c := s.hold()
		s.publish(response("3", "2", "three"))
		if s.pushpin {
			c.answer().want(502, "Error while proxying to origin.\n")
			return
		}
		s.asked()
		s.origin(reply(200, "the origin is back"))
		c.answer().want(200, "the origin is back")
	}, differs: &difference{
		pushpin: "answers 502 to a held client when the origin fails while it is asked again",
		marquee: "asks again, a little later each time, until the origin answers or the hold's time is over",
		why:     "the client waits anyhow, and an origin that restarts is back soon",
		notice:  "no errors while the origin restarts",
	}},

	{name: "3.5 a first subscription", run: func(s *scene) {
		s.origin(poll("$C", "Grip-Timeout: 5"))
		s.get("").want(200, "timeout")
		if n := s.times(""); n > 1 != s.pushpin {
			s.Errorf("origin was asked %d times", n)
		}
	}, differs: &difference{
		pushpin: "asks the origin again for every hold, one second after its channel got its first subscriber",
		marquee: "does not",
		why:     "it is there for publishers that learn late of a subscription; ids find what was missed in between, at no cost",
		notice:  "half the requests at the origin; holds end at their time, not one second later",
	}},
	{name: "3.5 hint makes the origin be asked again", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"action":"hint"}`))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
	}},
	{name: "3.5 a hint with an id", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold()
		s.publish(item("2", "1", `"http-response":{"action":"hint"}`))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=" + either(s, "2", "1"))})
	}, differs: &difference{
		pushpin: "counts the id of a hint as seen, so that `Grip-Last` of the retry names it",
		marquee: "names the id before",
		why:     "a hint has no content: an origin that goes by `Grip-Last` would leave out what the hint was for",
		notice:  "such an origin gives the client what is new",
	}},
	{name: "3.5 hint for a hold without prev-id asks without Grip-Last", run: func(s *scene) {
		s.origin(poll("$C"), reply(200, "asked again"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"action":"hint"}`))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": ""})
	}},

	{name: "3.6 an id that was seen is not delivered again", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(response("1", "", "one"))
		c.answer().want(200, "one")
		c.get("")
		s.held()
		s.publish(response("1", "", "one again"), response("2", "", "two"))
		c.answer().want(200, "two")
	}},
	{name: "3.6 an id is remembered without subscribers and with no-seq", run: func(s *scene) {
		s.publish(item("1", "", `"http-response":{"body":"one"}`, `"no-seq":true`))
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(item("1", "", `"http-response":{"body":"one again"}`, `"no-seq":true`), response("2", "", "two"))
		c.answer().want(200, "two")
	}},
	{name: "3.6 no-seq is delivered at once and leaves the last id", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("2", "1", "two "),
			item("9", "8", `"http-stream":{"content":"nine "}`, `"no-seq":true`),
			streamed("3", "2", "three "))
		c.wantBytes("two nine three ")
	}},
	{name: "3.6 items that come early wait for those before them", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "))
		s.publish(streamed("4", "3", "four "))
		s.publish(streamed("3", "2", "three "))
		s.publish(streamed("2", "1", "two "))
		c.wantBytes("one two three four ")
	}},
	{name: "3.6 of two early items with one prev-id the second is dropped", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "), streamed("3", "2", "three "), streamed("3b", "2", "another "), streamed("2", "1", "two "), streamed("4", "3", "four "))
		c.wantBytes("one two three four ")
	}},
	{name: "3.6 an early item waits five seconds, then it is delivered", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "))
		c.wantBytes("one ")
		start := time.Now()
		s.publish(streamed("3", "2", "three "))
		c.wantBytes("three ")
		if took := time.Since(start); took < 4900*time.Millisecond || took > 9*time.Second {
			s.Errorf("took %v, want 5 to 6 s", took)
		}
	}},
	{name: "3.6 several early items wait five seconds", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "), streamed("4", "3", "four "), streamed("3", "2", "three "), streamed("5", "4", "five "))
		got := c.until(" ") + c.until(" ") + c.until(" ") + c.until(" ")
		if in := got == "one three four five "; !in && !s.pushpin || len(got) != len("one three four five ") {
			s.Errorf("client got %q, want one three four five", got)
		}
	}, differs: &difference{
		pushpin: "gives up waiting for a lost item in any order of those that came after it (1.36)",
		marquee: "sends them as they follow one another",
		why:     "the client can only make sense of them in order",
		notice:  "order, also after a loss",
	}},
	{name: "3.6 more than a hundred early items of a channel are dropped", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "1 "))
		var early []string
		want := "1 2 "
		for i := 3; i < 110; i++ {
			early = append(early, streamed(fmt.Sprint(i), fmt.Sprint(i-1), fmt.Sprint(i, " ")))
			if i < 103 {
				want += fmt.Sprint(i, " ")
			}
		}
		s.publish(early...)
		s.publish(streamed("2", "1", "2 "))
		c.wantBytes(want)
		s.publish(item("", "", `"http-stream":{"content":"end"}`, `"no-seq":true`))
		c.wantBytes("end")
	}},
	{name: "3.6 an item without id clears the last id", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "), streamed("", "", "none "), streamed("9", "8", "nine "))
		c.wantBytes("one none nine ")
	}},
}
