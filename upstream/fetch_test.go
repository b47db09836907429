package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"marquee/grip"
)

// transcript writes an answer as HTTP does, without a Content-Length, and what
// the edge learns from it in brackets.
func transcript(a *Answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", a.Response.Code, a.Response.Reason)
	for _, f := range a.Response.Header {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	fmt.Fprintf(&b, "[%d] %s", a.Length, a.Response.Body)
	if a.Hold != nil {
		fmt.Fprintf(&b, " [hold %s, %v, %v]", a.Hold.Mode, a.Hold.Channels, a.Hold.Timeout)
	}
	if a.Named != nil {
		fmt.Fprintf(&b, " [named %v]", a.Named)
	}
	if a.Body != nil {
		b.WriteString(" [and a stream]")
	}
	return b.String()
}

// head makes the bytes of an answer whose content does not end the connection.
func head(l ...string) string { return lines(append(l, "", "")...) }

func TestFetch(t *testing.T) {
	const ok = "HTTP/1.1 200 OK"
	for _, tt := range []struct {
		name   string
		method string // "" for GET
		sent   string
		want   string
	}{
		{"RFC 9112 §6.3 Content-Length", "", head(ok, "Content-Length: 3") + "abc", "200 OK\n[3] abc"},
		{"RFC 9112 §6.3 no content", "", head(ok, "Content-Length: 0"), "200 OK\n[0] "},
		{"RFC 9112 §6.3 the end of the connection", "", head(ok) + "abc", "200 OK\n[3] abc"},
		{"RFC 9112 §6.3 HTTP/1.0", "", head("HTTP/1.0 200 OK") + "abc", "200 OK\n[3] abc"},
		{"RFC 9112 §7.1 chunked", "", head(ok, "Transfer-Encoding: chunked") + "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "200 OK\n[3] abc"},
		{"RFC 9112 §7.1.2 trailers end here", "", head(ok, "Transfer-Encoding: chunked", "Trailer: X") + "1\r\na\r\n0\r\nX: y\r\n\r\n", "200 OK\n[1] a"},
		{"RFC 9112 §6.3 equal Content-Lengths", "", head(ok, "Content-Length: 1", "Content-Length: 1") + "a", "200 OK\n[1] a"},

		{"RFC 9110 §9.3.2 HEAD", "HEAD", head(ok, "Content-Length: 1234567"), "200 OK\n[1234567] "},
		{"RFC 9110 §9.3.2 HEAD, length unknown", "HEAD", head(ok), "200 OK\n[-1] "},
		{"RFC 9110 §9.3.2 HEAD, chunked", "HEAD", head(ok, "Transfer-Encoding: chunked"), "200 OK\n[-1] "},
		{"RFC 9110 §15.3.5 204", "", head("HTTP/1.1 204 No Content"), "204 No Content\n[0] "},
		{"RFC 9110 §15.4.5 304", "", head("HTTP/1.1 304 Not Modified", `ETag: "a"`), "304 Not Modified\nEtag: \"a\"\n[0] "},
		{"RFC 9110 §15.4.5 304 has no content, whatever its length", "", head("HTTP/1.1 304 Not Modified", "Content-Length: 9"), "304 Not Modified\n[0] "},
		{"RFC 9110 §15.2 interim answers end here", "", head("HTTP/1.1 100 Continue") + head("HTTP/1.1 103 Early Hints", "Link: x") + head(ok, "Content-Length: 1") + "a", "200 OK\n[1] a"},
		{"redirects are for the client", "", head("HTTP/1.1 302 Found", "Location: /x", "Content-Length: 0"), "302 Found\nLocation: /x\n[0] "},
		{"any final status", "", head("HTTP/1.1 999 Hm hm", "Content-Length: 0"), "999 Hm hm\n[0] "},
		{"RFC 9112 §4 no reason", "", head("HTTP/1.1 200 ", "Content-Length: 0"), "200 \n[0] "},
		{"reason that is not ASCII", "", head("HTTP/1.1 200 d\xe9j\xc3\xa0", "Content-Length: 0"), "200 d\xe9j\xc3\xa0\n[0] "},
		{"reason with control bytes is left out", "", head("HTTP/1.1 200 O\x00K", "Content-Length: 0"), "200 \n[0] "},

		{"fields in a fixed order", "", head(ok, "b: 2", "Set-Cookie: z", "A: 1", "Content-Length: 0", "set-cookie: a", "Date: x"),
			"200 OK\nA: 1\nB: 2\nDate: x\nSet-Cookie: z\nSet-Cookie: a\n[0] "},
		{"values as they are", "", head(ok, "X:\t caf\xe9\ta  b; \"q\" ", "Y:", "Content-Length: 0"), "200 OK\nX: caf\xe9\ta  b; \"q\"\nY: \n[0] "},
		{"coded content stays coded", "", head(ok, "Content-Encoding: gzip", "Content-Length: 3") + "abc", "200 OK\nContent-Encoding: gzip\n[3] abc"},
		{"RFC 9110 §7.6.1 what is for the connection only", "", head(ok, "Connection: X-A , keep-alive", "connection: x-b", "X-A: 1", "X-B: 1", "X-C: 1",
			"Keep-Alive: timeout=1", "Proxy-Connection: a", "TE: a", "Upgrade: h2c", "Content-Length: 0"), "200 OK\nX-C: 1\n[0] "},

		{"§1.3 hold", "", head(ok, "Grip-Hold: response", "Grip-Channel: a; prev-id=1, b", "Grip-Timeout: 20", "X: y", "Content-Length: 2") + "{}",
			"200 OK\nX: y\n[2] {} [hold response, [a; prev-id=1 b], 20s]"},
		{"§1.3 hold, length unknown", "", head(ok, "Grip-Hold: response") + "{}", "200 OK\n[2] {} [hold response, [], 0s]"},
		{"§1.3 any Grip field", "", head(ok, "Grip-Unheard-Of: x", "Content-Length: 1") + "a", "200 OK\n[1] a"},
		{"§1.3 status", "", head(ok, "Grip-Status: 404 Gone fishing", "Content-Length: 1") + "a", "404 Gone fishing\n[1] a"},
		{"named channels", "", head(ok, "Grip-Channel: a; prev-id=1", "Content-Length: 1") + "a", "200 OK\n[1] a [named [a; prev-id=1]]"},
		{"§1.4 JSON", "", head(ok, "Content-Type: application/grip-instruct; x=y", "X: y") +
			`{"hold": {"channels": [{"name": "a", "prev-id": "1"}]}, "response": {"code": 201, "headers": {"Y": "z"}, "body": "later"}}`,
			"201 \nY: z\n[5] later [hold response, [a; prev-id=1], 0s]"},
		{"RFC 9110 §9.3.2 hold of a HEAD", "HEAD", head(ok, "Grip-Hold: response", "Content-Length: 42"), "200 OK\n[42]  [hold response, [], 0s]"},
		{"RFC 9110 §9.3.2 instruct for a HEAD, length unknown", "HEAD", head(ok, "Grip-Channel: a; prev-id=1"), "200 OK\n[-1]  [named [a; prev-id=1]]"},
		{"§1.2 as long as an instruct may be", "", head(ok, "Grip-Hold: response") + strings.Repeat("x", grip.MaxInstructBody),
			"200 OK\n[100000] " + strings.Repeat("x", grip.MaxInstructBody) + " [hold response, [], 0s]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, serve(t, wire(tt.sent)))
			r := get("k")
			if tt.method != "" {
				r.Method = tt.method
			}
			res := ask(t, c, r, false).result()
			if res.Answer == nil {
				t.Fatalf("%.300q\ngets %s: %v", tt.sent, describe(res), res.Failure)
			}
			if got := transcript(res.Answer); got != tt.want {
				t.Errorf("%.300q\ngets\n%.300q, want\n%.300q", tt.sent, got, tt.want)
			}
		})
	}
}

func TestFetchFailure(t *testing.T) {
	const ok = "HTTP/1.1 200 OK"
	for _, tt := range []struct {
		name string
		sent string
		err  string // part of what the log says
	}{
		{"nothing", "", "EOF"},
		{"no HTTP", "SSH-2.0-OpenSSH_9.9\r\n", "malformed"},
		{"HTTP/0.9", "<html></html>", "malformed"},
		{"no status", "HTTP/1.1\r\n\r\n", "malformed"},
		{"status of two digits", head("HTTP/1.1 20 OK"), "malformed"},
		{"status of letters", head("HTTP/1.1 abc OK"), "malformed"},
		{"status below 100", head("HTTP/1.1 099 Low", "Content-Length: 0"), "status line"},
		{"head is torn", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n", "EOF"},
		{"field without a colon", head(ok, "X"), "malformed"},
		{"field without a name", head(ok, ": x"), "malformed"},
		{"RFC 9110 §5.5 control byte in a value", head(ok, "X: a\x01b", "Content-Length: 0"), ""},
		{"RFC 9110 §5.5 NUL in a value", head(ok, "X: a\x00b", "Content-Length: 0"), ""},
		{"RFC 9110 §5.5 CR in a value", head(ok, "X: a\rSet-Cookie: b", "Content-Length: 0"), ""},
		{"RFC 9112 §5.1 space before the colon", head(ok, "X : y", "Content-Length: 0"), "X "},
		{"RFC 9112 §5.1 space before the colon of a cookie", head(ok, "Set-Cookie : a=b", "Content-Length: 0"), "Set-Cookie "},
		{"RFC 9112 §5.1 space before the colon of the length", head(ok, "Content-Length : 1") + "ab", "Content-Length "},
		{"head without end", head(ok, "X: "+strings.Repeat("x", 70<<10)), "exceeded"},
		{"interim answers without end", strings.Repeat(head("HTTP/1.1 102 Processing"), 4000), ""},
		{"RFC 9112 §6.3 different Content-Lengths", head(ok, "Content-Length: 1", "Content-Length: 2") + "ab", "Content-Length"},
		{"RFC 9112 §6.3 Content-Length and chunks", head(ok, "Content-Length: 9", "Transfer-Encoding: chunked") + "1\r\na\r\n0\r\n\r\n", "both"},
		{"RFC 9112 §6.1 chunks in HTTP/1.0", head("HTTP/1.0 200 OK", "Transfer-Encoding: chunked") + "1\r\na\r\n0\r\n\r\n", "HTTP/1.0"},
		{"RFC 9112 §6.3 Content-Length that is none", head(ok, "Content-Length: +1") + "a", "Content-Length"},
		{"RFC 9112 §6.1 unknown transfer coding", head(ok, "Transfer-Encoding: gzip") + "a", "Transfer-Encoding"},
		{"RFC 9112 §8 content is torn", head(ok, "Content-Length: 3") + "ab", "EOF"},
		{"RFC 9112 §8 chunked content is torn", head(ok, "Transfer-Encoding: chunked") + "3\r\nab", "EOF"},
		{"RFC 9112 §8 the last chunk is missing", head(ok, "Transfer-Encoding: chunked") + "2\r\nab\r\n", "EOF"},
		{"RFC 9112 §7.1 bad chunk", head(ok, "Transfer-Encoding: chunked") + "x\r\nab\r\n", "chunk"},
		{"RFC 9110 §15.2.2 upgrade that was not asked for", head("HTTP/1.1 101 Switching Protocols", "Upgrade: x", "Connection: upgrade"), "status 101"},

		{"§13 Grip-Hold", head(ok, "Grip-Hold: maybe", "Content-Length: 0"), "Grip-Hold must be set to either 'response' or 'stream'"},
		{"§13 Grip-Timeout", head(ok, "Grip-Hold: response", "Grip-Timeout: x", "Content-Length: 0"), "failed to parse Grip-Timeout"},
		{"§13 JSON", head(ok, "Content-Type: application/grip-instruct") + "{", "failed to parse application/grip-instruct content as JSON"},
		{"§1.4 JSON with another status", head("HTTP/1.1 404 No", "Content-Type: application/grip-instruct") + "{}", "response code for application/grip-instruct content must be 200"},
		{"§13 instruct too large", head(ok, "Grip-Hold: response") + strings.Repeat("x", grip.MaxInstructBody+1), "GRIP instruct response too large from 127.0.0.1:"},
		{"instruct is torn", head(ok, "Grip-Hold: response", "Content-Length: 3") + "ab", "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, serve(t, wire(tt.sent)))
			res := ask(t, c, get("k"), false).result()
			f := res.Failure
			if f == nil || f.Code != 502 || f.Reason != "Error while proxying to origin." || f.RetryAfter != "" {
				t.Fatalf("§13: %.300q\ngets %s, want the 502", tt.sent, describe(res))
			}
			if !strings.Contains(f.Error(), tt.err) {
				t.Errorf("the failure says %q, want %q", f, tt.err)
			}
			if n := c.Stats().Failures; n != 1 {
				t.Errorf("%d failures are counted, want 1", n)
			}
		})
	}
}

func TestFetchNoOrigin(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c := newClient(t, ln.Addr().String())
	res := ask(t, c, get("k"), false).result()
	if res.Failure == nil || res.Failure.Code != 502 {
		t.Errorf("got %s, want failure 502", describe(res))
	}
	if c.Changes() != 0 {
		t.Errorf("Changes() = %d after a GET, want 0", c.Changes())
	}
}

// TestFetchSilence is about an origin that stops at some point of its answer:
// the client is told in time, at which the connection to the origin ends.
func TestFetchSilence(t *testing.T) {
	const answerTimeout = 7 * time.Second
	for _, tt := range []struct {
		name string
		said string
		want string
	}{
		{"before the head", "", "failure 504"},
		{"in the head", "HTTP/1.1 200 OK\r\nX: ", "failure 504"},
		{"after an interim answer", head("HTTP/1.1 102 Processing"), "failure 504"},
		{"before the content", head("HTTP/1.1 200 OK", "Content-Length: 3"), "failure 504"},
		{"in the content", head("HTTP/1.1 200 OK", "Content-Length: 3") + "ab", "failure 504"},
		{"in an instruct", head("HTTP/1.1 200 OK", "Grip-Hold: response", "Content-Length: 3") + "ab", "failure 504"},
		{"in an instruct of unknown length", head("HTTP/1.1 200 OK", "Grip-Hold: response") + "ab", "failure 504"},
		{"in a stream", head("HTTP/1.1 200 OK") + "ab", "stream ab"},
		{"in a chunked stream", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "2\r\nab\r\n", "stream ab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended time.Time
				c := newBubbleClient(t, func(w http.ResponseWriter, _ *http.Request) {
					nc, _, err := w.(http.Hijacker).Hijack()
					if err != nil {
						panic(err)
					}
					defer nc.Close()
					io.WriteString(nc, tt.said)
					io.Copy(io.Discard, nc)
					ended = time.Now()
				}, func(cfg *Config) { cfg.AnswerTimeout = answerTimeout })
				begun := time.Now()
				a := ask(t, c, get("k"), false)
				r := receive(t, a.resultCh, "result")
				if got := describe(r); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
				took := time.Since(begun)
				if r.Failure == nil {
					if took != shareWait {
						t.Errorf("given after %v, want %v", took, shareWait)
					}
					r.Answer.Body.Close()
					return
				}
				if took != answerTimeout {
					t.Errorf("failed after %v, want %v", took, answerTimeout)
				}
				synctest.Wait()
				if got := ended.Sub(begun); got != answerTimeout {
					t.Errorf("the connection to the origin ends after %v, want %v", got, answerTimeout)
				}
			})
		})
	}
}

