package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/grip"
)

// patience is how long a test waits for an event that must come.
const patience = 20 * time.Second

// A testEdge is a control endpoint on a real socket that keeps what it is sent.
type testEdge struct {
	url string
	// itemCh gets each item that was answered with 200, in order.
	itemCh chan grip.Item
}

// newTestEdge starts an edge. status decides the answer to the nth publish, 1
// for the first; nil stands for 200 always. It may block.
func newTestEdge(t testing.TB, status func(n int) int) *testEdge {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newTestEdgeAt(t, listener, status)
}

func newTestEdgeAt(t testing.TB, listener net.Listener, status func(n int) int) *testEdge {
	e := &testEdge{itemCh: make(chan grip.Item, 1000)}
	var mu sync.Mutex
	n := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the publisher gave up, which is its right
		}
		items, err := grip.ParseItems(body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/publish/" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("edge got %s %s, Content-Type %q, items error %v, body %s", r.Method, r.URL, r.Header.Get("Content-Type"), err, body)
		}
		mu.Lock()
		n++
		nth := n
		mu.Unlock()
		code := http.StatusOK
		if status != nil {
			code = status(nth)
		}
		if code == http.StatusOK {
			for _, it := range items {
				e.itemCh <- it
			}
		}
		w.WriteHeader(code)
		fmt.Fprintln(w, "the edge says", code)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// unusedAddr returns an address where nobody listens.
func unusedAddr(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// wantItem waits for the next item and fails unless it is the headline with
// that id and JSON object, following the id before.
func (e *testEdge) wantItem(t testing.TB, id uint64, json string) {
	t.Helper()
	prev := ""
	if id > 1 {
		prev = strconv.FormatUint(id-1, 10)
	}
	select {
	case it := <-e.itemCh:
		if it.Channel != "headline-value" || it.ID != strconv.FormatUint(id, 10) || it.PrevID != prev {
			t.Fatalf("edge got item %q %q after %q, want headline-value %d after %q", it.Channel, it.ID, it.PrevID, id, prev)
		}
		if r := it.HTTPResponse; r == nil || r.Code != 200 || r.Header.Get("Content-Type") != "application/json" || string(r.Body) != json {
			t.Fatalf("item %d has http-response %+v, want 200 application/json %s", id, r, json)
		}
		if want := fmt.Sprintf("id: %d\ndata: %s\n\n", id, json); it.HTTPStream == nil || string(it.HTTPStream.Content) != want {
			t.Fatalf("item %d has http-stream %+v, want %q", id, it.HTTPStream, want)
		}
	case <-time.After(patience):
		t.Fatalf("edge did not get item %d", id)
	}
}

// wantNoItem fails when an item has come.
func (e *testEdge) wantNoItem(t testing.TB) {
	t.Helper()
	select {
	case it := <-e.itemCh:
		t.Errorf("edge got item %s after %s, want none", it.ID, it.PrevID)
	default:
	}
}

// A logLines keeps a log as text and lets tests wait for a line.
type logLines struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	addCh chan struct{} // has a token when something was added
}

func newLogLines() (*logLines, *slog.Logger) {
	l := &logLines{addCh: make(chan struct{}, 1)}
	return l, slog.New(slog.NewTextHandler(l, nil))
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.addCh <- struct{}{}:
	default:
	}
	return l.buf.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// wait waits until the log has text n times.
func (l *logLines) wait(t testing.TB, text string, n int) {
	t.Helper()
	deadline := time.After(patience)
	for strings.Count(l.String(), text) < n {
		select {
		case <-l.addCh:
		case <-deadline:
			t.Fatalf("the log does not have %q %d times:\n%s", text, n, l)
		}
	}
}

// wantCount fails unless the log has text n times by now.
func (l *logLines) wantCount(t testing.TB, text string, n int) {
	t.Helper()
	if got := strings.Count(l.String(), text); got != n {
		t.Errorf("the log has %q %d times, want %d:\n%s", text, got, n, l)
	}
}

// wait waits until the Go channel is closed.
func wait(t testing.TB, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatalf("timed out waiting for %s", what)
	}
}

// commit changes the headline without waiting for the edges and returns it with
// what change would wait for.
func commit(t testing.TB, svc *service, body string) (*headline, []<-chan struct{}) {
	t.Helper()
	h, acks, err := svc.commit(t.Context(), body)
	if err != nil {
		t.Fatalf("commit(%q): %v", body, err)
	}
	return h, acks
}

