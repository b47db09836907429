package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// eventService is a headline service on real sockets with streams of its own. At
// the start its headline is number 1.
type eventService struct {
	*httptest.Server
	// cut ends a stream that has sent a message, for the nth time 1, 2, ..., if it
	// returns true; nil never. Replaced before the first request.
	cut func(n int) bool

	mu        sync.Mutex
	headlines []string // of the ids from 1 on
	changedCh chan struct{}
	cuts      int
	lastIDs   []string // of the requests that named one
}

func startEventService(t *testing.T) *eventService {
	t.Helper()
	s := &eventService{headlines: []string{"first"}, changedCh: make(chan struct{})}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *eventService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		s.mu.Lock()
		s.headlines = append(s.headlines, r.FormValue("body"))
		id := len(s.headlines)
		close(s.changedCh)
		s.changedCh = make(chan struct{})
		s.mu.Unlock()
		fmt.Fprint(w, s.json(id))
	case r.Header.Get("Accept") == "text/event-stream":
		s.stream(w, r)
	default:
		fmt.Fprint(w, s.json(s.newest()))
	}
}

func (s *eventService) newest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.headlines)
}

func (s *eventService) json(id int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf(`{"id": %d, "body": %q}`, id, s.headlines[id-1])
}

// stream sends the present headline, or those after Last-Event-ID, and then the
// others, with a comment before each.
func (s *eventService) stream(w http.ResponseWriter, r *http.Request) {
	next := s.newest()
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		s.mu.Lock()
		s.lastIDs = append(s.lastIDs, last)
		s.mu.Unlock()
		n, err := strconv.Atoi(last)
		if err != nil {
			http.Error(w, "Last-Event-ID is no number", http.StatusBadRequest)
			return
		}
		next = n + 1
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for ; ; next++ {
		for {
			s.mu.Lock()
			changedCh, there := s.changedCh, next <= len(s.headlines)
			s.mu.Unlock()
			if there {
				break
			}
			select {
			case <-changedCh:
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprintf(w, ":\n\nid: %d\ndata: %s\n\n", next, s.json(next))
		_ = http.NewResponseController(w).Flush()
		if s.cutNow() {
			return
		}
	}
}

func (s *eventService) cutNow() bool {
	if s.cut == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts++
	return s.cut(s.cuts)
}

func streamFlags(url string, more ...string) []string {
	return append([]string{"-stream", "-url", url + "/headline/events/", "-post", url + "/headline/value/",
		"-repoll-delay", "0s", "-repoll-jitter", "20ms"}, more...)
}

// TestProcessStreams runs the command against a service of streams and checks all
// it puts out.
func TestProcessStreams(t *testing.T) {
	s := startEventService(t)
	file := filepath.Join(t.TempDir(), "summary.json")
	out, err := command(t, streamFlags(s.URL, "-c", "100", "-changes", "20", "-every", "10ms", "-json", file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("exit: %v\n%s", err, out)
	}
	for _, want := range []string{
		`(?m)^100 clients connected in \d+\.\d{3} s$`,
		`(?m)^\d\d:\d\d:\d\d\.\d{3} streams=100 messages=2000 keep-alives=2100 rt=\d+/\d+/\d+$`,
		`(?m)^ +all +2000 +2000 +0( +\d+\.\d{3}){7}$`,
		`(?m)^errors: connect 0, reset 0, timeout 0, status 0, torn 0, wrong 0$`,
		`(?m)^streams: gaps 0, repeats 0, reorders 0; 2000 messages, 2100 keep-alives, 20 changes in \d+\.\d{3} s$`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("output lacks %s\n%s", want, out)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := decode(t, b)
	if !r.OK || len(r.Changes) != 20 || r.Streams == nil || r.Streams.Messages != 2000 || r.Streams.PostingSeconds < 0.1 {
		t.Errorf("JSON: %s", b)
	}
}

// TestStreamsReconnect ends streams all the time: nothing may be lost or come twice.
func TestStreamsReconnect(t *testing.T) {
	for _, version := range []string{"1.1", "1.0"} {
		t.Run("HTTP "+version, func(t *testing.T) {
			s := startEventService(t)
			s.cut = func(n int) bool { return n%7 == 0 }
			flags := streamFlags(s.URL, "-c", "20", "-changes", "20", "-every", "10ms", "-json", "-")
			if version == "1.0" {
				flags = append(flags, "-reconnect")
			}
			var out, log bytes.Buffer
			if err := runCommand(t.Context(), flags, &out, &log); err != nil {
				t.Fatalf("%v\n%s", err, log.Bytes())
			}
			r := decode(t, out.Bytes())
			if r.Streams.Messages != 20*20 || r.Reconnects == 0 || r.Errors["torn"] > 0 || r.Errors["reset"] > 0 {
				t.Errorf("%d messages, %d reconnects, errors %v, want 400, some, no torn or reset", r.Streams.Messages, r.Reconnects, r.Errors)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.lastIDs) == 0 {
				t.Error("no request named Last-Event-ID")
			}
		})
	}
}

// streamTest is one client at one end of a socket pair, whose stream has begun.
type streamTest struct {
	*pool
	server int
}

func newStreamTest(tb testing.TB, head string, flags ...string) *streamTest {
	tb.Helper()
	st := &streamTest{pool: newIdlePool(tb, 1, "http://127.0.0.1:1/", append(flags, "-stream")...)}
	ours, theirs := pair(tb)
	fd, err := unix.Dup(ours) // that of the pool, which closes it
	if err != nil {
		tb.Fatal(err)
	}
	st.server = theirs
	st.plug(0, fd)
	st.request(0)
	if n, err := unix.Read(theirs, st.readBuf); err != nil || n == 0 {
		tb.Fatalf("read the request: %d bytes, %v", n, err)
	}
	if head != "" {
		st.send(tb, head)
	}
	return st
}

func (st *streamTest) send(tb testing.TB, bytes string) {
	tb.Helper()
	if _, err := unix.Write(st.server, []byte(bytes)); err != nil {
		tb.Fatal(err)
	}
	st.ready(0, unix.EPOLLIN)
}

// chunk is one chunk with the event of a headline.
func chunk(id int) string {
	event := fmt.Sprintf("id: %d\ndata: {\"id\": %d, \"body\": \"Flight %d\"}\n\n", id, id, id)
	return fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestStreamOrder(t *testing.T) {
	for _, tt := range []struct {
		name       string
		ids        []int
		want       order
		deliveries int
	}{
		{"in order", []int{5, 6, 7}, order{}, 2},
		{"one left out", []int{5, 7, 8}, order{gaps: 1}, 2},
		{"three left out", []int{5, 9}, order{gaps: 3}, 1},
		{"twice", []int{5, 6, 6, 7}, order{repeats: 1}, 2},
		{"the first twice", []int{5, 5, 6}, order{repeats: 1}, 1},
		{"swapped", []int{5, 7, 6, 8}, order{gaps: 1, reorders: 1}, 2},
		{"begun again", []int{5, 6, 7, 5, 6, 7}, order{reorders: 2, repeats: 1}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStreamTest(t, streamHead)
			for _, id := range tt.ids {
				st.send(t, chunk(id))
			}
			if st.order != tt.want || st.deliveries != tt.deliveries || st.faults != [faults]int{} {
				t.Errorf("ids %v: got %+v, %d deliveries, faults %v, want %+v, %d, none", tt.ids, st.order, st.deliveries, st.faults, tt.want, tt.deliveries)
			}
		})
	}
}

// TestStreamSplit gives a stream to a client cut in two everywhere.
func TestStreamSplit(t *testing.T) {
	whole := "HTTP/1.1 100 Continue\r\n\r\n" + streamHead + chunk(1) + "3\r\n:\n\n\r\n" + chunk(2) + chunk(3)
	for n := range len(whole) - 1 {
		st := newStreamTest(t, whole[:n+1])
		st.send(t, whole[n+1:]+chunk(4))
		if st.deliveries != 3 || st.keepAlives != 1 || st.order != (order{}) || st.faults != [faults]int{} || st.clients[0].state != streaming {
			t.Fatalf("cut at %d: %d deliveries, %d keep-alives, %+v, faults %v, %v, want 3, 1, none, none, streaming",
				n+1, st.deliveries, st.keepAlives, st.order, st.faults, st.clients[0].state)
		}
	}
}

// TestStreamFaults ends or spoils streams; who is at fault is told, and the client
// tries again.
func TestStreamFaults(t *testing.T) {
	const end = "\x00" // the server closes the connection
	for _, tt := range []struct {
		name, in   string
		fault      fault // faults: none
		reconnects int
	}{
		{"ended in order", streamHead + chunk(1) + "0\r\n\r\n", faults, 1},
		{"ended in order and closed", streamHead + chunk(1) + "0\r\n\r\n" + end, faults, 1},
		{"HTTP/1.0 ended", "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: {\"id\": 1, \"body\": \"x\"}\n\n" + end, faults, 1},
		{"HTTP/1.0 ended in an event", "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: {\"id\"" + end, torn, 0},
		{"no answer", end, reset, 0},
		{"part of a head", "HTTP/1.1 200 OK\r\n" + end, torn, 0},
		{"cut between messages", streamHead + chunk(1) + end, reset, 0},
		{"cut in a chunk", streamHead + chunk(1)[:20] + end, torn, 0},
		{"cut in an event", streamHead + "4\r\nid: \r\n" + end, torn, 0},
		{"bytes after the end", streamHead + "0\r\n\r\nx", torn, 0},
		{"no chunk", streamHead + "id: 1\r\n", torn, 0},
		{"no such page", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", status, 0},
		{"no stream", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", torn, 0},
		{"no head", "hello\r\n\r\n", torn, 0},
		{"no headline", streamHead + "a\r\ndata: {}\n\n\r\n", torn, 0},
		{"no JSON", streamHead + "9\r\ndata: x\n\n\r\n", torn, 0},
		{"another id", streamHead + strings.Replace(chunk(1), "id: 1", "id: 2", 1), wrong, 0},
		{"another text", streamHead + chunk(1) + strings.Replace(chunk(1), "Flight 1", "Flight 2", 1), wrong, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, ends := strings.CutSuffix(tt.in, end)
			st := newStreamTest(t, in)
			if ends {
				if err := unix.Shutdown(st.server, unix.SHUT_WR); err != nil {
					t.Fatal(err)
				}
				if st.clients[0].fd >= 0 {
					st.ready(0, unix.EPOLLIN|unix.EPOLLRDHUP)
				}
			}
			var want [faults]int
			if tt.fault < faults {
				want[tt.fault] = 1
			}
			c := &st.clients[0]
			if st.faults != want || st.reconnects != tt.reconnects || c.state != resting || c.fd >= 0 || c.partial != nil {
				t.Errorf("faults %v, %d reconnects, %v, connected %v, want %v, %d, resting, false", st.faults, st.reconnects, c.state, c.fd >= 0, want, tt.reconnects)
			}
		})
	}
}

// TestStreamRequest pins what a client sends, first and to go on.
func TestStreamRequest(t *testing.T) {
	const first = "GET /events/?a=b HTTP/1.1\r\nHost: 127.0.0.1:1\r\nUser-Agent: marquee-loadclient\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n"
	for _, tt := range []struct {
		name, speaks string
		last         uint64
		hasLast      bool
		want         string
	}{
		{"first", "headline", 0, false, first + "\r\n"},
		{"after a message", "headline", 41, true, first + "Last-Event-ID: 41\r\n\r\n"},
		{"foreign, after a message", "nchan", 41, true, first + "\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdlePool(t, 1, "http://127.0.0.1:1/events/?a=b", "-stream", "-speaks", tt.speaks)
			if got := p.target.appendRequest(nil, 0, &client{id: tt.last, started: tt.hasLast}); string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestStreamSpare gives a stream events of many sizes in two parts: no more memory
// stays than some.
func TestStreamSpare(t *testing.T) {
	st := newStreamTest(t, strings.ReplaceAll(streamHead, "Transfer-Encoding: chunked\r\n", ""))
	for n, size := range []int{10, 1000, maxSpare, 64 << 10, 100} {
		event := fmt.Sprintf("id: %d\ndata: {\"id\": %d, \"body\": \"%s\"}\n\n", n+1, n+1, strings.Repeat("x", size))
		st.send(t, event[:len(event)-5])
		if got := len(st.clients[0].partial); got != len(event)-5 {
			t.Errorf("%d bytes: %d are kept until the rest comes, want %d", size, got, len(event)-5)
		}
		st.send(t, event[len(event)-5:])
		if got := cap(st.clients[0].partial); got > maxSpare || st.deliveries != n {
			t.Errorf("%d bytes: memory for %d stays, %d deliveries, want at most %d, %d", size, got, st.deliveries, maxSpare, n)
		}
	}
}

func TestStreamAllocs(t *testing.T) {
	st, deliver := newMessageTest(t)
	if n := testing.AllocsPerRun(1000, deliver); n != 0 {
		t.Errorf("%v allocations a message, want 0", n)
	}
	if st.deliveries < 1000 || st.order != (order{}) || st.faults != [faults]int{} {
		t.Errorf("%d deliveries, %+v, faults %v", st.deliveries, st.order, st.faults)
	}
}

// newMessageTest returns a stream, and what delivers a message on it.
func newMessageTest(tb testing.TB) (*streamTest, func()) {
	st := newStreamTest(tb, streamHead+chunk(1))
	messages := [][]byte{[]byte(chunk(2)), []byte(chunk(1))}
	n := 0
	deliver := func() {
		st.clients[0].id = uint64(n % 2) // goes back, so that two headlines are enough
		n++
		if _, err := unix.Write(st.server, messages[n%2]); err != nil {
			tb.Fatal(err)
		}
		st.ready(0, unix.EPOLLIN)
	}
	deliver() // which parses the first
	deliver()
	st.ledger.begin(st.ledger.headlines[0], 1<<40) // so that it is never complete
	st.ledger.begin(st.ledger.headlines[1], 1<<40)
	return st, deliver
}

// BenchmarkMessage is a message on a stream, on a socket pair. The server's write
// is included.
func BenchmarkMessage(b *testing.B) {
	_, deliver := newMessageTest(b)
	b.ReportAllocs()
	for b.Loop() {
		deliver()
	}
}

// TestStreamTimeout has a stream that does not begin time out, and one that has
// begun go on.
func TestStreamTimeout(t *testing.T) {
	st := newStreamTest(t, "HTTP/1.1 200 OK\r\n")
	if _, ok := st.timers.next(); !ok {
		t.Error("a request without an answer has no deadline")
	}
	st.timedOut(0)
	if st.faults[timeout] != 1 {
		t.Errorf("faults %v, want a timeout", st.faults)
	}
	st = newStreamTest(t, streamHead)
	if at, ok := st.timers.next(); ok {
		t.Errorf("a stream that has begun has a deadline in %v", at-time.Second)
	}
}
