package main

import (
	"flag"
	"io"
	"reflect"
	"testing"

	"marquee/grip"
	"marquee/route"
)

func TestForwardedForFlag(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       forwardedFor
		wantString string
	}{
		{"§1.1.7 none", "", forwardedFor{}, ""},
		{"§1.1.7 append", "append", forwardedFor{append: true}, "append"},
		{"§1.1.7 truncate", "truncate:2", forwardedFor{truncate: true, keep: 2}, "truncate:2"},
		{"§1.1.7 both", "truncate:0,append", forwardedFor{true, 0, true}, "truncate:0,append"},
		{"any order, with spaces", " append , truncate:1", forwardedFor{true, 1, true}, "truncate:1,append"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := forwardedFor{true, 7, true} // a default that is replaced
			if err := got.Set(tt.text); err != nil || got != tt.want {
				t.Fatalf("Set(%q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
			}
			if s := got.String(); s != tt.wantString {
				t.Errorf("String() = %q, want %q", s, tt.wantString)
			}
		})
	}
	for _, text := range []string{"prepend", "truncate", "truncate:", "truncate:-1", "truncate:x", "truncate:1001", "1", "append:1"} {
		got := forwardedFor{append: true}
		if err := got.Set(text); err == nil || got != (forwardedFor{append: true}) {
			t.Errorf("Set(%q) = %+v, %v, want an error and no change", text, got, err)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	came := headerOf("X-Forwarded-For", "1.1.1.1, 2.2.2.2", "A", "b", "x-forwarded-for", "3.3.3.3,")
	for _, tt := range []struct {
		name   string
		rules  forwardedFor
		header grip.Header
		peer   string
		want   grip.Header
	}{
		{"§1.1.7 no rules: untouched", forwardedFor{}, came, "9.9.9.9", came},
		{"§1.1.7 append", forwardedFor{append: true}, came, "9.9.9.9",
			headerOf("A", "b", "X-Forwarded-For", "1.1.1.1, 2.2.2.2, 3.3.3.3, 9.9.9.9")},
		{"§1.1.7 append to nothing", forwardedFor{append: true}, nil, "::1", headerOf("X-Forwarded-For", "::1")},
		{"§1.1.7 truncate keeps the last", forwardedFor{truncate: true, keep: 2}, came, "9.9.9.9",
			headerOf("A", "b", "X-Forwarded-For", "2.2.2.2, 3.3.3.3")},
		{"§1.1.7 truncate keeps what there is", forwardedFor{truncate: true, keep: 9}, came, "9.9.9.9",
			headerOf("A", "b", "X-Forwarded-For", "1.1.1.1, 2.2.2.2, 3.3.3.3")},
		{"§1.1.7 truncate:0", forwardedFor{truncate: true}, came, "9.9.9.9", headerOf("A", "b")},
		{"§1.1.7 truncate:1,append", forwardedFor{true, 1, true}, came, "9.9.9.9",
			headerOf("A", "b", "X-Forwarded-For", "3.3.3.3, 9.9.9.9")},
		{"a peer without an address", forwardedFor{append: true}, headerOf("A", "b"), "", headerOf("A", "b")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.rules.apply(tt.header, tt.peer); !equalHeader(got, tt.want) {
				t.Errorf("%v of %v, peer %q\n got %v\nwant %v", tt.rules, tt.header, tt.peer, got, tt.want)
			}
		})
	}
}

