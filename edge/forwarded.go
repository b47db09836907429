package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"strconv"
	"strings"

	"marquee/grip"
	"marquee/route"
)

// origPrefix marks the copy of a field as it came from the client (GRIP §1.1
// item 2).
const origPrefix = "eb9bf0f5-"

// forwarding is what the origin is told of where a request came from (GRIP
// §1.1 items 2, 4, 6 and 7).
type forwarding struct {
	// For is how X-Forwarded-For is treated; ForTrusted the same for a request
	// that another GRIP proxy has signed.
	For, ForTrusted forwardedFor
	// Proto is how X-Forwarded-Proto is treated.
	Proto forwardedProto
	// AcceptProto: a client's X-Forwarded-Proto is believed.
	AcceptProto bool
	// CDNLoop is the edge's name in CDN-Loop; empty adds none.
	CDNLoop string
	// NeedMark are the fields of which orig_headers makes no copy.
	NeedMark []string
}

// flags defines the flags that set f, with their defaults.
func (f *forwarding) flags(fs *flag.FlagSet) {
	f.For = forwardedFor{append: true}
	fs.Var(&f.For, "x-forwarded-for", "`rules` for X-Forwarded-For: truncate:N keeps the last N addresses, append adds the client's; none leaves it alone")
	fs.Var(&f.ForTrusted, "x-forwarded-for-trusted", "`rules` for X-Forwarded-For of requests that another GRIP proxy has signed")
	fs.Var(&f.Proto, "set-x-forwarded-protocol", "X-Forwarded-Proto: keep what the client says, or else say what is so (keep); say https where it is so (proto-only), also as X-Forwarded-Protocol (true); leave it alone (false)")
	fs.BoolVar(&f.AcceptProto, "accept-x-forwarded-protocol", false, "take a request for one over TLS when its X-Forwarded-Proto says https; only behind a proxy that sets that field")
	fs.Func("cdn-loop", "the edge's `name` in CDN-Loop (RFC 8586); none, the field is left alone", func(s string) error {
		f.CDNLoop = s
		return checkCDN(s)
	})
	fs.Var(&stringList{values: &f.NeedMark}, "orig-headers-need-mark", "`fields` that the option orig_headers of a route makes no copy of")
}

// secure reports whether a request counts as one over TLS, given whether it
// really is one. A proxy in front may say so, if it is believed.
func (f *forwarding) secure(h grip.Header, tls bool) bool {
	return tls || f.AcceptProto && (isHTTPS(h.Get("X-Forwarded-Proto")) || isHTTPS(h.Get("X-Forwarded-Protocol")))
}

// apply returns a request's header with the fields that say where it came from.
// The peer is the address of the client's socket without port, secure what the
// method of that name says, and trusted that another GRIP proxy has signed the
// request. Fields are only read and added, h itself does not change.
func (f *forwarding) apply(h grip.Header, peer string, secure, trusted bool) grip.Header {
	rules := f.For
	if trusted {
		rules = f.ForTrusted
	}
	return rules.apply(f.protocol(appendCDNLoop(h, f.CDNLoop), secure), peer)
}

// protocol returns h with X-Forwarded-Proto as it has to be.
func (f *forwarding) protocol(h grip.Header, secure bool) grip.Header {
	const proto, protocol = "X-Forwarded-Proto", "X-Forwarded-Protocol"
	if f.AcceptProto || f.Proto == protoOnly || f.Proto == protoTrue {
		h = h.Without(func(name string) bool {
			return strings.EqualFold(name, proto) || strings.EqualFold(name, protocol)
		})
	}
	switch {
	case f.Proto == protoFalse, f.Proto == protoKeep && h.Has(proto):
	case secure:
		h = with(h, proto, "https")
		if f.Proto == protoTrue {
			h = with(h, protocol, "https")
		}
	case f.Proto == protoKeep:
		h = with(h, proto, "http")
	}
	return h
}

// forwardedProto is what becomes of X-Forwarded-Proto.
type forwardedProto uint8

const (
	// protoKeep leaves what a client says; one that says nothing gets http or
	// https, as it is. Where a client's word is believed, it is replaced by what
	// came of it. This is Marquee's alone, and the default.
	protoKeep forwardedProto = iota
	// protoOnly takes away what a client says, and says https where it is so.
	// This is Pushpin's default.
	protoOnly
	// protoTrue is protoOnly under the name X-Forwarded-Protocol as well.
	protoTrue
	// protoFalse leaves the fields alone; but where a client's word is believed,
	// it ends here.
	protoFalse
)

var protoNames = [...]string{"keep", "proto-only", "true", "false"}

func (p *forwardedProto) String() string { return protoNames[*p] }

func (p *forwardedProto) Set(s string) error {
	for i, name := range protoNames {
		if s == name {
			*p = forwardedProto(i)
			return nil
		}
	}
	return errors.New("it takes keep, proto-only, true or false")
}

// forwardedFor is a list of rules for X-Forwarded-For. The zero value leaves
// the field alone.
type forwardedFor struct {
	truncate bool // to the last keep addresses
	keep     int
	append   bool // the peer's address
}

