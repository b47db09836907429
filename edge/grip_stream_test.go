package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"marquee/grip"
)

// journal is an origin that keeps what it has said: a line for each id. A stream
// of it goes on after the Last-Event-ID that the client knows, and the next link
// gives what came after Grip-Last.
type journal struct {
	fields http.Header // of every answer, beside those that it must have
	// wide is how many bytes a line has at least, letters by chance: more than
	// half of them is left in gzip.
	wide int
	// linking, if not nil, is called with each request for the link before it is
	// answered.
	linking func(r *http.Request)

	mu             sync.Mutex // all below
	last           int        // id
	streams, links int        // requests so far
}

const journalPath = "/journal"

// line is what clients get as the line of that id.
func (j *journal) line(id int) string {
	text := []byte(strconv.Itoa(id))
	if fill := j.wide - 1 - len(text); fill > 0 {
		digits := len(text)
		text = append(text, make([]byte, fill)...)
		_, _ = rand.NewChaCha8([32]byte{byte(id), byte(id >> 8)}).Read(text[digits:])
		for i := range text[digits:] {
			text[digits+i] = '@' + text[digits+i]&31
		}
	}
	return string(append(text, '\n'))
}

// item is what the journal publishes as the line of that id.
func (j *journal) item(id int) grip.Item { return streamItem("journal", id, j.line(id)) }

// streamItem makes an item for streams, whose ids count from 1.
func streamItem(channel string, id int, content string) grip.Item {
	return grip.Item{
		Channel: channel, ID: strconv.Itoa(id), PrevID: strconv.Itoa(id - 1),
		HTTPStream: &grip.HTTPStream{Content: []byte(content)},
	}
}

// closeItem ends all streams of a channel.
func closeItem(channel string) grip.Item {
	return grip.Item{Channel: channel, NoSeq: true, HTTPStream: &grip.HTTPStream{Action: grip.Close}}
}

// ServeHTTP implements http.Handler.
func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	link := strings.HasSuffix(r.URL.Path, "/next")
	if link && j.linking != nil {
		j.linking(r)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	known, body := j.last, ""
	if link {
		j.links++
		_, id, _ := strings.Cut(r.Header.Get("Grip-Last"), "last-id=")
		known, _ = strconv.Atoi(id)
		for id := known + 1; id <= j.last; id++ {
			body += j.line(id)
		}
		known = j.last
	} else {
		j.streams++
		if id := r.Header.Get("Last-Event-ID"); id != "" {
			known, _ = strconv.Atoi(id)
		}
	}
	for name, values := range j.fields {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Grip-Hold", "stream")
	w.Header().Set("Grip-Channel", fmt.Sprintf("journal; prev-id=%d", known))
	w.Header().Set("Grip-Link", "<"+journalPath+"/next>; rel=next; timeout=120")
	_, _ = io.WriteString(w, body)
}

// write adds a line and returns its id. It is not published.
func (j *journal) write() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	return j.last
}

// asked returns how many requests for streams and for the link there were.
func (j *journal) asked() (streams, links int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.streams, j.links
}

// chunks is the content of a chunked answer, taken out of its chunks.
type chunks struct {
	c    *client
	rest string
}

