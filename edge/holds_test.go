package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// holds reads one page of the list.
func (r *rig) holds(query string) (page holdPage) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.control+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", jsonText)
	resp, err := web.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		r.t.Fatalf("%s: %s %q, %v", query, resp.Status, body, err)
	}
	if err := json.Unmarshal(body, &page); err != nil {
		r.t.Fatalf("%s: %q: %v", query, body, err)
	}
	return page
}

// allHolds reads all pages from one on, and how many those were.
func (r *rig) allHolds(query string) (all []heldClient, pages int) {
	r.t.Helper()
	for query != "" {
		page := r.holds(query)
		all, query = append(all, page.Clients...), page.Next
		pages++
	}
	return all, pages
}

// addresses returns those of clients, sorted.
func addresses(all []heldClient) (out []string) {
	for _, c := range all {
		out = append(out, c.Client)
	}
	slices.Sort(out)
	return out
}

// Every client that is held is listed once, whatever the pages, and by whom it is.
func TestHolds(t *testing.T) {
	const polls = 25
	r := newRig(t, &headline{id: 1})
	var want []string
	for range polls {
		c := r.dial()
		c.get(pollPath(1), "User-Agent: poll")
		want = append(want, c.nc.LocalAddr().String())
	}
	idle := r.dial()
	idle.get(headlinePath)
	idle.wantAnswer(200, headlineBody(1))
	r.waitHolds(polls)
	slices.Sort(want)
	for _, tt := range []struct {
		query string
		pages int
	}{{"/holds", 1}, {"/holds/", 1}, {"/holds?limit=25", 1}, {"/holds?limit=24", 2}, {"/holds?limit=7", 4}, {"/holds?limit=1", 25}} {
		t.Run(tt.query, func(t *testing.T) {
			all, pages := r.allHolds(tt.query)
			if got := addresses(all); !slices.Equal(got, want) || pages != tt.pages {
				t.Errorf("%d clients on %d pages, want %d on %d:\n got %q\nwant %q", len(got), pages, len(want), tt.pages, got, want)
			}
		})
	}
	page := r.holds("/holds?limit=1")
	if page.Held != polls || page.Slow != 0 || len(page.Clients) != 1 {
		t.Fatalf("page %+v, want %d held, none slow, one of them", page, polls)
	}
	c := page.Clients[0]
	c.Client, c.Loop = "", 0
	if ago := time.Since(c.Since); ago < -tick || ago > patience {
		t.Errorf("it is held since %v, %v ago", c.Since, ago)
	}
	c.Since = time.Time{}
	if got, want := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", heldClient{
		Route: c.Route, Mode: "response", Channels: []string{"headline-value"}, Agent: "poll"}); got != want || c.Route == "" {
		t.Errorf("client %s\nwant %s, with a route", got, want)
	}
}

// What an operator asks for is what is listed, and what cannot be asked for is
// refused.
func TestHoldsQuery(t *testing.T) {
	j := new(journal)
	r := newRig(t, j)
	r.follow(j, 0)
	r.waitHolds(1)
	route := r.holds("/holds").Clients[0].Route
	channel := r.holds("/holds").Clients[0].Channels[0]
	for _, tt := range []struct {
		query string
		want  int
	}{
		{"", 1}, {"route=" + url.QueryEscape(route), 1}, {"route=x", 0},
		{"channel=" + url.QueryEscape(channel), 1}, {"channel=" + channel[1:], 0}, {"slow=false", 1}, {"slow=true", 0}, {"slow=1", 0},
		{"cursor=0-1000000", 0}, {"cursor=1-0", 1},
	} {
		if got := r.holds("/holds?" + tt.query).Clients; len(got) != tt.want {
			t.Errorf("?%s: %d clients, want %d", tt.query, len(got), tt.want)
		}
	}
	for _, tt := range []struct {
		method, query string
		status        int
		want          string
	}{
		{"GET", "limit=0", 400, "limit"}, {"GET", "limit=1001", 400, "1 to 1000"}, {"GET", "limit=x", 400, "limit"},
		{"GET", "slow=perhaps", 400, "true or false"}, {"GET", "cursor=x", 400, "cursor"}, {"GET", "cursor=1", 400, "cursor"},
		{"GET", "cursor=99999999999999999999-1", 400, "cursor"}, {"GET", "rout=x", 400, "rout"}, {"GET", "a=%zz", 400, "query"},
		{"POST", "", 405, "Method not allowed"}, {"DELETE", "", 405, "Method not allowed"},
	} {
		req, err := http.NewRequest(tt.method, r.control+"/holds?"+tt.query, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s ?%s: %d %q, want %d with %q", tt.method, tt.query, resp.StatusCode, body, tt.status, tt.want)
		}
	}
}

