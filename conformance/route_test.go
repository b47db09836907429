package conformance

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// §10: routes, and what a route's options do. §13: what a client is answered
// when there is no way to the origin.

func TestRoutes(t *testing.T) { runCases(t, routeCases) }

// to asks a route for a target that is below the scene's path unless it has $P
// in it, and returns what the origin got.
func (s *scene) to(host, target string) *ask {
	s.Helper()
	s.origin(reply(200, "ok"))
	c := s.dial()
	c.send(requestTo("GET", target, "", "Host: "+host))
	c.answer().want(200, "ok")
	return s.asked()
}

var routeCases = []testCase{
	{name: "10 a host is compared without its port and in any case", run: func(s *scene) {
		for _, host := range []string{"target-host.test", "target-host.test:80", "TARGET-host.Test"} {
			if a := s.to(host, "/$P"); a.field("Host") != "target.example" {
				s.Errorf("%s: origin got Host: %s, want target.example", host, a.field("Host"))
			}
		}
	}},
	{name: "10 the longest path_beg wins", run: func(s *scene) {
		for target, want := range map[string]string{"/$P": "short.example", "/long/$P": "long.example", "/long/er/$P": "longer.example", "/longer/$P": "long.example"} {
			if a := s.to("beg.test", target); a.field("Host") != want {
				s.Errorf("%s: origin got Host: %s, want %s", target, a.field("Host"), want)
			}
		}
	}},
	{name: "10 a route with proto beats one without", run: func(s *scene) {
		if a := s.to("proto.test", "/$P"); a.field("Host") != "http.example" {
			s.Errorf("origin got Host: %s, want http.example", a.field("Host"))
		}
	}},
	{name: "10 a route with ssl=yes is not for plain clients", run: func(s *scene) {
		if a := s.to("ssl.test", "/$P"); a.field("Host") != "plain.example" {
			s.Errorf("origin got Host: %s, want plain.example", a.field("Host"))
		}
	}},
	{name: "10 replace_beg replaces what path_beg matched", run: func(s *scene) {
		for target, want := range map[string]string{"/old/$P?x=1": "/new/$P?x=1", "/oldish/$P": "/newish/$P"} {
			if a := s.to("replace.test", target); a.target != s.expand(want) {
				s.Errorf("%s: origin got %s, want %s", target, a.target, s.expand(want))
			}
		}
	}},
	{name: "10 path_rem removes from the beginning of the path", run: func(s *scene) {
		if a := s.to("remove.test", "/abc/$P?x=1"); a.target != s.expand("/$P?x=1") {
			s.Errorf("origin got %s, want %s", a.target, s.expand("/$P?x=1"))
		}
	}},
	{name: "10 as_host replaces Host and so the route", run: func(s *scene) {
		if a := s.to("ashost.test", "/$P"); a.field("Host") != "as.example" {
			s.Errorf("origin got Host: %s, want as.example", a.field("Host"))
		}
	}},
	{name: "10 host of a target replaces Host", run: func(s *scene) {
		if a := s.to("target-host.test", "/$P"); a.field("Host") != "target.example" {
			s.Errorf("origin got Host: %s, want target.example", a.field("Host"))
		}
	}},
	{name: "10 header replaces, adds and removes", run: func(s *scene) {
		s.wantAsked(map[string]string{"X-Route": "one", "X-Removed": ""}, "Host: header.test", "X-Route: client", "X-Route: again", "X-Removed: yes")
	}},
	{name: "10 an option can be quoted", run: func(s *scene) {
		s.wantAsked(map[string]string{"X-Quoted": `a "b" \ c, d`}, "Host: quoted.test")
	}},
	{name: "10 the path of a route's prefix is before the channels of its links too", run: func(s *scene) {
		s.origin(reply(200, "one ", link("/next", 60)))
		s.originAt("/next", more("two ", "$C"))
		c := s.dial()
		c.get("", "Host: prefix.test")
		c.start()
		c.wantBytes("one two ")
		s.askedAt("/next")
		s.witness()
		s.publish(streamed("", "", "wrong"), strings.Replace(streamed("", "", "news"), "$C", "pre-$C", 1))
		c.wantBytes("news")
	}},
	{name: "10 when the first target does not listen the second is asked", run: func(s *scene) {
		s.wantAsked(nil, "Host: failover.test")
	}},
	{name: "10 a body goes to the second target whole", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		c := s.dial()
		body := strings.Repeat("x", 50000)
		c.request("POST", "", body, "Host: failover.test")
		c.answer().want(200, "ok")
		if a := s.asked(); a.body != body {
			s.Errorf("origin got %d bytes, want 50000", len(a.body))
		}
	}},
	{name: "10 a hold behind the second target", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold("Host: failover.test")
		s.publish(response("3", "2", "three"))
		c.answer().want(200, "asked again")
	}},
	{name: "10 an answer of the first target that is an error is an answer", run: func(s *scene) {
		s.origin(reply(503, "busy"))
		s.get("").want(503, "busy")
		if n := s.times(""); n != 1 {
			s.Errorf("origin was asked %d times, want once", n)
		}
	}},
	{name: "10 a file with one bad line", run: func(s *scene) {
		if proxy.routes == "" {
			s.Skip("the file of the routes is not this suite's")
		}
		before, err := os.ReadFile(proxy.routes)
		if err != nil {
			s.Fatal(err)
		}
		good := fmt.Sprintf("late-%s.test %s\n", s.token, proxy.origin.address())
		write := func(text string) {
			if err := os.WriteFile(proxy.routes, append(before, text...), 0o600); err != nil {
				s.Fatal(err)
			}
		}
		defer write("")
		s.origin(reply(200, "ok"))
		await := func(code int) {
			s.Helper()
			for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
				a := s.get("", "Host: late-"+s.token+".test")
				if a.code == code {
					return
				}
				if time.Now().After(deadline) {
					s.Fatalf("client got %d %q, want %d", a.code, a.body, code)
				}
			}
		}
		write(good + "bad.test,path_rem=x 127.0.0.1:badport\n")
		if s.pushpin {
			await(200)
			return
		}
		for deadline := time.Now().Add(patience); !strings.Contains(proxy.log.String(), "bad routes file"); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				s.Fatal("the edge's log says nothing of a bad routes file")
			}
		}
		await(502)
		write(good)
		await(200)
	}, differs: &difference{
		pushpin: "skips the bad lines of a routes file and follows the others",
		marquee: "refuses the file as a whole, says line and reason, and goes on with the routes it had",
		why:     "half a table sends requests where they should not go",
		notice:  "after a mistake the old routes stay until the file is mended",
	}},
	{name: "10 the first of two equal conditions", run: func(s *scene) {
		if a := s.to("duplicate.test", "/$P"); a.field("Host") != "first.example" {
			s.Errorf("origin got Host: %s, want first.example", a.field("Host"))
		}
	}},
	{name: "10 the test target answers, holds and streams", run: func(s *scene) {
		ask := func(path string) *client {
			c := s.dial()
			c.send(requestTo("GET", path, "", "Host: test.test"))
			return c
		}
		ask("/").answer().want(200, "Hello from the Pushpin test handler!\n")
		ask("/unheard").answer().want(404, "no such test resource\n")
		c := ask("/stream?channel=$C")
		c.start()
		c.wantBytes("[stream opened]\n")
		s.witness()
		s.publish(streamed("", "", "news"))
		c.wantBytes("news")
		c = ask("/response?channel=$C")
		s.witness()
		s.publish(response("", "", "news"))
		c.answer().want(200, "news")
	}},

	{name: "13 a host without route is answered 502", run: func(s *scene) {
		s.get("", "Host: unheard.test").want(502, either(s, "No route for host: unheard.test\n", "Route not found\n")).wantField("Content-Type", "text/plain")
		c := s.dial()
		c.send(requestTo("GET", "/$P", "", "Host: replace.test"))
		c.answer().want(502, either(s, "No route for host: replace.test\n", "Route not found\n"))
	}, differs: &difference{
		pushpin: "1.36 says `No route for host: HOST`, 2.0 `Route not found`",
		marquee: "says `Route not found`",
		why:     "a path without route is not a host without",
		notice:  "another text in the same 502",
	}},
	{name: "13 no target that listens is answered 502", run: func(s *scene) {
		s.get("", "Host: dead.test").want(502, "Error while proxying to origin.\n").wantField("Content-Type", "text/plain")
	}},
	{name: "13 with debug it is said which targets were tried", run: func(s *scene) {
		s.get("", "Host: dead-debug.test").want(502, "Unable to connect to any targets. Tried: 127.0.0.1:1, 127.0.0.1:1\n")
	}},
	{name: "13 an origin that closes without an answer is answered 502", run: func(s *scene) {
		s.origin("")
		s.get("").want(502, "Error while proxying to origin.\n").wantField("Content-Type", "text/plain")
	}},
	{name: "13 an origin that answers garbage is answered 502", run: func(s *scene) {
		s.origin("this is no answer\r\n\r\n")
		s.get("").want(502, "Error while proxying to origin.\n")
	}},
	{name: "13 an answer that ends too early is an error", run: func(s *scene) {
		s.origin(reply(200, "half", "Content-Length: 8"))
		c := s.dial()
		c.get("")
		if a := c.start(); a.code == 502 {
			return // it was known before the head was sent
		}
		if body, err := c.readAll(); err == nil || !strings.HasPrefix("half", body) {
			s.Errorf("client got %q, %v, want at most the half and an error", body, err)
		}
	}},
	{name: "13 an instruct that ends too early is answered 502", run: func(s *scene) {
		s.origin(reply(200, "half", "Content-Length: 8", "Grip-Hold: response", "Grip-Channel: $C"))
		s.get("").want(502, "Error while proxying to origin.\n").wantNoGrip()
	}},
	{name: "13 untrusted targets may not be on this machine", lacking: "the option untrusted", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		s.get("", "Host: untrusted.test").want(502, "Error while proxying to origin.\n")
		if n := s.times(""); n != 0 {
			s.Errorf("origin was asked %d times, want never", n)
		}
	}},
	{name: "13 411 of the origin", run: func(s *scene) {
		s.origin(reply(411, "length please"))
		c := s.dial()
		c.request("POST", "", "", "Transfer-Encoding: chunked")
		c.send("1\r\nx\r\n0\r\n\r\n")
		c.answer().want(411, "length please")
	}},
}
