package conformance

import (
	"strings"
	"testing"
	"time"
)

// §4.3 and §4.4: the links of streams, to what comes next and for who has gone.

func TestLinks(t *testing.T) { runCases(t, linkCases) }

var linkCases = []testCase{
	{name: "4.3 without hold the link is fetched at once and appended until there is none", run: func(s *scene) {
		s.origin(reply(200, "one ", link("/2", 60), "X-A: 1"))
		s.originAt("/2", reply(200, "two ", link("/3", 60), "X-B: 2"))
		s.originAt("/3", reply(200, "three"))
		s.get("").want(200, "one two three").wantNoGrip().wantField("X-A", "1").wantNone("X-B")
	}},
	{name: "4.3 without hold the link is fetched until an answer holds", run: func(s *scene) {
		s.origin(reply(200, "one ", link("/2", 60)))
		s.originAt("/2", more("two ", "$C"))
		c := s.dial()
		c.get("")
		c.start()
		c.wantBytes("one two ")
		s.askedAt("/2")
		s.witness()
		s.publish(streamed("", "", "three"))
		c.wantBytes("three")
	}},
	{name: "4.3 a body of more than 100,000 bytes with a link is followed by it", run: func(s *scene) {
		body := strings.Repeat("0123456789", 20000)
		s.origin(reply(200, body, link("/2", 60)))
		s.originAt("/2", reply(200, body))
		s.get("").want(200, body+body)
	}},
	{name: "4.3 the link is fetched when nothing came for its time", run: func(s *scene) {
		s.origin(open("$C; prev-id=1", link("/next", 1)))
		s.originAt("/next", more("fetched ", "$C; prev-id=1", link("/next", 60)))
		c := s.dial()
		c.get("")
		start := time.Now()
		c.start()
		c.wantBytes("opened fetched ")
		if took := time.Since(start); took < 900*time.Millisecond || took > 5*time.Second {
			s.Errorf("link was fetched after %v, want 1s", took)
		}
		s.wantFields(s.askedAt("/next"), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
	}},
	{name: "4.3 the fetch of a link is a GET with nothing of the client", run: func(s *scene) {
		s.origin(open("$C; prev-id=1, $C-b", link("/next?a=1", 60)))
		s.originAt("/next", reply(200, "end"))
		c := s.dial()
		c.request("POST", "", "question", "X-A: 1", "Cookie: secret")
		c.start()
		c.wantBytes("opened ")
		s.held()
		s.publish(item("", "", `"http-stream":{"action":"hint"}`))
		c.wantBytes("end")
		c.wantEnd()
		a := s.askedAt("/next")
		if want := s.expand("/$P/next?a=1"); a.method != "GET" || a.target != want || a.body != "" {
			s.Errorf("origin got %s %s %q, want GET %s", a.method, a.target, a.body, want)
		}
		s.wantFields(a, map[string]string{"X-A": "", "Cookie": "", "Host": "grip.test", "Grip-Last": s.expand("$C; last-id=1")})
		if !a.has("Grip-Feature") {
			s.Errorf("origin got no Grip-Feature")
		}
	}},
	{name: "4.3 the fetch of a link is signed with the route's key", run: func(s *scene) {
		s.origin(reply(200, "one ", link("/next", 60)))
		s.originAt("/next", reply(200, "two"))
		s.get("", "Host: sig.test").want(200, "one two")
		wantSignature(s, s.askedAt("/next").field("Grip-Sig"), "HS256", []byte(routeKey))
	}},
	{name: "4.3 a link is relative to the request's URL", run: func(s *scene) {
		s.originAt("/dir/page", reply(200, "one ", "Grip-Link: <other?x=1>; rel=next"))
		s.originAt("/dir/other", reply(200, "two ", "Grip-Link: <?x=2>; rel=next"), reply(200, "three"))
		s.get("/dir/page").want(200, "one two three")
	}},
	{name: "4.3 a link to the request's own host goes through its route", run: func(s *scene) {
		s.origin(reply(200, "one ", "Grip-Link: <http://target-host.test/$P/next>; rel=next"))
		s.originAt("/next", reply(200, "two"))
		s.get("", "Host: target-host.test").want(200, "one two")
		s.wantFields(s.askedAt("/next"), map[string]string{"Host": "target.example"})
	}},
	{name: "4.3 a link to another host is fetched there", run: func(s *scene) {
		s.origin(reply(200, "one ", "Grip-Link: <http://"+proxy.origin.address()+"/$P/next>; rel=next"))
		s.originAt("/next", reply(200, "two"))
		s.get("").want(200, "one two")
		s.wantFields(s.askedAt("/next"), map[string]string{"Host": proxy.origin.address()})
	}},
	{name: "4.3 what a link's answer says replaces what was said before", run: func(s *scene) {
		s.origin(open("$C-old, $C-both", link("/next", 60)))
		s.originAt("/next", more("fetched ", "$C-both, $C-new"), reply(404, ""))
		c := s.stream("opened ")
		s.publish(strings.Replace(item("", "", `"http-stream":{"action":"hint"}`), "$C", "$C-old", 1))
		c.wantBytes("fetched ")
		s.witness()
		for _, channel := range []string{"$C-old", "$C-both", "$C-new"} {
			s.publish(strings.Replace(streamed("", "", channel+" "), "$C", channel, 1))
		}
		c.wantBytes("$C-both $C-new ")
		// there is no link any more
		s.publish(strings.Replace(item("", "", `"http-stream":{"action":"hint"}`), "$C", "$C-new", 1))
		s.publish(strings.Replace(streamed("", "", "end"), "$C", "$C-new", 1))
		c.wantBytes("end")
	}},
	{name: "4.3 Grip-Set-Meta and filters of a link's answer replace those before", run: func(s *scene) {
		s.origin(open("$C; filter=skip-self", link("/next", 60), "Grip-Set-Meta: user=alice"))
		s.originAt("/next", more("fetched ", "$C; filter=skip-self", "Grip-Set-Meta: user=bob"))
		c := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"content":"of alice "}`, `"meta":{"sender":"alice"}`), item("", "", `"http-stream":{"action":"hint"}`))
		c.wantBytes("fetched ")
		s.witness()
		s.publish(item("", "", `"http-stream":{"content":"of bob "}`, `"meta":{"sender":"bob"}`),
			item("", "", `"http-stream":{"content":"of alice "}`, `"meta":{"sender":"alice"}`))
		c.wantBytes("of alice ")
	}},
	{name: "4.3 a link that fails is tried again after a second", run: func(s *scene) {
		s.origin(reply(200, "one ", link("/next", 60)))
		s.originAt("/next", reply(500, "broken"), "", reply(200, "two"))
		start := time.Now()
		s.get("").want(200, "one two")
		if took := time.Since(start); took < 2900*time.Millisecond || took > 12*time.Second {
			s.Errorf("took %v, want a wait of 1 s and one of 2 s, and up to a second more each", took)
		}
	}},
	{name: "4.3 a response hold as answer of a link ends the stream", run: func(s *scene) {
		s.origin(reply(200, "one ", link("/next", 60)))
		s.originAt("/next", reply(200, "two", "Grip-Hold: response", "Grip-Channel: $C"))
		c := s.dial()
		c.get("")
		c.start()
		if body, _ := c.readAll(); !strings.HasPrefix(body, "one ") {
			s.Errorf("client got %q, want the beginning", body)
		}
	}},
	{name: "4.3 fetches of one link at one time are one request", run: func(s *scene) {
		s.origin(open("$C; prev-id=1", link("/next", 60)))
		answer := make(chan struct{})
		s.at("/next", func(*ask) string {
			<-answer
			return more("fetched ", "$C; prev-id=2", link("/next", 60))
		})
		var clients []*client
		for range 5 {
			clients = append(clients, s.stream("opened "))
		}
		s.publish(item("", "", `"http-stream":{"action":"hint"}`))
		s.askedAt("/next")
		s.witness()
		n := s.times("/next")
		close(answer)
		for _, c := range clients {
			c.wantBytes("fetched ")
		}
		if n != 1 {
			s.Errorf("origin was asked %d times for one link, want 1", n)
		}
	}},
	{name: "4.3 links that differ in their query", run: func(s *scene) {
		answer := make(chan struct{})
		s.at("/next", func(a *ask) string {
			<-answer
			_, query, _ := strings.Cut(a.target, "?")
			return more(query+" ", "$C; prev-id=2", link("/next?"+query, 60))
		})
		var clients []*client
		for _, user := range []string{"alice", "bob"} {
			s.origin(open("$C; prev-id=1", link("/next?"+user, 60)))
			clients = append(clients, s.stream("opened "))
		}
		s.publish(item("", "", `"http-stream":{"action":"hint"}`))
		s.askedAt("/next")
		s.witness()
		close(answer)
		got := ""
		for _, c := range clients {
			got += c.until(" ")
		}
		if same := got == "alice alice " || got == "bob bob "; got != "alice bob " && !(same && s.pushpin) {
			s.Errorf("clients got %q", got)
		}
	}, differs: &difference{
		pushpin: "shares the fetches of links with equal paths, whatever their queries",
		marquee: "shares those with equal URLs",
		why:     "the query may say whose stream it is",
		notice:  "no client gets what another's link was for; more requests for an origin that puts something of the client into the query",
	}},

	{name: "4.4 the gone link is posted when the client leaves", lacking: "link:gone", run: func(s *scene) {
		s.origin(open("$C", "Grip-Link: </$P/gone?a=1>; rel=gone"))
		s.originAt("/gone", reply(200, ""))
		s.stream("opened ").close()
		if a := s.askedAt("/gone"); a.method != "POST" || a.body != "" || !strings.HasSuffix(a.target, "?a=1") {
			s.Errorf("origin got %s %s %q, want an empty POST", a.method, a.target, a.body)
		}
	}},
	{name: "4.4 the gone link is posted when a stream is closed", lacking: "link:gone", run: func(s *scene) {
		s.origin(open("$C", "Grip-Link: </$P/gone>; rel=gone"))
		s.originAt("/gone", reply(200, ""))
		c := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"action":"close"}`))
		c.wantEnd()
		s.askedAt("/gone")
	}},
	{name: "4.4 the gone link of a response hold is posted when the client leaves", lacking: "link:gone", run: func(s *scene) {
		s.origin(poll("$C", "Grip-Link: </$P/gone>; rel=gone"))
		s.originAt("/gone", reply(200, ""))
		s.hold().close()
		s.askedAt("/gone")
	}},
	{name: "4.4 a failed gone link is not tried again", lacking: "link:gone", run: func(s *scene) {
		s.origin(open("$C", "Grip-Link: </$P/gone>; rel=gone"))
		s.originAt("/gone", reply(500, ""))
		s.stream("opened ").close()
		s.askedAt("/gone")
		// By the time that a next link has been tried again twice, this would have been.
		s.originAt("/first", reply(200, "one ", link("/next", 60)))
		s.originAt("/next", reply(500, "broken"), "", reply(200, "two"))
		s.get("/first").want(200, "one two")
		if n := s.times("/gone"); n != 1 {
			s.Errorf("origin was told %d times, want once", n)
		}
	}},
	{name: "4.4 the gone link of a later answer does not count", lacking: "link:gone", run: func(s *scene) {
		s.origin(open("$C", link("/next", 60), "Grip-Link: </$P/gone-first>; rel=gone"))
		s.originAt("/next", more("fetched ", "$C", "Grip-Link: </$P/gone-second>; rel=gone"))
		c := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"action":"hint"}`))
		c.wantBytes("fetched ")
		c.close()
		s.askedAt("/gone-first")
		if n := s.times("/gone-second"); n != 0 {
			s.Errorf("origin was told by the second link %d times, want none", n)
		}
	}},
	{name: "4.4 the gone link and the retry of a response hold", lacking: "link:gone", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1", "Grip-Link: </$P/gone>; rel=gone"), poll("$C; prev-id=3", "Grip-Link: </$P/gone>; rel=gone"))
		s.originAt("/gone", reply(200, ""))
		c := s.hold()
		s.publish(response("3", "2", "three"))
		s.held()
		if n := s.times("/gone"); n != 0 {
			s.Errorf("origin was told %d times that the client is gone, which is not", n)
		}
		c.close()
		s.askedAt("/gone")
	}, differs: &difference{
		pushpin: "posts the gone link also when it asks the origin again for a response hold (2.0)",
		marquee: "posts it when the client is gone",
		why:     "the client is still there",
		notice:  "one gone for each client",
	}},

	{name: "4.3 keep-alives go on after a link was fetched, as its answer says", run: func(s *scene) {
		s.origin(open("$C", link("/next", 60), "Grip-Keep-Alive: old; timeout=50"))
		s.originAt("/next", more("fetched ", "$C", "Grip-Keep-Alive: new; timeout=1"))
		c := s.stream("opened ")
		s.publish(item("", "", `"http-stream":{"action":"hint"}`))
		c.wantBytes("fetched newnew")
	}},
}
