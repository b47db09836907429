package upstream

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestShare is who gets what: the one who asked first, the two who joined, and
// one who asks after all of them were answered, while they have not left.
func TestShare(t *testing.T) {
	long := strings.Repeat("x", 2*maxTogether)
	const (
		body = `{"response":{"body":"body"}}`
		hold = `{"hold":{"channels":[{"name":"c","prev-id":"1"}]},"response":{"body":"body"}}`
	)
	type outcome struct{ first, others, later string }
	var (
		shared   = outcome{"answer body", "answer body", "answer body"}
		kept     = outcome{"answer body", "answer body", "kept answer body"}
		personal = outcome{"answer body", "alone", "answer body"}
		streamed = func(begin string) outcome {
			return outcome{"stream " + begin, "alone", "stream " + begin}
		}
		failed = outcome{"failure 502", "failure 502", "failure 502"}
	)
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   outcome
	}{
		{"plain", answer("body"), shared},
		{"error of the origin", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "body", http.StatusInternalServerError)
		}, outcome{"answer body\n", "answer body\n", "answer body\n"}},
		{"hold", answer(holding, channel, "body"), kept},
		{"hold without channels", answer(holding, "body"), kept},
		{"hold, channel without an id", answer(holding, "Grip-Channel: c", "body"), shared},
		{"hold, one channel without an id", answer(holding, channel, "Grip-Channel: d", "body"), shared},
		{"hold by JSON", instruct(hold), kept},
		{"named channel", answer(channel, "body"), kept},
		{"named channel without an id", answer("Grip-Channel: c", "body"), shared},
		{"named channels, one without an id", answer("Grip-Channel: c; prev-id=1, d", "body"), shared},
		{"instruct without hold and channel", answer("Grip-Status: 201", "body"), shared},

		{"cookie", answer("Set-Cookie: a=b", "body"), personal},
		{"cookie, hold", answer("Set-Cookie: a=b", holding, channel, "body"), personal},
		{"cookie, named channel", answer("Set-Cookie: a=b", channel, "body"), personal},
		{"cookie in a JSON instruct", instruct(`{"response":{"headers":{"Set-Cookie":"a=b"},"body":"body"}}`), personal},

		{"private", answer("Cache-Control: private", "body"), personal},
		{"private among others", answer("Cache-Control: max-age=5 ,\tPRIVATE", "body"), personal},
		{"private for a field", answer(`Cache-Control: private="X-User"`, "body"), personal},
		{"private in a second field", answer("Cache-Control: max-age=5", "Cache-Control: private", "body"), personal},
		{"private, named channel", answer("Cache-Control: private", channel, "body"), personal},
		{"private, hold", answer("Cache-Control: private", holding, channel, "body"), kept},
		{"no-store", answer("Cache-Control: no-store", "body"), personal},
		{"no-store, named channel", answer("Cache-Control: no-store", channel, "body"), personal},
		{"no-store, hold", answer("Cache-Control: no-store", holding, channel, "body"), kept},
		{"no-cache", answer("Cache-Control: no-cache, max-age=0", "body"), shared},
		{"a directive that looks like private", answer("Cache-Control: x-private, max-age=5", "body"), shared},

		{"Vary on a field in the key", answer("Vary: Accept, Cookie", "body"), shared},
		{"Vary on a coding", answer("Vary: Accept-Encoding", "body"), shared},
		{"Vary on a field outside the key", answer("Vary: User-Agent", "body"), personal},
		{"Vary on one outside among others", answer("Vary: accept,\tx-request-ID ", "body"), personal},
		{"Vary in a second field", answer("Vary: Accept", "Vary: User-Agent", "body"), personal},
		{"Vary on everything", answer("Vary: *", "body"), personal},
		{"Vary on everything and more", answer("Vary: Accept, *", "body"), personal},
		{"Vary, hold", answer("Vary: User-Agent", holding, channel, "body"), personal},
		{"Vary, named channel", answer("Vary: *", channel, "body"), personal},

		{"JSON instruct with a cookie that nobody gets", instruct(body, "Set-Cookie: a=b"), personal},
		{"private JSON instruct", instruct(body, "Cache-Control: private"), personal},
		{"private JSON instruct, hold", instruct(hold, "Cache-Control: private"), kept},
		{"JSON instruct with Vary on a field in the key", instruct(body, "Vary: Cookie"), shared},
		{"JSON instruct with Vary outside the key", instruct(body, "Vary: User-Agent"), personal},
		{"JSON instruct with Vary outside the key, hold", instruct(hold, "Vary: User-Agent"), personal},

		{"length unknown, short", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "bo")
			w.(http.Flusher).Flush()
			io.WriteString(w, "dy")
		}, shared},
		{"length unknown, long", func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, long)
		}, streamed(long[:20])},
		{"length unknown, slow", trickleAnswer, streamed("so far")},
		{"length unknown, slow, cookie", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "a=b")
			trickleAnswer(w, r)
		}, streamed("so far")},
		{"as long as can be together", answer(fmt.Sprint("Content-Length: ", maxTogether), long[:maxTogether]),
			outcome{"answer " + long[:20], "answer " + long[:20], "answer " + long[:20]}},
		{"one byte longer", answer(fmt.Sprint("Content-Length: ", maxTogether+1), long[:maxTogether+1]), streamed("")},

		{"no HTTP", wire("SSH-2.0-OpenSSH_9.9\r\n"), failed},
		{"bad instruct", answer("Grip-Hold: maybe", "body"), failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(tt.answer)
			c := newClient(t, serve(t, g.ServeHTTP))
			first := ask(t, c, get("k"), false)
			g.arrived(t)
			second, third := ask(t, c, get("k"), false), ask(t, c, get("k"), false)
			close(g.passCh)
			first.want(tt.want.first)
			second.want(tt.want.others)
			third.want(tt.want.others)
			g.wantQuiet(t)

			ask(t, c, get("k"), false).want(tt.want.later)
			asked, kept := int64(1), 1
			if !strings.HasPrefix(tt.want.later, "kept") {
				g.arrived(t)
				asked, kept = 2, 0
			}
			g.wantQuiet(t)
			c.mu.Lock()
			defer c.mu.Unlock()
			if n := len(c.calls); n != kept {
				t.Errorf("%d answers are kept, want %d", n, kept)
			}
			if s := c.Stats(); s.Requests != asked || s.Joined != 4-asked {
				t.Errorf("%d requests and %d joined, want %d and %d", s.Requests, s.Joined, asked, 4-asked)
			}
		})
	}
}

