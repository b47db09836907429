package conformance

import (
	"fmt"
	"strings"
	"testing"
)

// §1.2 to §1.4: which answers of the origin are instructs, and what they say.

func TestInstructs(t *testing.T) { runCases(t, instructCases) }

// refused wants an instruct to be refused, with the reason for a route with
// debug.
func refused(s *scene, body, reason string, fields ...string) {
	s.Helper()
	wantReason(s, reply(200, body, fields...), "Failed to parse accept instructions: "+reason)
}

// wantReason wants an answer of the origin to be refused, with the reason for a
// route with debug.
func wantReason(s *scene, origin, reason string) {
	s.Helper()
	s.origin(origin)
	s.get("").want(502, "Error while proxying to origin.\n").wantNoGrip().wantField("Content-Type", "text/plain")
	s.get("", "Host: debug.test").want(502, s.expand(reason)+"\n").wantNoGrip()
}

// instruct makes an answer with a JSON instruct.
func instruct(text string, fields ...string) string {
	return reply(200, text, append(fields, "Content-Type: application/grip-instruct")...)
}

var instructCases = []testCase{
	{name: "1.2 an answer without Grip fields passes", run: func(s *scene) {
		s.origin(replyStatus("299 Odd Reason", "body", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Server: here",
			"Content-Type: text/odd", "X-A: 1", "X-A: 2", "Keep-Alive: timeout=1"))
		a := s.get("").want(299, "body").wantField("Date", "Thu, 01 Jan 1970 00:00:00 GMT").wantField("Server", "here").
			wantField("Content-Type", "text/odd").wantField("X-A", "1, 2").wantField("Content-Length", "4").wantNone("Keep-Alive")
		if a.reason != "Odd Reason" {
			s.Errorf("client got the reason %q, want Odd Reason", a.reason)
		}
	}},
	{name: "1.2 an answer of unknown length passes", run: func(s *scene) {
		s.origin("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
		s.get("").want(200, "until the end")
	}},
	{name: "1.2 a chunked answer passes", run: func(s *scene) {
		s.origin(reply(200, "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "Transfer-Encoding: chunked"))
		s.get("").want(200, "hello world")
	}},
	{name: "1.2 an answer with an empty body passes", run: func(s *scene) {
		s.origin(reply(200, ""))
		s.get("").want(200, "").wantField("Content-Length", "0")
	}},
	{name: "1.2 an answer of a megabyte passes", run: func(s *scene) {
		body := strings.Repeat("0123456789abcdef", 1<<16)
		s.origin(reply(200, body))
		s.get("").want(200, body)
	}},
	{name: "1.2 an answer whose only Grip field is unknown is an instruct", run: func(s *scene) {
		s.origin(reply(200, "body", "Grip-Unheard-Of: 1", "X-A: 1"))
		s.get("").want(200, "body").wantNoGrip().wantField("X-A", "1")
	}},
	{name: "1.2 a media type is compared before its parameters", run: func(s *scene) {
		s.origin(reply(200, `{"response":{"body":"json"}}`, "Content-Type: application/grip-instruct; charset=utf-8"))
		s.get("").want(200, "json")
	}},
	{name: "1.2 a media type that only begins like that of an instruct is none", run: func(s *scene) {
		s.origin(reply(200, `{"response":{"body":"json"}}`, "Content-Type: application/grip-instruction"))
		s.get("").want(200, `{"response":{"body":"json"}}`)
	}},
	{name: "1.2 an instruct of 100,000 bytes is accepted", run: func(s *scene) {
		body := strings.Repeat("x", 100000)
		s.origin(reply(200, body, "Grip-Status: 201"))
		s.get("").want(201, body)
	}},
	{name: "1.2 a response hold of more than 100,000 bytes is refused", run: func(s *scene) {
		body := strings.Repeat("x", 100001)
		wantReason(s, reply(200, body, "Grip-Hold: response", "Grip-Channel: $C"),
			"GRIP instruct response too large from "+proxy.origin.address())
	}},
	{name: "1.2 a JSON instruct of more than 100,000 bytes is refused", run: func(s *scene) {
		wantReason(s, instruct(`{"response":{"body":"`+strings.Repeat("x", 100000)+`"}}`),
			"GRIP instruct response too large from "+proxy.origin.address())
	}},
	{name: "1.2 a stream of more than 100,000 bytes begins with all of them", run: func(s *scene) {
		body := strings.Repeat("0123456789", 30000)
		s.origin(reply(200, body, "Grip-Hold: stream", "Grip-Channel: $C", "Grip-Status: 201 Made", "X-A: 1"))
		c := s.dial()
		c.get("")
		if a := c.start().wantNoGrip().wantNone("Content-Length").wantField("X-A", "1"); a.code != 201 {
			s.Errorf("client got %d, want 201", a.code)
		}
		c.wantBytes(body)
		s.held()
		s.publish(streamed("", "", "after"))
		c.wantBytes("after")
	}},
	{name: "1.2 a request of 100,000 bytes can be held", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: response", "Grip-Channel: $C"))
		c := s.dial()
		c.request("POST", "", strings.Repeat("x", 100000))
		s.held()
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}},
	{name: "1.2 a request of more than 100,000 bytes cannot be held", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: response", "Grip-Channel: $C"))
		c := s.dial()
		c.request("POST", "", strings.Repeat("x", 100001))
		c.answer().want(400, "Request too large to accept GRIP instruct.\n").wantNoGrip()
	}},
	{name: "1.2 POST can be held", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: response", "Grip-Channel: $C"))
		c := s.dial()
		c.request("POST", "", "question")
		if a := s.held(); a.body != "question" {
			s.Errorf("origin got %q, want question", a.body)
		}
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}},

	{name: "1.3 field names are in any case", run: func(s *scene) {
		s.origin(reply(200, "", "gRIP-hOLD: response", "grip-channel: $C"))
		c := s.hold()
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}},
	{name: "1.3 Grip-Hold is exactly response or stream", run: func(s *scene) {
		for _, value := range []string{"Response", "long", "stream " + "x"} {
			refused(s, "", "Grip-Hold must be set to either 'response' or 'stream'", "Grip-Hold: "+value, "Grip-Channel: $C")
		}
	}},
	{name: "1.3 channels come in a list or in repeated fields", run: func(s *scene) {
		for _, fields := range [][]string{{"Grip-Channel: $C-a, $C-b"}, {"Grip-Channel: $C-a", "Grip-Channel: $C-b"}} {
			for _, channel := range []string{"$C-a", "$C-b"} {
				s := newScene(s.T)
				s.origin(reply(200, "", append(fields, "Grip-Hold: response")...))
				c := s.hold()
				s.publish(`{"channel":"` + channel + `","formats":{"http-response":{"body":"` + channel + `"}}}`)
				c.answer().want(200, s.expand(channel))
			}
		}
	}},
	{name: "1.3 parameters can be quoted", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: response", `Grip-Channel: $C; prev-id="a, \"b; c\""`))
		c := s.hold()
		s.publish(`{"channel":"$C","id":"2","prev-id":"a, \"b; c\"","formats":{"http-response":{"body":"news"}}}`)
		c.answer().want(200, "news")
	}},
	{name: "1.3 a hold without any channel waits for its timeout", run: func(s *scene) {
		s.origin(reply(200, "timeout", "Grip-Hold: response", "Grip-Timeout: 5"))
		wantDuration(s, 5, func() { s.get("").want(200, "timeout").wantNoGrip() })
	}},
	{name: "1.3 a channel of a route with prefix has it before its name", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: response", "Grip-Channel: $C"))
		c := s.hold("Host: prefix.test")
		s.publish(response("", "", "wrong"))
		s.publish(strings.Replace(response("", "", "news"), "$C", "pre-$C", 1))
		c.answer().want(200, "news")
	}},
	{name: "1.3 five filters of a channel are accepted", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: response", "Grip-Channel: $C"+strings.Repeat("; filter=skip-self", 5)))
		c := s.hold()
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}},
	{name: "1.3 six filters of a channel are refused", lacking: "a limit of filters", run: func(s *scene) {
		refused(s, "", "too many filters for channel '$C'", "Grip-Hold: response", "Grip-Channel: $C"+strings.Repeat("; filter=skip-self", 6))
	}},
	{name: "1.3 channels beyond the twentieth are dropped", run: func(s *scene) {
		var channels []string
		for i := range 21 {
			channels = append(channels, fmt.Sprintf("$C-%02d", i))
		}
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: "+strings.Join(channels, ", ")))
		c := s.stream("")
		for _, channel := range channels {
			s.publish(strings.Replace(streamed("", "", channel), "$C", channel, 1))
		}
		s.publish(strings.Replace(streamed("", "", "end"), "$C", "$C-00", 1))
		c.wantBytes(strings.Join(channels[:20], "") + "end")
	}},
	{name: "1.3 Grip-Timeout is raised to five seconds", run: func(s *scene) {
		s.origin(reply(200, "timeout", "Grip-Hold: response", "Grip-Channel: $C", "Grip-Timeout: 1"))
		wantDuration(s, 5, func() { s.get("").want(200, "timeout") })
	}},
	{name: "1.3 Grip-Timeout is a number of seconds", run: func(s *scene) {
		s.origin(reply(200, "timeout", "Grip-Hold: response", "Grip-Channel: $C", "Grip-Timeout: 6"))
		wantDuration(s, 6, func() { s.get("").want(200, "timeout") })
	}},
	{name: "1.3 Grip-Timeout that is no number is refused", run: func(s *scene) {
		for value, reason := range map[string]string{
			"soon": "failed to parse Grip-Timeout", "1.5": "failed to parse Grip-Timeout", "-1": "Grip-Timeout has invalid value",
		} {
			refused(s, "", reason, "Grip-Hold: response", "Grip-Channel: $C", "Grip-Timeout: "+value)
		}
	}},
	{name: "1.3 Grip-Status replaces code and reason", run: func(s *scene) {
		s.origin(replyStatus("200 OK", "body", "Grip-Status: 404 Gone Fishing"))
		if a := s.get("").want(404, "body").wantNoGrip(); a.reason != "Gone Fishing" {
			s.Errorf("client got the reason %q, want Gone Fishing", a.reason)
		}
	}},
	{name: "1.3 Grip-Status without reason takes the standard phrase", run: func(s *scene) {
		s.origin(replyStatus("200 Fine", "body", "Grip-Status: 404"))
		if a := s.get("").want(404, "body"); a.reason != "Not Found" {
			s.Errorf("client got the reason %q, want Not Found", a.reason)
		}
	}},
	{name: "1.3 Grip-Status that is no code is refused", run: func(s *scene) {
		for _, value := range []string{"fine", "1000", "-1"} {
			refused(s, "body", "Grip-Status contains invalid status code", "Grip-Status: "+value)
		}
	}},
	{name: "1.3 Grip-Status holds for the answer of a timeout", run: func(s *scene) {
		s.origin(reply(200, "timeout", "Grip-Hold: response", "Grip-Channel: $C", "Grip-Timeout: 5", "Grip-Status: 418 Teapot"))
		if a := s.get("").want(418, "timeout").wantNoGrip(); a.reason != "Teapot" {
			s.Errorf("client got the reason %q, want Teapot", a.reason)
		}
	}},
	{name: "1.3 Grip-Keep-Alive that cannot be followed is refused", run: func(s *scene) {
		for value, reason := range map[string]string{
			"; timeout=1":       "Grip-Keep-Alive cannot be empty",
			"x; format=unheard": "no such Grip-Keep-Alive format 'unheard'",
			"x; mode=unheard":   "no such Grip-Keep-Alive mode 'unheard'",
			"x; timeout=soon":   "failed to parse Grip-Keep-Alive timeout value",
			"x; timeout=-1":     "Grip-Keep-Alive timeout has invalid value",
		} {
			refused(s, "", reason, "Grip-Hold: stream", "Grip-Channel: $C", "Grip-Keep-Alive: "+value)
		}
	}},
	{name: "1.3 Grip-Link without parameters is ignored", run: func(s *scene) {
		s.origin(reply(200, "body", "Grip-Link: </next>"))
		s.get("").want(200, "body").wantNoGrip()
	}},
	{name: "1.3 Grip-Link with another rel is ignored", run: func(s *scene) {
		s.origin(reply(200, "body", "Grip-Link: </next>; rel=prev"))
		s.get("").want(200, "body").wantNoGrip()
	}},
	{name: "1.3 Grip-Link that is not in angle brackets is refused", run: func(s *scene) {
		refused(s, "", "failed to parse Grip-Link value", "Grip-Hold: stream", "Grip-Channel: $C", "Grip-Link: /$P/next; rel=next")
	}},
	{name: "1.3 Grip-Link with a timeout that is no number is refused", run: func(s *scene) {
		refused(s, "", "failed to parse Grip-Link timeout value", "Grip-Hold: stream", "Grip-Channel: $C", "Grip-Link: </$P/next>; rel=next; timeout=soon")
	}},
	{name: "1.3 Grip-Expose-Headers passes only the listed fields", run: func(s *scene) {
		s.origin(reply(200, "body", "Grip-Expose-Headers: X-A, x-b", "X-A: 1", "X-B: 2", "X-C: 3", "Content-Type: text/odd"))
		s.get("").want(200, "body").wantField("X-A", "1").wantField("X-B", "2").wantNone("X-C", "Content-Type").wantNoGrip()
	}},
	{name: "1.3 Grip-Expose-Headers without value passes none", run: func(s *scene) {
		s.origin(reply(200, "body", `Grip-Expose-Headers: ""`, "X-A: 1"))
		s.get("").want(200, "body").wantNone("X-A").wantNoGrip()
	}},
	{name: "1.3 Content-Length is made anew and no field of the connection is left", run: func(s *scene) {
		s.origin(reply(200, "timeout", "Grip-Hold: response", "Grip-Channel: $C", "Grip-Timeout: 5", "Keep-Alive: timeout=1", "X-A: 1"))
		s.get("").want(200, "timeout").wantNone("Keep-Alive", "Transfer-Encoding").wantField("Content-Length", "7").wantField("X-A", "1")
	}},
	{name: "1.3 neither hold nor link is an answer at once", run: func(s *scene) {
		s.origin(reply(200, "body", "Grip-Channel: $C", "Grip-Timeout: 5"))
		s.get("").want(200, "body").wantNoGrip()
	}},

	{name: "1.4 an instruct without response", run: func(s *scene) {
		s.origin(instruct(`{}`, "X-A: 1"))
		a := s.get("").wantNone("X-A")
		if s.pushpin {
			a.want(502, "Error while proxying to origin.\n")
			return
		}
		a.want(200, "").wantNone("Content-Type").wantField("Content-Length", "0")
	}, differs: &difference{
		pushpin: "answers 502 to a JSON instruct without a response body",
		marquee: "answers 200 with an empty body",
		why:     "both parts of a JSON instruct are optional",
		notice:  "such an instruct works",
	}},
	{name: "1.4 code, reason, headers and body of the response", run: func(s *scene) {
		s.origin(instruct(`{"response":{"code":404,"reason":"Odd","headers":{"X-A":"1","Content-Type":"text/odd"},"body":"body"}}`, "X-B: 1"))
		if a := s.get("").want(404, "body").wantField("X-A", "1").wantField("Content-Type", "text/odd").wantNone("X-B"); a.reason != "Odd" {
			s.Errorf("client got the reason %q, want Odd", a.reason)
		}
	}},
	{name: "1.4 headers as a list of pairs", run: func(s *scene) {
		s.origin(instruct(`{"response":{"headers":[["X-A","1"],["X-A","2"]],"body":"body"}}`))
		s.get("").want(200, "body").wantField("X-A", "1, 2")
	}},
	{name: "1.4 body-bin is base64", run: func(s *scene) {
		s.origin(instruct(`{"response":{"body-bin":"AAEC/w=="}}`))
		s.get("").want(200, "\x00\x01\x02\xff")
	}},
	{name: "1.4 an empty reason becomes the standard phrase", run: func(s *scene) {
		s.origin(instruct(`{"response":{"code":404,"reason":"","body":""}}`))
		if a := s.get("").want(404, ""); a.reason != "Not Found" {
			s.Errorf("client got the reason %q, want Not Found", a.reason)
		}
	}},
	{name: "1.4 numbers in string form are accepted", run: func(s *scene) {
		s.origin(instruct(`{"response":{"code":"404","body":"body"}}`))
		s.get("").want(404, "body")
	}},
	{name: "1.4 mode is response unless it is given", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"channels":[{"name":"$C"}]},"response":{"headers":{"X-A":"1"},"body":"timeout"}}`))
		c := s.hold()
		s.publish(response("", "", "news"))
		c.answer().want(200, "news").wantField("X-A", "1")
	}},
	{name: "1.4 mode stream", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"mode":"stream","channels":[{"name":"$C"}]},"response":{"headers":{"Content-Type":"text/odd"},"body":"opened"}}`))
		c := s.stream("opened")
		s.publish(streamed("", "", " news"))
		c.wantBytes(" news")
	}},
	{name: "1.4 the answer of a timeout is the response", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"channels":[{"name":"$C"}],"timeout":5},"response":{"code":404,"body":"timeout"}}`))
		wantDuration(s, 5, func() { s.get("").want(404, "timeout") })
	}},
	{name: "1.4 channels may be an empty list", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"channels":[],"timeout":5},"response":{"body":"timeout"}}`))
		s.get("").want(200, "timeout")
	}},
	{name: "1.4 prev-id of a channel", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"channels":[{"name":"$C","prev-id":"1"}]}}`), reply(200, "asked again"))
		c := s.hold()
		s.publish(response("3", "2", "not this"))
		c.answer().want(200, "asked again")
	}},
	{name: "1.4 filters of a channel, and meta", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"channels":[{"name":"$C","filters":["skip-self"]}],"meta":{"user":"alice"}}}`))
		c := s.hold()
		s.publish(item("", "", `"http-response":{"body":"own"}`, `"meta":{"sender":"alice"}`))
		s.publish(item("", "", `"http-response":{"body":"other"}`, `"meta":{"sender":"bob"}`))
		c.answer().want(200, "other")
	}},
	{name: "1.4 Grip fields of the same answer add channels", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"channels":[{"name":"$C-json"}]}}`, "Grip-Channel: $C"))
		c := s.hold()
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}},
	{name: "1.4 mode and timeout in JSON override those of the fields", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"mode":"response","channels":[{"name":"$C"}],"timeout":5},"response":{"body":"timeout"}}`,
			"Grip-Hold: stream", "Grip-Timeout: 50"))
		wantDuration(s, 5, func() { s.get("").want(200, "timeout") })
	}},
	{name: "1.4 keep-alive of a stream", run: func(s *scene) {
		for _, content := range []string{`"content":"ping"`, `"content-bin":"cGluZw=="`} {
			s.origin(instruct(`{"hold":{"mode":"stream","channels":[{"name":"$C"}],"keep-alive":{` + content + `,"timeout":1}},"response":{"body":"opened"}}`))
			s.stream("opened").wantBytes("pingping")
		}
	}},
	{name: "1.4 keep-alive and messages", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"mode":"stream","channels":[{"name":"$C"}],"keep-alive":{"content":"[ping]","timeout":2}},"response":{"body":"opened"}}`))
		_, text := busyStream(s, "opened")
		if pinged := strings.Contains(text, "[ping]"); pinged != either(s, true, false) {
			s.Errorf("client got %q, which has a keep-alive: %v", text, pinged)
		}
	}, differs: &difference{
		pushpin: "sends a keep-alive of a JSON instruct at its interval, whatever else was sent",
		marquee: "sends it when nothing else was sent for its time, as with `Grip-Keep-Alive`",
		why:     "the two forms of an instruct mean the same",
		notice:  "fewer keep-alives on busy streams",
	}},
	{name: "1.4 text that is not JSON is refused", run: func(s *scene) {
		refused(s, "{not json", "failed to parse application/grip-instruct content as JSON", "Content-Type: application/grip-instruct")
	}},
	{name: "1.4 JSON with another status than 200 is refused", run: func(s *scene) {
		wantReason(s, reply(404, `{}`, "Content-Type: application/grip-instruct"),
			"Failed to parse accept instructions: response code for application/grip-instruct content must be 200")
	}},
	{name: "1.4 JSON of the wrong shape is refused", run: func(s *scene) {
		for text, reason := range map[string]string{
			`[]`:                                     "instruct must be an object",
			`"text"`:                                 "failed to parse application/grip-instruct content as JSON",
			`{"hold":[]}`:                            "instruct contains 'hold' with wrong type",
			`{"hold":{}}`:                            "hold does not contain 'channels'",
			`{"hold":{"channels":{}}}`:               "hold contains 'channels' with wrong type",
			`{"hold":{"channels":[{}]}}`:             "channel does not contain 'name'",
			`{"hold":{"mode":"long","channels":[]}}`: "hold 'mode' must be set to either 'response' or 'stream'",
			`{"hold":{"channels":[{"name":"$C","prev-id":[]}]}}`:  "channel contains 'prev-id' with wrong type",
			`{"hold":{"channels":[{"name":"$C","filters":"x"}]}}`: "channel contains 'filters' with wrong type",
			`{"hold":{"channels":[],"timeout":-1}}`:               "hold contains 'timeout' with invalid value",
			`{"hold":{"channels":[],"meta":[]}}`:                  "hold contains 'meta' with wrong type",
			`{"response":{"code":1000}}`:                          "response contains 'code' with invalid value",
			`{"response":{"headers":"x"}}`:                        "response contains 'headers' with wrong type",
			`{"response":{"headers":[["X-A"]]}}`:                  "headers contains list with wrong number of elements",
			`{"response":{"body":1}}`:                             "response contains 'body' with wrong type",
			`{"response":{"body-bin":1}}`:                         "response contains 'body-bin' with wrong type",
		} {
			refused(s, text, reason, "Content-Type: application/grip-instruct")
		}
	}},
	{name: "1.4 prev-id as a number", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"channels":[{"name":"$C","prev-id":1}]}}`))
		if s.pushpin {
			s.get("").want(502, "Error while proxying to origin.\n")
			return
		}
		c := s.hold()
		s.publish(response("2", "1", "two"))
		c.answer().want(200, "two")
	}, differs: &difference{
		pushpin: "refuses a prev-id that is a number",
		marquee: "takes its digits",
		why:     "the origin of the 2013 demonstration writes them so",
		notice:  "nothing that worked before fails",
	}},
	{name: "1.4 response of the wrong type is refused", run: func(s *scene) {
		s.origin(instruct(`{"response":[]}`))
		s.get("").want(502, "Error while proxying to origin.\n")
	}},
	{name: "1.4 a timeout that is no number", run: func(s *scene) {
		s.origin(instruct(`{"hold":{"channels":[],"timeout":"soon"},"response":{"body":"timeout"}}`))
		a := s.get("")
		if s.pushpin {
			a.want(200, "timeout")
			return
		}
		a.want(502, "Error while proxying to origin.\n")
	}, differs: &difference{
		pushpin: "takes a JSON timeout in string form that is no number for 0, which is 5 seconds",
		marquee: "refuses the instruct with 502 and says why in the log",
		why:     "the origin meant something else",
		notice:  "an origin with this mistake finds out",
	}},
}
