package upstream

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestShareStress asks, joins, reads and leaves at random, and checks that
// everybody gets one result or has left in time, that no personal answer has
// two owners, and that nothing stays behind.
func TestShareStress(t *testing.T) {
	const askers, each = 12, 150
	var serial atomic.Int64
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := serial.Add(1)
		switch r.URL.Path {
		case "/hold":
			w.Header().Set("Grip-Hold", "response")
		case "/named":
			w.Header().Set("Grip-Channel", "c; prev-id=1")
		case "/cookie":
			w.Header().Set("Set-Cookie", "a=b")
		case "/long":
			w.Header().Set("Content-Length", fmt.Sprint(2*maxTogether))
			defer io.WriteString(w, strings.Repeat(" ", 2*maxTogether-len(r.URL.Path)-20))
		case "/chunks":
			w.(http.Flusher).Flush()
		case "/fail":
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%s %19d", r.URL.Path, n)
	})
	paths := []string{"/", "/hold", "/named", "/cookie", "/long", "/chunks", "/fail"}
	c := limited(newClient(t, origin), 4, 6)

	var owners sync.Map // of personal answers: content to bool
	var answers, alone, failures, left, kept atomic.Int64
	check := func(path string, r Result) {
		switch {
		case r.Alone:
			alone.Add(1)
			if path != "/cookie" && path != "/long" {
				t.Errorf("%s: alone", path)
			}
			return
		case r.Failure != nil:
			failures.Add(1)
			if r.Failure.Code != 503 && path != "/fail" && path != "POST" {
				t.Errorf("%s: %v", path, r.Failure)
			}
			return
		case r.Kept:
			kept.Add(1)
			if path != "/hold" && path != "/named" {
				t.Errorf("%s: kept", path)
			}
		}
		answers.Add(1)
		content := string(r.Answer.Response.Body)
		if r.Answer.Body != nil {
			begin := make([]byte, len(path)+20)
			if _, err := io.ReadFull(r.Answer.Body, begin); err != nil {
				t.Errorf("%s: read body: %v", path, err)
			}
			r.Answer.Body.Close()
			content += string(begin)
		}
		if !strings.HasPrefix(content, path+" ") {
			t.Errorf("%s: the answer is %.40q", path, content)
		}
		if path == "/cookie" || path == "/long" {
			if _, owned := owners.LoadOrStore(content, true); owned {
				t.Errorf("%q is given to two", content)
			}
		}
	}

	var wg sync.WaitGroup
	for s := range askers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(s)))
			var tickets []*Ticket
			for range each {
				path := paths[random.IntN(len(paths))]
				var calls atomic.Int32
				resultCh := make(chan Result, 2)
				r := &Request{Method: "GET", Host: "h", Target: path, Key: path}
				if random.IntN(50) == 0 {
					r.Method, r.Key = "POST", ""
				}
				notBefore := time.Time{}
				if random.IntN(3) == 0 {
					notBefore = time.Now()
				}
				ticket := c.Ask(r, notBefore, func(r Result) {
					calls.Add(1)
					resultCh <- r
				})
				inTime := false
				if random.IntN(2) == 0 {
					for range random.IntN(100) {
						runtime.Gosched()
					}
					if inTime = ticket.Leave(); inTime {
						left.Add(1)
					}
				}
				if !inTime {
					check(path, <-resultCh)
				}
				tickets = append(tickets, ticket)
				if random.IntN(4) == 0 || len(tickets) > 5 {
					for _, ticket := range tickets {
						ticket.Leave()
					}
					tickets = nil
				}
				defer func() {
					if n := calls.Load(); n != 1 && !inTime || n != 0 && inTime {
						t.Errorf("%s: done is called %d times, left in time: %v", path, n, inTime)
					}
				}()
			}
			for _, ticket := range tickets {
				ticket.Leave()
			}
		})
	}
	wg.Wait()
	eventually(t, "nothing open, nothing in line", func() bool {
		s := c.Stats()
		return s.Open == 0 && s.Waiting == 0
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) != 0 {
		t.Errorf("%d calls are left behind", len(c.calls))
	}
	t.Logf("%d answers (%d kept), %d alone, %d failures, %d left in time; %+v",
		answers.Load(), kept.Load(), alone.Load(), failures.Load(), left.Load(), c.Stats())
}
