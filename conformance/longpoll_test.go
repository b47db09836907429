package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// §2 and §3: clients that are held until there is something to answer.

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

	{name: "3.3 a publish between answer and hold is not lost", run: func(s *scene) {
		// the channel's last id is known from another hold when the second comes
		s.originAt("/first", poll("$C; prev-id=1"))
		first := s.dial()
		first.get("/first")
		s.askedAt("/first")
		s.witness()
		s.publish(response("2", "1", "two"))
		first.answer().want(200, "two")
		s.originAt("", poll("$C; prev-id=1"), reply(200, "the origin's two"))
		s.get("").want(200, either(s, "the origin's two", "two"))
		s.asked()
		if s.pushpin {
			s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
		}
	}, differs: &difference{
		pushpin: "asks the origin again for a hold whose prev-id is not the channel's last id",
		marquee: "answers the hold with the last item if it follows the hold's prev-id; else it asks, too",
		why:     "the item is at hand",
		notice:  "the answer comes sooner, and the origin is asked less",
	}},
	{name: "3.3 a hold that has missed more than one item asks the origin again", run: func(s *scene) {
		s.originAt("/first", poll("$C; prev-id=1"))
		first := s.dial()
		first.get("/first")
		s.askedAt("/first")
		s.witness()
		s.publish(response("2", "1", "two"))
		first.answer().want(200, "two")
		s.originAt("", poll("$C; prev-id=0"), reply(200, "the origin's two"))
		s.get("").want(200, "the origin's two")
		s.asked()
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=0")})
	}},
	{name: "3.3 any of several channels can be in conflict", run: func(s *scene) {
		s.originAt("/first", poll("$C-b; prev-id=1"))
		first := s.dial()
		first.get("/first")
		s.askedAt("/first")
		s.witness()
		s.publish(strings.Replace(response("2", "1", "two"), "$C", "$C-b", 1))
		first.answer().want(200, "two")
		s.originAt("", poll("$C-a; prev-id=7, $C-b; prev-id=0"), reply(200, "asked again"))
		s.get("").want(200, "asked again")
		s.asked()
		last := s.asked()
		for _, want := range []string{"$C-a; last-id=7", "$C-b; last-id=0"} {
			if got := last.field("Grip-Last"); !strings.Contains(got, s.expand(want)) {
				s.Errorf("origin got Grip-Last: %q, want %q in it", got, s.expand(want))
			}
		}
	}},
	{name: "3.3 an origin that insists on an older id is asked once more, then the client is held", run: func(s *scene) {
		s.originAt("/first", poll("$C; prev-id=1"))
		first := s.dial()
		first.get("/first")
		s.askedAt("/first")
		s.witness()
		s.publish(response("2", "1", "two"))
		first.answer().want(200, "two")
		s.origin(poll("$C; prev-id=0"))
		c := s.dial()
		c.get("")
		s.asked()
		s.held()
		c.publishUntilAnswered(func(n int) string {
			return item(fmt.Sprint("2-", n), "0", `"http-response":{"body":"next of none"}`, `"no-seq":true`)
		}).want(200, "next of none")
	}},
	{name: "3.3 an unknown last id is no conflict", run: func(s *scene) {
		s.origin(poll("$C; prev-id=anything"))
		c := s.hold()
		s.publish(response("2", "anything", "news"))
		c.answer().want(200, "news")
	}},
	{name: "3.3 an item that follows is the answer", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"))
		c := s.hold()
		s.publish(response("2", "1", "two"))
		c.answer().want(200, "two")
	}},
	{name: "3.3 an item that does not follow makes the origin be asked again", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "the origin's three"))
		c := s.hold()
		s.publish(response("3", "2", "three"))
		c.answer().want(200, "the origin's three")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
	}},
	{name: "3.3 an item without prev-id makes the origin be asked again for a hold that has one", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold()
		s.publish(response("2", "", "two"))
		c.answer().want(200, "asked again")
	}},
	{name: "3.3 a hold without prev-id takes every item", run: func(s *scene) {
		for i, ids := range [][2]string{{"", ""}, {"7", ""}, {"8", "7"}} {
			s := newScene(s.T)
			s.origin(poll("$C"))
			c := s.hold()
			s.publish(response(ids[0], ids[1], fmt.Sprint("news ", i)))
			c.answer().want(200, fmt.Sprint("news ", i))
		}
	}},
	{name: "3.3 a filtered item advances the hold", run: func(s *scene) {
		s.origin(reply(200, "timeout", "Grip-Hold: response", "Grip-Channel: $C; prev-id=1; filter=skip-self", "Grip-Set-Meta: user=alice"), reply(200, "asked again"))
		c := s.hold()
		s.publish(item("2", "1", `"http-response":{"body":"two"}`, `"meta":{"sender":"alice"}`), response("3", "2", "three"))
		c.answer().want(200, "three")
	}},
	{name: "3.3 an item without the hold's format", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold()
		s.publish(streamed("2", "1", "two"), response("3", "2", "three"))
		c.answer().want(200, either(s, "asked again", "three"))
	}, differs: &difference{
		pushpin: "does not advance a hold by an item that lacks the hold's format, so that the next one makes it ask the origin again",
		marquee: "advances the hold",
		why:     "nothing was lost that the client could have had",
		notice:  "fewer requests at the origin",
	}},
	{name: "3.3 a channel lingers between two polls", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"))
		c := s.hold()
		s.publish(response("2", "1", "two"))
		c.answer().want(200, "two")
		// nobody is held; the ids are remembered, and so two items found to be missed
		s.publish(response("3", "2", "three"), response("4", "3", "four"))
		s.originAt("/again", poll("$C; prev-id=2"), reply(200, "the origin's four"))
		c.get("/again")
		c.answer().want(200, "the origin's four")
	}},

	{name: "3.4 a retry is the client's request with its body, and Grip-Last", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.dial()
		c.request("POST", "?a=1", "question", "X-A: 1", "Content-Type: text/odd")
		first := s.held()
		s.publish(response("3", "2", "three"))
		c.answer().want(200, "asked again")
		again := s.asked()
		if again.method != "POST" || again.target != first.target || again.body != "question" {
			s.Errorf("origin got %s %s %q, want POST %s question", again.method, again.target, again.body, first.target)
		}
		s.wantFields(again, map[string]string{"X-A": "1", "Content-Type": "text/odd", "Host": "grip.test", "Grip-Last": s.expand("$C; last-id=1")})
		if first.has("Grip-Last") {
			s.Errorf("origin got Grip-Last: %q with the first request, want none", first.field("Grip-Last"))
		}
	}},
	{name: "3.4 Grip-Last is for channels with prev-id only", run: func(s *scene) {
		s.origin(poll("$C-a; prev-id=1, $C-b"), reply(200, "asked again"))
		c := s.hold()
		s.publish(strings.Replace(response("3", "2", "three"), "$C", "$C-a", 1))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C-a; last-id=1")})
	}},
	{name: "3.4 after a retry the new instruct counts", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1", "X-A: old"), poll("$C-new; prev-id=3", "X-A: new"))
		c := s.hold()
		s.publish(response("3", "2", "three"))
		s.held()
		s.publish(strings.Replace(response("4", "3", "four"), "$C", "$C-new", 1))
		c.answer().want(200, "four").wantField("X-A", "new")
	}},
	{name: "3.4 a retry goes through the same route", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold("Host: target-host.test")
		s.publish(response("3", "2", "three"))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Host": "target.example"})
	}},
	{name: "3.4 a retry that finds the origin broken", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), "")
		c := s.hold()
		s.publish(response("3", "2", "three"))
		if s.pushpin {
			c.answer().want(502, "Error while proxying to origin.\n")
			return
		}
		s.asked()
		s.origin(reply(200, "the origin is back"))
		c.answer().want(200, "the origin is back")
	}, differs: &difference{
		pushpin: "answers 502 to a held client when the origin fails while it is asked again",
		marquee: "asks again, a little later each time, until the origin answers or the hold's time is over",
		why:     "the client waits anyhow, and an origin that restarts is back soon",
		notice:  "no errors while the origin restarts",
	}},

	{name: "3.5 a first subscription", run: func(s *scene) {
		s.origin(poll("$C", "Grip-Timeout: 5"))
		s.get("").want(200, "timeout")
		if n := s.times(""); n > 1 != s.pushpin {
			s.Errorf("origin was asked %d times", n)
		}
	}, differs: &difference{
		pushpin: "asks the origin again for every hold, one second after its channel got its first subscriber",
		marquee: "does not",
		why:     "it is there for publishers that learn late of a subscription; ids find what was missed in between, at no cost",
		notice:  "half the requests at the origin; holds end at their time, not one second later",
	}},
	{name: "3.5 hint makes the origin be asked again", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"action":"hint"}`))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
	}},
	{name: "3.5 a hint with an id", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold()
		s.publish(item("2", "1", `"http-response":{"action":"hint"}`))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=" + either(s, "2", "1"))})
	}, differs: &difference{
		pushpin: "counts the id of a hint as seen, so that `Grip-Last` of the retry names it",
		marquee: "names the id before",
		why:     "a hint has no content: an origin that goes by `Grip-Last` would leave out what the hint was for",
		notice:  "such an origin gives the client what is new",
	}},
	{name: "3.5 hint for a hold without prev-id asks without Grip-Last", run: func(s *scene) {
		s.origin(poll("$C"), reply(200, "asked again"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"action":"hint"}`))
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": ""})
	}},

	{name: "3.6 an id that was seen is not delivered again", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(response("1", "", "one"))
		c.answer().want(200, "one")
		c.get("")
		s.held()
		s.publish(response("1", "", "one again"), response("2", "", "two"))
		c.answer().want(200, "two")
	}},
	{name: "3.6 an id is remembered without subscribers and with no-seq", run: func(s *scene) {
		s.publish(item("1", "", `"http-response":{"body":"one"}`, `"no-seq":true`))
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(item("1", "", `"http-response":{"body":"one again"}`, `"no-seq":true`), response("2", "", "two"))
		c.answer().want(200, "two")
	}},
	{name: "3.6 no-seq is delivered at once and leaves the last id", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("2", "1", "two "),
			item("9", "8", `"http-stream":{"content":"nine "}`, `"no-seq":true`),
			streamed("3", "2", "three "))
		c.wantBytes("two nine three ")
	}},
	{name: "3.6 items that come early wait for those before them", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "))
		s.publish(streamed("4", "3", "four "))
		s.publish(streamed("3", "2", "three "))
		s.publish(streamed("2", "1", "two "))
		c.wantBytes("one two three four ")
	}},
	{name: "3.6 of two early items with one prev-id the second is dropped", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "), streamed("3", "2", "three "), streamed("3b", "2", "another "), streamed("2", "1", "two "), streamed("4", "3", "four "))
		c.wantBytes("one two three four ")
	}},
	{name: "3.6 an early item waits five seconds, then it is delivered", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "))
		c.wantBytes("one ")
		start := time.Now()
		s.publish(streamed("3", "2", "three "))
		c.wantBytes("three ")
		if took := time.Since(start); took < 4900*time.Millisecond || took > 9*time.Second {
			s.Errorf("took %v, want 5 to 6 s", took)
		}
	}},
	{name: "3.6 several early items wait five seconds", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "), streamed("4", "3", "four "), streamed("3", "2", "three "), streamed("5", "4", "five "))
		got := c.until(" ") + c.until(" ") + c.until(" ") + c.until(" ")
		if in := got == "one three four five "; !in && !s.pushpin || len(got) != len("one three four five ") {
			s.Errorf("client got %q, want one three four five", got)
		}
	}, differs: &difference{
		pushpin: "gives up waiting for a lost item in any order of those that came after it (1.36)",
		marquee: "sends them as they follow one another",
		why:     "the client can only make sense of them in order",
		notice:  "order, also after a loss",
	}},
	{name: "3.6 more than a hundred early items of a channel are dropped", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "1 "))
		var early []string
		want := "1 2 "
		for i := 3; i < 110; i++ {
			early = append(early, streamed(fmt.Sprint(i), fmt.Sprint(i-1), fmt.Sprint(i, " ")))
			if i < 103 {
				want += fmt.Sprint(i, " ")
			}
		}
		s.publish(early...)
		s.publish(streamed("2", "1", "2 "))
		c.wantBytes(want)
		s.publish(item("", "", `"http-stream":{"content":"end"}`, `"no-seq":true`))
		c.wantBytes("end")
	}},
	{name: "3.6 an item without id clears the last id", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("1", "0", "one "), streamed("", "", "none "), streamed("9", "8", "nine "))
		c.wantBytes("one none nine ")
	}},
}
