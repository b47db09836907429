package conformance

import (
	"strings"
	"time"
)

// wantDuration wants f to take about so many seconds: not less, but for what
// clocks differ, and not much more. Pushpin's time begins anew when it asks again
// after a first subscription, which is a second or two later.
func wantDuration(s *scene, seconds int, f func()) {
	s.Helper()
	start := time.Now()
	f()
	took, want := time.Since(start), time.Duration(seconds)*time.Second
	if took < want-100*time.Millisecond || took > want+either[time.Duration](s, 5, 2)*time.Second {
		s.Errorf("took %v, want %v", took, want)
	}
}

// busyStream publishes to a stream every 400 ms for more than two seconds, and
// returns all that the client got meanwhile.
func busyStream(s *scene, c *client) string {
	s.Helper()
	text := ""
	for i := range 8 {
		if i > 0 {
			time.Sleep(400 * time.Millisecond)
		}
		s.publish(streamed("", "", "."))
		for want := i + 1; strings.Count(text, ".") < want; {
			c.patient()
			part, err := c.read(1024)
			if err != nil {
				s.Fatalf("client got %q, then %v", text, err)
			}
			text += part
		}
	}
	return text
}
