package upstream

import (
	"strings"
	"testing"

	"marquee/grip"
)

// requestFields are the request fields that the edge may pass on: those of RFC
// 9110, of other standards, and of habit. It is not about those that end at the
// edge (Host is in the key by itself) or that the edge writes.
var requestFields = []struct {
	name   string
	inKey  bool
	reason string
}{
	{"accept", true, "selects the media type (RFC 9110 §12.5.1)"},
	{"accept-charset", true, "selects the charset (§12.5.2)"},
	{"accept-encoding", false, "the edge asks for no coding and codes by itself"},
	{"accept-language", true, "selects the language (§12.5.4)"},
	{"authorization", true, "says who asks (§11.6.2)"},
	{"cache-control", false, "asks for freshness, which is given"},
	{"content-encoding", true, "there is content (§8.4)"},
	{"content-type", true, "there is content (§8.3)"},
	{"cookie", true, "says who asks (RFC 6265 §5.4)"},
	{"date", true, "unusual in a request; nobody promises that it does not matter"},
	{"from", true, "says who asks (RFC 9110 §10.1.2)"},
	{"if-match", true, "makes it a 412 (§13.1.1)"},
	{"if-modified-since", true, "makes it a 304 (§13.1.3)"},
	{"if-none-match", true, "makes it a 304 (§13.1.2)"},
	{"if-range", true, "chooses between part and whole (§13.1.5)"},
	{"if-unmodified-since", true, "makes it a 412 (§13.1.4)"},
	{"max-forwards", true, "only for OPTIONS and TRACE, which are not shared (§7.6.2)"},
	{"pragma", false, "asks for freshness, which is given (RFC 9111 §5.4)"},
	{"range", true, "chooses the part (RFC 9110 §14.2)"},
	{"referer", true, "pages may differ by it (§10.1.3)"},
	{"user-agent", false, "tells one software from another; who serves each its own says so by Vary (§10.1.5)"},
	{"via", false, "describes the way here (§7.6.3)"},

	{"baggage", false, "for tracing (W3C Baggage)"},
	{"forwarded", false, "describes the way here (RFC 7239)"},
	{"priority", false, "is about when, not what (RFC 9218)"},
	{"traceparent", false, "for tracing (W3C Trace Context)"},
	{"tracestate", false, "for tracing (W3C Trace Context)"},
	{"x-correlation-id", false, "for tracing"},
	{"x-forwarded-for", false, "describes the way here"},
	{"x-real-ip", false, "describes the way here"},
	{"x-request-id", false, "for tracing"},

	{"access-control-request-headers", true, "is answered (Fetch standard, CORS preflight)"},
	{"access-control-request-method", true, "is answered (Fetch standard, CORS preflight)"},
	{"alt-used", true, "may choose the host (RFC 7838 §5)"},
	{"dnt", true, "is a wish of the one who asks"},
	{"last-event-id", true, "says where an event stream goes on (HTML, server-sent events)"},
	{"origin", true, "is answered (Fetch standard, CORS)"},
	{"prefer", true, "is a wish of the one who asks (RFC 7240)"},
	{"save-data", true, "is a wish of the one who asks"},
	{"sec-ch-ua", true, "a client hint: selects the answer (RFC 8942)"},
	{"sec-fetch-dest", true, "may be refused by it (Fetch Metadata)"},
	{"sec-fetch-mode", true, "may be refused by it (Fetch Metadata)"},
	{"sec-fetch-site", true, "may be refused by it (Fetch Metadata)"},
	{"sec-gpc", true, "is a wish of the one who asks"},
	{"upgrade-insecure-requests", true, "may be redirected by it"},
	{"x-api-key", true, "says who asks"},
	{"x-csrf-token", true, "says who asks"},
	{"x-forwarded-host", true, "may choose the site"},
	{"x-forwarded-port", true, "may be in links"},
	{"x-forwarded-prefix", true, "may be in links"},
	{"x-forwarded-proto", true, "may be in links"},
	{"x-http-method-override", true, "may make it another method"},
	{"x-original-url", true, "may choose the resource"},
	{"x-remote-user", true, "says who asks"},
	{"x-requested-with", true, "may select the form of the answer"},
	{"x-rewrite-url", true, "may choose the resource"},

	{"x-unheard-of", true, "nobody promises that it does not matter"},
	{"user-agent-x", true, "is not User-Agent"},
	{"", true, "is no field"},
}

func TestInKey(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range requestFields {
		seen[f.name] = true
		if got := InKey([]byte(f.name)); got != f.inKey {
			t.Errorf("InKey(%s) = %v, want %v: it %s", f.name, got, f.inKey, f.reason)
		}
		if f.name == "" {
			continue
		}
		// What does not separate requests separates answers that vary by it.
		h := grip.Header{{Name: "Vary", Value: strings.ToUpper(f.name)}}
		want := !f.inKey && f.name != "accept-encoding"
		if got := personal(h, false); got != want {
			t.Errorf("an answer with Vary: %s is personal: %v, want %v", f.name, got, want)
		}
	}
	for name := range notInKey {
		if !seen[name] {
			t.Errorf("%s is not in the key, and no case says why", name)
		}
	}
}

func TestInKeyAllocs(t *testing.T) {
	name := []byte("if-modified-since")
	if n := testing.AllocsPerRun(100, func() { InKey(name) }); n != 0 {
		t.Errorf("InKey allocates %v times, want 0", n)
	}
}

func TestHasDirective(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		want        bool
	}{
		{"RFC 9111 §5.2 alone", "private", true},
		{"RFC 9111 §5.2 any case", "PriVate", true},
		{"RFC 9111 §5.2 with an argument", `private="set-cookie"`, true},
		{"RFC 9111 §5.2 in a list", "max-age=0,\tprivate , x", true},
		{"RFC 9110 §5.6.1 empty elements", ",, ,private", true},
		{"white space before =", "private =x", true},
		{"another", "public", false},
		{"as an argument", "x=private", false},
		{"longer", "privatex", false},
		{"shorter", "priv", false},
		{"none", "", false},
	} {
		if got := hasDirective(tt.value, "private", "no-store"); got != tt.want {
			t.Errorf("%s: hasDirective(%q) = %v, want %v", tt.name, tt.value, got, tt.want)
		}
	}
}