func TestForwardedProto(t *testing.T) {
	const proto, protocol = "X-Forwarded-Proto", "X-Forwarded-Protocol"
	none := headerOf("A", "b")
	says := func(fields ...grip.Field) grip.Header { return append(append(grip.Header{}, none...), fields...) }
	https := says(grip.Field{Name: proto, Value: "https"})
	both := says(grip.Field{Name: proto, Value: "https"}, grip.Field{Name: protocol, Value: "https"})
	for _, tt := range []struct {
		name       string
		policy     string
		accept     bool
		tls        bool
		header     grip.Header
		wantSecure bool
		want       grip.Header
	}{
		{"keep: the edge says http", "keep", false, false, none, false, says(grip.Field{Name: proto, Value: "http"})},
		{"keep: the edge says https", "keep", false, true, none, true, https},
		{"keep: what came stays", "keep", false, false, https, false, https},
		{"keep, accepted: https", "keep", true, false, both, true, https},
		{"keep, accepted: http", "keep", true, false, says(grip.Field{Name: proto, Value: "ftp"}), false,
			says(grip.Field{Name: proto, Value: "http"})},
		{"§1.1.6 proto-only, no TLS: nothing added", "proto-only", false, false, none, false, none},
		{"§1.1.6 proto-only, no TLS: copies removed", "proto-only", false, false, both, false, none},
		{"§1.1.6 proto-only, TLS", "proto-only", false, true, both, true, https},
		{"§1.1.6 true, TLS: both names", "true", false, true, none, true, both},
		{"§1.1.6 true, no TLS", "true", false, false, both, false, none},
		{"§1.1.6 off", "false", false, true, says(grip.Field{Name: proto, Value: "x"}), true, says(grip.Field{Name: proto, Value: "x"})},
		{"§1.1.6 off, accepted: it ends here", "false", true, false, both, true, none},
		{"§1.1.6 accepted, set", "proto-only", true, false, says(grip.Field{Name: protocol, Value: "HTTPS"}), true, https},
		{"§1.1.6 accepted, wss", "true", true, false, says(grip.Field{Name: proto, Value: "wss"}), true, both},
		{"§1.1.6 accepted, but http", "proto-only", true, false, says(grip.Field{Name: proto, Value: "http"}), false, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := forwarding{AcceptProto: tt.accept}
			if err := f.Proto.Set(tt.policy); err != nil {
				t.Fatal(err)
			}
			if s := f.Proto.String(); s != tt.policy {
				t.Errorf("String() = %q after Set(%q)", s, tt.policy)
			}
			secure := f.secure(tt.header, tt.tls)
			if secure != tt.wantSecure {
				t.Errorf("secure(%v, %v) = %v, want %v", tt.header, tt.tls, secure, tt.wantSecure)
			}
			if got := f.protocol(tt.header, secure); !equalHeader(got, tt.want) {
				t.Errorf("protocol(%v, %v)\n got %v\nwant %v", tt.header, secure, got, tt.want)
			}
		})
	}
	if p := protoTrue; p.Set("yes") == nil || p != protoTrue {
		t.Errorf("Set(yes) made %v, want an error and no change", p)
	}
}

func TestForwarding(t *testing.T) {
	came := headerOf("X-Forwarded-For", "1.1.1.1", "CDN-Loop", "a")
	keep := headerOf("X-Forwarded-For", "1.1.1.1", "CDN-Loop", "a")
	for _, tt := range []struct {
		name    string
		args    []string
		trusted bool
		want    grip.Header
	}{
		{"the defaults", nil, false,
			headerOf("CDN-Loop", "a", "X-Forwarded-Proto", "http", "X-Forwarded-For", "1.1.1.1, 9.9.9.9")},
		{"§1.1.7 a trusted client", nil, true,
			headerOf("X-Forwarded-For", "1.1.1.1", "CDN-Loop", "a", "X-Forwarded-Proto", "http")},
		{"§1.1.7 rules of its own for a trusted client", []string{"-x-forwarded-for-trusted", "truncate:0"}, true,
			headerOf("CDN-Loop", "a", "X-Forwarded-Proto", "http")},
		{"as Pushpin does", []string{"-x-forwarded-for", "", "-set-x-forwarded-protocol", "proto-only"}, false, keep},
		{"§1.1.4", []string{"-cdn-loop", "edge.example:80", "-x-forwarded-for", "", "-set-x-forwarded-protocol", "false"}, false,
			headerOf("X-Forwarded-For", "1.1.1.1", "CDN-Loop", "a, edge.example:80")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f forwarding
			fs := flag.NewFlagSet("edge", flag.ContinueOnError)
			f.flags(fs)
			if err := fs.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			if got := f.apply(came, "9.9.9.9", false, tt.trusted); !equalHeader(got, tt.want) {
				t.Errorf("%v\n got %v\nwant %v", tt.args, got, tt.want)
			}
			if !reflect.DeepEqual(came, keep) {
				t.Fatalf("the header itself changed to %v", came)
			}
		})
	}
	for _, args := range [][]string{
		{"-x-forwarded-for", "x"}, {"-x-forwarded-for-trusted", "x"}, {"-set-x-forwarded-protocol", "x"},
		{"-cdn-loop", "a b"}, {"-cdn-loop", ":80"}, {"-cdn-loop", "a:b"}, {"-cdn-loop", "a,b"},
	} {
		fs := flag.NewFlagSet("edge", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		new(forwarding).flags(fs)
		if err := fs.Parse(args); err == nil {
			t.Errorf("flags %q were accepted", args)
		}
	}
}

