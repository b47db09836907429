package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// §5: what a publisher can say, and what it is answered.

func TestPublishing(t *testing.T) { runCases(t, publishCases) }

// rejected wants an item to be refused for a reason, and with it the batch: a
// good item before it reaches nobody.
func rejected(s *scene, item, reason string) {
	s.Helper()
	a := s.post(`{"items":[{"channel":"$C","formats":{"http-stream":{"content":"of a bad batch"}}},` + item + `]}`)
	if want := "Invalid format: " + s.expand(reason) + "\n"; a.code != 400 || !either(s, a.body == want, strings.HasPrefix(a.body, "Invalid format: ") && strings.Contains(a.body, s.expand(reason))) {
		s.Errorf("%s: publisher got %d %q, want 400 %q", item, a.code, a.body, want)
	}
}

var publishCases = []testCase{
	{name: "5.1 formats at the top level", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(`{"channel":"$C","http-response":{"body":"news"}}`)
		c.answer().want(200, "news")
		t := newScene(s.T)
		t.origin(open("$C"))
		c = t.stream("opened ")
		t.publish(`{"channel":"$C","http-stream":{"content":"news"}}`)
		c.wantBytes("news")
	}},
	{name: "5.1 with formats those at the top level are ignored", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(`{"channel":"$C","http-response":{"body":"old"},"formats":{"http-response":{"body":"news"}}}`)
		c.answer().want(200, "news")
	}},
	{name: "5.1 each hold takes its own format", run: func(s *scene) {
		s.originAt("/poll", poll("$C"))
		polling := s.dial()
		polling.get("/poll")
		s.askedAt("/poll")
		s.origin(open("$C"))
		streaming := s.stream("opened ")
		s.publish(item("", "", `"http-response":{"body":"for polls"},"http-stream":{"content":"for streams"},"ws-message":{"content":"for sockets"}`))
		polling.answer().want(200, "for polls")
		streaming.wantBytes("for streams")
	}},
	{name: "5.1 an unknown format is accepted", run: func(s *scene) {
		s.publish(item("", "", `"unheard-of":{"content":1}`))
	}},
	{name: "5.1 ws-message is accepted with each type and action", run: func(s *scene) {
		for _, message := range []string{
			`{"content":"x"}`, `{"content-bin":"AAEC"}`, `{"content":"x","type":"text"}`, `{"content":"x","type":"binary"}`,
			`{"type":"ping"}`, `{"type":"pong"}`, `{"action":"close"}`, `{"action":"close","code":1000,"reason":"done"}`,
		} {
			if a := s.post(`{"items":[{"channel":"$C","formats":{"ws-message":` + message + `}}]}`); a.code != 200 {
				s.Errorf("%s: publisher got %d %q, want 200", message, a.code, a.body)
			}
		}
	}},
	{name: "5.1 ws-message is accepted with the action refresh", lacking: "refresh", run: func(s *scene) {
		s.publish(item("", "", `"ws-message":{"action":"refresh"}`))
	}},
	{name: "5.1 size and meta and no-seq are accepted", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(item("1", "0", `"http-response":{"body":"news"}`, `"size":4`, `"meta":{"a":"b"}`, `"no-seq":false`))
		c.answer().want(200, "news")
	}},
	{name: "5.1 unknown members of an item are ignored", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"body":"news","unheard":1}`, `"unheard":{}`))
		c.answer().want(200, "news")
	}},
	{name: "5.1 items of a batch go out in order, channel by channel", run: func(s *scene) {
		s.origin(open("$C-a, $C-b"))
		c := s.stream("opened ")
		var items []string
		want := ""
		for i := range 20 {
			channel := []string{"$C-a", "$C-b"}[i%2]
			items = append(items, strings.Replace(streamed("", "", fmt.Sprint(i, " ")), "$C", channel, 1))
			want += fmt.Sprint(i, " ")
		}
		s.publish(items...)
		c.wantBytes(want)
	}},
	{name: "5.1 batches follow one another", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.stream("opened ")
		for i := range 20 {
			s.publish(streamed("", "", fmt.Sprint(i, " ")))
		}
		c.wantBytes("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 ")
	}},
	{name: "5.1 a channel name with spaces and signs", run: func(s *scene) {
		s.origin(reply(200, "opened ", "Grip-Hold: stream", "Grip-Channel: $C a/b?x=y"))
		c := s.stream("opened ")
		s.publish(`{"channel":"$C a/b?x=y","formats":{"http-stream":{"content":"news"}}}`)
		c.wantBytes("news")
	}},
	{name: "5.1 content-filters", run: func(s *scene) {
		s.originAt("/with", open("$C; filter=var-subst", "Grip-Set-Meta: user=alice"))
		with := s.dial()
		with.get("/with")
		with.start()
		with.wantBytes("opened ")
		s.askedAt("/with")
		s.origin(open("$C"))
		without := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"content":"to %(user)s ","content-filters":["var-subst"]}`),
			item("", "", `"http-stream":{"content":"to nobody ","content-filters":["build-id"]}`),
			item("", "", `"http-stream":{"content":"to the plain ","content-filters":[]}`),
			item("", "", `"http-stream":{"content":"end"}`))
		if s.pushpin {
			with.wantBytes("to alice ")
			with.wantEnd()
			without.wantEnd()
			return
		}
		with.wantBytes("to alice end")
		without.wantBytes("to the plain end")
	}, differs: &difference{
		pushpin: "ends a stream whose filters are not those that `content-filters` of an item lists",
		marquee: "does not deliver the item to it",
		why:     "an item for some subscribers of a channel is no mistake of the others",
		notice:  "streams stay open",
	}},

	{name: "5.1 ids are strings", run: func(s *scene) {
		rejected(s, `{"channel":"$C","id":1,"formats":{"http-response":{"body":""}}}`, "publish item object contains 'id' with wrong type")
		rejected(s, `{"channel":"$C","prev-id":1,"formats":{"http-response":{"body":""}}}`, "publish item object contains 'prev-id' with wrong type")
	}},
	{name: "5.2 a bad item refuses the batch and says why", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.stream("opened ")
		for _, bad := range []struct{ item, reason string }{
			{`{"formats":{"http-response":{"body":""}}}`, "publish item object does not contain 'channel'"},
			{`{"channel":1,"formats":{"http-response":{"body":""}}}`, "publish item object contains 'channel' with wrong type"},
			{`{"channel":"$C"}`, "no formats specified"},
			{`{"channel":"$C","formats":{}}`, "no formats specified"},
			{`{"channel":"$C","formats":[]}`, "publish item object contains 'formats' with wrong type"},
			{`{"channel":"$C","formats":{"http-response":{}}}`, "'http-response' does not contain 'body', 'body-bin', or 'body-patch'"},
			{`{"channel":"$C","formats":{"http-stream":{}}}`, "'http-stream' does not contain 'content' or 'content-bin'"},
			{`{"channel":"$C","formats":{"ws-message":{}}}`, "'ws-message' does not contain 'content' or 'content-bin'"},
			{`{"channel":"$C","formats":{"http-response":{"code":1000,"body":""}}}`, "'http-response' contains 'code' with invalid value"},
			{`{"channel":"$C","formats":{"http-response":{"code":-1,"body":""}}}`, "'http-response' contains 'code' with invalid value"},
			{`{"channel":"$C","formats":{"http-response":{"headers":{"X-A":1},"body":""}}}`, "headers contains 'X-A' with wrong type"},
			{`{"channel":"$C","formats":{"http-response":{"headers":["X-A"],"body":""}}}`, "headers contains element with wrong type"},
			{`{"channel":"$C","formats":{"http-response":{"body":1}}}`, "'http-response' contains 'body' with wrong type"},
			{`{"channel":"$C","formats":{"http-response":{"body-patch":{}}}}`, "'http-response' contains 'body-patch' with wrong type"},
			{`{"channel":"$C","formats":{"http-stream":{"content":1}}}`, "'http-stream' contains 'content' with wrong type"},
			{`{"channel":"$C","formats":{"http-stream":1}}`, "'http-stream' is not an object"},
			{`1`, "publish item object is not an object"},
			{`{"channel":"$C","meta":[],"formats":{"http-response":{"body":""}}}`, "publish item object contains 'meta' with wrong type"},
			{`{"channel":"$C","no-seq":1,"formats":{"http-response":{"body":""}}}`, "publish item object contains 'no-seq' with wrong type"},
		} {
			rejected(s, bad.item, bad.reason)
		}
		s.publish(streamed("", "", "of a good batch"))
		c.wantBytes("of a good batch")
	}},
	{name: "5.2 an unknown action is refused", run: func(s *scene) {
		for _, formats := range []string{`"http-response":{"action":"unheard","body":""}`, `"http-stream":{"action":"unheard","content":""}`} {
			if a := s.post(`{"items":[` + item("", "", formats) + `]}`); a.code != 400 || !strings.HasPrefix(a.body, "Invalid format: ") {
				s.Errorf("%s: publisher got %d %q, want 400", formats, a.code, a.body)
			}
		}
	}},

	{name: "5.2 GET / says who answers", run: func(s *scene) {
		a := s.control("GET", "/", "")
		a.want(200, either(s, "Pushpin API\n", "Marquee API\n")).wantField("Content-Type", "text/plain")
	}, differs: &difference{
		pushpin: "greets with `Pushpin API`",
		marquee: "greets with its own name",
		why:     "who asks wants to know who is there",
		notice:  "a check that looks for `Pushpin API` needs the other name",
	}},
	{name: "5.2 an empty list of items is published", run: func(s *scene) {
		s.post(`{"items":[]}`).want(200, "Published\n").wantField("Content-Type", "text/plain").wantField("Content-Length", "10")
	}},
	{name: "5.2 the slash at the end of a path does not matter", run: func(s *scene) {
		for _, path := range []string{"/publish", "/publish/"} {
			s.control("POST", path, `{"items":[]}`, "Content-Length: 12").want(200, "Published\n")
		}
	}},
	{name: "5.2 who accepts JSON gets JSON", run: func(s *scene) {
		a := s.post(`{"items":[]}`, "Accept: application/json").wantField("Content-Type", "application/json")
		if s.pushpin {
			a.want(200, "{\"message\":\"Published\"}\n")
			return
		}
		var receipt map[string]any
		if err := json.Unmarshal([]byte(a.body), &receipt); err != nil || a.code != 200 || receipt["message"] != "Published" || len(receipt) < 2 {
			s.Errorf("publisher got %d %q, %v, want a receipt with message Published", a.code, a.body, err)
		}
	}, differs: &difference{
		pushpin: "answers `{\"message\":\"Published\"}` before anything is delivered",
		marquee: "answers when the items have been written, with `message` and a receipt: who was given them, who is slow, how long it took",
		why:     "a publisher can know what became of its news",
		notice:  "more members in the object",
	}},
	{name: "5.2 media types and other fields of a publish do not matter", run: func(s *scene) {
		for _, fields := range [][]string{{"Accept: */*"}, {"Accept: text/plain"}, {"Accept: text/*"},
			{"Content-Type: text/odd"}, {"Authorization: Bearer anything"}} {
			if a := s.post(`{"items":[]}`, fields...); a.code != 200 || a.body != "Published\n" {
				s.Errorf("%q: publisher got %d %q, want 200 Published", fields, a.code, a.body)
			}
		}
	}},
	{name: "5.2 who accepts neither is answered 406", run: func(s *scene) {
		s.post(`{"items":[]}`, "Accept: text/html").want(406, "Not Acceptable. Supported formats are text/plain and application/json.\n")
	}},
	{name: "5.2 other methods are answered 405", run: func(s *scene) {
		for _, path := range []string{"/publish/", "/recover/"} {
			s.control("GET", path, "").want(405, "Method not allowed: GET.\n").wantField("Allow", "POST")
			s.control("PUT", path, "", "Content-Length: 0").want(405, "Method not allowed: PUT.\n").wantField("Allow", "POST")
		}
	}},
	{name: "5.2 other paths are answered 404", run: func(s *scene) {
		s.control("GET", "/unheard", "").want(404, "Not Found\n")
	}},
	{name: "5.2 a body that cannot be read is answered 400", run: func(s *scene) {
		for body, want := range map[string]string{
			`{not json`:    "Body is not valid JSON.\n",
			``:             "Body is not valid JSON.\n",
			`[]`:           "Invalid format.\n",
			`{}`:           "Invalid format: object does not contain 'items'\n",
			`{"items":{}}`: "Invalid format: object contains 'items' with wrong type\n",
		} {
			s.post(body).want(400, want).wantField("Content-Type", "text/plain")
		}
	}},
	{name: "5.2 a body of more than 1,000,000 bytes is answered 400", run: func(s *scene) {
		s.post(`{"items":[`+streamed("", "", strings.Repeat("x", 1000000))+`]}`).want(400, "Request body too large.\n")
	}},
	{name: "5.2 a body without length is answered 411", run: func(s *scene) {
		s.control("POST", "/publish/", "").want(411, "Request requires Content-Length.\n")
	}},
	{name: "5.2 a chunked body is answered 411", run: func(s *scene) {
		s.control("POST", "/publish/", "c\r\n{\"items\":[]}\r\n0\r\n\r\n", "Transfer-Encoding: chunked").
			want(411, "Request requires Content-Length.\n")
	}},
	{name: "5.2 a head of more than 10,000 bytes is answered 400", run: func(s *scene) {
		s.post(`{"items":[]}`, "X-Long: "+strings.Repeat("x", 10000)).want(400, "Request header too large.\n")
	}},
	{name: "5.2 HTTP/1.0 is answered", run: func(s *scene) {
		c := s.dialTo(proxy.control)
		c.send("POST /publish/ HTTP/1.0\r\nContent-Length: 12\r\n\r\n{\"items\":[]}")
		c.answer().want(200, "Published\n").wantField("Content-Length", "10")
		c.wantClosed()
	}},
	{name: "5.2 Expect is answered", run: func(s *scene) {
		c := s.dialTo(proxy.control)
		c.send("POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n")
		c.patient()
		if line, err := c.in.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
			s.Fatalf("publisher got %q, %v, want 100", line, err)
		}
		if _, err := c.in.ReadString('\n'); err != nil {
			s.Fatal(err)
		}
		c.send(`{"items":[]}`)
		c.answer().want(200, "Published\n")
	}},
	{name: "5.2 a control connection", run: func(s *scene) {
		c := s.dialTo(proxy.control)
		publish := "POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{\"items\":[]}"
		c.send(publish)
		c.answer().want(200, "Published\n").wantField("Connection", either(s, "close", ""))
		if s.pushpin {
			c.wantClosed()
			return
		}
		c.send(publish)
		c.answer().want(200, "Published\n")
	}, differs: &difference{
		pushpin: "closes a control connection after one answer",
		marquee: "keeps it for the next publish",
		why:     "a publisher of many items needs no handshake for each",
		notice:  "lower latency; nothing to change",
	}},
	{name: "5.2 Go's own client can publish", run: func(s *scene) {
		r, err := http.Post("http://"+proxy.control+"/publish/", "application/json", strings.NewReader(`{"items":[]}`))
		if err != nil {
			s.Fatal(err)
		}
		defer r.Body.Close()
		if r.StatusCode != 200 {
			s.Errorf("publisher got %d, want 200", r.StatusCode)
		}
	}},
	{name: "13 an item that nobody waits for is forgotten", run: func(s *scene) {
		s.publish(response("", "", "too early"))
		s.origin(poll("$C"))
		c := s.hold()
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}},
}