func TestShareOnlyEqual(t *testing.T) {
	for _, tt := range []struct {
		name     string
		key1     string
		key2     string
		requests int64
	}{
		{"equal keys", "k", "k", 1},
		{"different keys", "k", "l", 2},
		{"no keys", "", "", 2},
		{"one key", "", "k", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(answer(holding, "body"))
			c := newClient(t, serve(t, g.ServeHTTP))
			first := ask(t, c, get(tt.key1), false)
			g.arrived(t)
			second := ask(t, c, get(tt.key2), false)
			if tt.requests == 2 {
				g.arrived(t)
			}
			close(g.passCh)
			first.want("answer body")
			second.want("answer body")
			g.wantQuiet(t)
		})
	}
}

// TestShareNoKeyNothingKept: what was asked without a key is for nobody else.
func TestShareNoKeyNothingKept(t *testing.T) {
	g := newGate(answer(holding, "body"))
	close(g.passCh)
	c := newClient(t, serve(t, g.ServeHTTP))
	for range 2 {
		ask(t, c, get(""), false).want("answer body")
		g.arrived(t)
	}
	if n := len(c.calls); n != 0 {
		t.Errorf("%d calls can be joined, want none", n)
	}
}

func TestLeaveWhileOthersWait(t *testing.T) {
	g := newGate(answer("body"))
	c := newClient(t, serve(t, g.ServeHTTP))
	first := ask(t, c, get("k"), false)
	atOrigin := g.arrived(t)
	second := ask(t, c, get("k"), false)
	if !first.ticket.Leave() {
		t.Error("Leave() of a request that waits is late")
	}
	third := ask(t, c, get("k"), false)
	if !second.ticket.Leave() {
		t.Error("Leave() of a request that waits is late")
	}
	if err := atOrigin.Context().Err(); err != nil {
		t.Errorf("the request has ended at the origin: %v; there is still one who waits", err)
	}
	close(g.passCh)
	third.want("answer body")
	first.wantNone()
	second.wantNone()
	g.wantQuiet(t)
	if !first.ticket.Leave() {
		t.Error("Leave() was in time, and is late when it is called again")
	}
}

// TestLeaveFirstOfPersonal: when the one whose request was put has left, an
// answer that may depend on what is not in the key is for nobody.
func TestLeaveFirstOfPersonal(t *testing.T) {
	g := newGate(answer("Set-Cookie: a=b", "body"))
	c := newClient(t, serve(t, g.ServeHTTP))
	first := ask(t, c, get("k"), false)
	g.arrived(t)
	second, third := ask(t, c, get("k"), false), ask(t, c, get("k"), false)
	first.ticket.Leave()
	close(g.passCh)
	second.want("alone")
	third.want("alone")
	first.wantNone()
}

