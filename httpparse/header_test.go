package httpparse

import (
	"slices"
	"testing"
)

func TestByteClasses(t *testing.T) {
	const alphaNumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for _, tt := range []struct {
		name  string
		class uint8
		in    func(c byte) bool
	}{
		{"tchar, RFC 9110 §5.6.2", tokenByte, func(c byte) bool {
			return slices.Contains([]byte("!#$%&'*+-.^_`|~"+alphaNumeric), c)
		}},
		{"VCHAR, RFC 5234 §B.1", targetByte, func(c byte) bool { return 0x21 <= c && c <= 0x7E }},
		{"field-content, RFC 9110 §5.5", valueByte, func(c byte) bool {
			return c == '\t' || 0x20 <= c && c <= 0x7E || c >= 0x80
		}},
		{"reg-name without escapes, RFC 3986 §3.2.2", hostByte, func(c byte) bool {
			return slices.Contains([]byte("-._~!$&'()*+,;="+alphaNumeric), c)
		}},
		{"HEXDIG, RFC 5234 §B.1", hexByte, func(c byte) bool {
			return slices.Contains([]byte("0123456789ABCDEFabcdef"), c)
		}},
	} {
		for c := range 256 {
			if got, want := is(byte(c), tt.class), tt.in(byte(c)); got != want {
				t.Errorf("%s: %q: got %t, want %t", tt.name, byte(c), got, want)
			}
		}
	}
}

func TestNextElement(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []string
	}{
		{"", []string{""}},
		{"a", []string{"a"}},
		{"a,b", []string{"a", "b"}},
		{" a\t, ,\tb c ,", []string{"a", "", "b c", ""}},
	} {
		var got []string
		for rest, more := []byte(tt.list), true; more; {
			var element []byte
			element, rest, more = nextElement(rest)
			got = append(got, string(element))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("elements of %q: got %q, want %q", tt.list, got, tt.want)
		}
	}
}

func TestEqualFold(t *testing.T) {
	for _, tt := range []struct {
		b, lower string
		want     bool
	}{
		{"", "", true},
		{"CHUNKED", "chunked", true},
		{"Keep-Alive", "keep-alive", true},
		{"chunke", "chunked", false},
		{"Keep\rAlive", "keep-alive", false},
		{"@", "`", false},
		{"clo\u017fe", "close", false}, // long s
		{"\u212A", "k", false},         // Kelvin sign
	} {
		if got := equalFold([]byte(tt.b), tt.lower); got != tt.want {
			t.Errorf("equalFold(%q, %q) = %t, want %t", tt.b, tt.lower, got, tt.want)
		}
		if got := equalNames([]byte(tt.b), []byte(tt.lower)); got != tt.want {
			t.Errorf("equalNames(%q, %q) = %t, want %t", tt.b, tt.lower, got, tt.want)
		}
	}
}
