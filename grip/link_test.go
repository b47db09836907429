package grip

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestParseLinks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		next  *Link
		gone  string
	}{
		{"§1.3 next, 120 s by default", []string{"</next>; rel=next"}, &Link{"/next", 120 * time.Second}, ""},
		{"§1.3 timeout without a minimum", []string{"</next>; rel=next; timeout=0"}, &Link{"/next", 0}, ""},
		{"§1.3 gone", []string{"<https://origin.example/gone?a=b>; rel=gone"}, nil, "https://origin.example/gone?a=b"},
		{"§1.3 both in one field", []string{"<n>; rel=next; timeout=5,<g>; rel=gone"}, &Link{"n", 5 * time.Second}, "g"},
		{"§1.3 both in two fields", []string{"<g>; rel=gone", "<n>;rel=next"}, &Link{"n", DefaultLinkTimeout}, "g"},
		{"§1.3 relative in every way", []string{"<?a=1>; rel=next", "<//other.example/x>; rel=gone"}, &Link{"?a=1", DefaultLinkTimeout}, "//other.example/x"},
		{"the last of a kind counts", []string{"<a>; rel=next; timeout=9", "<b>; rel=next"}, &Link{"b", DefaultLinkTimeout}, ""},
		{"§1.3 a value without parameters is ignored", []string{"</next>, nonsense, <>"}, nil, ""},
		{"§1.3 other rels are ignored", []string{"</a>; rel=prev", "</b>; timeout=x", "</c>; rel=Next"}, nil, ""},
		{"RFC 8288 §3 comma and semicolon in a link", []string{`</n?a=1,2;b="3>; rel=next, <g>; rel=gone`}, &Link{`/n?a=1,2;b="3`, DefaultLinkTimeout}, "g"},
		{"quoted rel", []string{`</n>; rel="next"; timeout="7"`}, &Link{"/n", 7 * time.Second}, ""},
		{"empty elements", []string{"", " ,, </n>; rel=next ,"}, &Link{"/n", DefaultLinkTimeout}, ""},
		{"none", nil, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, gone, err := parseLinks(linkHeader(tt.lines...))
			if err != nil || !reflect.DeepEqual(next, tt.next) || gone != tt.gone {
				t.Errorf("Grip-Link: %q\n got %+v, %q, %v\nwant %+v, %q", tt.lines, next, gone, err, tt.next, tt.gone)
			}
		})
	}
}

func linkHeader(lines ...string) Header {
	var h Header
	for _, line := range lines {
		h = append(h, Field{"Grip-Link", line})
	}
	return h
}

func TestParseLinksErrors(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"§1.3 not in brackets", "/next; rel=next", "failed to parse Grip-Link value"},
		{"not closed", "</next; rel=next", "failed to parse Grip-Link value"},
		{"text behind", "</next>x; rel=next", "failed to parse Grip-Link value"},
		{"text before", "x</next>; rel=next", "failed to parse Grip-Link value"},
		{"nothing within", "<>; rel=next", "failed to parse Grip-Link value"},
		{"open quote", `</next>; rel="next`, "failed to parse Grip-Link: quoted string has no end"},
		{"§13 space", "</a b>; rel=next", "Grip-Link contains invalid link"},
		{"§13 CR", "</a\rb>; rel=next", "Grip-Link contains invalid link"},
		{"§13 LF", "</a\nb>; rel=gone", "Grip-Link contains invalid link"},
		{"§13 NUL", "</a\x00b>; rel=gone", "Grip-Link contains invalid link"},
		{"§13 no URL", "<http://[::1>; rel=next", "Grip-Link contains invalid link"},
		{"§13 escape cut short", "</%4>; rel=next", "Grip-Link contains invalid link"},
		{"§13 no host", "<http:///path>; rel=next", "Grip-Link contains invalid link"},
		{"§13 another scheme", "<ftp://origin.example/>; rel=next", "Grip-Link contains invalid link"},
		{"timeout", "</next>; rel=next; timeout=soon", "failed to parse Grip-Link timeout value"},
		{"timeout too large for a duration", "</next>; rel=next; timeout=9223372036854775807", "failed to parse Grip-Link timeout value"},
		{"timeout negative", "</next>; rel=next; timeout=-1", "Grip-Link timeout has invalid value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, gone, err := parseLinks(linkHeader(tt.value))
			if err == nil || err.Error() != tt.want {
				t.Errorf("Grip-Link: %q\n got %+v, %q, %v\nwant error %s", tt.value, next, gone, err, tt.want)
			}
		})
	}
}

func TestParseLink(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   Response
		want Instruct
	}{
		{
			"§4.3 on to a hold",
			Response{Code: 206, Header: Header{{"Grip-Hold", "stream"}, {"Grip-Channel", "a; prev-id=9"}, {"Grip-Link", "</n>; rel=next"}}, Body: []byte("x")},
			Instruct{Hold: stream(Channel{Name: "a", PrevID: "9"}), Next: &Link{"/n", DefaultLinkTimeout}, Response: Response{Code: 206, Header: Header{}, Body: []byte("x")}},
		},
		{
			"§4.3 on to another link",
			Response{Code: 200, Header: Header{{"Grip-Link", "<2>; rel=next"}}, Body: []byte("1")},
			Instruct{Next: &Link{"2", DefaultLinkTimeout}, Response: Response{Code: 200, Header: Header{}, Body: []byte("1")}},
		},
		{
			"§4.3 no link, the end",
			Response{Code: 200, Header: Header{{"Content-Type", "text/plain"}}, Body: []byte("end")},
			Instruct{Response: Response{Code: 200, Header: Header{{"Content-Type", "text/plain"}}, Body: []byte("end")}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseLink(tt.in)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseLink(%+v)\n got %+v, %v\nwant %+v", tt.in, got, err, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		name   string
		in     Response
		reason string
	}{
		{"§4.3 not 2xx", Response{Code: 304}, "response code for a next link must be from 200 to 299, not 304"},
		{"§4.3 not 2xx, whatever Grip-Status says", Response{Code: 500, Header: Header{{"Grip-Status", "200"}}}, "response code for a next link must be from 200 to 299, not 500"},
		{"§1.4 JSON instruct", jsonInstruct(`{}`), "application/grip-instruct content in the response to a next link"},
		{"§4.3 hold of mode response", Response{Code: 200, Header: Header{{"Grip-Hold", "response"}}}, "hold mode 'response' in the response to a next link"},
		{"§13 prev-id, but no next link", Response{Code: 200, Header: Header{{"Grip-Hold", "stream"}, {"Grip-Channel", "a; prev-id=1"}}}, "channel 'a' specifies prev-id, but no next link found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, err := ParseLink(tt.in)
			var refused *InstructError
			if !errors.As(err, &refused) || refused.Reason != tt.reason {
				t.Errorf("ParseLink(%+v) = %+v, %v, want an *InstructError: %s", tt.in, in, err, tt.reason)
			}
			if !reflect.DeepEqual(in, Instruct{}) {
				t.Errorf("ParseLink(%+v) = %+v beside an error", tt.in, in)
			}
		})
	}
}