func TestChangeWaitsForHealthyEdges(t *testing.T) {
	one, two := newTestEdge(t, nil), newTestEdge(t, nil)
	svc := newTestService(t, slog.New(slog.DiscardHandler), one, two)
	_, acks := commit(t, svc, "a")
	if len(acks) != 2 {
		t.Fatalf("a change waits for %d edges, want 2", len(acks))
	}
	for _, ch := range acks {
		wait(t, ch, "the edge")
	}
	// Both edges have the item by now, so neither of these waits.
	for _, e := range []*testEdge{one, two} {
		if len(e.itemCh) != 1 {
			t.Errorf("the change is over and the edge has %d items, want 1", len(e.itemCh))
		}
	}
}

func TestEdgeDownThenUp(t *testing.T) {
	addr := unusedAddr(t)
	lines, log := newLogLines()
	healthy := newTestEdge(t, nil)
	svc := newTestService(t, log, healthy, &testEdge{url: "http://" + addr})

	first, acks := commit(t, svc, "a")
	if len(acks) != 2 {
		t.Fatalf("the first change waits for %d edges, want 2", len(acks))
	}
	for _, ch := range acks {
		wait(t, ch, "the first attempt")
	}
	second, acks := commit(t, svc, "b")
	if len(acks) != 1 {
		t.Errorf("with an edge down, a change waits for %d edges, want 1", len(acks))
	}
	healthy.wantItem(t, 1, string(first.json))
	healthy.wantItem(t, 2, string(second.json))

	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	returned := newTestEdgeAt(t, listener, nil)
	returned.wantItem(t, 1, string(first.json))
	returned.wantItem(t, 2, string(second.json))
	lines.wait(t, "edge is up", 1)
	lines.wantCount(t, "edge is down", 1)
	if _, acks := commit(t, svc, "c"); len(acks) != 2 {
		t.Errorf("with the edge up again, a change waits for %d edges, want 2", len(acks))
	}
}

