package httpparse

import "testing"

var badTargets = []refusal{
	{"rule 5, RFC 9112 §3.2: neither a path nor a URI", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", errTarget},
	{"rule 5, RFC 9112 §3.2: query without a path", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", errTarget},
	{"rule 5, RFC 9112 §3.2.2: other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", errTarget},
	{"rule 5, RFC 9112 §3.2.2: scheme without an authority", "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", errTarget},
	{"rule 5, RFC 9110 §4.2.1: absolute form with an empty host", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", errHost},
	{"rule 5, RFC 9110 §4.2.4: absolute form with user information", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", errHost},
	{"rule 5, RFC 9112 §3.2.2: absolute form with a bad host", "GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n", errHost},
	{"rule 5, RFC 9112 §3.2: fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", errFragment},
	{"rule 5, RFC 9112 §3.2: fragment in absolute form", "GET http://a/b#c HTTP/1.1\r\nHost: a\r\n\r\n", errFragment},
	{"rule 5, RFC 9112 §3.2: fragment of an empty path", "GET http://a#c HTTP/1.1\r\nHost: a\r\n\r\n", errHost},
	{"rule 5, RFC 3986 §2.1: no escape in the path", "GET /100% HTTP/1.1\r\nHost: a\r\n\r\n", errEscape},
	{"rule 5, RFC 3986 §2.1: half an escape in the path", "GET /%4?b HTTP/1.1\r\nHost: a\r\n\r\n", errEscape},
	{"rule 5, RFC 3986 §2.1: escape that is not hexadecimal", "GET /%41%4g HTTP/1.1\r\nHost: a\r\n\r\n", errEscape},
	{"rule 5, RFC 9112 §3.2.4: asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", errTarget},
	{"rule 5, RFC 9112 §3.2.4: asterisk and more", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", errTarget},
	{"rule 5, RFC 9110 §9.3.6: CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", errConnect},
	{"rule 5, RFC 9110 §9.3.6: CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", errConnect},
	{"rule 5, RFC 9112 §3.2.3: authority form for GET", "GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", errTarget},
}

func TestTargetRefuses(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range badTargets {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, p, tt.in, tt.want) })
	}
}

func TestTargetForms(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range []struct{ name, method, in, target, host string }{
		{"rule 5, RFC 9112 §3.2.1: path", "GET", "/a/b", "/a/b", "h"},
		{"rule 5, RFC 9112 §3.2.1: path and query", "GET", "/a?b=/?c", "/a?b=/?c", "h"},
		{"rule 5, RFC 9112 §3.2.1: path that looks like an authority", "GET", "//a/b", "//a/b", "h"},
		{"rule 5, RFC 9112 §3.2.1: escapes in the path", "GET", "/%41%c3%A9", "/%41%c3%A9", "h"},
		{"rule 5, RFC 9112 §3.2.1: percent sign in the query", "GET", "/?q=100%", "/?q=100%", "h"},
		{"rule 5, RFC 9112 §3.2.1: URI in the query", "GET", "/?http://x/", "/?http://x/", "h"},
		{"rule 5, RFC 9112 §3.2.2: absolute form overrides Host", "GET", "http://other:81/a?b", "/a?b", "other:81"},
		{"rule 5, RFC 9112 §3.2.2: https, scheme in any case", "GET", "HttpS://other/a", "/a", "other"},
		{"rule 5, RFC 9112 §3.2.2: IPv6", "GET", "http://[::1]:81/a", "/a", "[::1]:81"},
		{"rule 5, RFC 9112 §3.2.1: empty path", "GET", "http://other", "/", "other"},
		{"rule 5, RFC 9112 §3.2.1: empty path and a query", "GET", "http://other?b=/", "/?b=/", "other"},
		{"rule 5, RFC 9112 §3.2.4: OPTIONS for the server", "OPTIONS", "*", "*", "h"},
		{"rule 5, RFC 9112 §3.2.4: OPTIONS for another server", "OPTIONS", "http://other", "*", "other"},
		{"rule 5, RFC 9112 §3.2.4: OPTIONS for another server's root", "OPTIONS", "http://other/", "/", "other"},
		{"rule 5, RFC 9112 §3.2.4: OPTIONS with an empty path and a query", "OPTIONS", "http://other?b", "/?b", "other"},
		{"rule 5, RFC 9110 §9.1: methods are case-sensitive", "connect", "/", "/", "h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantOutcome(t, p, tt.method+" "+tt.in+" HTTP/1.1\r\nHost: h\r\n\r\n",
				tt.method+" "+tt.target+" HTTP/1.1 host="+tt.host+" persistent [Host: h]\n")
		})
	}
}
