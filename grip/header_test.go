package grip

import (
	"reflect"
	"strings"
	"testing"
)

func TestHeaderLookup(t *testing.T) {
	h := Header{{"Vary", "Accept"}, {"X-A", "1"}, {"vary", "Origin"}}
	if got := h.Get("VARY"); got != "Accept" {
		t.Errorf("Get(VARY) = %q, want the first value, Accept", got)
	}
	if got := h.Get("Date"); got != "" {
		t.Errorf("Get(Date) = %q, want none", got)
	}
	if got, want := h.Values("Vary"), []string{"Accept", "Origin"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Values(Vary) = %q, want %q", got, want)
	}
	if !h.Has("x-a") || h.Has("x") {
		t.Errorf("Has(x-a), Has(x) = %v, %v, want true, false", h.Has("x-a"), h.Has("x"))
	}
	without := h.Without(func(name string) bool { return strings.EqualFold(name, "vary") })
	if want := (Header{{"X-A", "1"}}); !reflect.DeepEqual(without, want) {
		t.Errorf("Without(vary) = %v, want %v", without, want)
	}
	if len(h) != 3 {
		t.Errorf("Without changed the header itself: %v", h)
	}
}

func TestHeaderCheck(t *testing.T) {
	for _, tt := range []struct {
		name  string
		field Field
		want  string // "" accepts
	}{
		{"RFC 9110 §5.1 token", Field{"X-!#$%&'*+-.^_`|~09", "v"}, ""},
		{"RFC 9110 §5.5 bytes beyond ASCII", Field{"X", "caf\xc3\xa9 \xe9"}, ""},
		{"RFC 9110 §5.5 tab within", Field{"X", "a\tb"}, ""},
		{"empty value", Field{"X", ""}, ""},
		{"empty name", Field{"", "v"}, `header name "" is not a token`},
		{"space in name", Field{"X ", "v"}, `header name "X " is not a token`},
		{"colon in name", Field{"X:", "v"}, `header name "X:" is not a token`},
		{"line end in name", Field{"X\r\nY", "v"}, `header name "X\r\nY" is not a token`},
		{"name beyond ASCII", Field{"É", "v"}, `header name "É" is not a token`},
		{"CR in value", Field{"X", "a\rb"}, "header 'X' contains CR, LF or NUL"},
		{"LF in value", Field{"X", "a\nSet-Cookie: b"}, "header 'X' contains CR, LF or NUL"},
		{"NUL in value", Field{"X", "a\x00"}, "header 'X' contains CR, LF or NUL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := (Header{{"Ok", "ok"}, tt.field}).check(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("check(%q) = %q, want %q", tt.field, got, tt.want)
			}
		})
	}
}

func TestHeaderEndToEnd(t *testing.T) {
	in := Header{
		{"Connection", "close, X-Hop"}, {"x-hop", "1"}, {"X-End", "2"},
		{"connection", "\tX-Other"}, {"X-Other", "3"},
		{"Keep-Alive", "5"}, {"Proxy-Connection", "close"}, {"TE", "trailers"},
		{"Trailer", "X"}, {"Transfer-Encoding", "chunked"}, {"Upgrade", "h2c"},
		{"Proxy-Authenticate", "Basic"}, {"Proxy-Authorization", "Basic"},
		{"Content-Length", "3"}, {"Date", "now"}, {"Grip-Hold", "response"},
	}
	want := Header{{"X-End", "2"}, {"Date", "now"}, {"Grip-Hold", "response"}}
	if got := in.endToEnd(); !reflect.DeepEqual(got, want) {
		t.Errorf("endToEnd(%v)\n got %v\nwant %v", in, got, want)
	}
}
