package upstream

import (
	"net/http"
	"slices"
	"testing"

	"marquee/grip"
)

func TestEndToEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   http.Header
		want grip.Header
	}{
		{"none", http.Header{}, nil},
		{"RFC 9110 §7.6.1 for the connection", http.Header{
			"Connection": {"close, X-A", "keep-alive,x-b"}, "Keep-Alive": {"a"}, "Proxy-Connection": {"a"}, "Te": {"a"},
			"Trailer": {"a"}, "Transfer-Encoding": {"a"}, "Upgrade": {"a"}, "X-A": {"a"}, "X-B": {"a"}, "X-C": {"a"},
		}, grip.Header{{Name: "X-C", Value: "a"}}},
		{"Content-Length is written by whoever writes the content", http.Header{"Content-Length": {"1"}}, nil},
		{"names in order, values as they came", http.Header{"B": {"2", "1"}, "A": {"3"}},
			grip.Header{{Name: "A", Value: "3"}, {Name: "B", Value: "2"}, {Name: "B", Value: "1"}}},
		{"RFC 9110 §5.5 tab and bytes beyond ASCII", http.Header{"A": {"\t\xff caf\xc3\xa9"}},
			grip.Header{{Name: "A", Value: "\t\xff caf\xc3\xa9"}}},
	} {
		got, err := endToEnd(tt.in)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: endToEnd(%q) = %q, %v, want %q", tt.name, tt.in, got, err, tt.want)
		}
	}
	for _, bad := range []http.Header{
		{"A": {"x\r\nSet-Cookie: a=b"}}, {"A": {"x\ny"}}, {"A": {"x\ry"}}, {"A": {"x", "\x00"}}, {"A": {"\x1f"}}, {"A": {"\x7f"}},
	} {
		if got, err := endToEnd(bad); err == nil {
			t.Errorf("RFC 9110 §5.5: endToEnd(%q) = %q, want an error", bad, got)
		}
	}
}
