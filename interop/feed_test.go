package interop

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// burst is how many messages are written at the same time. GRIP puts up to 100 in
// order that come in any other (GRIP §3.6).
const burst = 60

// feedNow returns the first message of the feed, which startReaders has put
// there, for tests to append to.
func feedNow(s *stand) []message { return []message{s.origin.mustPut("first")} }

// A burst of messages, written and published at the same time and so in no
// order, reaches every reader in order.
func TestBurst(t *testing.T) {
	s := newStand(t)
	readers := startReaders(t, s, timeouts{})
	messages := putBurst(t, s.origin, 0)
	wantAll(t, s.origin, readers, append(feedNow(s), messages...))
}

// putBurst puts burst messages at once, and returns them in the order of their
// ids. Who gets no answer puts its message again, which publishes it again.
func putBurst(t *testing.T, o *origin, kill int) []message {
	t.Helper()
	var mu sync.Mutex
	var messages []message
	put := 0
	var writers sync.WaitGroup
	killCh := make(chan struct{}, 1)
	for i := range burst {
		writers.Go(func() {
			eventually(t, func() error {
				m, err := o.put(fmt.Sprintf("message %d", i))
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				messages = append(messages, m)
				if put++; put == kill {
					killCh <- struct{}{}
				}
				return nil
			})
		})
	}
	if kill > 0 {
		<-killCh
		o.program.kill()
		o.start()
	}
	writers.Wait()
	slices.SortFunc(messages, func(a, b message) int { return a.ID - b.ID })
	return messages
}

// A message that was not published is noticed when the next one is, and asked
// for: for a stream at its next link, for a poll by asking again.
func TestLostPublish(t *testing.T) {
	s := newStand(t)
	readers := startReaders(t, s, timeouts{})
	messages := append(feedNow(s), s.origin.mustPut("seen"))
	polls := 0
	for _, r := range readers {
		if r.missing == "" {
			r.await(t, messages)
			if !r.stream {
				polls++
			}
		}
	}
	s.origin.wantAsked(polls, "a poll after message 2", func(r request) bool {
		return strings.HasPrefix(r.URL, "/feed/next") && strings.HasSuffix(r.URL, "after=2")
	})
	messages = append(messages, s.origin.lose("lost"), s.origin.mustPut("next"))
	wantAll(t, s.origin, readers, messages)
	for _, path := range []string{"/feed/more", "/feed/next"} {
		s.origin.wantAsked(1, path+" after message 2", func(r request) bool {
			return strings.HasPrefix(r.URL, path) && r.GripLast == "feed; last-id=2"
		})
	}
}

// Without a next message, too: a stream is looked after at the timeout of its
// link, and a poll ends at its own.
func TestLostLastPublish(t *testing.T) {
	s := newStand(t)
	readers := startReaders(t, s, timeouts{link: 3, poll: 5})
	messages := append(feedNow(s), s.origin.mustPut("seen"), s.origin.lose("lost"))
	for _, r := range readers {
		if r.missing == "" {
			r.await(t, messages)
		}
	}
	wantAll(t, s.origin, readers, messages)
}

// An origin that is killed in the midst of a burst loses publishes, and answers
// nobody until it is back. No reader loses anything.
func TestKilledOrigin(t *testing.T) {
	s := newStand(t)
	readers := startReaders(t, s, timeouts{})
	messages := putBurst(t, s.origin, burst/3)
	// A message that the killed one has stored, without an answer to the
	// writer, is put and so published again; nothing is stored twice.
	if len(messages) != burst || messages[burst-1].ID != burst+1 {
		t.Fatalf("the feed has %s, want %d", ids(messages), burst)
	}
	wantAll(t, s.origin, readers, append(feedNow(s), messages...))
}

// A stream that the origin closes ends well. An EventSource comes back, says what
// it has seen last, and misses nothing meanwhile.
func TestClosedStream(t *testing.T) {
	s := newStand(t)
	readers := startReaders(t, s, timeouts{})
	messages := append(feedNow(s), s.origin.mustPut("before"))
	for _, r := range readers {
		if r.missing == "" {
			r.await(t, messages)
		}
	}
	s.origin.farewell()
	messages = append(messages, s.origin.mustPut("meanwhile"))

	var stay []*reader
	comeBack := 0
	for _, r := range readers {
		if r.stream && !r.reconnects {
			t.Run(r.name+" ends", func(t *testing.T) {
				if r.missing != "" {
					t.Skip("SKIPPED: " + r.missing)
				}
				eventually(t, func() error {
					ended, err := r.ended()
					if err != nil {
						t.Fatalf("%s ended with %v", r.name, err)
					}
					if !ended {
						return fmt.Errorf("%s has not seen the end of its stream", r.name)
					}
					return nil
				})
				r.mu.Lock()
				defer r.mu.Unlock()
				// Two channels have no common order, so "meanwhile" may come
				// before the end.
				if before := messages[:len(messages)-1]; !slices.Equal(r.seen, before) && !slices.Equal(r.seen, messages) {
					t.Errorf("%s: got %s, want %s or one more", r.name, ids(r.seen), ids(before))
				}
			})
			continue
		}
		stay = append(stay, r)
		if r.stream && r.missing == "" {
			comeBack++
		}
	}
	wantAll(t, s.origin, stay, messages)
	s.origin.wantAsked(comeBack, "the stream after the end of the last one", func(r request) bool {
		return strings.HasPrefix(r.URL, "/feed/stream") && (r.LastEventID == "2" || r.LastEventID == "3")
	})
}

// The origin refuses what the subject has not signed; a client's own signature,
// good or not, does not reach it.
func TestSignature(t *testing.T) {
	s := newStand(t)
	for _, tt := range []struct {
		name, url, token string
		want             int
	}{
		{"signed by the subject", s.url("/page/"), "", 200},
		{"signed by the subject in spite of the client", s.url("/page/"), "forged", 200},
		{"not signed", "http://" + s.origin.address + "/page/", "", 403},
		{"signed by somebody else", "http://" + s.origin.address + "/page/", "forged", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--noproxy", "*"}
			if tt.token != "" {
				args = append(args, "--header", "Grip-Sig: "+forge(t))
			}
			if got := curl(t, append(args, tt.url)...); got != fmt.Sprint(tt.want) {
				t.Errorf("GET %s: status %s, want %d", tt.url, got, tt.want)
			}
		})
	}
	if unsigned := s.origin.asked(func(r request) bool { return !r.Signed }); len(unsigned) != 2 {
		t.Errorf("the origin was asked %d times without a good signature, want the 2 of this test: %+v", len(unsigned), unsigned)
	}
}