func TestEdgeAnswers500Then200(t *testing.T) {
	lines, log := newLogLines()
	edge := newTestEdge(t, func(n int) int {
		if n <= 3 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	svc := newTestService(t, log, edge)
	first, second := mustChange(t, svc, "a"), mustChange(t, svc, "b")
	edge.wantItem(t, 1, string(first.json))
	edge.wantItem(t, 2, string(second.json))
	lines.wait(t, "edge is up", 1)
	lines.wantCount(t, "edge is down", 1)
	lines.wantCount(t, "500 Internal Server Error: the edge says 500", 1)
}

// What will not change by repetition is not repeated (2xx of any kind is
// success).
func TestEdgeAnswersForGood(t *testing.T) {
	tests := []struct {
		status   int
		refusals int
	}{
		{http.StatusAccepted, 0},
		{http.StatusNoContent, 0},
		{http.StatusFound, 1},
		{http.StatusBadRequest, 1},
		{http.StatusUnauthorized, 1},
	}
	for _, tt := range tests {
		t.Run(strconv.Itoa(tt.status), func(t *testing.T) {
			lines, log := newLogLines()
			edge := newTestEdge(t, func(n int) int {
				if n == 1 {
					return tt.status
				}
				return http.StatusOK
			})
			svc := newTestService(t, log, edge)
			mustChange(t, svc, "a")
			second := mustChange(t, svc, "b")
			edge.wantItem(t, 2, string(second.json))
			lines.wantCount(t, "edge refuses an item", tt.refusals)
			lines.wantCount(t, "edge is down", 0)
		})
	}
}

// newHangingEdge starts an edge that answers nothing until open is called.
// arrivedCh gets a token for each publish that has come.
func newHangingEdge(t testing.TB) (e *testEdge, arrivedCh chan struct{}, open func()) {
	arrivedCh = make(chan struct{}, 1000)
	openCh := make(chan struct{})
	e = newTestEdge(t, func(int) int {
		arrivedCh <- struct{}{}
		<-openCh
		return http.StatusOK
	})
	open = sync.OnceFunc(func() { close(openCh) })
	t.Cleanup(open) // runs before the edge's own, which waits for its handlers
	return e, arrivedCh, open
}

func TestHangingEdgeDelaysNobody(t *testing.T) {
	hanging, arrivedCh, open := newHangingEdge(t)
	healthy := newTestEdge(t, nil)
	svc := newTestService(t, slog.New(slog.DiscardHandler), hanging, healthy)

	first := mustChange(t, svc, "a") // waits for ackWait, and no longer
	wait(t, arrivedCh, "the publish to arrive")
	for i := range 3 {
		body := fmt.Sprint("while one edge hangs ", i)
		h, acks := commit(t, svc, body)
		if len(acks) != 1 {
			t.Errorf("a change waits for %d edges, want only the healthy one", len(acks))
		}
		if i == 0 {
			healthy.wantItem(t, first.id, string(first.json))
		}
		healthy.wantItem(t, h.id, string(h.json))
	}
	hanging.wantNoItem(t)
	open()
	for id := uint64(1); id <= 4; id++ {
		select {
		case it := <-hanging.itemCh:
			if want := strconv.FormatUint(id, 10); it.ID != want {
				t.Errorf("the edge got item %s, want %s", it.ID, want)
			}
		case <-time.After(patience):
			t.Fatalf("the edge did not get item %d", id)
		}
	}
}

func TestQueueOverflow(t *testing.T) {
	const surplus = 7
	edge, arrivedCh, open := newHangingEdge(t)
	lines, log := newLogLines()
	svc := newTestService(t, log, edge)

	commit(t, svc, "1")
	wait(t, arrivedCh, "item 1 to leave the queue")
	for i := range queueBound + surplus {
		commit(t, svc, strconv.Itoa(i+2))
	}
	lines.wantCount(t, "edge queue is full", 1)
	open()
	last := uint64(1 + surplus + queueBound)
	edge.wantItem(t, 1, string(newHeadline(1, "1").json))
	// Items 2 to 1+surplus are gone. The next one does not follow item 1.
	for id := uint64(2 + surplus); id <= last; id++ {
		edge.wantItem(t, id, string(newHeadline(id, strconv.FormatUint(id, 10)).json))
	}
	lines.wait(t, fmt.Sprintf(`"edge is up" edge=%s dropped=%d`, edge.url, surplus), 1)
	lines.wantCount(t, "edge queue is full", 1)
}

// Closing sends what is queued.
func TestCloseFlushes(t *testing.T) {
	edge, arrivedCh, open := newHangingEdge(t)
	svc, err := openService(t.Context(), testStore(t.TempDir()), testEndpoints(t, edge.url), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 5 {
		h, _ := commit(t, svc, strconv.Itoa(i))
		want = append(want, string(h.json))
	}
	wait(t, arrivedCh, "the publish to arrive")
	go open()
	svc.close()
	for i, json := range want {
		edge.wantItem(t, uint64(i+1), json)
	}
}

// Closing is over soon when there is no getting through to an edge.
func TestCloseGivesUp(t *testing.T) {
	t.Run("edge down", func(t *testing.T) {
		lines, log := newLogLines()
		svc, err := openService(t.Context(), testStore(t.TempDir()), testEndpoints(t, "http://"+unusedAddr(t)), log)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			commit(t, svc, strconv.Itoa(i))
		}
		svc.close()
		lines.wantCount(t, "edge misses items at shutdown", 1)
		lines.wantCount(t, "first=1 items=3", 1)
	})
	t.Run("edge hanging", func(t *testing.T) {
		edge, arrivedCh, _ := newHangingEdge(t)
		lines, log := newLogLines()
		svc, err := openService(t.Context(), testStore(t.TempDir()), testEndpoints(t, edge.url), log)
		if err != nil {
			t.Fatal(err)
		}
		commit(t, svc, "a")
		wait(t, arrivedCh, "the publish to arrive")
		begun := time.Now()
		svc.close()
		if took := time.Since(begun); took < flushTimeout {
			t.Errorf("close took %s, want the edge to have had %s", took, flushTimeout)
		}
		lines.wantCount(t, "edge misses items at shutdown", 1)
	})
}

// Whoever is killed between storing a headline and publishing it publishes it
// when it starts again.
func TestStartPublishesWhatIsStored(t *testing.T) {
	dir := t.TempDir()
	unheard, err := openService(t.Context(), testStore(dir), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	first := mustChange(t, unheard, "before")
	unheard.close()

	edge := newTestEdge(t, nil)
	edge.wantNoItem(t)
	endpoints := testEndpoints(t, edge.url)
	svc, err := openService(t.Context(), testStore(dir), endpoints, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	edge.wantItem(t, 1, string(first.json))
	second := mustChange(t, svc, "after")
	svc.close() // flushes
	edge.wantItem(t, 2, string(second.json))
	edge.wantNoItem(t)

	again, err := openService(t.Context(), testStore(dir), endpoints, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	again.close()
	edge.wantItem(t, 2, string(second.json))
	edge.wantNoItem(t)
}

// testEndpoints parses control URLs.
func testEndpoints(t testing.TB, urls ...string) []*grip.Endpoint {
	t.Helper()
	var endpoints []*grip.Endpoint
	for _, u := range urls {
		ep, err := grip.ParseEndpoint(u)
		if err != nil {
			t.Fatal(err)
		}
		endpoints = append(endpoints, ep)
	}
	return endpoints
}