// TestFetchSlowStream: a stream may be silent for as long as it likes, and what
// it says passes at once.
func TestFetchSlowStream(t *testing.T) {
	for _, tt := range []struct{ name, key string }{
		{"shared", "k"},
		{"not shared", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newBubbleClient(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					for i := range 4 {
						fmt.Fprintf(w, "data: %d\n\n", i)
						w.(http.Flusher).Flush()
						time.Sleep(time.Hour)
					}
				})
				begun := time.Now()
				r := ask(t, c, get(tt.key), false).result()
				if r.Answer == nil || r.Answer.Body == nil || r.Answer.Length != -1 {
					t.Fatalf("got %s, want a stream of unknown length", describe(r))
				}
				buf := make([]byte, 100)
				got := string(r.Answer.Response.Body)
				for i := range 4 {
					if i > 0 || got == "" {
						n, err := r.Answer.Body.Read(buf)
						if err != nil {
							t.Fatalf("read event %d: %v", i, err)
						}
						got = string(buf[:n])
					}
					if want := fmt.Sprintf("data: %d\n\n", i); got != want {
						t.Errorf("event %d is %q, want %q", i, got, want)
					}
					if d := time.Since(begun).Truncate(time.Hour); d != time.Duration(i)*time.Hour {
						t.Errorf("event %d comes after %v", i, time.Since(begun))
					}
				}
				if n, err := r.Answer.Body.Read(buf); n != 0 || err != io.EOF {
					t.Errorf("Read at the end: %d, %v, want 0, EOF", n, err)
				}
				r.Answer.Body.Close()
			})
		})
	}
}

