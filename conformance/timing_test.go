package conformance

import (
	"strings"
	"time"
)

// wantDuration wants f to take about so many seconds: not less, but for what
// clocks differ, and not much more. Pushpin's time begins anew when it asks again
// after a first subscription, which is a second or two later, and a busy machine
// is late.
func wantDuration(s *scene, seconds int, f func()) {
	s.Helper()
	start := time.Now()
	f()
	took, want := time.Since(start), time.Duration(seconds)*time.Second
	if took < want-100*time.Millisecond || took > want+10*time.Second {
		s.Errorf("took %v, want %v", took, want)
	}
}

// busyStream opens a stream that begins with first, publishes to it every 400 ms
// for more than two seconds, and returns it and all that the client got
// meanwhile. Where nothing may have been sent for two seconds, since the machine
// was busy, it does so anew.
func busyStream(s *scene, first string) (c *client, text string) {
	s.Helper()
	for range 5 {
		before := time.Now() // the last message, or the request
		c, text = s.stream(first), ""
		var longest time.Duration
		for i := range 8 {
			if i > 0 {
				time.Sleep(400 * time.Millisecond)
			}
			published := time.Now()
			s.publish(streamed("", "", "."))
			for want := i + 1; strings.Count(text, ".") < want; {
				c.patient()
				part, err := c.read(1024)
				if err != nil {
					s.Fatalf("client got %q, then %v", text, err)
				}
				text += part
			}
			longest, before = max(longest, time.Since(before)), published
		}
		if longest < 2*time.Second {
			return c, text
		}
	}
	s.Fatalf("messages every 400 ms come two seconds apart")
	return nil, ""
}
