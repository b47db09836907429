package route

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// allOptions is a route with every option there is.
const allOptions = `example.com,proto=http,ssl=yes,path_beg=/a/,id=all,replace_beg=/b/,as_host=origin.example:81,` +
	`prefix="p-, ",header="X-A: 1",header="X-B:",debug,no_grip,log_level=0,orig_headers,sig_iss=me,sig_key=base64:c2VjcmV0,` +
	`aco,jsonp_mode=basic,jsonp_cb=cb,jsonp_body=data,jsonp_defcb=app.done,jsonp_defmethod=PUT,` +
	`slow=conflate,slow_bytes=2048,slow_channel=news-*:drop-oldest,slow_channel=a:b:disconnect,max_head=4096,max_body=1000000,` +
	`session,sockjs=/sock,sockjs_as_path=/as ` +
	`localhost:80,ssl,insecure,host=o.example,trust_connect_host,untrusted,over_http,one_event,sub=c1,sub=c2,` +
	`client_cert=c.pem,client_key=k.pem test [2001:db8::1]:443,ssl,ca=ca.pem`

func TestEveryOption(t *testing.T) {
	want := Route{
		Line: 1, ID: "all", Host: "example.com", Proto: ProtoHTTP, Secure: SecureYes, PathBegin: "/a/",
		PathRemove: 3, ReplaceBegin: "/b/", AsHost: "origin.example:81", Prefix: "p-, ",
		Headers: []Field{{"X-A", "1"}, {"X-B", ""}}, OrigHeaders: true, NoGrip: true, Debug: true, LogLevel: 0,
		SigIss: "me", SigKey: "base64:c2VjcmV0", CrossOrigin: true,
		JSONP: JSONP{Mode: JSONPBasic, Callback: "cb", Body: "data", DefaultCallback: "app.done", DefaultMethod: "PUT"},
		Slow:  SlowConflate, SlowBytes: 2048,
		SlowChannels: []SlowChannel{{"news-*", SlowDropOldest}, {"a:b", SlowDisconnect}},
		MaxHead:      4096, MaxBody: 1_000_000,
		Session: true, SockJSPath: "/sock", SockJSAsPath: "/as",
		Targets: []Target{
			{Address: "localhost:80", TLS: true, Insecure: true, Host: "o.example", TrustConnectHost: true, Untrusted: true,
				ClientCert: "c.pem", ClientKey: "k.pem", OverHTTP: true, OneEvent: true, Subs: []string{"c1", "c2"}},
			{Test: true},
			{Address: "[2001:db8::1]:443", TLS: true, CA: "ca.pem"},
		},
	}
	got := parse(t, allOptions).Routes()[0]
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("§10 %s\n got %+v\nwant %+v", allOptions, *got, want)
	}
	for name := range conditionOptions {
		if name != "path_rem" && !strings.Contains(allOptions, ","+name) {
			t.Errorf("%s is not among all options", name)
		}
	}
	for name := range targetOptions {
		if name != "ipc_file_mode" && !strings.Contains(allOptions, ","+name) {
			t.Errorf("%s is not among all options", name)
		}
	}
}

func TestDefaults(t *testing.T) {
	want := Route{Line: 1, ID: "*", Host: "*", LogLevel: LogLevelUnset,
		JSONP: JSONP{Callback: "callback", DefaultMethod: "GET"}, Targets: []Target{{Address: "a:1"}}}
	if got := parse(t, "* a:1").Routes()[0]; !reflect.DeepEqual(*got, want) {
		t.Errorf("§10 * a:1\n got %+v\nwant %+v", *got, want)
	}
}

