package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// §4.1 and §4.2: clients that are sent content as it is published.

func TestStreams(t *testing.T) { runCases(t, streamCases) }

// open makes an instruct for a stream on a channel that begins with "opened ".
func open(channel string, fields ...string) string {
	return reply(200, "opened ", append([]string{"Grip-Hold: stream", "Grip-Channel: " + channel, "Content-Type: text/plain"}, fields...)...)
}

// link is the field that names the scene's next link, at path below the scene's.
func link(path string, seconds int) string {
	return fmt.Sprintf("Grip-Link: </$P%s>; rel=next; timeout=%d", path, seconds)
}

// more makes an answer to the fetch of a link that holds on.
func more(body, channel string, fields ...string) string {
	return reply(200, body, append([]string{"Grip-Hold: stream", "Grip-Channel: " + channel}, fields...)...)
}

// follow answers fetches of the next link as an origin does whose messages have
// the ids 2, 3 and so on: with those after the one that Grip-Last names.
func follow(channel string, messages ...string) script {
	return func(a *ask) string {
		seen := 1
		if _, id, ok := strings.Cut(a.field("Grip-Last"), "last-id="); ok {
			seen, _ = strconv.Atoi(id)
		}
		last := len(messages) + 1
		return more(strings.Join(messages[min(max(seen-1, 0), len(messages)):], ""), fmt.Sprint(channel, "; prev-id=", last), link("/next", 60))
	}
}

