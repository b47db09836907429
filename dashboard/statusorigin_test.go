package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"marquee/bus"
)

// nothingYet is the status before anything is up.
func nothingYet() *status {
	return &status{
		Capacity: 100_000, Regions: []string{"us-west-1", "ap-southeast-1"},
		Edges: upNeeded{0, 20}, Groups: upNeeded{0, 20},
		Curve: [][2]float64{}, Histogram: [][2]int{}, Runs: []statusRun{}, Nodes: []statusNode{},
	}
}

// delivering is the status of the full fleet when a share of the clients, 0 to
// 1, has headline id. The delivery takes 640 ms, as steadily as no real one.
func delivering(id uint64, share float64) *status {
	const took, clients = 640.0, 100_000
	at := time.Date(2013, 6, 4, 1, 43, 45, 187e6, time.UTC).UnixMilli()
	s := nothingYet()
	s.Edges, s.Groups = upNeeded{20, 20}, upNeeded{20, 20}
	s.Ping = &statusSpan{Min: 1.2, Max: 3.4, Avg: 2}
	s.Headline = &statusHeadline{headline{id, "Flight 123 arriving in terminal A."}, at}
	s.Clients, s.Started, s.Received = clients, clients, int(share*clients)
	run := statusRun{statusHeadline: *s.Headline, Clients: clients, Received: s.Received}
	if share > 0 {
		last := took * share
		s.Delivery = &statusSpan{Min: 20, Max: last, Avg: last / 2}
		s.True = &statusSpan{Min: 18, Max: last - 6, Avg: last/2 - 2.4}
		s.Error = new(2.4)
		run.Min, run.Avg, run.Max = &s.Delivery.Min, &s.Delivery.Avg, &s.Delivery.Max
		run.TrueAvg, run.TrueMax = &s.True.Avg, &s.True.Max
		for ms := 20.0; ms <= last; ms += 20 {
			s.Curve = append(s.Curve, [2]float64{ms, ms / took * clients})
		}
		for upper := 80; upper <= took; upper += 80 {
			inBar := min(80, max(0, last-float64(upper-80)))
			s.Histogram = append(s.Histogram, [2]int{upper, int(inBar / took * clients)})
		}
	}
	s.Runs = []statusRun{run}
	for back := range int64(19) {
		s.Runs = append(s.Runs, statusRun{
			statusHeadline: statusHeadline{headline{id - 1 - uint64(back), "Terminal A is closed."}, at - (back+1)*60_000},
			Received:       clients, Clients: clients,
			Min: new(20.0), Avg: new(330.0), Max: new(630 + float64((back+4)%19)*10), TrueAvg: new(327.0), TrueMax: new(620.0),
		})
	}
	s.Nodes = []statusNode{{Kind: bus.KindOrigin, Name: "origin", Ping: new(0.4), Up: true}}
	for i := range 20 {
		s.Nodes = append(s.Nodes, statusNode{
			Kind: bus.KindEdge, Name: nodeNameOf(bus.KindEdge, i), Region: regionOf(i), Pair: nodeNameOf(bus.KindGroup, i+1),
			Ping: new(1.2), Held: 5000, Received: 10_003, Up: true,
			Receipt: &bus.Receipt{ID: fmt.Sprint(id), Matched: 5000, Written: 4998, Queued: 2, Elapsed: 41.3},
		})
	}
	for i := range 20 {
		s.Nodes = append(s.Nodes, statusNode{
			Kind: bus.KindGroup, Name: nodeNameOf(bus.KindGroup, i), Region: regionOf(i), Pair: nodeNameOf(bus.KindEdge, i+19),
			Ping: new(1.9), Held: 5000, Received: 200_000, Errors: 3, Up: i != 7,
		})
	}
	return s
}

func regionOf(i int) string { return []string{"us-west-1", "ap-southeast-1"}[i%2] }

func nodeNameOf(kind bus.Kind, i int) string {
	return fmt.Sprintf("%s-%s-%02d", regionOf(i), kind, i%20/2+1)
}

