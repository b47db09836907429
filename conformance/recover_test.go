package conformance

import "testing"

// §5.2 and §3.5: when a publisher says that items may have been lost, all
// clients are brought up to date.

func TestRecover(t *testing.T) { runAlone(t, recoverCases) }

// recoverItems tells the subject that items may have been lost.
func (s *scene) recoverItems(path string) {
	s.Helper()
	s.control("POST", path, "", "Content-Length: 0").want(200, "Updated\n").wantField("Content-Type", "text/plain")
}

var recoverCases = []testCase{
	{name: "5.2 recover is answered, with a slash or without", run: func(s *scene) {
		s.recoverItems("/recover/")
		s.recoverItems("/recover")
		s.control("POST", "/recover/", "", "Content-Length: 0", "Accept: application/json").want(200, "{\"message\":\"Updated\"}\n").
			wantField("Content-Type", "application/json")
	}},
	{name: "3.5 recover makes the origin be asked again for a response hold", run: func(s *scene) {
		s.origin(poll("$C; prev-id=1"), reply(200, "asked again"))
		c := s.hold()
		s.recoverItems("/recover/")
		c.answer().want(200, "asked again")
		s.wantFields(s.asked(), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
	}},
	{name: "3.5 recover makes the origin be asked again for a hold without ids", run: func(s *scene) {
		s.origin(poll("$C"), reply(200, "asked again"))
		c := s.hold()
		s.recoverItems("/recover/")
		c.answer().want(200, "asked again")
	}},
	{name: "4.3 recover makes the next link be fetched", run: func(s *scene) {
		s.origin(open("$C; prev-id=1", link("/next", 60)))
		s.at("/next", follow("$C", "two "))
		c := s.stream("opened ")
		s.recoverItems("/recover/")
		c.wantBytes("two ")
		s.wantFields(s.askedAt("/next"), map[string]string{"Grip-Last": s.expand("$C; last-id=1")})
	}},
	{name: "4.3 recover leaves a stream without a link as it is", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.stream("opened ")
		s.recoverItems("/recover/")
		s.publish(streamed("", "", "news"))
		c.wantBytes("news")
	}},
}