// TestFetchStall: a body whose length is known may not be silent for longer than
// an answer may take to begin.
func TestFetchStall(t *testing.T) {
	for _, tt := range []struct{ name, fields string }{
		{"answer", ""},
		{"beginning of a stream", "Grip-Hold: stream\r\nGrip-Channel: a\r\n"},
		{"answer with a next link", "Grip-Link: </b>; rel=next\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newBubbleClient(t, func(w http.ResponseWriter, r *http.Request) {
					nc, _, err := w.(http.Hijacker).Hijack()
					if err != nil {
						panic(err)
					}
					defer nc.Close()
					io.WriteString(nc, head("HTTP/1.1 200 OK", tt.fields+"Content-Length: 400000")+strings.Repeat("x", 200_000))
					io.Copy(io.Discard, nc)
				})
				r := ask(t, c, get("k"), false).result()
				if r.Answer == nil || r.Answer.Body == nil {
					t.Fatalf("got %s, want a body that follows", describe(r))
				}
				begun := time.Now()
				if _, err := io.Copy(io.Discard, r.Answer.Body); err == nil {
					t.Error("the body comes to an end")
				}
				if d := time.Since(begun); d != patience {
					t.Errorf("it fails after %v, want %v", d, patience)
				}
				r.Answer.Body.Close()
			})
		})
	}
}

