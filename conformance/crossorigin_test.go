package conformance

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// §10.1: pages of other origins, by CORS or by JSON-P.

func TestCrossOrigin(t *testing.T) { runCases(t, crossOriginCases) }

// jsonp asks a route with parameters and returns what the client got.
func (s *scene) jsonp(host string, parameters ...string) *answer {
	s.Helper()
	return s.get("?"+query(parameters...), "Host: "+host)
}

// query makes a query of names and values in turn.
func query(parameters ...string) string {
	var parts []string
	for i := 0; i < len(parameters); i += 2 {
		parts = append(parts, parameters[i]+"="+url.QueryEscape(parameters[i+1]))
	}
	return strings.Join(parts, "&")
}

// wantWrapped wants a script that calls a function with an object like want.
func (a *answer) wantWrapped(function string, code int, reason, body string) map[string]any {
	a.t.Helper()
	a.wantField("Content-Type", "application/javascript")
	text, ok := strings.CutPrefix(a.body, "/**/"+function+"(")
	text, end := strings.CutSuffix(text, ");\n")
	var got struct {
		Code         int
		Reason, Body string
		Headers      map[string]any
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || !ok || !end || a.code != 200 {
		a.t.Fatalf("client got %d %q, %v, want a call of %s", a.code, a.body, err, function)
	}
	if got.Code != code || got.Reason != reason || got.Body != body {
		a.t.Errorf("client got %q, want code %d, reason %s, body %q", a.body, code, reason, body)
	}
	return got.Headers
}

var crossOriginCases = []testCase{
	{name: "10.1 the fields of CORS are added where they are missing", run: func(s *scene) {
		s.origin(reply(200, "ok", "X-A: 1", "Content-Type: text/plain"))
		a := s.get("", "Host: aco.test", "Origin: http://page.example").want(200, "ok").
			wantField("Access-Control-Allow-Origin", "http://page.example").
			wantField("Access-Control-Allow-Credentials", "true").
			wantField("Access-Control-Allow-Methods", "OPTIONS, HEAD, GET, POST, PUT, DELETE").
			wantField("Access-Control-Max-Age", "3600")
		if exposed := a.field("Access-Control-Expose-Headers"); !strings.Contains(exposed, "X-A") || strings.Contains(exposed, "Content-Type") {
			s.Errorf("client got Access-Control-Expose-Headers: %q, want X-A and not Content-Type", exposed)
		}
	}},
	{name: "10.1 without Origin any origin is allowed", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		s.get("", "Host: aco.test").want(200, "ok").wantField("Access-Control-Allow-Origin", "*")
	}},
	{name: "10.1 what the origin says of CORS stays", run: func(s *scene) {
		s.origin(reply(200, "ok", "Access-Control-Allow-Origin: http://only.example", "Access-Control-Max-Age: 7"))
		s.get("", "Host: aco.test", "Origin: http://page.example").want(200, "ok").
			wantField("Access-Control-Allow-Origin", "http://only.example").wantField("Access-Control-Max-Age", "7")
	}},
	{name: "10.1 a preflight goes to the origin and is completed", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		c := s.dial()
		c.request("OPTIONS", "", "", "Host: aco.test", "Origin: http://page.example",
			"Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: X-A, X-B")
		c.answer().want(200, "ok").wantField("Access-Control-Allow-Methods", "PATCH").
			wantField("Access-Control-Allow-Headers", "X-A, X-B")
		if a := s.asked(); a.method != "OPTIONS" {
			s.Errorf("origin got %s, want OPTIONS", a.method)
		}
	}},
	{name: "10.1 a route without aco adds nothing", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		s.get("", "Origin: http://page.example").want(200, "ok").wantNone("Access-Control-Allow-Origin", "Access-Control-Allow-Methods")
	}},
	{name: "10.1 the answer of a hold has the fields of CORS", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.hold("Host: aco.test", "Origin: http://page.example")
		s.publish(response("", "", "news"))
		c.answer().want(200, "news").wantField("Access-Control-Allow-Origin", "http://page.example")
	}},
	{name: "10.1 a stream has the fields of CORS", run: func(s *scene) {
		s.origin(open("$C"))
		c := s.dial()
		c.get("", "Host: aco.test", "Origin: http://page.example")
		c.start().wantField("Access-Control-Allow-Origin", "http://page.example").wantNoGrip()
	}},
	{name: "10.1 the fields of an instruct are not exposed", run: func(s *scene) {
		s.origin(poll("$C", "X-A: 1"))
		c := s.hold("Host: aco.test", "Origin: http://page.example")
		s.publish(response("", "", "news"))
		if exposed := c.answer().want(200, "news").field("Access-Control-Expose-Headers"); strings.Contains(strings.ToLower(exposed), "grip-") {
			s.Errorf("client got Access-Control-Expose-Headers: %q", exposed)
		}
	}},

	{name: "10.1 JSON-P wraps the answer", run: func(s *scene) {
		s.origin(replyStatus("404 Gone Fishing", "bo\"dy\n", "X-A: 1"))
		headers := s.jsonp("jsonp.test", "a", "1", "callback", "page.done", "b", "2").wantWrapped("page.done", 404, "Gone Fishing", "bo\"dy\n")
		if headers["X-A"] != "1" {
			s.Errorf("client got the headers %v, want X-A", headers)
		}
		if a := s.asked(); a.target != s.expand("/$P?a=1&b=2") || a.field("Accept") != "*/*" {
			s.Errorf("origin got %s with Accept: %q, want the query without callback and */*", a.target, a.field("Accept"))
		}
	}},
	{name: "10.1 JSON-P makes another method, fields and a body", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		s.jsonp("jsonp.test", "callback", "done", "_method", "PUT", "_headers", `{"X-A":"1"}`, "_body", "question").
			wantWrapped("done", 200, "OK", "ok")
		a := s.asked()
		if a.method != "PUT" || a.body != "question" || a.target != s.expand("/$P") {
			s.Errorf("origin got %s %s %q, want PUT question", a.method, a.target, a.body)
		}
		s.wantFields(a, map[string]string{"X-A": "1"})
	}},
	{name: "10.1 JSON-P of a route with jsonp_mode=basic wraps the body alone", run: func(s *scene) {
		s.origin(reply(200, `{"a":1}`))
		s.jsonp("jsonp-basic.test", "callback", "done").want(200, "/**/done({\"a\":1});\n").wantField("Content-Type", "application/javascript")
	}},
	{name: "10.1 JSON-P with the parameter that jsonp_cb names", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		s.jsonp("jsonp-cb.test", "cb", "done").wantWrapped("done", 200, "OK", "ok")
		s.jsonp("jsonp-cb.test", "callback", "done").want(200, "ok")
	}},
	{name: "10.1 JSON-P with the body in the parameter that jsonp_body names", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		s.jsonp("jsonp-body.test", "callback", "done", "_method", "POST", "payload", `{"a":1}`).wantWrapped("done", 200, "OK", "ok")
		if a := s.asked(); a.method != "POST" || a.body != `{"a":1}` || a.target != s.expand("/$P") {
			s.Errorf("origin got %s %s %q, want the payload in a POST", a.method, a.target, a.body)
		}
	}},
	{name: "10.1 JSON-P with a body and no callback takes the one of jsonp_defcb", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		s.jsonp("jsonp-body.test", "_method", "POST", "payload", `{"a":1}`).wantWrapped("fallback", 200, "OK", "ok")
	}},
	{name: "10.1 JSON-P without _method takes the method of jsonp_defmethod", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		s.jsonp("jsonp-method.test", "callback", "done").wantWrapped("done", 200, "OK", "ok")
		if a := s.asked(); a.method != "DELETE" {
			s.Errorf("origin got %s, want DELETE", a.method)
		}
	}},
	{name: "10.1 JSON-P is for GET", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		c := s.dial()
		c.request("POST", "?callback=done", "question", "Host: jsonp.test")
		c.answer().want(200, "ok")
	}},
	{name: "10.1 JSON-P without aco is a parameter as any other", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		s.jsonp("grip.test", "callback", "done").want(200, "ok")
		if a := s.asked(); a.target != s.expand("/$P?callback=done") {
			s.Errorf("origin got %s, want the whole query", a.target)
		}
	}},
	{name: "10.1 JSON-P of a hold wraps the item", run: func(s *scene) {
		s.origin(poll("$C"))
		c := s.dial()
		c.get("?callback=done", "Host: jsonp.test")
		s.held()
		s.publish(response("", "", "news"))
		c.answer().wantWrapped("done", 200, "OK", "news")
	}},
	{name: "10.1 JSON-P of a timeout wraps the origin's answer", run: func(s *scene) {
		s.origin(poll("$C", "Grip-Timeout: 5"))
		s.jsonp("jsonp.test", "callback", "done").wantWrapped("done", 200, "OK", "timeout")
	}},
	{name: "10.1 JSON-P with bad parameters is answered 400", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		for _, c := range []struct {
			want       string
			parameters []string
		}{
			{"Invalid callback parameter.\n", []string{"callback", ""}},
			{"Invalid _headers parameter.\n", []string{"callback", "done", "_headers", "{not json"}},
			{"Invalid _method parameter.\n", []string{"callback", "done", "_method", ""}},
		} {
			if a := s.jsonp("jsonp.test", c.parameters...); a.code != 400 || a.body != c.want {
				s.Errorf("%q: client got %d %q, want 400 %q", c.parameters, a.code, a.body, c.want)
			}
		}
	}},
	{name: "10.1 JSON-P with a callback that is no name", run: func(s *scene) {
		s.origin(reply(200, "ok"))
		a := s.jsonp("jsonp.test", "callback", "alert(1);x")
		if s.pushpin {
			a.wantWrapped("alert(1);x", 200, "OK", "ok")
			return
		}
		a.want(400, "Invalid callback parameter.\n")
	}, differs: &difference{
		pushpin: "takes any text for the name of the callback",
		marquee: "takes names and dots, and refuses others with 400",
		why:     "any other text is a script of whoever wrote the URL",
		notice:  "nothing, unless the callback is an expression",
	}},
	{name: "10.1 JSON-P of a host that has no target wraps the error", run: func(s *scene) {
		s.origin("")
		s.jsonp("jsonp.test", "callback", "done").wantWrapped("done", 502, "Bad Gateway", "Error while proxying to origin.\n")
	}},
}