// Read implements io.Reader.
func (r *chunks) Read(p []byte) (int, error) {
	if r.rest == "" {
		data, err := r.c.readChunk()
		if err != nil {
			return 0, err
		}
		if data == "" {
			return 0, io.EOF
		}
		r.rest = data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// follower is a client with a stream of a journal.
type follower struct {
	*client
	journal *journal
	lines   *bufio.Reader
	last    int // id of the last line read
}

// follow opens a stream of a journal that goes on after that id.
func (r *rig) follow(j *journal, after int, fields ...string) *follower {
	r.t.Helper()
	f := &follower{client: r.dial(), journal: j, last: after}
	f.get(journalPath, append(fields, "Last-Event-ID: "+strconv.Itoa(after))...)
	f.wantStatus(200)
	f.lines = bufio.NewReader(&chunks{c: f.client})
	return f
}

// readTo reads lines to that of an id, and says what is wrong with them.
func (f *follower) readTo(id int) error {
	for f.last < id {
		got, err := f.lines.ReadString('\n')
		if want := f.journal.line(f.last + 1); err != nil || got != want {
			return fmt.Errorf("line %s, %v, want %s", brief(got), err, brief(want))
		}
		f.last++
	}
	return nil
}

// wantTo reads lines to that of an id.
func (f *follower) wantTo(id int) {
	f.t.Helper()
	if err := f.readTo(id); err != nil {
		f.t.Fatal(err)
	}
}

// wantEnd reads the proper end of the stream.
func (f *follower) wantEnd() {
	f.t.Helper()
	if got, err := f.lines.ReadString('\n'); got != "" || err != io.EOF {
		f.t.Fatalf("line %s, %v, want the end of the stream", brief(got), err)
	}
}

// Equal streams cost the origin one request with -share-all, and one request for
// the link in any case, whenever they come (GRIP reference 4.1, 4.3).
func TestStreamsShare(t *testing.T) {
	const clients = 20
	for _, tt := range []struct {
		name    string
		args    []string
		streams int
	}{
		{"with -share-all", []string{"-share-all"}, 1},
		{"by equal instructs", nil, clients},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &journal{last: 1}
			r := newRig(t, j, append(tt.args, "-loops", "1")...)
			var fs []*follower
			for range clients {
				fs = append(fs, r.follow(j, 1))
			}
			r.waitHolds(clients)
			if streams, links := j.asked(); streams != tt.streams || links != 0 {
				t.Errorf("the origin was asked for %d streams and %d links, want %d and 0", streams, links, tt.streams)
			}
			j.write()
			if got := r.publish(j.item(j.write()))[0]; got.Missed != clients { // 3 follows 2, which is lost
				t.Errorf("receipt %+v, want %d missed", got, clients)
			}
			for _, f := range fs {
				f.wantTo(3)
			}
			if _, links := j.asked(); links != 1 {
				t.Errorf("the origin was asked for %d links, want 1", links)
			}
			r.wantFollowing(j, clients)
			for _, f := range fs {
				f.wantTo(j.last)
			}
		})
	}
}

// wantFollowing publishes the journal's next lines until one is written to that
// many streams at once: who has read an answer's last byte cannot know that the
// edge has gone on from there.
func (r *rig) wantFollowing(j *journal, streams int) {
	r.t.Helper()
	eventually(r.t, func() error {
		if got := r.publish(j.item(j.write()))[0]; got.Written != int64(streams) {
			return fmt.Errorf("receipt %+v, want %d written", got, streams)
		}
		return nil
	})
}

// A stream that begins behind what has been published catches up by the link,
// from wherever it was, and goes on with the others (GRIP reference 4.3).
func TestStreamsCatchUp(t *testing.T) {
	for _, args := range [][]string{nil, {"-share-all"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			j := new(journal)
			r := newRig(t, j, args...)
			fs := []*follower{r.follow(j, 0)}
			for id := 1; id <= 6; id++ {
				r.publish(j.item(j.write()))
				for after := range id + 1 {
					fs = append(fs, r.follow(j, after))
				}
			}
			for _, f := range fs {
				f.wantTo(6)
			}
			r.waitHolds(len(fs))
			r.wantFollowing(j, len(fs))
			for _, f := range fs {
				f.wantTo(j.last)
			}
		})
	}
}

// Streams that are at different points ask the link each for their own.
func TestStreamsAskFromWhereTheyAre(t *testing.T) {
	j := &journal{last: 5}
	var mu sync.Mutex
	var lasts []string
	j.linking = func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		lasts = append(lasts, r.Header.Get("Grip-Last"))
	}
	r := newRig(t, j, "-loops", "1")
	fs := []*follower{r.follow(j, 5), r.follow(j, 2), r.follow(j, 2)}
	r.waitHolds(3)
	j.write()
	r.publish(j.item(j.write()))
	for _, f := range fs {
		f.wantTo(7)
	}
	if got := fmt.Sprint(lasts); len(lasts) != 2 || !strings.Contains(got, "journal; last-id=5") || !strings.Contains(got, "journal; last-id=2") {
		t.Errorf("Grip-Last of the links is %q, want last-id 5 and 2 once each", lasts)
	}
}