// A statusOrigin serves the page and, as the dashboard does behind its edge, a
// status that can be waited for: for tests that need a status, or a failure,
// that is hard to bring about. It takes changes and only notes them.
type statusOrigin struct {
	*httptest.Server
	t     *testing.T
	token string // without which changes are refused; empty for none

	mu        sync.Mutex // all below
	status    *status
	failing   bool
	held      int           // polls, at present
	posted    []string      // path?form
	changedCh chan struct{} // closed when any of the above changes
	emptyCh   chan struct{} // closed to answer those who are held with {}
}

// newStatusOrigin returns a statusOrigin that serves s until the test ends.
func newStatusOrigin(t *testing.T, s *status) *statusOrigin {
	s.ID = 1
	o := &statusOrigin{t: t, status: s, changedCh: make(chan struct{}), emptyCh: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/", newPage())
	mux.HandleFunc("GET /status/", o.serveStatus)
	mux.HandleFunc("POST /headline/", o.serveChange)
	mux.HandleFunc("POST /capacity/", o.serveChange)
	o.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		o.CloseClientConnections() // ends the holds
		o.Close()
	})
	return o
}

// set makes s the newest status.
func (o *statusOrigin) set(s *status) {
	o.change(func() {
		s.ID = o.status.ID + 1
		o.status = s
	})
}

// fail says whether the status is answered with errors.
func (o *statusOrigin) fail(failing bool) { o.change(func() { o.failing = failing }) }

// endHold waits for a poll to be held and answers it with {}.
func (o *statusOrigin) endHold() {
	o.t.Helper()
	o.wait("held poll", func() bool { return o.held > 0 })
	o.change(func() {
		close(o.emptyCh)
		o.emptyCh = make(chan struct{})
	})
}

// waitPosted returns when exactly these changes were taken, each path?form.
func (o *statusOrigin) waitPosted(want ...string) {
	o.t.Helper()
	o.wait(fmt.Sprintf("posts %q", want), func() bool { return slices.Equal(o.posted, want) })
}

// change does f, under mu, and lets everybody who waits look again.
func (o *statusOrigin) change(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
	close(o.changedCh)
	o.changedCh = make(chan struct{})
}

func (o *statusOrigin) wait(what string, isSo func() bool) {
	o.t.Helper()
	timeoutCh := time.After(patience)
	for {
		o.mu.Lock()
		done, posted, changedCh := isSo(), o.posted, o.changedCh
		o.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changedCh:
		case <-timeoutCh:
			o.t.Fatalf("no %s within %v; posted so far: %q", what, patience, posted)
		}
	}
}

func (o *statusOrigin) serveStatus(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	emptyCh := o.emptyCh
	o.mu.Unlock()
	for held := false; ; {
		o.mu.Lock()
		status, failing, changedCh := o.status, o.failing, o.changedCh
		o.mu.Unlock()
		switch {
		case failing:
			http.Error(w, "the dashboard is away", http.StatusBadGateway)
			return
		case r.URL.RawQuery != fmt.Sprint("last_id=", status.ID):
			if err := json.NewEncoder(w).Encode(status); err != nil {
				o.t.Errorf("write status: %v", err)
			}
			return
		case !held:
			held = true
			o.change(func() { o.held++ })
			defer o.change(func() { o.held-- })
			continue
		}
		select {
		case <-emptyCh:
			fmt.Fprint(w, "{}")
			return
		case <-changedCh:
		case <-r.Context().Done():
			return
		}
	}
}

func (o *statusOrigin) serveChange(w http.ResponseWriter, r *http.Request) {
	switch {
	case o.token != "" && r.Header.Get("Authorization") != "Bearer "+o.token:
		answer(w, http.StatusForbidden, problem("only this machine, or who has the token"))
	case len(r.PostFormValue("capacity")) > 7:
		answer(w, http.StatusBadRequest, problem("capacity is at most 1000000"))
	default:
		o.change(func() { o.posted = append(o.posted, r.URL.Path+"?"+r.PostForm.Encode()) })
		answer(w, http.StatusOK, struct{}{})
	}
}