func TestOption(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		get        func(r *Route) any
		want       any
	}{
		{"§10 proto=ws", "*,proto=ws a:1", func(r *Route) any { return r.Proto }, ProtoWebSocket},
		{"§10 ssl=no", "*,ssl=no a:1", func(r *Route) any { return r.Secure }, SecureNo},
		{"§10 path_rem", "*,path_rem=4 a:1", func(r *Route) any { return r.PathRemove }, 4},
		{"§10 replace_beg goes before path_rem", "*,replace_beg=/x,path_beg=/abc,path_rem=1 a:1",
			func(r *Route) any { return fmt.Sprint(r.PathRemove, r.ReplaceBegin) }, "4/x"},
		{"§10 empty replace_beg", "*,path_beg=/abc,replace_beg= a:1", func(r *Route) any { return r.PathRemove }, 4},
		{"§10 replace_beg without path_beg", "*,replace_beg=/x a:1",
			func(r *Route) any { return fmt.Sprint(r.PathRemove, r.ReplaceBegin) }, "0/x"},
		{"§10 header: white space around the value", `*,header="A:  b c " a:1`, func(r *Route) any { return r.Headers[0] }, Field{"A", "b c"}},
		{"§10 header: colons in the value", `*,header=A:b:c a:1`, func(r *Route) any { return r.Headers[0] }, Field{"A", "b:c"}},
		{"§10 jsonp_mode=extended", "*,jsonp_mode=extended a:1", func(r *Route) any { return r.JSONP.DefaultMethod }, "GET"},
		{"§10.1 the basic mode posts", "*,jsonp_mode=basic a:1", func(r *Route) any { return r.JSONP.DefaultMethod }, "POST"},
		{"§10 flag with yes", "*,debug=yes a:1", func(r *Route) any { return r.Debug }, true},
		{"§10 flag with true", "* a:1,ssl=true", func(r *Route) any { return r.Targets[0].TLS }, true},
		{"§10 empty sub", "* a:1,sub=,sub=x", func(r *Route) any { return r.Targets[0].Subs }, []string{"x"}},
		{"§10 options of the test target", "* test,over_http", func(r *Route) any { return r.Targets[0] }, Target{Test: true, OverHTTP: true}},
		{"§10 several targets", "* a:1 b:2,ssl c:3", func(r *Route) any { return len(r.Targets) }, 3},
		{"§10 no host, but an id", "id=x a:1", func(r *Route) any { return r.Host + r.ID }, "x"},
		{"label: any host", "* a:1", func(r *Route) any { return r.ID }, "*"},
		{"label: all of the condition", "A.b,path_beg=/c,ssl=no,proto=http,debug a:1",
			func(r *Route) any { return r.ID }, "a.b,proto=http,ssl=no,path_beg=/c"},
		{"label: quoted", `a.b,path_beg="/c,d" a:1`, func(r *Route) any { return r.ID }, `a.b,"path_beg=/c,d"`},
		{"slow_bytes, least", "*,slow_bytes=1024 a:1", func(r *Route) any { return r.SlowBytes }, 1024},
		{"max_head, most", "*,max_head=262144 a:1", func(r *Route) any { return r.MaxHead }, 262144},
		{"max_body, least", "*,max_body=1 a:1", func(r *Route) any { return r.MaxBody }, int64(1)},
		{"slow=disconnect", "*,slow=disconnect a:1", func(r *Route) any { return r.Slow }, SlowDisconnect},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.get(parse(t, tt.line).Routes()[0]); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.line, got, tt.want)
			}
		})
	}
}

