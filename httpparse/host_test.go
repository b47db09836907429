package httpparse

import (
	"net/netip"
	"strings"
	"testing"
)

var badHosts = []refusal{
	{"rule 5, RFC 9112 §3.2: HTTP/1.1 without Host", "GET / HTTP/1.1\r\n\r\n", errNoHost},
	{"rule 5, RFC 9112 §3.2: absolute form does not replace Host", "GET http://a/ HTTP/1.1\r\n\r\n", errNoHost},
	{"rule 5, RFC 9112 §3.2: Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", errManyHosts},
	{"rule 5, RFC 9112 §3.2: the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nhOsT: a\r\n\r\n", errManyHosts},
	{"rule 5, RFC 9112 §3.2: Host twice on HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", errManyHosts},
	{"rule 5, RFC 9112 §3.2: bad Host on HTTP/1.0", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", errHost},
	{"rule 5, RFC 9110 §4.2.1: empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", errHost},
	{"rule 5, RFC 9112 §3.2: space in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", errHost},
	{"rule 5, RFC 9112 §3.2.2: bad Host beside an absolute form", "GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n", errHost},
}

func TestHostRefuses(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range badHosts {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, p, tt.in, tt.want) })
	}
}

func TestHostOptionalOnHTTP10(t *testing.T) {
	p := NewParser(Limits{})
	wantOutcome(t, p, "GET / HTTP/1.0\r\nX: y\r\n\r\n", "GET / HTTP/1.0 host= [X: y]\n")
	wantOutcome(t, p, "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / HTTP/1.0 host=a [Host: a]\n")
	wantOutcome(t, p, "GET http://b/ HTTP/1.0\r\n\r\n", "GET / HTTP/1.0 host=b\n")
}

func TestValidHost(t *testing.T) {
	for _, h := range []string{
		"a", "example.com", "EXAMPLE.com.", "xn--bcher-kva.example", "under_score", "a:80", "a:", "127.0.0.1:8080",
		"[::1]", "[2001:db8::1]:443", "[::ffff:192.0.2.1]:", "-._~!$&'()*+,;=",
	} {
		if !validHost([]byte(h)) {
			t.Errorf("validHost(%q) = false, want true (RFC 3986 §3.2.2)", h)
		}
	}
	for _, h := range []string{
		"", ":80", "a:b", "a:80:80", "a/b", "a?b", "a#b", "a@b", "a\\b", "a b", "a\tb", "a\x00", "\xc3\xa9", "a%41",
		"[]", "[::1", "::1", "[::1]80", "[::1]]", "a[::1]", "[fe80::1%25eth0]", "[v1.a]", "<a>", "\"a\"",
	} {
		if validHost([]byte(h)) {
			t.Errorf("validHost(%q) = true, want false (RFC 3986 §3.2.2)", h)
		}
	}
}

var addresses = []string{
	"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8", "2001:DB8::a",
	"::1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1::1.2.3.4", "::255.255.255.255",
	"", ":", ":::", "1", "1:", ":1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "1::2::3", "12345::",
	"g::", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "::1.2.3.4.5", "::1.2.3.256", "::01.2.3.4", "::1.2.3.", "::.1.2.3",
	"1.2.3.4", "::1.2.3.4:5", "::1.2.3.4:", "fe80::1%eth0", "1:2:3:4:5:6::1.2.3.4", "::1.2.3.a", "::a.2.3.4",
	"1:::2", "::1:", "1::2:",
}

// wantLikeNetip compares validIPv6 with the standard library's parser, which
// also takes zones; a Host has none.
func wantLikeNetip(t *testing.T, a string) {
	t.Helper()
	parsed, err := netip.ParseAddr(a)
	want := err == nil && parsed.Is6() && !strings.Contains(a, "%")
	if got := validIPv6([]byte(a)); got != want {
		t.Errorf("validIPv6(%q) = %t, want %t (netip: %v)", a, got, want, err)
	}
}

func TestValidIPv6(t *testing.T) {
	for _, a := range addresses {
		wantLikeNetip(t, a)
	}
}

func FuzzValidIPv6(f *testing.F) {
	for _, a := range addresses {
		f.Add(a)
	}
	f.Fuzz(wantLikeNetip)
}
