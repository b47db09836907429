package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestFindDialect(t *testing.T) {
	for _, d := range dialects {
		if got, err := findDialect(d.name); got != d || err != nil {
			t.Errorf("%s: got %v, %v", d.name, got, err)
		}
	}
	if _, err := findDialect("x"); err == nil || err.Error() != `"x": must be one of headline, nchan, centrifugo, mercure` {
		t.Errorf("x: %v", err)
	}
}

func TestPublication(t *testing.T) {
	for _, tt := range []struct{ in, want, err string }{
		{`{"pub":{"data":{"id":1,"body":"…"}}}`, `{"id":1,"body":"…"}`, ""},
		{`{"channel":"c","pub":{"data":{"id": 1},"offset":7}}` + "\n", `{"id": 1}`, ""},
		{`{"connect":{"client":"x","version":"5.4.9","ping":25}}`, `{}`, ""},
		{`{"disconnect":{"code":3001}}`, `{}`, ""},
		{`{}`, `{}`, ""},
		{`{"pub":{}}`, ``, ""}, // which is no headline's JSON
		{`{"pub":null}`, `{}`, ""},
		{`{"pub":`, "", "parse message"},
		{`[]`, "", "parse message"},
		{``, "", "parse message"},
	} {
		got, err := publication([]byte(tt.in))
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %s, %v, want %s, %q", tt.in, got, err, tt.want, tt.err)
		}
	}
}