// What is published while the link is being asked waits for its answer, and
// comes once, be it in that answer or not.
func TestPublishDuringLink(t *testing.T) {
	j := new(journal)
	askedCh, goCh := make(chan struct{}, 1), make(chan struct{})
	j.linking = func(r *http.Request) {
		askedCh <- struct{}{}
		hang(r, goCh)
	}
	r := newRig(t, j, "-loops", "1")
	f := r.follow(j, 0)
	r.waitHolds(1)
	j.write()
	r.publish(j.item(j.write())) // 2: 1 is lost
	await(t, askedCh, "the link at the origin")
	r.publish(j.item(j.write())) // 3: in the link's answer as well
	close(goCh)
	f.wantTo(3)
	r.publish(j.item(j.write()))
	f.wantTo(4)
}

// A client that leaves one of several equal streams takes nothing from the
// others; when the last has left, nothing is left.
func TestStreamsLeave(t *testing.T) {
	j := new(journal)
	r := newRig(t, j, "-share-all")
	var fs []*follower
	for range 10 {
		fs = append(fs, r.follow(j, 0))
	}
	for len(fs) > 0 {
		r.waitHolds(len(fs))
		id := j.write()
		if got := r.publish(j.item(id))[0]; got.Written != int64(len(fs)) {
			t.Errorf("receipt %+v, want %d written", got, len(fs))
		}
		for _, f := range fs {
			f.wantTo(id)
		}
		fs[0].leave()
		fs = fs[1:]
	}
	r.waitHolds(0)
	r.onLoops(func(l *loop) {
		if len(l.streams) > 0 {
			t.Errorf("a loop has streams under %d keys, want none", len(l.streams))
		}
	})
}

// A stream that an item ends leaves its connection good for the next request,
// and what was sent during it is answered after it, in order (RFC 9112 §9.3).
func TestRequestsBehindStream(t *testing.T) {
	j := new(journal)
	r := newRig(t, j)
	f := r.follow(j, 0)
	r.waitHolds(1)
	f.send(request("GET", journalPath, "Last-Event-ID: 1") + request("GET", journalPath, "Last-Event-ID: 2", "Connection: close"))
	f.wantNothing()
	r.publish(j.item(j.write()))
	f.wantTo(1)
	r.publish(closeItem("journal"))
	f.wantEnd()
	for last := range 2 { // then both requests are streams, one after the other
		f.wantStatus(200)
		f.lines = bufio.NewReader(&chunks{c: f.client})
		r.waitHolds(1)
		id := j.write()
		r.publish(j.item(id))
		f.wantTo(id)
		r.publish(closeItem("journal"))
		f.wantEnd()
		if last == 1 {
			f.wantClosed()
		}
	}
	r.waitHolds(0)
}

// An edge that is told to stop ends its streams properly, and the connections.
func TestDrainStreams(t *testing.T) {
	j := new(journal)
	r := newRig(t, j, "-drain-timeout", "1m")
	var fs []*follower
	for _, fields := range [][]string{nil, {"Accept-Encoding: gzip"}, {"Accept-Encoding: zstd"}} {
		fs = append(fs, r.follow(j, 0, fields...))
	}
	old := r.dial()
	old.send("GET " + journalPath + " HTTP/1.0\r\nLast-Event-ID: 0\r\n\r\n")
	old.wantStatus(200)
	r.waitHolds(4)
	r.publish(j.item(j.write()))
	stoppedCh := r.stopping()
	for _, f := range fs {
		wire, err := io.ReadAll(f.lines)
		if err != nil {
			t.Fatal(err)
		}
		coding := f.head.Get("Content-Encoding")
		if got := decoded(t, coding, string(wire)); got != j.line(1) {
			t.Errorf("a stream in %q gave %q, want %q", coding, got, j.line(1))
		}
		f.wantClosed()
	}
	old.wantBody(j.line(1))
	old.leave()
	await(t, stoppedCh, "the edge's end")
}

// Who has seen a stream begin gets what is published from then on.
func TestPublishOnceOpen(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Grip-Hold", "stream")
		w.Header().Set("Grip-Channel", req.URL.Path[1:])
	}))
	for i := range 200 {
		channel := "c" + strconv.Itoa(i)
		c := r.dial()
		c.get("/" + channel)
		c.wantStatus(200)
		it := streamItem(channel, 1, "news")
		it.PrevID = ""
		if got := r.publish(it)[0]; got.Matched != 1 {
			t.Fatalf("stream %d: receipt %+v, want 1 matched", i, got)
		}
		c.wantChunk("news")
		c.leave()
	}
}
