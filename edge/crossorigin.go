package main

import (
	"slices"
	"strings"

	"marquee/grip"
)

// anyMethod is the methods that are allowed to a request that asks for none.
const anyMethod = "OPTIONS, HEAD, GET, POST, PUT, DELETE"

// preflightAge is for how many seconds a browser may rely on a preflight.
const preflightAge = "3600"

// crossOrigin is what a request says of the page that it is made by (Fetch
// standard, CORS protocol), as auto-cross-origin answers it (GRIP §10.1). It is
// kept with a hold, for the answer comes later.
type crossOrigin struct {
	origin  string   // Origin
	method  string   // Access-Control-Request-Method
	headers []string // the names in Access-Control-Request-Headers
}

func newCrossOrigin(request grip.Header) crossOrigin {
	return crossOrigin{
		origin:  request.Get("Origin"),
		method:  request.Get("Access-Control-Request-Method"),
		headers: listMembers(request.Values("Access-Control-Request-Headers")),
	}
}

// apply returns the response with leave for the page to read all of it. What
// the origin says itself stays, field by field: only those that it left out are
// added, in always the same order. It is for whole answers, whoever makes them,
// and for the head of a stream; not for an answer in JSON-P.
//
// A response that is made for one Origin says so in Vary, which Pushpin does
// not: a cache would hand it to the pages of another, and they could not read
// it.
func (c crossOrigin) apply(r grip.Response) grip.Response {
	h := slices.Clip(r.Header) // appending copies: r is shared
	add := func(name, value string) {
		if value != "" && !r.Header.Has(name) {
			h = append(h, grip.Field{Name: name, Value: value})
		}
	}
	method := c.method
	if method == "" {
		method = anyMethod
	}
	origin := c.origin
	if origin == "" {
		origin = "*"
	}
	add("Access-Control-Allow-Methods", method)
	add("Access-Control-Allow-Headers", strings.Join(c.headers, ", "))
	add("Access-Control-Expose-Headers", strings.Join(exposed(r.Header), ", "))
	add("Access-Control-Allow-Credentials", "true")
	add("Access-Control-Allow-Origin", origin)
	add("Access-Control-Max-Age", preflightAge)
	if !r.Header.Has("Access-Control-Allow-Origin") && !variesByOrigin(r.Header) {
		h = append(h, grip.Field{Name: "Vary", Value: "Origin"})
	}
	r.Header = h
	return r
}

// exposed returns the names of the fields that a page may not read unless it is
// told that it may, each once.
func exposed(h grip.Header) []string {
	var names []string
	for _, f := range h {
		name := strings.ToLower(f.Name)
		switch name {
		case "cache-control", "content-language", "content-length", "content-type",
			"expires", "last-modified", "pragma":
			continue // the Fetch standard's CORS-safelisted ones
		}
		if strings.HasPrefix(name, "access-control-") || strings.HasPrefix(name, "grip-") {
			continue
		}
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, f.Name)
		}
	}
	return names
}

// variesByOrigin reports whether Vary names Origin, or everything (RFC 9110
// §12.5.5).
func variesByOrigin(h grip.Header) bool {
	return slices.ContainsFunc(listMembers(h.Values("Vary")), func(name string) bool {
		return name == "*" || strings.EqualFold(name, "Origin")
	})
}

// listMembers returns the members of a comma-separated list in all field lines
// of one name, without the empty ones (RFC 9110 §5.6.1). It is for lists whose
// members have no quotes.
func listMembers(lines []string) []string {
	var members []string
	for _, line := range lines {
		for m := range strings.SplitSeq(line, ",") {
			if m = strings.Trim(m, " \t"); m != "" {
				members = append(members, m)
			}
		}
	}
	return members
}
