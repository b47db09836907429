package conformance

import (
	"strings"
	"testing"
)

// §9: filters of subscriptions.

func TestFilters(t *testing.T) { runCases(t, filterCases) }

// meta makes an item for streams with meta.
func meta(content, meta string) string {
	return item("", "", `"http-stream":{"content":"`+content+`"}`, `"meta":{`+meta+`}`)
}

var filterCases = []testCase{
	{name: "9 skip-self drops what the subscriber sent itself", run: func(s *scene) {
		s.origin(open("$C; filter=skip-self", "Grip-Set-Meta: user=alice"))
		c := s.stream("opened ")
		s.publish(meta("own ", `"sender":"alice"`), meta("bob's ", `"sender":"bob"`), meta("nobody's ", ``), meta("empty ", `"sender":""`))
		c.wantBytes("bob's nobody's empty ")
	}},
	{name: "9 skip-self without user drops nothing", run: func(s *scene) {
		s.origin(open("$C; filter=skip-self"))
		c := s.stream("opened ")
		s.publish(meta("bob's ", `"sender":"bob"`), meta("empty ", `"sender":""`))
		c.wantBytes("bob's empty ")
	}},
	{name: "9 skip-users drops for the listed users", run: func(s *scene) {
		s.origin(open("$C; filter=skip-users", "Grip-Set-Meta: user=alice"))
		c := s.stream("opened ")
		s.publish(meta("not alice ", `"skip_users":"bob,alice"`), meta("only alice ", `"skip_users":"bob,carol"`), meta("alic ", `"skip_users":"alic"`))
		c.wantBytes("only alice alic ")
	}},
	{name: "9 require-sub drops unless the subscriber has the channel too", run: func(s *scene) {
		s.origin(open("$C; filter=require-sub, $C-vip"))
		c := s.stream("opened ")
		s.publish(meta("of members ", `"require_sub":"$C-member"`), meta("of vips ", `"require_sub":"$C-vip"`), meta("of all ", ``))
		c.wantBytes("of vips of all ")
	}},
	{name: "9 var-subst puts the subscriber's meta into the content", run: func(s *scene) {
		s.origin(open("$C; filter=var-subst", "Grip-Set-Meta: user=alice", "Grip-Set-Meta: place=here"))
		c := s.stream("opened ")
		s.publish(streamed("", "", "%(user)s is %(place)s 100%% "), streamed("", "", "end"))
		c.wantBytes("alice is here 100% end")
	}},
	{name: "9 var-subst of a held answer", run: func(s *scene) {
		s.origin(poll("$C; filter=var-subst", "Grip-Set-Meta: user=alice"))
		c := s.hold()
		s.publish(response("", "", "dear %(user)s"))
		c.answer().want(200, "dear alice").wantField("Content-Length", "10")
	}},
	{name: "9 build-id makes an id of the channels' prev-ids", run: func(s *scene) {
		s.origin(reply(200, "opened %(here)I %% ", "Grip-Hold: stream", "Grip-Channel: $C-a; prev-id=1; filter=build-id, $C-b; prev-id=7; filter=build-id",
			"Grip-Set-Meta: id_format=a:%($C-a)s b:%($C-b)s", link("/next", 60)))
		s.originAt("/next", reply(404, ""))
		c := s.stream("opened here % ")
		s.publish(strings.Replace(streamed("2", "1", "two %I "), "$C", "$C-a", 1), strings.Replace(streamed("8", "7", "eight %I "), "$C", "$C-b", 1))
		c.wantBytes("two a:2 b:7 eight a:2 b:8 ")
	}},
	{name: "9 build-id with a literal", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C; prev-id=1; filter=build-id", "Grip-Set-Meta: id_format=%($C)s", link("/next", 60)))
		s.originAt("/next", reply(404, ""))
		c := s.stream("")
		s.publish(streamed("2", "1", "%(literal)I %% %I "), streamed("3", "2", "%I"))
		c.wantBytes("literal % 2 3")
	}},
	{name: "9 build-id with an unknown directive", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C; prev-id=1; filter=build-id", "Grip-Set-Meta: id_format=%($C)s", link("/next", 60)))
		s.originAt("/next", reply(404, ""))
		c := s.stream("")
		s.publish(streamed("2", "1", "%X"), streamed("3", "2", "three"))
		if s.pushpin {
			c.wantEnd()
			return
		}
		c.wantBytes("three")
	}, differs: &difference{
		pushpin: "ends a stream when a filter fails for an item (1.36)",
		marquee: "skips the item and says so in the log",
		why:     "one bad item is no reason to lose all clients",
		notice:  "streams stay open",
	}},
	{name: "9 build-id in hex", run: func(s *scene) {
		s.origin(reply(200, "", "Grip-Hold: stream", "Grip-Channel: $C; prev-id=1; filter=build-id",
			"Grip-Set-Meta: id_format=id-%($C)s", "Grip-Set-Meta: id_encoding=hex", link("/next", 60)))
		s.originAt("/next", reply(404, ""))
		c := s.stream("")
		s.publish(streamed("2", "1", "%I "))
		c.wantBytes("69642d32 ")
	}},
	{name: "9 filters run in order and a drop stops", run: func(s *scene) {
		s.origin(open("$C; filter=skip-self; filter=var-subst", "Grip-Set-Meta: user=alice"))
		c := s.stream("opened ")
		s.publish(meta("own ", `"sender":"alice"`), meta("to %(user)s ", `"sender":"bob"`))
		c.wantBytes("to alice ")
	}},
	{name: "9 a filter counts for its own channel only", run: func(s *scene) {
		s.origin(open("$C-a; filter=skip-self, $C-b", "Grip-Set-Meta: user=alice"))
		c := s.stream("opened ")
		s.publish(strings.Replace(meta("a ", `"sender":"alice"`), "$C", "$C-a", 1), strings.Replace(meta("b ", `"sender":"alice"`), "$C", "$C-b", 1))
		c.wantBytes("b ")
	}},
	{name: "9 http-check asks whether to deliver", lacking: "http-check", run: func(s *scene) {
		s.at("/check", func(a *ask) string {
			switch {
			case strings.Contains(a.field("Pub-Meta"), "drop"):
				return reply(200, "", "Action: drop")
			case strings.Contains(a.field("Pub-Meta"), "broken"):
				return reply(500, "")
			}
			return reply(204, "")
		})
		s.origin(open("$C; filter=http-check", "Grip-Set-Meta: url=\"http://"+proxy.origin.address()+"/$P/check\"", "Grip-Set-Meta: user=alice"))
		c := s.stream("opened ")
		s.publish(meta("one ", `"kind":"drop"`))
		s.publish(meta("two ", `"kind":"broken"`))
		s.publish(meta("three ", `"kind":"keep"`))
		c.wantBytes("three ")
		if a := s.askedAt("/check"); a.method != "POST" || !strings.Contains(a.field("Sub-Meta"), `"alice"`) || a.body != "" {
			s.Errorf("check got %s %q with %q, want an empty POST with Sub-Meta", a.method, a.lines, a.body)
		}
	}},
	{name: "9 http-modify changes the content", lacking: "http-modify", run: func(s *scene) {
		s.at("/modify", func(a *ask) string {
			if a.body == "keep " {
				return reply(204, "")
			}
			return reply(200, strings.ToUpper(a.body))
		})
		s.origin(open("$C; filter=http-modify", "Grip-Set-Meta: url=\"http://"+proxy.origin.address()+"/$P/modify\""))
		c := s.stream("opened ")
		s.publish(streamed("", "", "one "))
		s.publish(streamed("", "", "keep "))
		s.publish(streamed("", "", "three "))
		c.wantBytes("ONE keep THREE ")
	}},
}