func TestBadRoute(t *testing.T) {
	const url = `target "http://a:1" is a URL: write host:port, and the option ssl for https`
	for _, tt := range []struct{ name, line, want string }{
		{"§10 no target", "*", "the route has no target"},
		{"§10 no host", "path_beg=/a a:1", "the condition has no host: write * for any, or an id by which the route is taken"},
		{"§10 wildcard", "*.example.com a:1", `the host "*.example.com" has a wildcard: only * alone means any host`},
		{"§10 port", "example.com:80 a:1", `the host "example.com:80" has a port: the port that the client asked for is not compared`},
		{"port of an address", "[::1]:80 a:1", `the host "[::1]:80" has a port: the port that the client asked for is not compared`},
		{"no host name", "a/b a:1", `"a/b" is no host`},
		{"host too long", strings.Repeat("x", 256) + " a:1", `"` + strings.Repeat("x", 64) + `"... is no host`},
		{"§10 proto", "*,proto=tcp a:1", `proto: it takes http or ws, not "tcp"`},
		{"§10 ssl", "*,ssl=maybe a:1", `ssl: it takes yes or no, not "maybe"`},
		{"§10 ssl without a value", "*,ssl a:1", "ssl takes a value: ssl=VALUE"},
		{"§10 empty path_beg", "*,path_beg= a:1", "path_beg: it takes a path, which begins with /"},
		{"§10 path_beg without slash", "*,path_beg=a a:1", "path_beg: it takes a path, which begins with /"},
		{"§10 path_beg with a query", "*,path_beg=/a?b a:1", `path_beg: '?' does not stand in a path but as %3F`},
		{"§10 path_beg with a space", `*,path_beg="/a b" a:1`, `path_beg: ' ' does not stand in a path but as %20`},
		{"path_beg too long", "*,path_beg=/" + strings.Repeat("a", maxPath) + " a:1", "path_beg: it is longer than 8192 bytes"},
		{"§10 replace_beg", "*,replace_beg=x a:1", "replace_beg: it takes a path, which begins with /"},
		{"§10 path_rem", "*,path_rem=-1 a:1", `path_rem: it takes a number, 0 to 8192, not "-1"`},
		{"§10 path_rem, no number", "*,path_rem=x a:1", `path_rem: it takes a number, 0 to 8192, not "x"`},
		{"§10 empty id", "*,id= a:1", "id: it is empty"},
		{"§10 as_host", "*,as_host=a/b a:1", `as_host: it takes a host, or host:port, not "a/b"`},
		{"§10 header without colon", `*,header="Authorization secret" a:1`, "header: it takes NAME:VALUE"},
		{"§10 header name", `*,header="a b: c" a:1`, "header: it takes NAME:VALUE"},
		{"§10 log_level", "*,log_level=4 a:1", `log_level: it takes a number, 0 to 3, not "4"`},
		{"§10 jsonp_mode", "*,jsonp_mode=x a:1", `jsonp_mode: it takes extended or basic, not "x"`},
		{"§10 jsonp_defcb", "*,jsonp_defcb=a() a:1", `jsonp_defcb: it takes the path to a JavaScript function, not "a()"`},
		{"§10 jsonp_defmethod", "*,jsonp_defmethod= a:1", `jsonp_defmethod: it takes a method, not ""`},
		{"§10 sockjs", "*,sockjs=x a:1", "sockjs: it takes a path, which begins with /"},
		{"slow", "*,slow=wait a:1", `slow: it takes disconnect, drop-oldest or conflate, not "wait"`},
		{"slow=unset", "*,slow=unset a:1", `slow: it takes disconnect, drop-oldest or conflate, not "unset"`},
		{"slow_bytes too few", "*,slow_bytes=1023 a:1", `slow_bytes: it takes a number of bytes, 1024 to 1073741824, not "1023"`},
		{"slow_bytes too many", "*,slow_bytes=1073741825 a:1", `slow_bytes: it takes a number of bytes, 1024 to 1073741824, not "1073741825"`},
		{"max_head too short", "*,max_head=1023 a:1", `max_head: it takes a number of bytes, 1024 to 262144, not "1023"`},
		{"max_head too long", "*,max_head=262145 a:1", `max_head: it takes a number of bytes, 1024 to 262144, not "262145"`},
		{"max_body too short", "*,max_body=0 a:1", `max_body: it takes a number of bytes, 1 to 1125899906842624, not "0"`},
		{"max_body with a unit", "*,max_body=1M a:1", `max_body: it takes a number of bytes, 1 to 1125899906842624, not "1M"`},
		{"slow_channel without a policy", "*,slow_channel=a a:1", `slow_channel: it takes PATTERN:POLICY, not "a"`},
		{"slow_channel without a pattern", "*,slow_channel=:conflate a:1", `slow_channel: it takes PATTERN:POLICY, not ":conflate"`},
		{"slow_channel policy", "*,slow_channel=a:b a:1", `slow_channel: it takes disconnect, drop-oldest or conflate, not "b"`},
		{"§10 flag with another value", "*,debug=no a:1", "debug takes no value: leave it out where it is not wanted"},
		{"§10 flag with an empty value", "*,aco= a:1", "aco takes no value: leave it out where it is not wanted"},
		{"§10 value missing", "*,prefix a:1", "prefix takes a value: prefix=VALUE"},
		{"§10 given twice", "*,id=a,id=b a:1", "id is given twice"},
		{"unknown option", "*,sig_kye=secret a:1", `"sig_kye" is no option of a condition`},
		{"option of a target", "*,over_http a:1", "over_http is no option of a condition: it stands at the wrong end of the line"},
		{"option of a condition", "* a:1,debug", `target "a:1": debug is no option of a target: it stands at the wrong end of the line`},
		{"unknown option of a target", "* a:1,x", `target "a:1": "x" is no option of a target`},
		{"§10 target without a port", "* a", `target "a" has no port`},
		{"§10 target, port 0", "* a:0", `target "a:0" is neither host:port nor test`},
		{"§10 target, port too large", "* a:65536", `target "a:65536" is neither host:port nor test`},
		{"§10 target, no port number", "* a:http", `target "a:http" is neither host:port nor test`},
		{"§10 target, signed port", "* a:+80", `target "a:+80" is neither host:port nor test`},
		{"§10 target, IPv6 without brackets", "* ::1:80", `target "::1:80" is neither host:port nor test`},
		{"§10 target, no IPv6", "* [x]:80", `target "[x]:80" is neither host:port nor test`},
		{"§10 target, empty", "* ssl=yes", `target "" is neither host:port nor test`},
		{"target is a URL", "* http://a:1", url},
		{"§10 zhttp", "* zhttp/tcp://x", `target "zhttp/tcp://x": ZHTTP is not spoken: let the service listen for HTTP, and write host:port`},
		{"§10 zhttpreq", "* zhttpreq/x", `target "zhttpreq/x": ZHTTP is not spoken: let the service listen for HTTP, and write host:port`},
		{"§10 ipc_file_mode", "* a:1,ipc_file_mode=777", `target "a:1": ipc_file_mode: it is for zhttp targets, which there are none of: leave it out`},
		{"§10 host of a target", "* a:1,host=", `target "a:1": host: it takes a host, or host:port, not ""`},
		{"§10 client_cert alone", "* a:1,client_cert=c", `target "a:1": client_cert and client_key go together`},
		{"ca and insecure", "* a:1,ssl,ca=c,insecure", `target "a:1": ca and insecure exclude each other: insecure verifies nothing`},
		{"§10 client_key alone", "* a:1,client_key=c", `target "a:1": client_cert and client_key go together`},
		{"second target", "* a:1 b", `target "b" has no port`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := parseRoute(tt.line)
			if err == nil || err.Error() != tt.want {
				t.Errorf("%s\n got %v, %v\nwant %s", tt.line, r, err, tt.want)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	for _, tt := range []struct{ name, line, target, want string }{
		{"nothing to do", "* a:1", "/a?b", "/a?b"},
		{"§10 replace_beg", "*,path_beg=/a/,replace_beg=/x/ a:1", "/a/b?/a/", "/x/b?/a/"},
		{"§10 replace_beg, nothing behind", "*,path_beg=/a,replace_beg=/x a:1", "/a", "/x"},
		{"§10 replace_beg without path_beg", "*,replace_beg=/x a:1", "/a", "/x/a"},
		{"§10 empty replace_beg", "*,path_beg=/a,replace_beg= a:1", "/a/b", "/b"},
		{"a path begins with a slash", "*,path_beg=/a/,replace_beg= a:1", "/a/b?c", "/b?c"},
		{"§10 path_rem", "*,path_rem=2 a:1", "/a/b?c", "/b?c"},
		{"§10 path_rem, all", "*,path_rem=2 a:1", "/a?c", "/?c"},
		{"§10 path_rem, more than there is", "*,path_rem=20 a:1", "/a?cccccccccccccccccccccccccccccc", "/?cccccccccccccccccccccccccccccc"},
		{"§10 asterisk form", "*,path_rem=1 a:1", "*", "*"},
		{"no target", "*,path_rem=1 a:1", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parse(t, tt.line).Routes()[0].Target(tt.target); got != tt.want {
				t.Errorf("%s: Target(%q) = %q, want %q", tt.line, tt.target, got, tt.want)
			}
		})
	}
}

func TestSlowPolicy(t *testing.T) {
	r := parse(t, `*,slow=drop-oldest,slow_channel=a*:conflate,slow_channel=ab:disconnect,slow_channel=*x:disconnect a:1`).Routes()[0]
	for _, tt := range []struct {
		channel string
		want    SlowPolicy
	}{
		{"ab", SlowConflate}, // the first that fits
		{"a", SlowConflate},
		{"bx", SlowDisconnect},
		{"b", SlowDropOldest},
		{"", SlowDropOldest},
	} {
		if got := r.SlowPolicy(tt.channel); got != tt.want {
			t.Errorf("SlowPolicy(%q) = %v, want %v", tt.channel, got, tt.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { r.SlowPolicy("channel") }); n != 0 {
		t.Errorf("SlowPolicy made %v allocations, want none", n)
	}
	if got := parse(t, "* a:1").Routes()[0].SlowPolicy("a"); got != SlowUnset {
		t.Errorf("SlowPolicy of a route that does not say = %v, want unset", got)
	}
}

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		pattern, channel string
		want             bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "", false}, {"a", "ab", false}, {"ab", "a", false},
		{"*", "", true}, {"*", "abc", true}, {"a*", "a", true}, {"a*", "abc", true}, {"a*", "ba", false},
		{"*c", "abc", true}, {"*c", "abcd", false}, {"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "acb", false},
		{"*a*b*", "xaxbx", true}, {"*a*b*", "ba", false}, {"*ab", "aab", true}, {"a*ab*b", "aabab", true},
		{"**", "", true}, {"a**", "a", true}, {"*.*", "a.b", true}, {"*.*", "ab", false},
		{strings.Repeat("*a", 30), strings.Repeat("a", 1000) + "b", false},
	} {
		if got := fits(tt.pattern, tt.channel); got != tt.want {
			t.Errorf("fits(%q, %q) = %v, want %v", tt.pattern, tt.channel, got, tt.want)
		}
	}
}

func TestValidCallback(t *testing.T) {
	for _, s := range []string{"a", "_", "$", "cb1", "jQuery17_42", "a.b.c", "a[0]", "a[12][3].b", "$.x", strings.Repeat("a", 256)} {
		if !ValidCallback(s) {
			t.Errorf("§10.1 ValidCallback(%q) = false, want true", s)
		}
	}
	for _, s := range []string{"", "1a", "a.", ".a", "a..b", "a.1", "a[]", "a[", "a[0", "a[x]", "a['x']", "[0]", "a[0]b", "a]",
		"a(b", "a;b", "a b", "a=b", "a/**/b", "a<b", "a\n", "é", "a\u2028", "a-b", "a[-1]", "a[0].", strings.Repeat("a", 257)} {
		if ValidCallback(s) {
			t.Errorf("§10.1 ValidCallback(%q) = true, want false", s)
		}
	}
}

func TestSecret(t *testing.T) {
	const key = "s3cr3t"
	table := parse(t, "*,sig_key="+key+" a:1")
	for _, format := range []string{"%v", "%+v", "%s", "%q"} {
		for _, v := range []any{table, table.Routes()[0], *table.Routes()[0], table.Routes()[0].SigKey} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, key) {
				t.Errorf("%s of a %T shows the key: %s", format, v, s)
			}
		}
	}
	for _, line := range []string{"*,sig_key=" + key + ",sig_key=" + key + " a:1", "*,sig_kye=" + key + " a:1", "*,sig_key=" + key} {
		if _, err := Parse("routes", []byte(line)); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("Parse(%q): %v, want an error that does not show the key", line, err)
		}
	}
}