// TestFetchStreamTorn: who reads a stream that does not come to its end learns
// of it.
func TestFetchStreamTorn(t *testing.T) {
	long := strings.Repeat("x", 2*maxTogether)
	for _, tt := range []struct{ name, sent string }{
		{"of known length", head("HTTP/1.1 200 OK", "Content-Length: 200001") + long},
		{"chunked", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "30d40\r\n" + long + "\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, serve(t, wire(tt.sent)))
			r := ask(t, c, get("k"), false).result()
			if r.Answer == nil || r.Answer.Body == nil {
				t.Fatalf("got %s, want a stream", describe(r))
			}
			defer r.Answer.Body.Close()
			rest, err := io.ReadAll(r.Answer.Body)
			if got := string(r.Answer.Response.Body) + string(rest); got != long || err != io.ErrUnexpectedEOF {
				t.Errorf("read %d bytes, %v, want %d, %v", len(got), err, len(long), io.ErrUnexpectedEOF)
			}
		})
	}
}

func TestFetchLong(t *testing.T) {
	long := strings.Repeat("0123456789", maxTogether/5)
	for _, key := range []string{"", "k"} {
		for _, announced := range []bool{true, false} {
			t.Run(fmt.Sprintf("key %q, length announced %v", key, announced), func(t *testing.T) {
				c := newClient(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
					if announced {
						w.Header().Set("Content-Length", fmt.Sprint(len(long)))
					}
					io.WriteString(w, long)
				}))
				r := ask(t, c, get(key), false).result()
				if r.Answer == nil || r.Answer.Body == nil {
					t.Fatalf("got %s, want a stream", describe(r))
				}
				defer r.Answer.Body.Close()
				if want := int64(len(long)); announced && r.Answer.Length != want || !announced && r.Answer.Length != -1 {
					t.Errorf("the length is %d, announced: %v", r.Answer.Length, announced)
				}
				rest, err := io.ReadAll(r.Answer.Body)
				if got := string(r.Answer.Response.Body) + string(rest); err != nil || got != long {
					t.Errorf("read %d bytes, %v, want the %d that were sent", len(got), err, len(long))
				}
			})
		}
	}
}

