package conformance

import (
	"fmt"
	"testing"
)

// §6: what is asked once for many. Without share_all only fetches of next links
// are (§4.3).

func TestSharing(t *testing.T) { runCases(t, sharingCases) }

var sharingCases = []testCase{
	{name: "6 without share_all equal requests are asked one by one", run: func(s *scene) {
		answer := make(chan struct{})
		s.at("", func(a *ask) string {
			<-answer
			return reply(200, fmt.Sprint("answer ", a.nth))
		})
		first, second := s.dial(), s.dial()
		first.get("")
		second.get("")
		s.asked()
		s.asked()
		close(answer)
		if a, b := first.answer(), second.answer(); a.body == b.body {
			s.Errorf("both clients got %q", a.body)
		}
	}},
	{name: "6 without share_all clients that are held ask one by one", run: func(s *scene) {
		s.origin(poll("$C"))
		first, second := s.hold(), s.hold()
		s.publish(response("", "", "news"))
		first.answer().want(200, "news")
		second.answer().want(200, "news")
		if n := s.times(""); n != 2 {
			s.Errorf("origin was asked %d times, want twice", n)
		}
	}},
}