func TestCDNLoop(t *testing.T) {
	for _, tt := range []struct {
		name         string
		header, want grip.Header
	}{
		{"RFC 8586 §2 the first", nil, headerOf("CDN-Loop", "edge")},
		{"RFC 8586 §2 behind others, in one field",
			headerOf("CDN-Loop", `a; v="1, 2", b,`, "X", "y", "cdn-loop", "c", "CDN-Loop", ""),
			headerOf("X", "y", "CDN-Loop", `a; v="1, 2", b, c, edge`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := appendCDNLoop(tt.header, "edge"); !equalHeader(got, tt.want) {
				t.Errorf("appendCDNLoop(%v)\n got %v\nwant %v", tt.header, got, tt.want)
			}
			if got := appendCDNLoop(tt.header, ""); !equalHeader(got, tt.header) {
				t.Errorf("appendCDNLoop(%v) without a name = %v", tt.header, got)
			}
		})
	}
}

func TestOrigHeaders(t *testing.T) {
	h := headerOf("Accept", "a/b", "EB9BF0F5-Foo", "x", "X-Secret", "s", "Accept", "c/d", "eb9bf0f5-X-Secret", "t")
	want := headerOf("Accept", "a/b", "X-Secret", "s", "Accept", "c/d",
		"eb9bf0f5-Host", "h", "eb9bf0f5-Accept", "a/b", "EB9BF0F5-Foo", "x", "eb9bf0f5-Accept", "c/d", "eb9bf0f5-X-Secret", "t")
	if got := withOrig(h, "h", []string{"x-secret"}); !equalHeader(got, want) {
		t.Errorf("§1.1.2 withOrig(%v)\n got %v\nwant %v", h, got, want)
	}
	if got, want := withOrig(nil, "", nil), (grip.Header{}); !equalHeader(got, want) {
		t.Errorf("withOrig of nothing = %v", got)
	}
	want = headerOf("Accept", "a/b", "X-Secret", "s", "Accept", "c/d")
	if got := withoutOrig(h); !equalHeader(got, want) {
		t.Errorf("§1.1.2 withoutOrig(%v)\n got %v\nwant %v", h, got, want)
	}
}

func TestRouteFields(t *testing.T) {
	h := headerOf("X-A", "0", "User-Agent", "u", "x-a", "00", "X-C", "c")
	fields := []route.Field{{Name: "X-A", Value: "1"}, {Name: "user-agent"}, {Name: "x-a", Value: "2"}, {Name: "X-B", Value: "3"}}
	want := headerOf("X-C", "c", "X-A", "1", "X-B", "3")
	if got := withFields(h, fields); !equalHeader(got, want) {
		t.Errorf("§1.1.1 withFields(%v, %v)\n got %v\nwant %v", h, fields, got, want)
	}
	if got := withFields(h, nil); !equalHeader(got, h) {
		t.Errorf("withFields without fields = %v, want %v", got, h)
	}
}

// equalHeader compares headers; nil is an empty one.
func equalHeader(a, b grip.Header) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// headerOf returns the header of names and values in turn.
func headerOf(pairs ...string) grip.Header {
	h := make(grip.Header, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, grip.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return h
}