// TestNotBefore: who has learned that there is news does not join a request that
// may have been answered without it, but does join one that was put since.
func TestNotBefore(t *testing.T) {
	g := newGate(answer(holding, channel, "body"))
	c := newClient(t, serve(t, g.ServeHTTP))
	first := ask(t, c, get("k"), false)
	g.arrived(t)
	news := time.Now()
	results := make(chan Result, 2)
	for range 2 {
		ticket := c.Ask(get("k"), news, func(r Result) { results <- r })
		t.Cleanup(func() { ticket.Leave() })
	}
	g.arrived(t)
	g.wantQuiet(t)
	close(g.passCh)
	first.want("answer body")
	for range 2 {
		if got := describe(receive(t, results, "result")); got != "answer body" {
			t.Errorf("got %s, want the answer to the second request", got)
		}
	}
	if s := c.Stats(); s.Requests != 2 {
		t.Errorf("%d requests, want 2", s.Requests)
	}
}

// TestOutdate: neither what is open then nor what is kept serves who asks later.
func TestOutdate(t *testing.T) {
	g := newGate(answer(holding, channel, "body"))
	c := newClient(t, serve(t, g.ServeHTTP))
	first := ask(t, c, get("k"), false)
	g.arrived(t)
	c.Outdate()
	second := ask(t, c, get("k"), false)
	g.arrived(t)
	close(g.passCh)
	first.want("answer body")
	second.want("answer body")
	ask(t, c, get("k"), false).want("kept answer body")
	c.Outdate()
	ask(t, c, get("k"), false).want("answer body")
}

func TestLeaveAll(t *testing.T) {
	g := newGate(answer(holding, "body"))
	c := newClient(t, serve(t, g.ServeHTTP))
	first := ask(t, c, get("k"), false)
	atOrigin := g.arrived(t)
	second := ask(t, c, get("k"), false)
	for i, a := range []*asker{first, second} {
		if !a.ticket.Leave() {
			t.Errorf("asker %d: Leave() is late", i)
		}
	}
	receive(t, atOrigin.Context().Done(), "end of the request at the origin")

	third := ask(t, c, get("k"), false) // joins nothing that has been given up
	g.arrived(t)
	close(g.passCh)
	third.want("answer body")
	first.wantNone()
	second.wantNone()
	if f := c.Stats().Failures; f != 0 {
		t.Errorf("%d failures, want none: giving up is none", f)
	}
}

func TestLeaveLate(t *testing.T) {
	g := newGate(answer("body"))
	close(g.passCh)
	c := newClient(t, serve(t, g.ServeHTTP))
	a := ask(t, c, get("k"), false)
	a.want("answer body")
	for range 2 {
		if a.ticket.Leave() {
			t.Error("Leave() after done is in time")
		}
	}
}

// TestLeaveAllWhileStreaming leaves when the answer is on its way: its body is
// closed by whoever has it.
func TestLeaveAllWhileStreaming(t *testing.T) {
	g := newGate(trickleAnswer)
	close(g.passCh)
	c := newClient(t, serve(t, g.ServeHTTP))
	for range 20 {
		a := ask(t, c, get(""), false)
		r := g.arrived(t)
		if !a.ticket.Leave() {
			a.want("stream ")
		}
		receive(t, r.Context().Done(), "end of the request at the origin")
		a.wantNone()
	}
}

// TestSettleNobody: a stream that comes when all have left is closed.
func TestSettleNobody(t *testing.T) {
	c := newClient(t, "origin:80")
	content, more := io.Pipe()
	(&call{client: c.Client, req: c.to(get("k"))}).settle(&Answer{Body: content}, nil)
	if _, err := more.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("write to the stream: %v, want %v", err, io.ErrClosedPipe)
	}
}

