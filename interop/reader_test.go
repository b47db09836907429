package interop

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A reader is a client that follows the feed from its begin.
type reader struct {
	name   string
	stream bool // it holds one long response; else it polls
	// reconnects is true of one that comes back when its stream has ended.
	reconnects bool
	missing    string // why there is none, if it cannot be run here
	// ended tells whether it has seen the end of its stream, and how. Nil for
	// those that come back.
	ended func() (bool, error)

	mu   sync.Mutex
	seen []message // guarded by mu
}

// Timeouts say, in seconds, after how long without a message the subject asks
// for more on behalf of a stream, and answers a poll. Zero is GRIP's default: 120
// and 55.
type timeouts struct{ link, poll int }

// startReaders starts one reader of each kind, and returns when each has seen
// the feed's first message.
func startReaders(t *testing.T, s *stand, after timeouts) []*reader {
	t.Helper()
	stream := fmt.Sprintf("/feed/stream?link=%d", after.link)
	next := fmt.Sprintf("/feed/next?timeout=%d", after.poll)
	readers := []*reader{
		startNode(t, s.url(stream)),
		startCurlStream(t, "curl -N", s.url(stream)),
		startCurlStream(t, "curl -N --compressed", s.url(stream), "--compressed"),
		startCurlStream(t, "curl -N --http1.0", s.url(stream), "--http1.0"),
		startCurlPoll(t, s.url(next)),
	}
	readers = append(readers, startPage(t, s.url("/page/"), stream, next)...)
	first := s.origin.mustPut("first")
	for _, r := range readers {
		if r.missing == "" {
			r.await(t, []message{first})
		}
	}
	return readers
}

// add is told each message that the reader has got.
func (r *reader) add(messages ...message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, messages...)
}

// addData is add for a line of a stream of events: that with the data.
func (r *reader) addData(line string) {
	data, found := strings.CutPrefix(line, "data: ")
	if !found {
		return
	}
	r.addJSON(data)
}

func (r *reader) addJSON(text string) {
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		m.Text = fmt.Sprintf("%q: %v", text, err) // what no message of the feed is
	}
	r.add(m)
}

// await waits until the reader has seen what is wanted, in this order and
// nothing else.
func (r *reader) await(t *testing.T, want []message) {
	t.Helper()
	var got []message
	deadline := time.Now().Add(patience)
	for {
		r.mu.Lock()
		got = slices.Clone(r.seen)
		r.mu.Unlock()
		if slices.Equal(got, want) {
			return
		}
		if common := min(len(got), len(want)); len(got) > len(want) || !slices.Equal(got[:common], want[:common]) || time.Now().After(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%s: got %s, want %s", r.name, ids(got), ids(want))
}

// ids prints the ids of messages; texts only where they do not belong to them.
func ids(messages []message) string {
	var b strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&b, " %d", m.ID)
		if m.ID == 0 {
			fmt.Fprintf(&b, "(%s)", m.Text)
		}
	}
	return fmt.Sprintf("%d messages,%s", len(messages), b.String())
}

// wantAll checks, a subtest for each, that the readers have seen every message
// of the feed once and in order. It adds one more, so that what comes twice
// or late is seen to.
func wantAll(t *testing.T, o *origin, readers []*reader, want []message) {
	t.Helper()
	want = append(slices.Clone(want), o.mustPut("last"))
	for _, r := range readers {
		t.Run(r.name, func(t *testing.T) {
			if r.missing != "" {
				t.Skip("SKIPPED: " + r.missing)
			}
			r.await(t, want)
		})
	}
}

// startNode starts the EventSource of the package eventsource.
func startNode(t *testing.T, url string) *reader {
	r := &reader{name: "eventsource", stream: true, reconnects: true}
	start(t, command{path: find(t, "node"), args: []string{"eventsource.mjs", url}, dir: "node", stdout: r.addJSON})
	return r
}

// curlOptions make curl quiet about all but errors, and deliver at once.
var curlOptions = []string{"--silent", "--show-error", "--fail", "--no-buffer", "--noproxy", "*"}

// startCurlStream starts a curl that reads a stream.
func startCurlStream(t *testing.T, name, url string, options ...string) *reader {
	t.Helper()
	r := &reader{name: name, stream: true}
	path, err := exec.LookPath("curl")
	if err != nil {
		r.missing = "there is no curl here"
		return r
	}
	p := start(t, command{path: path, args: slices.Concat(curlOptions, options, []string{url}), stdout: r.addData})
	r.ended = func() (bool, error) {
		select {
		case <-p.doneCh:
			return true, p.err
		default:
			return false, nil
		}
	}
	return r
}

// startCurlPoll starts one curl after another, each of which gets the messages
// after those that the ones before have got.
func startCurlPoll(t *testing.T, url string) *reader {
	t.Helper()
	r := &reader{name: "curl"}
	path, err := exec.LookPath("curl")
	if err != nil {
		r.missing = "there is no curl here"
		return r
	}
	ctx, doneCh := t.Context(), make(chan struct{})
	t.Cleanup(func() { <-doneCh })
	go func() { // ends with the test, as the curl that is running then does
		defer close(doneCh)
		for last := 0; ctx.Err() == nil; {
			// Curl asks again when the answer is 502, as long as the origin is down.
			body, err := exec.CommandContext(ctx, path, slices.Concat(curlOptions,
				[]string{"--retry", "10", "--retry-delay", "1", fmt.Sprintf("%s&after=%d", url, last)})...).Output()
			var news []message
			if err == nil {
				err = json.Unmarshal(body, &news)
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				r.add(message{Text: fmt.Sprintf("curl: %v: %q", err, body)})
				return
			}
			r.add(news...)
			if len(news) > 0 {
				last = news[len(news)-1].ID
			}
		}
	}()
	return r
}
