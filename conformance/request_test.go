package conformance

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// §1.1: what of a client's request the origin gets.

func TestRequests(t *testing.T) { runCases(t, requestCases) }

var requestCases = []testCase{
	{name: "1.1 method, target, body and fields reach the origin in order", run: func(s *scene) {
		s.originAt("/a%20b", reply(200, "ok"))
		c := s.dial()
		c.request("PUT", "/a%20b?x=1&y=%2F", "body", "X-One: 1", "x-two: two", "X-One: again")
		c.answer().want(200, "ok")
		a := s.askedAt("/a%20b")
		if want := "/" + s.token + "/a%20b?x=1&y=%2F"; a.method != "PUT" || a.target != want || a.body != "body" {
			s.Errorf("origin got %s %s %q, want PUT %s %q", a.method, a.target, a.body, want, "body")
		}
		if got := a.field("X-One"); got != "1, again" {
			s.Errorf("origin got X-One: %q, want %q", got, "1, again")
		}
		if got := a.field("X-Two"); got != "two" {
			s.Errorf("origin got X-Two: %q, want two", got)
		}
	}},
	{name: "1.1 Host reaches the origin as the client sent it", run: func(s *scene) {
		s.wantAsked(map[string]string{"Host": "grip.test:1234"}, "Host: grip.test:1234")
	}},
	{name: "1.1 Connection, Keep-Alive and Accept-Encoding do not reach the origin", run: func(s *scene) {
		a := s.wantAsked(map[string]string{"Keep-Alive": ""}, "Connection: keep-alive", "Keep-Alive: timeout=5", "Accept-Encoding: x-unheard")
		for _, name := range []string{"Connection", "Accept-Encoding"} {
			if got := a.field(name); strings.Contains(got, "x-unheard") || strings.Contains(got, "keep-alive") {
				s.Errorf("origin got %s: %q, want nothing of the client's", name, got)
			}
		}
	}},
	{name: "1.1 fields that Connection names do not reach the origin", run: func(s *scene) {
		s.wantAsked(map[string]string{"X-Hop": either(s, "1", "")}, "Connection: X-Hop", "X-Hop: 1")
	}, differs: &difference{
		pushpin: "removes only the fields that it knows to be of the connection",
		marquee: "removes all that `Connection` names (RFC 9110 §7.6.1)",
		why:     "what a client says for one connection is not for the next",
		notice:  "nothing, unless an origin reads such a field",
	}},
	{name: "1.1 Expect is answered and does not reach the origin", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		c := s.dial()
		c.request("POST", "", "", "Content-Length: 5", "Expect: 100-continue")
		c.send("hello")
		c.answer().want(200, "ok")
		if a := s.asked(); a.has("Expect") || a.body != "hello" {
			s.Errorf("origin got %q with %q, want no Expect and hello", a.lines, a.body)
		}
	}},
	{name: "1.1 a chunked body reaches the origin whole", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		c := s.dial()
		c.request("POST", "", "", "Transfer-Encoding: chunked")
		c.send("5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n")
		c.answer().want(200, "ok")
		if a := s.asked(); a.body != "hello world" {
			s.Errorf("origin got %q, want hello world", a.body)
		}
	}},
	{name: "1.1 Grip fields of an untrusted client do not reach the origin", run: func(s *scene) {
		a := s.wantAsked(map[string]string{"Grip-Last": "", "Grip-Anything": ""},
			"Grip-Last: x; last-id=1", "grip-anything: 1", "Grip-Sig: forged", "Grip-Feature: forged")
		if got := a.field("Grip-Sig") + a.field("Grip-Feature"); strings.Contains(got, "forged") {
			s.Errorf("origin got %q of the client", got)
		}
	}},
	{name: "1.1 Grip-Feature names what the subject can do on one line", run: func(s *scene) {
		got := strings.Split(s.wantAsked(nil).field("Grip-Feature"), ", ")
		want := []string{"status", "link:next", "filter:skip-self", "filter:skip-users", "filter:require-sub", "filter:build-id", "filter:var-subst"}
		if !s.pushpin { // 1.36 lacks them
			want = append(want, "link:gone", "filter:http-check", "filter:http-modify")
		}
		for _, feature := range want {
			if !slices.Contains(got, feature) {
				s.Errorf("Grip-Feature is %q, want %s among them", got, feature)
			}
		}
	}},
	{name: "1.1 Grip-Feature and sessions", run: func(s *scene) {
		got := strings.Split(s.wantAsked(nil).field("Grip-Feature"), ", ")
		if has := slices.Contains(got, "session"); has != either(s, true, false) {
			s.Errorf("Grip-Feature is %q, has session: %v", got, has)
		}
	}, differs: &difference{
		pushpin: "names `session` in `Grip-Feature`, although the session service is not part of it",
		marquee: "names what it can do",
		why:     "an origin that believes it would wait for sessions",
		notice:  "nothing: no published library asks for it",
	}},
	{name: "1.1 Grip-Sig is HS256 with the route's key and expires in an hour", run: func(s *scene) {
		claims := wantSignature(s, s.wantAsked(nil, "Host: sig.test").field("Grip-Sig"), "HS256", []byte(routeKey))
		exp, err := claims.GetExpirationTime()
		if err != nil || exp == nil {
			s.Fatalf("Grip-Sig claims %v, want exp", claims)
		}
		if left := time.Until(exp.Time); claims["iss"] != signatureID || left < 50*time.Minute || left > 61*time.Minute {
			s.Errorf("Grip-Sig claims %v, want iss %s and an hour until exp", claims, signatureID)
		}
	}},
	{name: "1.1 Grip-Sig is ES256 when the key is an EC key in PEM", run: func(s *scene) {
		claims := wantSignature(s, s.wantAsked(nil, "Host: es256.test").field("Grip-Sig"), "ES256", es256Key.Public())
		if claims["iss"] != signatureID {
			s.Errorf("Grip-Sig claims %v, want iss %s", claims, signatureID)
		}
	}},
	{name: "1.1 Grip-Sig is RS256 when the key is an RSA key in PEM", run: func(s *scene) {
		claims := wantSignature(s, s.wantAsked(nil, "Host: rs256.test").field("Grip-Sig"), "RS256", rs256Key.Public())
		if claims["iss"] != signatureID {
			s.Errorf("Grip-Sig claims %v, want iss %s", claims, signatureID)
		}
	}},
	{name: "1.1 Grip-Sig without a key", run: func(s *scene) {
		if a := s.wantAsked(nil); a.has("Grip-Sig") != either(s, true, false) {
			s.Errorf("origin got Grip-Sig: %q", a.field("Grip-Sig"))
		}
	}, differs: &difference{
		pushpin: "signs with the key `changeme` as shipped",
		marquee: "signs only when `-sig-key` or `sig_key=` gives a key",
		why:     "a signature that anybody can make tells the origin something false",
		notice:  "an origin that checks `Grip-Sig` needs a key in the edge's settings, where Pushpin's should have had one",
	}},
	{name: "1.1 X-Forwarded-Proto of a plain client", run: func(s *scene) {
		proto := either(s, "", "https")
		s.wantAsked(map[string]string{"X-Forwarded-Proto": proto, "X-Forwarded-Protocol": proto},
			"X-Forwarded-Proto: https", "X-Forwarded-Protocol: https")
	}, differs: &difference{
		pushpin: "removes a plain client's X-Forwarded-Proto",
		marquee: "leaves it as it came, unless `-set-x-forwarded-protocol` says otherwise, and adds `http` where there is none",
		why:     "what ends TLS in front of an edge says has to reach the origin",
		notice:  "an edge that clients reach directly wants `-set-x-forwarded-protocol proto-only`",
	}},
	{name: "1.1 X-Forwarded-For", run: func(s *scene) {
		s.wantAsked(map[string]string{"X-Forwarded-For": either(s, "192.0.2.1", "192.0.2.1, 127.0.0.1")}, "X-Forwarded-For: 192.0.2.1")
	}, differs: &difference{
		pushpin: "passes `X-Forwarded-For` as it is unless `x_forwarded_for` says otherwise",
		marquee: "appends the client's address",
		why:     "an origin that counts or blocks by address needs the true one",
		notice:  "the origin sees who asked; one address more at the end of the list",
	}},
	{name: "1.1 Via", run: func(s *scene) {
		if a := s.wantAsked(nil); a.has("Via") != either(s, false, true) {
			s.Errorf("origin got Via: %q", a.field("Via"))
		}
	}, differs: &difference{
		pushpin: "adds no `Via`",
		marquee: "adds `Via` to requests for the origin (RFC 9110 §7.6.3)",
		why:     "a proxy must; loops can be seen by it",
		notice:  "a field more at the origin",
	}},
	{name: "1.1 a client trusted by upstream_key passes its Grip fields and gets the origin's", run: func(s *scene) {
		s.origin(reply(200, "ok", "Grip-Hold: stream", "Grip-Channel: $C; prev-id=1"))
		signature := sign(s, upstreamKey, time.Hour)
		s.get("", "Grip-Sig: "+signature, "Grip-Feature: one", "Grip-Last: x; last-id=1").want(200, "ok").
			wantField("Grip-Hold", "stream").wantField("Grip-Channel", s.expand("$C; prev-id=1"))
		s.wantFields(s.asked(), map[string]string{"Grip-Sig": signature, "Grip-Feature": "one", "Grip-Last": "x; last-id=1"})
	}},
	{name: "1.1 a signature of another key does not make trusted", run: func(s *scene) {
		s.origin(reply(200, "ok", "Grip-Status: 201 Made"))
		s.get("", "Grip-Sig: "+sign(s, "another-secret", time.Hour), "Grip-Last: x; last-id=1").want(201, "ok").wantNoGrip()
		s.wantFields(s.asked(), map[string]string{"Grip-Last": ""})
	}},
	{name: "1.1 an expired signature does not make trusted", run: func(s *scene) {
		s.origin(reply(200, "ok", "Grip-Status: 201 Made"))
		s.get("", "Grip-Sig: "+sign(s, upstreamKey, -time.Hour), "Grip-Last: x; last-id=1").want(201, "ok").wantNoGrip()
		s.wantFields(s.asked(), map[string]string{"Grip-Last": ""})
	}},
	{name: "1.1 a no_grip route adds nothing and gives the origin's Grip fields to the client", run: func(s *scene) {
		s.origin(reply(200, "ok", "Grip-Hold: response", "Grip-Channel: $C"))
		s.get("", "Host: nogrip.test", "Grip-Last: x; last-id=1").want(200, "ok").
			wantField("Grip-Hold", "response").wantField("Grip-Channel", s.channel)
		s.wantFields(s.asked(), map[string]string{"Grip-Sig": "", "Grip-Feature": "", "Grip-Last": ""})
	}},
	{name: "1.1 orig_headers copies every field under its prefix", run: func(s *scene) {
		s.wantAsked(map[string]string{"X-A": "1", "eb9bf0f5-X-A": "1", "eb9bf0f5-Host": "orig.test", "eb9bf0f5-Given": "2"},
			"Host: orig.test", "X-A: 1", "eb9bf0f5-Given: 2")
	}},
	{name: "1.1 without orig_headers the prefixed fields are dropped", run: func(s *scene) {
		s.wantAsked(map[string]string{"eb9bf0f5-Given": "", "X-A": "1"}, "eb9bf0f5-Given: 2", "X-A: 1")
	}},
}

// wantAsked asks for the scene's path with fields and wants the origin to get
// others, "" for none.
func (s *scene) wantAsked(want map[string]string, fields ...string) *ask {
	s.Helper()
	s.origin(reply(200, "ok"))
	s.get("", fields...).want(200, "ok")
	a := s.asked()
	s.wantFields(a, want)
	return a
}

// wantFields wants the origin to have got fields, "" for none.
func (s *scene) wantFields(a *ask, want map[string]string) {
	s.Helper()
	for name, value := range want {
		if got := a.field(name); got != value || value == "" && a.has(name) {
			s.Errorf("origin got %s: %q, want %q, in %q", name, got, value, a.lines)
		}
	}
}