// TestFetchCloseEndsRead closes a stream that somebody is reading.
func TestFetchCloseEndsRead(t *testing.T) {
	for _, key := range []string{"", "k"} {
		t.Run(fmt.Sprintf("key %q", key), func(t *testing.T) {
			c := newClient(t, serve(t, trickleAnswer))
			r := ask(t, c, get(key), false).result()
			readingCh, errCh := make(chan struct{}), make(chan error)
			go func() {
				begin := io.LimitReader(r.Answer.Body, int64(len("so far")-len(r.Answer.Response.Body)))
				io.Copy(io.Discard, begin)
				close(readingCh)
				_, err := r.Answer.Body.Read(make([]byte, 1))
				errCh <- err
			}()
			receive(t, readingCh, "beginning")
			r.Answer.Body.Close()
			if err := receive(t, errCh, "end of Read"); err == nil || err == io.EOF {
				t.Errorf("Read during Close: %v, want an error", err)
			}
		})
	}
}

// TestFetchReuse: answers that have been read to the end leave their connection
// for the next request, and nothing else does.
func TestFetchReuse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   bool
	}{
		{"together", answer("body"), true},
		{"instruct", answer(holding, "body"), true},
		{"gathered", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, "body")
		}, true},
		{"bad instruct", answer("Grip-Hold: maybe", "body"), true},
		{"stream that is closed early", trickleAnswer, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			peerCh := make(chan string, 2)
			c := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				peerCh <- r.RemoteAddr
				tt.answer(w, r)
			}))
			for range 2 {
				r := ask(t, c, get("k"), true).result()
				if r.Answer != nil && r.Answer.Body != nil {
					r.Answer.Body.Close()
				}
			}
			if first, second := <-peerCh, <-peerCh; first == second != tt.want {
				t.Errorf("the second request comes from %s, the first from %s; want the same: %v", second, first, tt.want)
			}
		})
	}
}

// TestFetchGivenUp: what nobody wants any more does not get to the origin.
func TestFetchGivenUp(t *testing.T) {
	c := newClient(t, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the origin is asked") }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, f := c.fetch(ctx, c.to(get(""))); !errors.Is(f, context.Canceled) {
		t.Errorf("fetch fails with %v, want %v", f, context.Canceled)
	}
}