// maxForwarded is the most that truncate:N keeps: as many as fit in a field.
const maxForwarded = 1000

func (r *forwardedFor) String() string {
	var rules []string
	if r.truncate {
		rules = append(rules, fmt.Sprintf("truncate:%d", r.keep))
	}
	if r.append {
		rules = append(rules, "append")
	}
	return strings.Join(rules, ",")
}

// Set reads rules as Pushpin's x_forwarded_for writes them. Whatever their
// order, the list is cut first.
func (r *forwardedFor) Set(s string) error {
	var rules forwardedFor
	for _, rule := range listMembers([]string{s}) {
		n, truncate := strings.CutPrefix(rule, "truncate:")
		switch keep, err := strconv.Atoi(n); {
		case rule == "append":
			rules.append = true
		case truncate && err == nil && keep >= 0 && keep <= maxForwarded:
			rules.truncate, rules.keep = true, keep
		default:
			return fmt.Errorf("%q: it takes truncate:N, N from 0 to %d, and append", rule, maxForwarded)
		}
	}
	*r = rules
	return nil
}

// apply returns h with X-Forwarded-For by the rules, all of it in one field.
func (r forwardedFor) apply(h grip.Header, peer string) grip.Header {
	const name = "X-Forwarded-For"
	if r == (forwardedFor{}) {
		return h
	}
	addresses := listMembers(h.Values(name))
	if r.truncate {
		addresses = addresses[max(0, len(addresses)-r.keep):]
	}
	if r.append && peer != "" {
		addresses = append(addresses, peer)
	}
	h = h.Without(func(n string) bool { return strings.EqualFold(n, name) })
	if len(addresses) == 0 {
		return h
	}
	return with(h, name, strings.Join(addresses, ", "))
}

// appendCDNLoop returns h with the edge's name at the end of CDN-Loop, all of
// it in one field (RFC 8586 §2). Without a name h is as it was.
func appendCDNLoop(h grip.Header, cdn string) grip.Header {
	const name = "CDN-Loop"
	if cdn == "" {
		return h
	}
	var lines []string
	for _, line := range h.Values(name) {
		if line = strings.Trim(line, ", \t"); line != "" {
			lines = append(lines, line) // unsplit: a parameter may be quoted
		}
	}
	h = h.Without(func(n string) bool { return strings.EqualFold(n, name) })
	return with(h, name, strings.Join(append(lines, cdn), ", "))
}

// checkCDN refuses what is no cdn-id: a host with or without port, or a
// pseudonym, which is a token (RFC 8586 §2). Empty is none.
func checkCDN(s string) error {
	if s == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, "0"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" || strings.ContainsAny(host, " \t,;\"") {
		return errors.New("it takes a host name or a word")
	}
	return nil
}

// withOrig returns the request's header as the option orig_headers wants it: at
// its end a copy of every field as it came from the client, with origPrefix
// before its name, so that the origin knows what a proxy has changed since. The
// Host field, which is not in h, is copied too. Fields named in needMark are
// not copied. A field that came with the prefix stays one, behind the others.
func withOrig(h grip.Header, host string, needMark []string) grip.Header {
	out := withoutOrig(h)
	mark := func(f grip.Field) {
		if isOrig(f.Name) {
			out = append(out, f)
			return
		}
		for _, name := range needMark {
			if strings.EqualFold(name, f.Name) {
				return
			}
		}
		out = append(out, grip.Field{Name: origPrefix + f.Name, Value: f.Value})
	}
	if host != "" {
		mark(grip.Field{Name: "Host", Value: host})
	}
	for _, f := range h {
		mark(f)
	}
	return out
}

// withoutOrig returns h without what a client without orig_headers must not
// send: fields that look like such copies.
func withoutOrig(h grip.Header) grip.Header { return h.Without(isOrig) }

func isOrig(name string) bool {
	return len(name) >= len(origPrefix) && strings.EqualFold(name[:len(origPrefix)], origPrefix)
}

// withFields returns h with a route's own fields (GRIP §1.1 item 1): each
// stands instead of all of its name that came with the request, and one without
// a value takes them away. Of several with the same name the first counts, as
// in Pushpin.
func withFields(h grip.Header, fields []route.Field) grip.Header {
	if len(fields) == 0 {
		return h
	}
	out := h.Without(func(name string) bool {
		for _, f := range fields {
			if strings.EqualFold(f.Name, name) {
				return true
			}
		}
		return false
	})
	var set grip.Header
	for _, f := range fields {
		if !set.Has(f.Name) {
			set = append(set, grip.Field{Name: f.Name, Value: f.Value})
		}
	}
	for _, f := range set {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

// isHTTPS reports whether a scheme is one over TLS.
func isHTTPS(scheme string) bool {
	return strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "wss")
}

// with returns a copy of h with one field more.
func with(h grip.Header, name, value string) grip.Header {
	out := make(grip.Header, len(h), len(h)+1)
	copy(out, h)
	return append(out, grip.Field{Name: name, Value: value})
}
