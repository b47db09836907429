package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"marquee/grip"
	"marquee/route"
)

var (
	jsonpExtended = route.JSONP{Callback: "callback", DefaultMethod: "GET"}
	jsonpBasic    = route.JSONP{Mode: route.JSONPBasic, Callback: "cb", Body: "data", DefaultCallback: "app.done", DefaultMethod: "POST"}
)

func TestReadJSONP(t *testing.T) {
	came := headerOf("Accept", "a/b", "Content-Type", "c/d", "X-A", "1", "accept", "e/f", "X-B", "2")
	plain := headerOf("Content-Type", "c/d", "X-A", "1", "X-B", "2", "Accept", "*/*")
	for _, tt := range []struct {
		name   string
		cfg    route.JSONP
		target string
		want   jsonpRequest
	}{
		{"§10.1 callback alone", jsonpExtended, "/p?callback=cb",
			jsonpRequest{method: "GET", target: "/p", header: plain, answer: jsonp{"cb", route.JSONPExtended}}},
		{"§10.1 other parameters stay as they are", jsonpExtended, "/p?a=%41+b&callback=cb&&c",
			jsonpRequest{method: "GET", target: "/p?a=%41+b&&c", header: plain, answer: jsonp{callback: "cb"}}},
		{"§10.1 every callback is removed, the first counts", jsonpExtended, "/p?callback=a.b%5B1%5D&x=1&c%61llback=c",
			jsonpRequest{method: "GET", target: "/p?x=1", header: plain, answer: jsonp{callback: "a.b[1]"}}},
		{"§10.1 _method", jsonpExtended, "/?_method=DELETE&callback=c",
			jsonpRequest{method: "DELETE", target: "/", header: plain, answer: jsonp{callback: "c"}}},
		{"§10.1 _body", jsonpExtended, "/?callback=c&_method=POST&_body=a+b%26%25%C3%A9",
			jsonpRequest{method: "POST", target: "/", header: plain, body: []byte("a+b&%é"), answer: jsonp{callback: "c"}}},
		{"§10.1 empty _body", jsonpExtended, "/?callback=c&_body=",
			jsonpRequest{method: "GET", target: "/", header: plain, body: []byte{}, answer: jsonp{callback: "c"}}},
		{"§10.1 _headers stand instead of the client's", jsonpExtended,
			"/?callback=c&_headers=" + url.PathEscape(`{"x-a": " 3 ", "X-C": "", "content-type": "g/h"}`),
			jsonpRequest{method: "GET", target: "/", answer: jsonp{callback: "c"},
				header: headerOf("X-B", "2", "X-C", "", "content-type", "g/h", "x-a", "3", "Accept", "*/*")}},
		{"§10.1 no _headers that are the edge's", jsonpExtended,
			"/?callback=c&_headers=" + url.PathEscape(`{"Host":"h","accept":"x","Grip-Sig":"x","Content-Length":"9","Transfer-Encoding":"chunked",`+
				`"Connection":"close","Expect":"100-continue","X-Forwarded-For":"1.1.1.1","Via":"x","Accept-Encoding":"br"}`),
			jsonpRequest{method: "GET", target: "/", header: plain, answer: jsonp{callback: "c"}}},
		{"§10.1 empty _headers", jsonpExtended, "/?callback=c&_headers={}",
			jsonpRequest{method: "GET", target: "/", header: plain, answer: jsonp{callback: "c"}}},
		{"§10.1 jsonp_cb, jsonp_body, basic", jsonpBasic, "/?cb=c&data=%7B%22a%22:1%7D&callback=x&_body=y",
			jsonpRequest{method: "POST", target: "/?callback=x&_body=y", body: []byte(`{"a":1}`), answer: jsonp{"c", route.JSONPBasic},
				header: headerOf("X-A", "1", "X-B", "2", "Content-Type", "application/json", "Accept", "*/*")}},
		{"§10.1 jsonp_defcb", jsonpBasic, "/?data=1",
			jsonpRequest{method: "POST", target: "/", body: []byte("1"), answer: jsonp{"app.done", route.JSONPBasic},
				header: headerOf("X-A", "1", "X-B", "2", "Content-Type", "application/json", "Accept", "*/*")}},
		{"§10.1 jsonp_body is not needed", jsonpBasic, "/?cb=c",
			jsonpRequest{method: "POST", target: "/", header: plain, answer: jsonp{"c", route.JSONPBasic}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readJSONP(&tt.cfg, "GET", tt.target, came)
			if err != nil || got == nil || !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("readJSONP(%q)\n got %+v, %v\nwant %+v", tt.target, got, err, tt.want)
			}
			if came[0].Name != "Accept" || len(came) != 5 {
				t.Fatalf("the header itself changed to %v", came)
			}
		})
	}
}

