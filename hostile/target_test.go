package hostile

import (
	"fmt"
	"strings"
)

// targeted is a request for a target, with a host.
func targeted(method, target, host string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
}

// targetAttacks are about the forms of the target: RFC 9112 §3.2.
var targetAttacks = []attack{
	{"3.2.2 absolute-form", targeted("GET", "http://a.example/a", "a.example"), asks(getA)},
	{"3.2.2 absolute-form overrides Host", targeted("GET", "http://a.example/a", "b.example"), asks(getA)},
	{"3.2.2 absolute-form does not do without Host", "GET http://a.example/a HTTP/1.1\r\n\r\n", refused(400)},
	{"3.2.2 absolute-form with two Host fields", "GET http://a.example/a HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", refused(400)},
	{"3.2.2 absolute-form with a bad Host", targeted("GET", "http://a.example/a", "a b"), refused(400)},
	{"3.2.2 absolute-form, scheme in upper case", targeted("GET", "HTTP://a.example/a", "a.example"), asks(getA)},
	{"3.2.2 absolute-form of https", targeted("GET", "https://a.example/a", "a.example"), asks(getA)},
	{"3.2.2 absolute-form with a port", targeted("GET", "http://a.example:8080/a", "a.example"), asks(`GET /a a.example:8080 ""`)},
	{"3.2.2 absolute-form without a path", targeted("GET", "http://a.example", "a.example"), asks(`GET / a.example ""`)},
	{"3.2.2 absolute-form with a query alone", targeted("GET", "http://a.example?b", "a.example"), asks(`GET /?b a.example ""`)},
	{"3.2.2 absolute-form with a URL for the path", targeted("GET", "http://a.example/http://b.example/", "a.example"), asks(`GET /http://b.example/ a.example ""`)},
	{"3.2.2 absolute-form with user information", targeted("GET", "http://a.example@b.example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form with user and password", targeted("GET", "http://a:b@a.example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form with a backslash", targeted("GET", `http://a.example\@b.example/a`, "a.example"), refused(400)},
	{"3.2.2 absolute-form without a host", targeted("GET", "http:///a", "a.example"), refused(400)},
	{"3.2.2 absolute-form with a port alone", targeted("GET", "http://:80/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form with one slash", targeted("GET", "http:/a.example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form without slashes", targeted("GET", "http:a.example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form with three slashes", targeted("GET", "http:///a.example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form with a fragment for the path", targeted("GET", "http://a.example#b", "a.example"), refused(400)},
	{"3.2.2 absolute-form of ftp", targeted("GET", "ftp://a.example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form of file", targeted("GET", "file:///etc/passwd", "a.example"), refused(400)},
	{"3.2.2 absolute-form of javascript", targeted("GET", "javascript://a.example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form of an unknown scheme", targeted("GET", "x://a.example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form of no scheme", targeted("GET", "://a.example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form with a bad port", targeted("GET", "http://a.example:8x/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form with a coded host", targeted("GET", "http://a%2eexample/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form with a host of odd bytes", targeted("GET", "http://a\"example/a", "a.example"), refused(400)},
	{"3.2.2 absolute-form in HTTP/1.0 without Host", "GET http://a.example/a HTTP/1.0\r\n\r\n", ends(getA)},

	{"3.2.3 authority-form of GET", targeted("GET", "a.example:80", "a.example"), refused(400)},
	{"3.2.3 CONNECT", targeted("CONNECT", "a.example:80", "a.example:80"), refused(501)},
	{"3.2.3 CONNECT with a path", targeted("CONNECT", "/a", "a.example"), refused(501)},
	{"3.2.3 CONNECT with a length", "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 5\r\n\r\nhello", refused(501)},
	{"3.2.3 CONNECT, and another request behind", targeted("CONNECT", "a.example:80", "a.example:80") + smuggled, refused(501)},
	{"3.2.4 asterisk-form", targeted("OPTIONS", "*", "a.example"), asks(`OPTIONS * a.example ""`)},
	{"3.2.4 asterisk-form from an absolute one", targeted("OPTIONS", "http://a.example", "a.example"), asks(`OPTIONS * a.example ""`)},
	{"3.2.4 asterisk-form of GET", targeted("GET", "*", "a.example"), refused(400)},
	{"3.2.4 asterisk-form with more", targeted("OPTIONS", "*a", "a.example"), refused(400)},
	{"3.2.4 asterisk-form with a query", targeted("OPTIONS", "*?a", "a.example"), refused(400)},

	{"3.2.1 no slash in front", targeted("GET", "a", "a.example"), refused(400)},
	{"3.2.1 only a query", targeted("GET", "?a", "a.example"), refused(400)},
	{"3.2.1 a backslash in front", targeted("GET", `\a`, "a.example"), refused(400)},
	{"3.2.1 a fragment", targeted("GET", "/a#b", "a.example"), refused(400)},
	{"3.2.1 a fragment in the query", targeted("GET", "/a?b#c", "a.example"), refused(400)},
	{"3.2.1 two slashes in front", targeted("GET", "//b.example/a", "a.example"), asks(`GET //b.example/a a.example ""`)},
	{"3.2.1 three slashes in front", targeted("GET", "///b.example/a", "a.example"), asks(`GET ///b.example/a a.example ""`)},
	{"3.2.1 two slashes and a userinfo", targeted("GET", "//b@c.example/a", "a.example"), asks(`GET //b@c.example/a a.example ""`)},
	{"3.2.1 dot segments are the origin's to judge", targeted("GET", "/a/../b/./c", "a.example"), asks(`GET /a/../b/./c a.example ""`)},
	{"3.2.1 coded dot segments stay coded", targeted("GET", "/a/%2e%2e/b", "a.example"), asks(`GET /a/%2e%2e/b a.example ""`)},
	{"3.2.1 a coded slash stays coded", targeted("GET", "/a%2fb%2Fc", "a.example"), asks(`GET /a%2fb%2Fc a.example ""`)},
	{"3.2.1 two slashes and a coded slash", targeted("GET", "//a%2fb", "a.example"), asks(`GET //a%2fb a.example ""`)},
	{"3.2.1 a coded NUL stays coded", targeted("GET", "/a%00b", "a.example"), asks(`GET /a%00b a.example ""`)},
	{"3.2.1 a coded percent sign stays coded", targeted("GET", "/a%252fb", "a.example"), asks(`GET /a%252fb a.example ""`)},
	{"3.2.1 a percent sign alone", targeted("GET", "/a%", "a.example"), refused(400)},
	{"3.2.1 a percent sign and one digit", targeted("GET", "/a%2", "a.example"), refused(400)},
	{"3.2.1 a percent sign and no digits", targeted("GET", "/a%zz", "a.example"), refused(400)},
	{"3.2.1 a percent sign and a Unicode escape", targeted("GET", "/a%u002f", "a.example"), refused(400)},
	{"3.2.1 a percent sign in the query", targeted("GET", "/a?100%", "a.example"), asks(`GET /a?100% a.example ""`)},
	{"3.2.1 a question mark in the query", targeted("GET", "/a?b?c", "a.example"), asks(`GET /a?b?c a.example ""`)},
	{"3.2.1 an empty query", targeted("GET", "/a?", "a.example"), asks(`GET /a? a.example ""`)},
	{"3.2.1 bytes that no URL has", targeted("GET", "/a|b^c`d{e}\"<f>", "a.example"), asks("GET /a|b^c`d{e}\"<f> a.example \"\"")},
	{"3.2.1 a semicolon", targeted("GET", "/a;b=c", "a.example"), asks(`GET /a;b=c a.example ""`)},
	{"3.2.1 a version in the query", targeted("GET", "/a?HTTP/1.1", "a.example"), asks(`GET /a?HTTP/1.1 a.example ""`)},
}

// noHost is what a request without a host asks: the origin gets its own name.
const noHost = `GET /a origin ""`

// hostAttacks are about Host: RFC 9112 §3.2, RFC 9110 §7.2.
func hostAttacks() []attack {
	with := func(lines string) string { return "GET /a HTTP/1.1\r\n" + lines + "\r\n\r\n" }
	attacks := []attack{
		{"3.2 no Host", "GET /a HTTP/1.1\r\n\r\n", refused(400)},
		{"3.2 two hosts", with("Host: a.example\r\nHost: b.example"), refused(400)},
		{"3.2 two equal hosts", with("Host: a.example\r\nHost: a.example"), refused(400)},
		{"3.2 two hosts, far apart and in other case", with("Host: a.example\r\nX: y\r\nhOST: b.example"), refused(400)},
		{"3.2 two hosts, the first one empty", with("Host:\r\nHost: a.example"), refused(400)},
		{"3.2 two hosts, the second one folded", with("Host: a.example\r\n Host: b.example"), refused(400)},
		{"3.2 two hosts in HTTP/1.0", "GET /a HTTP/1.0\r\nHost: a.example\r\nHost: b.example\r\n\r\n", refused(400)},
		{"3.2 a space before the colon", with("Host : a.example"), refused(400)},
		{"3.2 a host and one with a space before the colon", with("Host: a.example\r\nHost : b.example"), refused(400)},
		{"3.2 white space around the host", with("Host: \ta.example \t"), asks(getA)},
		{"3.2 the name in upper case", with("HOST: a.example"), asks(getA)},
		{"3.2 X-Forwarded-Host is no host", with("Host: a.example\r\nX-Forwarded-Host: b.example"), asks(getA)},
		{"3.2 a host with an X is no host", with("X-Host: a.example"), refused(400)},
		{"3.2 Connection lists Host", with("Host: a.example\r\nConnection: Host"), asks(getA)},
	}
	for _, host := range []string{"a.example:80", "a.example:", "a.example:00080", "A.EXAMPLE", "a_b.example", "a.example.", "127.0.0.1",
		"[::1]", "[::1]:80", "[2001:db8::192.0.2.1]", "xn--bcher-kva.example", "1", "0x7f.1", "a~!$&'()*+;=b"} {
		attacks = append(attacks, attack{"9110 7.2 host " + host, with("Host: " + host), asks(fmt.Sprintf(`GET /a %s ""`, host))})
	}
	for _, host := range []string{"", ":80", "a.example:x", "a.example:-80", "a.example:80:80", "a.example:80/", "a.example/b", "a.example?b", "a.example#b",
		"a@b.example", "a:b@c.example", "http://a.example", "a b.example", "a.example b.example", "a\tb", `a\b`, "a%00b", "a%2eexample", "[::1", "::1", "[::1]x",
		"[::1%25eth0]", "[v1.a]", "[]", "[a.example]", "[::ffff:1.2.3.4.5]", "<a.example>", `"a.example"`, "a|b", "a^b", "a`b", "{a}", "b\u00fccher.example",
		"a.example\u3002", "a.example\xff", "a.example\x00", "a.example\x7f", "a.example\rb", "a.example\v"} {
		attacks = append(attacks, attack{fmt.Sprintf("9110 7.2 host %q", host), with("Host: " + host), refused(400)})
	}
	return append(attacks, attack{"9110 7.2 host that is a list", with("Host: a.example, b.example"), refused(400)},
		attack{"9110 7.2 host of 20,000 letters", with("Host: " + strings.Repeat("a", 20000)), asks(ask("GET", "/a", strings.Repeat("a", 20000), ""))})
}