// runForeign runs the clients at once when all have come, which url knows, and
// returns the summary of a good run.
func runForeign(t *testing.T, url, post string, flags ...string) *summary {
	t.Helper()
	cfg, err := parseConfig(append([]string{"-url", url, "-post", post, "-repoll-delay", "0s", "-repoll-jitter", "0s", "-every", "0s"}, flags...), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.settle = 0
	return mustLoad(t, cfg)
}

func mustLoad(t *testing.T, cfg config) *summary {
	t.Helper()
	var out, log bytes.Buffer
	s, err := load(t.Context(), cfg, &out, testLog(&log))
	if err != nil || !s.OK {
		t.Fatalf("%v\n%s%s", err, &out, &log)
	}
	for f, n := range s.Errors {
		if n > 0 {
			t.Errorf("%d errors %s\n%s", n, f, &log)
		}
	}
	return s
}

// TestForeign has clients of every dialect get changes, all in one channel and
// each in its own. That all come in order is part of a good run.
func TestForeign(t *testing.T) {
	const clients, changes = 20, 5
	for _, way := range slices.Sorted(maps.Keys(carrying)) {
		for _, path := range []string{"/c", "/c{client}", "/{client}/c{client}"} {
			t.Run(way+" "+path, func(t *testing.T) {
				t.Parallel()
				c := startCarrier(t, way, clients)
				speaks, way, _ := strings.Cut(way, " ")
				flags := []string{"-speaks", speaks, "-c", fmt.Sprint(clients), "-changes", fmt.Sprint(changes)}
				if way == "streams" {
					flags = append(flags, "-stream")
				}
				s := runForeign(t, c.URL+path, startPublisher(t, c.publish).URL, flags...)
				if way == "streams" { // whose changes are made at once
					slices.SortFunc(s.Changes, func(a, b changeSummary) int { return cmp.Compare(a.ID, b.ID) })
				}
				for n, change := range s.Changes {
					// The publisher's headline 1 was published to nobody.
					if change.ID != uint64(n+2) || change.Received != clients || change.Start < 0 {
						t.Errorf("change %d: %+v", n+1, change)
					}
				}
				if s.Started != clients || len(s.Changes) != changes || len(s.Quantiles) != 101 || s.Reconnects > 0 {
					t.Errorf("%d started, %d changes, %d quantiles, %d reconnects", s.Started, len(s.Changes), len(s.Quantiles), s.Reconnects)
				}
				if s.Streams != nil && s.Streams.Messages != clients*changes {
					t.Errorf("%d messages, want %d", s.Streams.Messages, clients*changes)
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				want := map[string]int{}
				for i := range clients {
					want[strings.ReplaceAll(path, clientMark, fmt.Sprint(i))]++
				}
				if !maps.Equal(c.asked, want) {
					t.Errorf("asked for %v, want %v", c.asked, want)
				}
			})
		}
	}
}

// TestForeignTimeouts lets polls time out again and again before the change.
func TestForeignTimeouts(t *testing.T) {
	c := startCarrier(t, "nchan polls", 30) // requests, of which the last 10 are held
	c.timeouts = 20
	s := runForeign(t, c.URL, startPublisher(t, c.publish).URL, "-speaks", "nchan", "-c", "10", "-changes", "1")
	if s.TimeoutsHeld != 20 {
		t.Errorf("%d polls answered without a change, want 20", s.TimeoutsHeld)
	}
}

// TestForeignWatching lets somebody else change the headline: the first is a change.
func TestForeignWatching(t *testing.T) {
	const clients = 5
	c := startCarrier(t, "nchan streams", clients)
	cfg, err := parseConfig([]string{"-c", fmt.Sprint(clients), "-url", c.URL, "-speaks", "nchan", "-stream"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stdout := &transcript{}
	sumCh := make(chan *summary)
	go func() {
		s, err := load(ctx, cfg, stdout, testLog(t.Output()))
		if err != nil {
			t.Errorf("load: %v", err)
		}
		sumCh <- s
	}()
	<-stdout.await("5 clients connected")
	if err := c.publish([]byte(`{"id": 7, "body": "x"}`)); err != nil {
		t.Error(err)
	}
	<-stdout.await(" messages=5 ")
	cancel()
	if s := <-sumCh; len(s.Changes) != 1 || s.Changes[0].ID != 7 || s.Changes[0].Received != clients || s.Streams.Gaps > 0 {
		t.Errorf("changes %+v, %+v, want headline 7 received by all", s.Changes, s.Streams)
	}
}

// TestForeignStreams gives streams of every dialect to a client.
func TestForeignStreams(t *testing.T) {
	pub := func(id int) string {
		return fmt.Sprintf("data: {\"pub\":{\"data\":{\"id\":%d,\"body\":\"%d\"}}}\n\n", id, id)
	}
	event := func(id int) string {
		return fmt.Sprintf("id: 1700000000:0\ndata: {\"id\":%d,\"body\":\"%d\"}\n\n", id, id)
	}
	const connect = "data: {\"connect\":{\"client\":\"x\"}}\n\n"
	for _, tt := range []struct {
		name, speaks string
		in           string
		started      bool
		deliveries   int
		order        order
		fault        fault // faults: none
	}{
		{"head", "nchan", "", true, 0, order{}, faults},
		{"comment", "nchan", ": hi\n\n", true, 0, order{}, faults},
		{"from 5 on", "nchan", event(5) + event(6), true, 2, order{}, faults},
		{"gap", "nchan", event(5) + event(7), true, 2, order{gaps: 1}, faults},
		{"twice", "mercure", event(5) + event(5), true, 1, order{repeats: 1}, faults},
		{"empty message", "mercure", "data: {}\n\n", true, 0, order{}, torn},
		{"head", "centrifugo", "", false, 0, order{}, faults},
		{"connect", "centrifugo", "\r\n" + connect, true, 0, order{}, faults},
		{"pings", "centrifugo", connect + "data: {}\n\n" + pub(3) + "data: {}\n\n" + pub(4), true, 2, order{}, faults},
		{"publication first", "centrifugo", pub(3), true, 1, order{}, faults},
		{"no headline", "centrifugo", "data: {\"pub\":{\"data\":1}}\n\n", false, 0, order{}, torn},
		{"no JSON", "centrifugo", "data: hello\n\n", false, 0, order{}, torn},
	} {
		t.Run(tt.speaks+" "+tt.name, func(t *testing.T) {
			st := newStreamTest(t, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"+tt.in, "-speaks", tt.speaks)
			var want [faults]int
			if tt.fault < faults {
				want[tt.fault] = 1
			}
			c := &st.clients[0]
			if c.started != tt.started || st.started > 1 || st.deliveries != tt.deliveries || st.order != tt.order || st.faults != want {
				t.Errorf("started %v, %d deliveries, %+v, faults %v, want %v, %d, %+v, %v",
					c.started, st.deliveries, st.order, st.faults, tt.started, tt.deliveries, tt.order, want)
			}
		})
	}
}