func TestReadJSONPOther(t *testing.T) {
	noDefault := route.JSONP{Callback: "cb", Body: "data", DefaultMethod: "GET"}
	noBody := route.JSONP{Callback: "cb", DefaultCallback: "f", DefaultMethod: "GET"}
	for _, tt := range []struct {
		name           string
		cfg            route.JSONP
		method, target string
	}{
		{"§10.1 no callback", jsonpExtended, "GET", "/?x=callback"},
		{"§10.1 no query", jsonpExtended, "GET", "/callback=c"},
		{"§10.1 empty query", jsonpExtended, "GET", "/?"},
		{"§10.1 not GET", jsonpExtended, "POST", "/?callback=c"},
		{"§10.1 HEAD", jsonpExtended, "HEAD", "/?callback=c"},
		{"§10.1 another name for it", jsonpBasic, "GET", "/?callback=c"},
		{"§10.1 jsonp_defcb without the body", jsonpBasic, "GET", "/?x=1"},
		{"§10.1 the body without jsonp_defcb", noDefault, "GET", "/?data=1"},
		{"§10.1 jsonp_defcb without jsonp_body", noBody, "GET", "/?_body=1"},
	} {
		if r, err := readJSONP(&tt.cfg, tt.method, tt.target, nil); r != nil || err != nil {
			t.Errorf("%s: readJSONP(%s %q) = %+v, %v, want neither", tt.name, tt.method, tt.target, r, err)
		}
	}
}

func TestReadJSONPRefuses(t *testing.T) {
	headers := func(text string) string { return "/?callback=c&_headers=" + url.PathEscape(text) }
	for _, tt := range []struct {
		name, target string
		cfg          route.JSONP
		want         jsonpError
	}{
		{"§10.1 empty callback", "/?callback=", jsonpExtended, "Invalid callback parameter."},
		{"§10.1 callback without =", "/?callback", jsonpExtended, "Invalid callback parameter."},
		{"callback that is a program", "/?callback=alert(1);f", jsonpExtended, "Invalid callback parameter."},
		{"callback with an escape that is none", "/?callback=%zz", jsonpExtended, "Invalid callback parameter."},
		{"second callback does not help", "/?callback=&callback=c", jsonpExtended, "Invalid callback parameter."},
		{"§10.1 empty _method", "/?callback=c&_method=", jsonpExtended, "Invalid _method parameter."},
		{"_method that splits the request", "/?callback=c&_method=GET%20/%20HTTP/1.1%0D%0A", jsonpExtended, "Invalid _method parameter."},
		{"_method CONNECT", "/?callback=c&_method=CONNECT", jsonpExtended, "Invalid _method parameter."},
		{"_method with half an escape", "/?callback=c&_method=GET%2", jsonpExtended, "Invalid _method parameter."},
		{"§10.1 _headers no JSON", headers("x"), jsonpExtended, "Invalid _headers parameter."},
		{"§10.1 _headers no object", headers("[]"), jsonpExtended, "Invalid _headers parameter."},
		{"§10.1 _headers null", headers("null"), jsonpExtended, "Invalid _headers parameter."},
		{"§10.1 _headers with a number", headers(`{"a":1}`), jsonpExtended, "Invalid _headers parameter."},
		{"§10.1 _headers with null", headers(`{"a":null}`), jsonpExtended, "Invalid _headers parameter."},
		{"_headers with a name that is none", headers(`{"a b":"c"}`), jsonpExtended, "Invalid _headers parameter."},
		{"_headers that split the request", headers(`{"a":"b\r\nc: d"}`), jsonpExtended, "Invalid _headers parameter."},
		{"_headers with NUL", headers(`{"a":"\u0000"}`), jsonpExtended, "Invalid _headers parameter."},
		{"_headers with half an escape", "/?callback=c&_headers=%7", jsonpExtended, "Invalid _headers parameter."},
		{"§10.1 _body with half an escape", "/?callback=c&_body=%", jsonpExtended, "Invalid _body parameter."},
		{"§10.1 jsonp_body with half an escape", "/?cb=c&data=%", jsonpBasic, "Invalid body parameter."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := readJSONP(&tt.cfg, "GET", tt.target, nil)
			var got jsonpError
			if r != nil || !errors.As(err, &got) || got != tt.want {
				t.Errorf("readJSONP(%q) = %+v, %v, want the error %s", tt.target, r, err, tt.want)
			}
		})
	}
}