// The slow come first, by name; and for people there is a table.
func TestHoldsOfTheSlow(t *testing.T) {
	j := &journal{wide: 20_000}
	r := newSlowRig(t, j, ",slow=drop-oldest", "-share-all")
	quick := []*follower{r.follow(j, 0), r.follow(j, 0), r.follow(j, 0)}
	snail := r.followSlowly(j, 0)
	r.waitHolds(4)
	r.overfeed(j, 1, quick...)
	name := snail.nc.LocalAddr().String()
	eventually(t, func() error {
		if page := r.holds("/holds?limit=1"); page.Slow != 1 {
			return fmt.Errorf("%d are slow, want 1", page.Slow)
		}
		return nil
	})
	all, _ := r.allHolds("/holds?limit=2")
	first := all[0]
	if first.Client != name || first.Queued == 0 || first.Lost == 0 || first.Mode != "stream" || first.Route != "slowly" || first.Agent != "snail/1" {
		t.Errorf("the first is %+v, want the slow one, %s", first, name)
	}
	if len(all) != 4 {
		t.Errorf("%d are listed, want 4", len(all))
	}
	if slow, _ := r.allHolds("/holds?slow=true"); len(slow) != 1 || slow[0].Client != name {
		t.Errorf("the slow are %+v, want one, %s", slow, name)
	}
	if n := r.metric("marquee_slow_clients"); n != 1 {
		t.Errorf("marquee_slow_clients is %v, want 1", n)
	}
	eventually(t, func() error { // the metric is as of the last tick
		all, _ := r.allHolds("/holds?limit=2")
		if n := r.metric("marquee_slow_client_bytes"); n != float64(all[0].Queued) || n == 0 {
			return fmt.Errorf("marquee_slow_client_bytes is %v, want the %d that wait for one", n, all[0].Queued)
		}
		return nil
	})
	resp, err := web.Get(r.control + "/holds?limit=3")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	table, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	if len(lines) != 6 || lines[0] != "4 held, 1 slow" || !strings.HasPrefix(lines[1], "CLIENT") ||
		!strings.HasPrefix(lines[2], name+" ") || !strings.HasPrefix(lines[5], "next: /holds?cursor=") {
		t.Errorf("the table is\n%s\nwant 4 held, the slow one first, and where there is more", table)
	}
}

// Nothing that a client sends reaches the operator's terminal as a command.
func TestHoldsPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"curl/8": "curl/8", `a "b"`: `a "b"`, "\x1b[31m": `\x1b[31m`, "ü": "ü", "a\xffb": `a\xffb`, "a\tb": `a\tb`, "\u202e": `\u202e`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

// While a loop hangs an operator learns which, and not nothing.
func TestHoldsOfStuckLoop(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	goCh := make(chan struct{})
	for _, l := range r.edge.loops {
		if l.index == 1 {
			l.post(func() { <-goCh })
		}
	}
	resp, err := web.Get(r.control + "/holds")
	close(goCh)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 503 || string(body) != "event loop 1 does not come round\n" {
		t.Errorf("%s %q, want 503 and the loop's number", resp.Status, body)
	}
}

// However many clients a loop has, it looks at some of them at a time, and misses
// nobody while others come and go.
func TestHoldSlices(t *testing.T) {
	l := &loop{now: time.Now()}
	r := newRig(t, &headline{id: 1})
	const polls = 3 * sliceCheck
	r.poll(polls, 1)
	r.waitHolds(polls)
	r.onLoops(func(l *loop) {
		if len(l.clients) == 0 {
			return
		}
		s := l.holdSlice(holdQuery{limit: 1}, len(l.clients)/2, nil)
		if len(s.clients)+s.left != len(l.clients)/2 {
			t.Errorf("of %d, %d were looked at and %d are left", len(l.clients)/2, len(s.clients), s.left)
		}
	})
	if s := l.holdSlice(holdQuery{limit: 1}, 100, nil); s.left != 0 || len(s.clients) != 0 {
		t.Errorf("without clients the slice is %+v", s)
	}
}
