package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// §2, §3.1 and §3.2: clients that are held until there is something to answer.

func TestLongPolls(t *testing.T) { runCases(t, longPollCases) }

// held instruct of these cases: a response hold on the scene's channel, whose
// body is "timeout".
func poll(channel string, fields ...string) string {
	return reply(200, "timeout", append([]string{"Grip-Hold: response", "Grip-Channel: " + channel}, fields...)...)
}

var longPollCases = []testCase{
	{name: "2 requests follow one another on a connection", run: func(s *scene) {
		s.at("", func(a *ask) string { return reply(200, fmt.Sprint("answer ", a.nth)) })
		c := s.dial()
		for i := range 3 {
			c.get("")
			c.answer().want(200, fmt.Sprint("answer ", i+1))
		}
	}},
	{name: "2 pipelined requests are answered in order", run: func(s *scene) {
		for _, path := range []string{"/a", "/b", "/c"} {
			s.originAt(path, reply(200, path))
		}
		c := s.dial()
		c.send(requestTo("GET", "/$P/a", "") + requestTo("GET", "/$P/b", "") + requestTo("GET", "/$P/c", ""))
		for _, path := range []string{"/a", "/b", "/c"} {
			c.answer().want(200, path)
		}
	}},
	{name: "2 a request that is sent during a hold is answered after it", run: func(s *scene) {
		s.origin(poll("$C"))
		s.originAt("/after", reply(200, "after"))
		c := s.hold()
		c.get("/after")
		s.witness()
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
		c.answer().want(200, "after")
	}},
	{name: "2 a connection persists after the answer of a hold", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		for i := range 3 {
			s.publish(response("", "", fmt.Sprint("news ", i)))
			c.answer().want(200, fmt.Sprint("news ", i))
			c.get("")
			s.held()
		}
	}},
	{name: "2 a client that says close is closed after its answer", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold("Connection: close")
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
		c.wantClosed()
	}},
	{name: "2 a client of HTTP/1.0 is held, answered and closed", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.dial()
		c.send("GET /$P HTTP/1.0\r\nHost: grip.test\r\n\r\n")
		s.held()
		s.publish(response("", "", "news"))
		c.answer().want(200, "news").wantField("Content-Length", "4")
		c.wantClosed()
	}},
	{name: "2 204 and 304 have neither body nor length", run: func(s *scene) {
		for _, code := range []int{204, 304} {
			s := newScene(s.T)
			s.originAt("/pass", "HTTP/1.1 "+fmt.Sprint(code, " ", http.StatusText(code))+"\r\nX-A: 1\r\nConnection: close\r\n\r\n")
			c := s.dial()
			c.get("/pass")
			c.answer().want(code, "").wantNone("Content-Length", "Transfer-Encoding").wantField("X-A", "1")
			s.origin(poll("$C"))
			c.get("")
			s.held()
			s.publish(item("", "", fmt.Sprintf(`"http-response":{"code":%d,"body":""}`, code)))
			c.answer().want(code, "").wantNone("Content-Length", "Transfer-Encoding")
			c.get("/pass")
			c.answer().want(code, "")
		}
	}},
	{name: "2 the answer to HEAD passes without body", run: func(s *scene) {
		s.at("", func(a *ask) string {
			return "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-A: 1\r\nConnection: close\r\n\r\n"
		})
		s.originAt("/after", reply(200, "after"))
		c := s.dial()
		c.request("HEAD", "", "")
		c.answer().want(200, "").wantField("X-A", "1")
		c.get("/after")
		c.answer().want(200, "after")
	}},
	{name: "2 a held HEAD is answered by a publish", run: func(s *scene) {
		s.at("", func(a *ask) string {
			return "HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nGrip-Channel: $C\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
		})
		c := s.dial()
		c.request("HEAD", "", "")
		s.held()
		s.publish(response("", "", "news"))
		a := c.start()
		if a.code != 200 {
			s.Fatalf("client got %d, want 200", a.code)
		}
		c.request("HEAD", "/none", "") // its answer follows the head, or the body that should not be there
		c.patient()
		got, err := c.in.Peek(4)
		if want := either(s, "news", "HTTP"); err != nil || string(got) != want {
			s.Errorf("after the head came %q, %v, want %q", got, err, want)
		}
	}, differs: &difference{
		pushpin: "sends the body of the item also to a held HEAD",
		marquee: "sends the head alone",
		why:     "the client takes the body for the beginning of its next answer (RFC 9110 §9.3.2)",
		notice:  "HEAD works",
	}},
	{name: "2 Date of the answer of a hold", run: func(s *scene) {
		s.origin(poll("$C", "Date: Thu, 01 Jan 1970 00:00:00 GMT"))
		c := s.hold()
		s.publish(response("", "", "news"))
		if date := c.answer().want(200, "news").field("Date"); date == "Thu, 01 Jan 1970 00:00:00 GMT" != s.pushpin || date == "" {
			s.Errorf("client got Date: %q", date)
		}
	}, differs: &difference{
		pushpin: "answers a held request with the `Date` of the origin's answer, which is when the hold began",
		marquee: "answers with the date of the answer",
		why:     "it is when the answer was made (RFC 9110 §6.6.1), and caches count from it",
		notice:  "a right date",
	}},
	{name: "2 bytes that are no request", run: func(s *scene) {
		c := s.dial()
		c.send("this is no request\r\n\r\n")
		if s.pushpin {
			c.wantClosed()
			return
		}
		if a := c.start(); a.code != 400 {
			s.Errorf("client got %d, want 400", a.code)
		}
	}, differs: &difference{
		pushpin: "cuts off who sends something else than a request (1.36)",
		marquee: "answers 400 and closes, as the parser finds (RFC 9112)",
		why:     "a person who debugs a client sees what is wrong",
		notice:  "an answer in place of a reset",
	}},
	{name: "2 a head of more than 8,192 bytes", run: func(s *scene) {
		c := s.dial()
		c.get("", "X-Long: "+strings.Repeat("x", 40000))
		if s.pushpin {
			c.wantClosed()
			return
		}
		if a := c.start(); a.code != 431 && a.code != 400 {
			s.Errorf("client got %d, want 431", a.code)
		}
	}, differs: &difference{
		pushpin: "cuts off who sends a head longer than `client_buffer_size` (1.36)",
		marquee: "answers 431 and closes",
		why:     "RFC 6585 §5",
		notice:  "an answer in place of a reset",
	}},
	{name: "2 a request with two different lengths", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		c := s.dial()
		c.send("POST /$P HTTP/1.1\r\nHost: grip.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
		if s.pushpin {
			if a := c.start(); a.code != 200 {
				s.Errorf("client got %d, want 200", a.code)
			}
			return
		}
		if a := c.start(); a.code != 400 {
			s.Errorf("client got %d, want 400", a.code)
		}
	}, differs: &difference{
		pushpin: "believes one of several lengths of a request",
		marquee: "refuses the request with 400 (RFC 9112 §6.3)",
		why:     "two servers that believe different lengths are the way in for smuggled requests",
		notice:  "nothing: no client does this by accident",
	}},

	{name: "3.1 a timeout is answered as the origin said", run: func(s *scene) {
		s.origin(replyStatus("404 Nothing New", "timeout", "Grip-Hold: response", "Grip-Channel: $C; prev-id=1", "Grip-Timeout: 5", "X-A: 1"))
		wantDuration(s, 5, func() {
			if a := s.get("").want(404, "timeout").wantField("X-A", "1").wantNoGrip(); a.reason != "Nothing New" {
				s.Errorf("client got the reason %q, want Nothing New", a.reason)
			}
		})
	}},
	{name: "3.1 the first item of any channel is the answer", run: func(s *scene) {
		for _, channel := range []string{"$C-a", "$C-b"} {
			s := newScene(s.T)
			s.origin(poll("$C-a, $C-b"))
			c := s.hold()
			s.publish(strings.Replace(response("", "", channel), "$C", channel, 1))
			c.answer().want(200, s.expand(channel))
		}
	}},
	{name: "3.1 all who wait for a channel are answered", run: func(s *scene) {
		s.origin(poll("$C"))
		var clients []*client
		for range 20 {
			clients = append(clients, s.hold())
		}
		s.publish(response("", "", "news"))
		for _, c := range clients {
			c.answer().want(200, "news")
		}
	}},
	{name: "3.1 an item of another channel is no answer", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(strings.Replace(response("", "", "other"), "$C", "$C-other", 1), strings.ReplaceAll(response("", "", "case"), "$C", "CHANNEL-$P"))
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}},

	{name: "3.2 the item's code, not the hold's, is the answer's", run: func(s *scene) {
		s.origin(replyStatus("404 Nothing New", "timeout", "Grip-Hold: response", "Grip-Channel: $C"))
		c := s.hold()
		s.publish(response("", "", "news"))
		if a := c.answer().want(200, "news"); a.reason != "OK" {
			s.Errorf("client got the reason %q, want OK", a.reason)
		}
	}},
	{name: "3.2 code and reason of the item", run: func(s *scene) {
		for formats, want := range map[string]string{
			`"http-response":{"code":410,"reason":"Went","body":"news"}`: "410 Went",
			`"http-response":{"code":410,"body":"news"}`:                 "410 Gone",
			`"http-response":{"code":410,"reason":"","body":"news"}`:     "410 Gone",
			`"http-response":{"code":"410","body":"news"}`:               "410 Gone",
		} {
			s := newScene(s.T)
			s.origin(poll("$C"))
			c := s.hold()
			s.publish(item("", "", formats))
			a := c.answer().want(410, "news")
			if got := fmt.Sprint(a.code, " ", a.reason); got != want {
				s.Errorf("%s: client got %s, want %s", formats, got, want)
			}
		}
	}},
	{name: "3.2 fields of the hold stay unless the item has them", run: func(s *scene) {
		s.origin(poll("$C", "X-A: hold", "X-B: hold", "X-B: again", "Content-Type: text/hold"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"body":"news","headers":{"x-b":"item","Content-Type":"text/item","X-C":"item"}}`))
		c.answer().want(200, "news").wantField("X-A", "hold").wantField("X-B", "item").wantField("X-C", "item").
			wantField("Content-Type", "text/item").wantField("Content-Length", "4")
	}},
	{name: "3.2 an item's headers as pairs may repeat a name", run: func(s *scene) {
		s.origin(poll("$C", "X-A: hold"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"body":"news","headers":[["X-A","1"],["X-A","2"]]}`))
		c.answer().want(200, "news").wantField("X-A", "1, 2")
	}},
	{name: "3.2 Grip fields in an item do not reach the client", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"body":"news","headers":{"Grip-Hold":"stream","X-A":"1"}}`))
		c.answer().want(200, "news").wantNoGrip().wantField("X-A", "1")
	}},
	{name: "3.2 Grip-Expose-Headers in an item", run: func(s *scene) {
		s.origin(poll("$C", "X-B: hold"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"body":"news","headers":{"Grip-Expose-Headers":"X-A","X-A":"1"}}`))
		c.answer().want(200, "news").wantNoGrip().wantField("X-A", either(s, "", "1"))
	}, differs: &difference{
		pushpin: "removes the fields that `Grip-Expose-Headers` of an item lists",
		marquee: "treats it as any `Grip-` field of an item: it does not reach the client and does nothing",
		why:     "the opposite of what the field says of an instruct is an accident",
		notice:  "nothing: no library sends it in items",
	}},
	{name: "3.2 Content-Length of an item is not believed", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"body":"news","headers":{"Content-Length":"400"}}`))
		c.answer().want(200, "news").wantField("Content-Length", "4")
	}},
	{name: "3.2 body-bin is base64 and wins over body", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"body":"text","body-bin":"AAEC/w=="}`))
		c.answer().want(200, "\x00\x01\x02\xff")
	}},
	{name: "3.2 an item's empty body is an answer", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(response("", "", ""))
		c.answer().want(200, "").wantField("Content-Length", "0")
	}},
	{name: "3.2 body-patch changes the body of the hold", run: func(s *scene) {
		for _, c := range []struct{ hold, patch, want string }{
			{`{"a":1}`, `[{"op":"add","path":"/b","value":[1]}]`, `{"a":1,"b":[1]}`},
			{`{"a":1,"b":2}`, `[{"op":"remove","path":"/a"}]`, `{"b":2}`},
			{`{"a":1}`, `[{"op":"replace","path":"/a","value":"x"}]`, `{"a":"x"}`},
			{`{"a":1}`, `[{"op":"move","from":"/a","path":"/b"}]`, `{"b":1}`},
			{`{"a":1}`, `[{"op":"copy","from":"/a","path":"/b"}]`, `{"a":1,"b":1}`},
			{`{"a":1}`, `[{"op":"test","path":"/a","value":1},{"op":"replace","path":"/a","value":2}]`, `{"a":2}`},
			{"{\"a\":1}\n", `[{"op":"replace","path":"/a","value":2}]`, "{\"a\":2}\n"},
			{"{\"a\":1}\r\n", `[{"op":"replace","path":"/a","value":2}]`, "{\"a\":2}\r\n"},
		} {
			s := newScene(s.T)
			s.origin(reply(200, c.hold, "Grip-Hold: response", "Grip-Channel: $C", "Content-Type: application/json"))
			held := s.hold()
			s.publish(item("", "", `"http-response":{"body-patch":`+c.patch+`}`))
			held.answer().want(200, c.want).wantField("Content-Type", "application/json")
		}
	}},
	{name: "3.2 a body-patch that fails is answered 502", run: func(s *scene) {
		for _, c := range []struct{ hold, patch string }{
			{`{"a":1}`, `[{"op":"test","path":"/a","value":2},{"op":"replace","path":"/a","value":3}]`},
			{`{"a":1}`, `[{"op":"remove","path":"/b"}]`},
			{`not json`, `[{"op":"add","path":"/a","value":1}]`},
		} {
			s := newScene(s.T)
			s.origin(reply(200, c.hold, "Grip-Hold: response", "Grip-Channel: $C"))
			held := s.hold()
			s.publish(item("", "", `"http-response":{"body-patch":`+c.patch+`}`))
			if a := held.answer(); a.code != 502 || a.body != "Error while proxying to origin.\n" {
				s.Errorf("%s on %s: client got %d %q, want 502", c.patch, c.hold, a.code, a.body)
			}
		}
	}},
	{name: "3.2 a body-patch that is none", run: func(s *scene) {
		s.origin(reply(200, `{"a":1}`, "Grip-Hold: response", "Grip-Channel: $C"))
		c := s.hold()
		patch := item("", "", `"http-response":{"body-patch":[{"op":"unheard","path":"/a"}]}`)
		if s.pushpin {
			s.publish(patch)
			c.answer().want(502, "Error while proxying to origin.\n")
			return
		}
		if a := s.post(`{"items":[` + patch + `]}`); a.code != 400 || !strings.HasPrefix(a.body, "Invalid format: ") {
			s.Errorf("publisher got %d %q, want 400", a.code, a.body)
		}
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}, differs: &difference{
		pushpin: "takes a patch with an unknown operation, and answers all who are held 502",
		marquee: "refuses it with 400",
		why:     "the publisher made the mistake, not the clients",
		notice:  "the publisher sees what is wrong",
	}},
	{name: "3.2 close and unknown actions do nothing to a response hold", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(item("", "", `"http-stream":{"action":"close"},"ws-message":{"action":"close"}`))
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}},
}