func TestJSONPWrap(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode route.JSONPMode
		in   grip.Response
		want string
	}{
		{"§10.1 extended", route.JSONPExtended,
			grip.Response{Code: 404, Reason: "Gone fishing", Header: headerOf("Content-Type", "a/b", "X", "1", "x", "2", "Y", `"`), Body: []byte("{\"a\": 1}\n")},
			`/**/f({"code": 404, "reason": "Gone fishing", "headers": {"Content-Type": "a/b", "X": "1", "Y": "\""}, "body": "{\"a\": 1}\n"});` + "\n"},
		{"§10.1 extended, by default", route.JSONPExtended, grip.Response{},
			`/**/f({"code": 200, "reason": "OK", "headers": {}, "body": ""});` + "\n"},
		{"§10.1 extended, a code without a phrase", route.JSONPExtended, grip.Response{Code: 299},
			`/**/f({"code": 299, "reason": "", "headers": {}, "body": ""});` + "\n"},
		{"extended, what is special in scripts", route.JSONPExtended, grip.Response{Body: []byte("</script>\u2028\u2029\x00\xff é")},
			`/**/f({"code": 200, "reason": "OK", "headers": {}, "body": "\u003c/script\u003e\u2028\u2029\u0000` + `\ufffd é"});` + "\n"},
		{"§10.1 basic", route.JSONPBasic, grip.Response{Code: 500, Body: []byte("{\"a\": [1, 2]}\n")}, "/**/f({\"a\": [1, 2]});\n"},
		{"§10.1 basic, CRLF at the end", route.JSONPBasic, grip.Response{Body: []byte("1\r\n")}, "/**/f(1);\n"},
		{"basic, empty", route.JSONPBasic, grip.Response{Code: 204}, "/**/f();\n"},
		{"basic, no JSON", route.JSONPBasic, grip.Response{Body: []byte("x); alert(1")}, `/**/f("x); alert(1");` + "\n"},
		{"basic, more than one value", route.JSONPBasic, grip.Response{Body: []byte("1, 2")}, `/**/f("1, 2");` + "\n"},
		{"basic, what is special in scripts", route.JSONPBasic, grip.Response{Body: []byte("\"</script>\u2028\xff\"")},
			`/**/f("\u003c/script\u003e\u2028` + "\uFFFD" + `");` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := jsonp{"f", tt.mode}.wrap(tt.in)
			want := grip.Response{Code: 200, Body: []byte(tt.want),
				Header: headerOf("Content-Type", "application/javascript", "X-Content-Type-Options", "nosniff")}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("wrap(%+v)\n got %v %s\nwant %v %s", tt.in, got.Header, got.Body, want.Header, want.Body)
			}
		})
	}
	r := jsonp{callback: "f"}.wrap(grip.Response{Header: headerOf("cache-control", "no-store", "Set-Cookie", "a=b", "Cache-Control", "private")})
	if got, want := r.Header.Values("Cache-Control"), []string{"no-store", "private"}; !reflect.DeepEqual(got, want) || r.Header.Has("Set-Cookie") {
		t.Errorf("the script's header is %v, want Cache-Control %q and no Set-Cookie", r.Header, want)
	}
}

func FuzzJSONP(f *testing.F) {
	for _, target := range []string{
		"/?callback=c", "/p?a=1&callback=a.b[0]&_method=PUT&_headers=%7B%22A%22:%22b%22%7D&_body=x%C3%A9", "/?cb=c&data=%7B%7D",
		"/?data=1", "/?callback=%zz", "/?callback=c&_headers=null", "/?&&=&callback", "/?callback=c?d#e",
	} {
		f.Add(target, []byte("</script>\u2028\xff"), false)
		f.Add(target, []byte(`{"a": "</script>`+"\u2028\xff"+`"}`), true)
	}
	f.Fuzz(func(t *testing.T, target string, body []byte, basic bool) {
		cfg := jsonpExtended
		if basic {
			cfg = jsonpBasic
		}
		r, err := readJSONP(&cfg, "GET", target, headerOf("Accept", "a/b"))
		if r == nil {
			var refused jsonpError
			if err != nil && !errors.As(err, &refused) {
				t.Fatalf("readJSONP(%q): %v", target, err)
			}
			return
		}
		if q := "?" + r.target; err != nil || r.method == "" || len(r.target) > len(target) || strings.Contains(q, "&"+cfg.Callback+"=") {
			t.Errorf("readJSONP(%q) = %+v, %v", target, r, err)
		}
		for _, field := range r.header {
			if field.Name == "" || strings.ContainsAny(field.Name+field.Value, "\r\n\x00") {
				t.Errorf("readJSONP(%q) made the field %q", target, field)
			}
		}
		script := string(r.answer.wrap(grip.Response{Body: body}).Body)
		data, begins := strings.CutPrefix(script, "/**/"+r.answer.callback+"(")
		data, ends := strings.CutSuffix(data, ");\n")
		if !begins || !ends || !utf8.ValidString(data) || strings.ContainsAny(data, "<\u2028\u2029") {
			t.Fatalf("wrap(%q) = %q", body, script)
		}
		if data != "" && !json.Valid([]byte(data)) {
			t.Errorf("wrap(%q) = %q, whose argument is no JSON", body, script)
		}
	})
}

// The script that answers a HEAD has a content, and its own length; what comes next on
// the connection is whole (GRIP reference 10.1).
func TestJSONPOfHead(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/poll" {
			w.Header().Set("Grip-Hold", "response")
			w.Header().Set("Grip-Channel", "c")
		}
		w.Header().Set("Content-Length", "7")
		if req.Method != http.MethodHead {
			_, _ = io.WriteString(w, "content")
		}
	})
	r := newRouteRig(t, h, 50*time.Millisecond, []string{"*,aco"})
	for _, path := range []string{"/", "/poll"} {
		c := r.dial()
		for range 2 {
			c.get(path + "?callback=f&_method=HEAD")
			c.wantStatus(200)
			body, err := c.readBody(200)
			if err != nil || !strings.HasPrefix(body, "/**/f(") || !strings.HasSuffix(body, ");\n") {
				t.Errorf("the script that answers HEAD %s is %q, %v", path, body, err)
			}
		}
	}
}
