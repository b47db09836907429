package conformance

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// testCase is one sentence of the reference.
type testCase struct {
	name    string // begins with the section
	run     func(s *scene)
	lacking string      // what Pushpin 1.36 does not have, so that only Marquee is examined
	differs *difference // nil when the two behave alike
}

// difference is a row of docs/conformance.md: where Marquee departs from
// Pushpin, on purpose. The case asserts both.
type difference struct {
	pushpin string // what Pushpin does
	marquee string
	why     string
	notice  string // what a user will notice
}

// scene is one run of a case.
type scene struct {
	*testing.T
	pushpin bool   // what differs is to be as Pushpin has it
	token   string // in all paths and channels of the scene
	channel string

	mu      sync.Mutex // both maps
	scripts map[string]script
	asks    map[string]chan *ask
	counts  map[string]int
}

// lastToken numbers the scenes.
var lastToken atomic.Int32

// runCases runs cases side by side.
func runCases(t *testing.T, cases []testCase) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if proxy.pushpin && c.lacking != "" {
				t.Skip("Pushpin 1.36 lacks ", c.lacking)
			}
			c.run(newScene(t))
		})
	}
}

// runAlone runs cases one by one, and before those that run side by side: what
// they do concerns all clients of the subject.
func runAlone(t *testing.T, cases []testCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(newScene(t)) })
	}
}

// newScene makes the scene of a test and lets the origin know it.
func newScene(t *testing.T) *scene {
	s := &scene{T: t, pushpin: proxy.pushpin, token: fmt.Sprintf("t%04dx", lastToken.Add(1)),
		scripts: make(map[string]script), asks: make(map[string]chan *ask), counts: make(map[string]int)}
	s.channel = "channel-" + s.token
	proxy.origin.add(s)
	return s
}

// expand replaces $C by the scene's channel and $P by its path without the
// slash before it.
func (s *scene) expand(text string) string {
	return strings.NewReplacer("$C", s.channel, "$P", s.token).Replace(text)
}

// at sets what the origin answers at a path below the scene's.
func (s *scene) at(path string, answers script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[path] = answers
}

// origin sets what the origin answers at the scene's own path: the answers in
// turn, then the last again and again. Pushpin asks again without need, one
// second after a first subscription.
func (s *scene) origin(answers ...string) { s.originAt("", answers...) }

// originAt is origin for a path below the scene's.
func (s *scene) originAt(path string, answers ...string) {
	s.at(path, func(a *ask) string { return answers[min(a.nth, len(answers))-1] })
}

// answer is what the origin does with a request of the scene.
func (s *scene) answer(a *ask) string {
	_, path, _ := strings.Cut(a.target, s.token)
	path, _, _ = strings.Cut(path, "?")
	s.mu.Lock()
	answers := s.scripts[path]
	s.counts[path]++
	a.nth = s.counts[path]
	asks := s.asksAt(path)
	s.mu.Unlock()
	select {
	case asks <- a:
	default: // nobody counts that many
	}
	if answers == nil {
		return reply(404, "no such path\n")
	}
	text := s.expand(answers(a))
	_, body, _ := strings.Cut(text, "\r\n\r\n")
	return strings.Replace(text, "$L", strconv.Itoa(len(body)), 1)
}

// asksAt returns where the requests for a path are put; s.mu is held.
func (s *scene) asksAt(path string) chan *ask {
	if s.asks[path] == nil {
		s.asks[path] = make(chan *ask, 100)
	}
	return s.asks[path]
}

// asked waits for the next request to the origin at the scene's own path.
func (s *scene) asked() *ask {
	s.Helper()
	return s.askedAt("")
}

// askedAt is asked for a path below the scene's.
func (s *scene) askedAt(path string) *ask {
	s.Helper()
	s.mu.Lock()
	asks := s.asksAt(path)
	s.mu.Unlock()
	select {
	case a := <-asks:
		return a
	case <-time.After(patience):
		s.Fatalf("the origin was not asked at %q", path)
		return nil
	}
}

// times returns how often the origin was asked at a path.
func (s *scene) times(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[path]
}

// either returns what is wanted of the subject where the two differ.
func either[T any](s *scene, pushpin, marquee T) T {
	if s.pushpin {
		return pushpin
	}
	return marquee
}

// hold asks for the scene's path with a new client and returns once the
// subject has had the origin's answer and surely holds the client.
func (s *scene) hold(fields ...string) *client {
	s.Helper()
	c := s.dial()
	c.get("", fields...)
	s.held()
	return c
}

// stream is hold for a stream: the head and the first bytes of the body have
// been read.
func (s *scene) stream(first string, fields ...string) *client {
	s.Helper()
	c := s.dial()
	c.get("", fields...)
	if a := c.start(); a.code != 200 {
		s.Fatalf("stream started with %d, want 200", a.code)
	}
	c.wantBytes(first)
	s.held()
	return c
}

// held waits until the subject holds whom the origin has answered with a hold.
// Over HTTP nobody can see when a hold begins. So the origin must have been asked
// at the scene's path, and then witnesses come, who are held after those before
// them and answered by a publish; when they have been, the others are held.
func (s *scene) held() *ask {
	s.Helper()
	a := s.asked()
	s.witness()
	return a
}

// witness lets two clients one after another be held and answered.
func (s *scene) witness() {
	s.Helper()
	for range 2 {
		w := newScene(s.T)
		w.origin(reply(200, "timeout", "Grip-Hold: response", "Grip-Channel: $C"))
		c := w.dial()
		c.get("")
		w.asked()
		c.publishUntilAnswered(func(int) string { return response("", "", "witness") }).want(200, "witness")
		c.close()
	}
}
