package httpparse

import (
	"slices"
	"strings"
	"testing"
)

var badConnections = []refusal{
	{"rule 8, RFC 9110 §5.6.1: too many options", "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + strings.Repeat("x,", 32) + "\r\n\r\n", errOptions},
	{"rule 8, RFC 9110 §5.6.1: too many options on two lines", "GET / HTTP/1.1\r\nHost: a\r\nConnection: x" + strings.Repeat(",", 30) + "\r\nConnection: y,\r\n\r\n", errOptions},
	{"rule 8, RFC 9110 §10.1.1: unknown expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", errExpectation},
	{"rule 8, RFC 9110 §10.1.1: unknown expectation beside 100-continue", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", errExpectation},
	{"rule 8, RFC 9110 §10.1.1: unknown expectation on HTTP/1.0", "GET / HTTP/1.0\r\nExpect: x\r\n\r\n", errExpectation},
}

func TestConnectionRefuses(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range badConnections {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, p, tt.in, tt.want) })
	}
}

func TestPersistent(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range []struct {
		name, version, lines string
		want                 bool
	}{
		{"rule 8, RFC 9112 §9.3: HTTP/1.1", "1.1", "", true},
		{"rule 8, RFC 9112 §9.3: HTTP/1.1 with close", "1.1", "Connection: close\r\n", false},
		{"rule 8, RFC 9112 §9.3: close in any case, among others", "1.1", "connection: TE ,\tCLOSE, x\r\n", false},
		{"rule 8, RFC 9112 §9.3: close on the second line", "1.1", "Connection: TE\r\nConnection: close\r\n", false},
		{"rule 8, RFC 9112 §9.3: close and keep-alive", "1.1", "Connection: keep-alive, close\r\n", false},
		{"rule 8, RFC 9112 §9.3: close as a part of a word", "1.1", "Connection: closed\r\n", true},
		{"rule 8, RFC 9112 §9.3: HTTP/1.0", "1.0", "", false},
		{"rule 8, RFC 9112 §9.3: HTTP/1.0 with keep-alive", "1.0", "Connection: Keep-Alive\r\n", true},
		{"rule 8, RFC 9112 §9.3: HTTP/1.0 with both", "1.0", "Connection: close\r\nConnection: keep-alive\r\n", false},
		{"rule 8, RFC 9112 §C.2.2: Proxy-Connection means nothing", "1.0", "Proxy-Connection: keep-alive\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := "GET / HTTP/" + tt.version + "\r\nHost: a\r\n" + tt.lines + "\r\n"
			got := outcome(t, p, in)
			if !strings.HasPrefix(got, "GET / HTTP/"+tt.version) || strings.Contains(got, " persistent ") != tt.want {
				t.Errorf("%q: got %s, want persistent: %t", in, got, tt.want)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	p := NewParser(Limits{})
	for _, tt := range []struct{ name, version, expect, want string }{
		{"rule 8, RFC 9110 §10.1.1: HTTP/1.1", "1.1", "100-continue", "persistent expect "},
		{"rule 8, RFC 9110 §10.1.1: in any case", "1.1", "100-Continue", "persistent expect "},
		{"rule 8, RFC 9110 §10.1.1: ignored on HTTP/1.0", "1.0", "100-continue", ""},
		{"rule 8, RFC 9110 §10.1.1: empty", "1.1", "", "persistent "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantOutcome(t, p, "POST / HTTP/"+tt.version+"\r\nHost: a\r\nExpect: "+tt.expect+"\r\n\r\n",
				"POST / HTTP/"+tt.version+" host=a "+tt.want+"[Host: a] [Expect: "+tt.expect+"]\n")
		})
	}
}

func TestIsHopByHop(t *testing.T) {
	always := []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authorization",
	}
	never := []string{
		"Host", "Content-Length", "Expect", "Via", "X", "Authorization", "Proxy-Authenticate", "Keepalive", "",
	}
	for _, tt := range []struct {
		name, lines string
		listed      []string
	}{
		{"RFC 9110 §7.6.1: no Connection", "", nil},
		{"RFC 9110 §7.6.1: close names nothing", "Connection: close\r\n", nil},
		{"RFC 9110 §7.6.1: one name", "Connection: x-foo\r\n", []string{"X-Foo"}},
		{"RFC 9110 §7.6.1: names on two lines", "Connection: keep-alive, A ,,\tb\r\nX: y\r\nCONNECTION: close, C\r\n", []string{"a", "B", "c"}},
		{"RFC 9110 §7.6.1: as many options as allowed", "Connection: " + strings.Repeat(",", 30) + "z\r\n", []string{"z"}},
	} {
		t.Run("rule 8, "+tt.name, func(t *testing.T) {
			req := parse(t, "GET / HTTP/1.1\r\nHost: a\r\n"+tt.lines+"\r\n")
			for _, name := range slices.Concat(always, tt.listed) {
				for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
					if !req.IsHopByHop([]byte(spelled)) {
						t.Errorf("with %q: IsHopByHop(%q) = false, want true", tt.lines, spelled)
					}
				}
			}
			for _, name := range never {
				if req.IsHopByHop([]byte(name)) {
					t.Errorf("with %q: IsHopByHop(%q) = true, want false", tt.lines, name)
				}
			}
		})
	}
}

// parse returns the request that in is the head of.
func parse(t *testing.T, in string) *Request {
	t.Helper()
	var scan Scan
	req, _, err := NewParser(Limits{}).Parse(&scan, []byte(in))
	if err != nil {
		t.Fatalf("parse %q: %v", in, err)
	}
	return req
}

func TestIsHopByHopAllocatesNothing(t *testing.T) {
	req := parse(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, y\r\n\r\n")
	name := []byte("X-Forwarded-For")
	if n := testing.AllocsPerRun(100, func() { req.IsHopByHop(name) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
