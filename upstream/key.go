package upstream

import (
	"strings"

	"marquee/grip"
)

// notInKey are the request fields that may differ between two requests which
// are answered alike: they describe the client's software or its way here, or
// ask for freshness, which an answer shared while it is being made has anyway.
// Every other field tells requests apart, known to us or not. An origin whose
// answer does depend on one of these says so by Vary, and is believed.
var notInKey = map[string]bool{
	"accept-encoding":  true, // the edge itself codes
	"baggage":          true,
	"cache-control":    true,
	"forwarded":        true,
	"pragma":           true,
	"priority":         true,
	"traceparent":      true,
	"tracestate":       true,
	"user-agent":       true,
	"via":              true,
	"x-correlation-id": true,
	"x-forwarded-for":  true,
	"x-real-ip":        true,
	"x-request-id":     true,
}

// InKey reports whether the request field of that name, in lower case, tells
// two requests apart. It does not allocate.
func InKey(lower []byte) bool { return !notInKey[string(lower)] }

// personal reports whether an answer with header h is for the one who asked and
// must not be given to others with an equal key: it sets a cookie, it says so by
// Cache-Control (a hold's response is never stored, so there it does not count),
// or it depends on a field that is not in the key (Vary).
func personal(h grip.Header, held bool) bool {
	for _, f := range h {
		switch {
		case strings.EqualFold(f.Name, "Set-Cookie"):
			return true
		case strings.EqualFold(f.Name, "Cache-Control"):
			if !held && hasDirective(f.Value, "private", "no-store") {
				return true
			}
		case strings.EqualFold(f.Name, "Vary"):
			for name := range strings.SplitSeq(f.Value, ",") {
				name = strings.ToLower(strings.TrimSpace(name))
				if name == "*" || notInKey[name] && name != "accept-encoding" {
					return true
				}
			}
		}
	}
	return false
}

// hasDirective reports whether a Cache-Control value has one of the directives,
// with or without an argument (RFC 9111 §5.2).
func hasDirective(value string, names ...string) bool {
	for directive := range strings.SplitSeq(value, ",") {
		directive, _, _ = strings.Cut(directive, "=")
		for _, name := range names {
			if strings.EqualFold(strings.TrimSpace(directive), name) {
				return true
			}
		}
	}
	return false
}