var streamCases = []testCase{
	{name: "4.1 a stream has the origin's code and fields, no length, and is chunked", run: func(s *scene) {
		s.origin(replyStatus("202 Streaming", "opened ", "Grip-Hold: stream", "Grip-Channel: $C", "X-A: 1", "Content-Type: text/event-stream"))
		c := s.dial()
		c.get("")
		a := c.start().wantNone("Content-Length").wantField("Transfer-Encoding", "chunked").wantField("X-A", "1").
			wantField("Content-Type", "text/event-stream").wantNoGrip()
		if a.code != 202 || a.reason != "Streaming" {
			s.Errorf("client got %d %s, want 202 Streaming", a.code, a.reason)
		}
		c.wantBytes("opened ")
	}},
	{name: "4.1 Connection of a stream", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.dial()
		c.get("")
		c.start().wantField("Connection", either(s, "Transfer-Encoding", ""))
	}, differs: &difference{
		pushpin: "sends `Connection: Transfer-Encoding` with streams",
		marquee: "does not",
		why:     "Transfer-Encoding is of the connection already (RFC 9112 §6.1)",
		notice:  "nothing",
	}},
	{name: "4.1 Grip-Status replaces the code of a stream", run: func(s *scene) {
		s.origin(open("$C", "Grip-Status: 201 Made"))
		c := s.dial()
		c.get("")
		if a := c.start().wantNoGrip(); a.code != 201 || a.reason != "Made" {
			s.Errorf("client got %d %s, want 201 Made", a.code, a.reason)
		}
	}},
	{name: "4.1 a stream can begin without content", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C"))
		c := s.stream("")
		s.publish(streamed("", "", "news"))
		c.wantBytes("news")
	}},
	{name: "4.1 a stream for HTTP/1.0 is raw until the end of the connection", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.dial()
		c.send("GET /$P HTTP/1.0\r\nHost: grip.test\r\n\r\n")
		c.start().wantNone("Content-Length", "Transfer-Encoding")
		c.wantBytes("opened ")
		s.held()
		s.publish(streamed("", "", "news"), item("", "", `"http-stream":{"action":"close"}`))
		c.wantBytes("news")
		c.wantEnd()
	}},
	{name: "4.1 prev-id without a next link ends the stream", run: func(s *scene) {
		s.origin(open("$C; prev-id=1"))
		reason := s.expand("channel '$C' specifies prev-id, but no next link found")
		if !s.pushpin {
			s.get("").want(502, "Error while proxying to origin.\n")
			s.get("", "Host: debug.test").want(502, "Failed to parse accept instructions: "+reason+"\n")
			return
		}
		c := s.dial()
		c.get("")
		if a := c.start().wantNoGrip(); a.code != 200 {
			s.Errorf("client got %d, want 200", a.code)
		}
		if body, _ := c.readAll(); body != "opened " {
			s.Errorf("client got %q, want the beginning alone", body)
		}
		c = s.dial()
		c.get("", "Host: debug.test")
		c.start()
		if body, _ := c.readAll(); body != "opened \n\n"+reason+"\n" {
			s.Errorf("client got %q, want the beginning and %q", body, reason)
		}
	}, differs: &difference{
		pushpin: "sends the beginning of a stream whose channel has a prev-id but no next link, and ends it",
		marquee: "answers 502, and logs why",
		why:     "an answer that looks good hides the mistake, and its clients come again at once, without end",
		notice:  "an origin that makes it sees an error",
	}},
	{name: "4.1 a publish between answer and hold is fetched from the next link", run: func(s *scene) {
		s.originAt("/first", open("$C; prev-id=1", link("/next", 60)))
		s.at("/next", follow("$C", "two "))
		first := s.dial()
		first.get("/first")
		first.start()
		first.wantBytes("opened ")
		s.askedAt("/first")
		s.witness()
		s.publish(streamed("2", "1", "two "))
		first.wantBytes("two ")
		s.origin(open("$C; prev-id=1", link("/next", 60)))
		c := s.dial()
		c.get("")
		c.start()
		c.wantBytes("opened two ")
		if s.pushpin {
			s.askedAt("/next")
		}
		s.witness()
		s.at("/next", follow("$C", "two ", "three "))
		s.publish(streamed("3", "2", "three "))
		c.wantBytes("three ")
		first.wantBytes("three ")
	}, differs: &difference{
		pushpin: "asks the next link when an item was published between a stream's answer and its hold",
		marquee: "sends that item, if it is the only one",
		why:     "it is at hand, and it follows what the stream has",
		notice:  "fewer requests for next links",
	}},

	{name: "4.2 items of a batch are appended in order", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.stream("opened ")
		s.publish(streamed("1", "", "one "), streamed("2", "1", "two "), streamed("3", "2", "three "))
		c.wantBytes("one two three ")
	}},
	{name: "4.2 an item that comes alone is one chunk", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.stream("opened ")
		c.chunks = nil
		for _, content := range []string{"one ", "two ", "three "} {
			s.publish(streamed("", "", content))
			c.wantBytes(content)
		}
		if want := []string{"one ", "two ", "three "}; !slices.Equal(c.chunks, want) {
			s.Errorf("client got the chunks %q, want %q", c.chunks, want)
		}
	}},
	{name: "4.2 items reach all streams of a channel", run: func(s *scene) {
		s.origin(open("$C"))
		var clients []*client
		for range 10 {
			clients = append(clients, s.stream("opened "))
		}
		s.publish(streamed("", "", "news"))
		for _, c := range clients {
			c.wantBytes("news")
		}
	}},
	{name: "4.2 a stream of several channels gets the items of all", run: func(s *scene) {
		s.origin(open("$C-a, $C-b"))
		c := s.stream("opened ")
		for _, channel := range []string{"$C-a", "$C-b", "$C-a"} {
			s.publish(strings.Replace(streamed("", "", channel), "$C", channel, 1))
		}
		c.wantBytes("$C-a$C-b$C-a")
	}},
	{name: "4.2 content-bin is base64", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"content-bin":"AAEC/w=="}`))
		c.wantBytes("\x00\x01\x02\xff")
	}},
	{name: "4.2 empty content adds nothing and does not end the stream", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.stream("opened ")
		s.publish(streamed("", "", ""), streamed("", "", "news"))
		c.wantBytes("news")
	}},
	{name: "4.2 content of 500,000 bytes", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.stream("opened ")
		content := strings.Repeat("0123456789", 50000)
		s.publish(streamed("", "", content), streamed("", "", "after"))
		c.wantBytes(content + "after")
	}},
	{name: "4.2 close ends the response", run: func(s *scene) {
		s.origin(open("$C"))
		s.originAt("/after", reply(200, "after"))
		c := s.stream("opened ")
		s.publish(streamed("", "", "last"), item("", "", `"http-stream":{"action":"close"}`))
		c.wantBytes("last")
		c.wantEnd()
	}},
	{name: "4.2 a connection persists after the end of a stream", run: func(s *scene) {
		s.origin(open("$C"))
		s.originAt("/after", reply(200, "after"))
		c := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"action":"close"}`))
		c.wantEnd()
		c.get("/after")
		c.answer().want(200, "after")
	}},
	{name: "4.2 hint without a link does nothing", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"action":"hint"}`), streamed("", "", "news"))
		c.wantBytes("news")
	}},
	{name: "4.2 hint fetches the next link now", run: func(s *scene) {
		s.origin(open("$C; prev-id=1", link("/next", 60)))
		s.originAt("/next", more("fetched ", "$C; prev-id=2", link("/next", 60)), more("", "$C; prev-id=2", link("/next", 60)))
		c := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"action":"hint"}`))
		c.wantBytes("fetched ")
		s.wantFields(s.askedAt("/next"), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
		s.witness()
		s.publish(streamed("3", "2", "three"))
		c.wantBytes("three")
	}},
	{name: "4.2 a lost item is recovered from the next link: every message once and in order", run: func(s *scene) {
		s.origin(open("$C; prev-id=1", link("/next", 60)))
		s.at("/next", follow("$C", "two ", "three "))
		c := s.stream("opened ")
		s.publish(streamed("3", "2", "three "))
		c.wantBytes("two three ")
		s.wantFields(s.askedAt("/next"), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
		s.witness()
		s.at("/next", follow("$C", "two ", "three ", "four ", "five "))
		s.publish(streamed("4", "3", "four "), streamed("5", "4", "five "))
		c.wantBytes("four five ")
	}},
	{name: "4.2 an item without prev-id is a mismatch for a stream that has one", run: func(s *scene) {
		s.origin(open("$C; prev-id=1", link("/next", 60)))
		s.originAt("/next", more("fetched ", "$C; prev-id=2", link("/next", 60)), more("", "$C; prev-id=2", link("/next", 60)))
		c := s.stream("opened ")
		s.publish(streamed("2", "", "two "))
		c.wantBytes("fetched ")
	}},
	{name: "4.2 items that come while a link is fetched are sent after it, those it has not included", run: func(s *scene) {
		s.origin(open("$C; prev-id=1", link("/next", 60)))
		answer := make(chan struct{})
		s.at("/next", func(*ask) string {
			<-answer
			return more("two three ", "$C; prev-id=3", link("/next", 60))
		})
		c := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"action":"hint"}`))
		s.askedAt("/next")
		s.publish(streamed("2", "1", "two "), streamed("3", "2", "three "), streamed("4", "3", "four "))
		s.witness()
		close(answer)
		c.wantBytes("two three four ")
		s.publish(streamed("5", "4", "five "))
		c.wantBytes("five ")
	}},

	{name: "1.3 Grip-Keep-Alive is sent when nothing else was, again and again", run: func(s *scene) {
		s.origin(open("$C", "Grip-Keep-Alive: ping ; timeout=1"))
		s.stream("opened ").wantBytes("pingping")
	}},
	{name: "1.3 Grip-Keep-Alive format cstring", run: func(s *scene) {
		s.origin(open("$C", `Grip-Keep-Alive: \r\n\\\x41\q.; format=cstring; timeout=1`))
		s.stream("opened ").wantBytes("\r\n\\A.\r\n\\A.")
	}},
	{name: "1.3 Grip-Keep-Alive format base64", run: func(s *scene) {
		s.origin(open("$C", "Grip-Keep-Alive: AAEC/w==; format=base64; timeout=1"))
		s.stream("opened ").wantBytes("\x00\x01\x02\xff")
	}},
	{name: "1.3 Grip-Keep-Alive format raw takes the value as it is", run: func(s *scene) {
		s.origin(open("$C", `Grip-Keep-Alive: a\nb; format=raw; timeout=1`))
		s.stream("opened ").wantBytes(`a\nba\nb`)
	}},
	{name: "1.3 Grip-Keep-Alive timeout 0 is raised to one second", run: func(s *scene) {
		s.origin(open("$C", "Grip-Keep-Alive: ping; timeout=0"))
		s.stream("opened ").wantBytes("pingping")
	}},
	{name: "1.3 Grip-Keep-Alive mode idle begins anew after each message", run: func(s *scene) {
		s.origin(open("$C", "Grip-Keep-Alive: [ping]; timeout=2"))
		c, text := busyStream(s, "opened ")
		if strings.Contains(text, "[ping]") {
			s.Errorf("client got %q, want no keep-alive between messages", text)
		}
		c.wantBytes("[ping]")
	}},
	{name: "1.3 Grip-Keep-Alive mode interval does not care for messages", run: func(s *scene) {
		s.origin(open("$C", "Grip-Keep-Alive: [ping]; timeout=2; mode=interval"))
		if _, text := busyStream(s, "opened "); !strings.Contains(text, "[ping]") {
			s.Errorf("client got %q, want a keep-alive between messages", text)
		}
	}},
}