// TestKept is about an answer with a hold, or one that names its channels, that
// was there before it was asked for.
func TestKept(t *testing.T) {
	type between func(*testing.T, *client, *asker)
	const (
		once = "answer body"
		kept = "kept answer body"
	)
	var (
		hold  = answer(holding, channel, "body")
		named = answer(channel, "body")
	)
	after := func(d time.Duration) between {
		return func(*testing.T, *client, *asker) { time.Sleep(d) } // in the bubble
	}
	other := func(method string) between {
		return func(t *testing.T, c *client, _ *asker) {
			r := &Request{Method: method, Host: "example.com", Target: "/"}
			if r := ask(t, c, r, false).result(); r.Answer == nil {
				t.Fatalf("%s gets %s", method, describe(r))
			}
		}
	}
	leave := func(_ *testing.T, _ *client, first *asker) { first.ticket.Leave() }
	join := func(leavers int) between {
		return func(t *testing.T, c *client, first *asker) {
			second := ask(t, c, get("k"), false)
			second.want(kept)
			for _, a := range []*asker{first, second}[:leavers] {
				a.ticket.Leave()
			}
		}
	}
	for _, tt := range []struct {
		name    string
		answer  http.HandlerFunc
		between between
		fresh   bool
		want    string
	}{
		{"hold", hold, nil, false, kept},
		{"named channel", named, nil, false, kept},
		{"hold, fresh", hold, nil, true, once},
		{"named channel, fresh", named, nil, true, once},

		{"hold, within its timeout", hold, after(55*time.Second - 1), false, kept},
		{"hold, after its timeout", hold, after(55 * time.Second), false, once},
		{"hold of 7 s, within them", answer(holding, "Grip-Timeout: 7", "body"), after(7*time.Second - 1), false, kept},
		{"hold of 7 s, after them", answer(holding, "Grip-Timeout: 7", "body"), after(7 * time.Second), false, once},
		{"named channel, within KeepNamed", named, after(KeepNamed - 1), false, kept},
		{"named channel, after KeepNamed", named, after(KeepNamed), false, once},

		{"hold, all have left", hold, leave, false, once},
		{"named channel, all have left", named, leave, false, once},
		{"hold, one of two has left", hold, join(1), false, kept},
		{"hold, both have left", hold, join(2), false, once},

		{"hold, after POST", hold, other("POST"), false, kept},
		{"named channel, after POST", named, other("POST"), false, once},
		{"named channel, after DELETE", named, other("DELETE"), false, once},
		{"named channel, after an unknown method", named, other("QUERY"), false, once},
		{"named channel, after GET", named, other("GET"), false, kept},
		{"named channel, after HEAD", named, other("HEAD"), false, kept},
		{"named channel, after OPTIONS", named, other("OPTIONS"), false, kept},
		{"named channel, after TRACE", named, other("TRACE"), false, kept},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newBubbleClient(t, tt.answer)
				first := ask(t, c, get("k"), false)
				first.want(once)
				if tt.between != nil {
					tt.between(t, c, first)
				}
				ask(t, c, get("k"), tt.fresh).want(tt.want)
			})
		})
	}
}

// TestKeptLeave: a kept answer is given at once, and leaving is too late.
func TestKeptLeave(t *testing.T) {
	c := newClient(t, serve(t, answer(holding, "body")))
	ask(t, c, get("k"), false).want("answer body")
	a := ask(t, c, get("k"), false)
	if a.ticket.Leave() {
		t.Error("Leave() is in time, want it late: the answer was there")
	}
	a.want("kept answer body")
}

// TestKeptReplaced: who leaves an answer that a newer one has replaced leaves
// the newer one to the others.
func TestKeptReplaced(t *testing.T) {
	c := newClient(t, serve(t, answer(holding, "body")))
	first := ask(t, c, get("k"), false)
	first.want("answer body")
	ask(t, c, get("k"), true).want("answer body")
	first.ticket.Leave()
	ask(t, c, get("k"), false).want("kept answer body")
}

// TestKeptChangedMeanwhile: an answer that was on its way during a POST may be
// from before it or from after it.
func TestKeptChangedMeanwhile(t *testing.T) {
	g := newGate(answer(channel, "body"))
	c := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			g.ServeHTTP(w, r)
		}
	}))
	first := ask(t, c, get("k"), false)
	g.arrived(t)
	ask(t, c, &Request{Method: "POST", Host: "h", Target: "/"}, false).want("answer ")
	close(g.passCh)
	first.want("answer body")
	ask(t, c, get("k"), false).want("answer body")
}

// TestJoinAfterChange: who asks after a POST has passed does not join what was
// asked before it.
func TestJoinAfterChange(t *testing.T) {
	g := newGate(answer("body"))
	c := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			g.ServeHTTP(w, r)
		}
	}))
	first := ask(t, c, get("k"), false)
	g.arrived(t)
	ask(t, c, &Request{Method: "POST", Host: "h", Target: "/"}, false).want("answer ")
	second := ask(t, c, get("k"), false)
	g.arrived(t)
	close(g.passCh)
	first.want("answer body")
	second.want("answer body")
}

func TestChanges(t *testing.T) {
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fail" {
			panic(http.ErrAbortHandler)
		}
	})
	for _, tt := range []struct {
		name           string
		method, target string
		want           int64
	}{
		{"GET", "GET", "/", 0},
		{"POST", "POST", "/", 1},
		{"failed GET", "GET", "/fail", 0},
		{"failed POST, which may have been carried out", "POST", "/fail", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, origin)
			changesCh := make(chan int64)
			c.Ask(&Request{Method: tt.method, Host: "h", Target: tt.target}, time.Time{}, func(Result) { changesCh <- c.Changes() })
			if got := receive(t, changesCh, "result"); got != tt.want {
				t.Errorf("Changes() = %d when the answer is given, want %d", got, tt.want)
			}
		})
	}
}
