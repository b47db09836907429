package route

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxText is the longest routes file, in bytes: ten thousand routes. A longer
// one is refused, for it is a wrong file.
const maxText = 1 << 20

// Table is all routes of one file. It is immutable, and safe from any
// goroutine; a reload makes a new one.
type Table struct {
	routes []*Route            // in the order of the file
	hosts  map[string][]*Route // by Host, the routes for HTTP, the best first
	ids    map[string]*Route   // nil for an ID that several routes have
}

// Parse reads a routes file. The name is for the errors. An error is an *Error,
// which says of every bad line what is wrong; then there is no Table. A file
// without any route is bad as well: it is what a file looks like in the moment
// in which it is being written.
func Parse(name string, text []byte) (*Table, error) {
	bad := &Error{File: name}
	if len(text) > maxText {
		bad.add(0, fmt.Sprintf("the file is longer than %d bytes", maxText))
		return nil, bad
	}
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	var routes []*Route
	reached := register{make(map[string]int), make(map[string]*Route)}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		r, err := parseRoute(line)
		if err == nil && r == nil {
			continue
		}
		if err == nil {
			r.Line = number
			err = reached.add(r)
		}
		if err != nil {
			bad.add(number, err.Error())
			continue
		}
		routes = append(routes, r)
	}
	if len(bad.Lines) == 0 && len(routes) == 0 {
		bad.add(0, "the file has no routes")
	}
	if len(bad.Lines) > 0 {
		return nil, bad
	}
	return newTable(routes), nil
}

// Single returns the table that puts every request to one origin, host:port.
func Single(origin string) *Table {
	r := &Route{ID: anyHost, Host: anyHost, LogLevel: LogLevelUnset, Targets: []Target{{Address: origin}}}
	r.JSONP.complete()
	return newTable([]*Route{r})
}

// register finds the routes that no request could reach, because of one in an
// earlier line.
type register struct {
	conditions map[string]int    // the lines
	ids        map[string]*Route // the first of each
}

// add returns an error if r cannot be reached beside the routes before it.
func (g *register) add(r *Route) error {
	if r.Host != "" {
		if line, taken := g.conditions[r.condition()]; taken {
			return fmt.Errorf("the condition is the same as in line %d", line)
		}
		g.conditions[r.condition()] = r.Line
	}
	first, taken := g.ids[r.ID]
	switch {
	case !taken:
		g.ids[r.ID] = r
	case r.Host == "" || first.Host == "":
		return fmt.Errorf("the id is the same as in line %d, and one of the two routes is only taken by its id", first.Line)
	}
	return nil
}

func newTable(routes []*Route) *Table {
	t := &Table{routes: routes, hosts: make(map[string][]*Route), ids: make(map[string]*Route)}
	for _, r := range routes {
		if _, shared := t.ids[r.ID]; shared {
			t.ids[r.ID] = nil
		} else {
			t.ids[r.ID] = r
		}
		if r.Host == "" {
			continue
		}
		rules := t.hosts[r.Host] // known, though it may be for WebSocket only
		if r.Proto != ProtoWebSocket {
			rules = append(rules, r)
		}
		t.hosts[r.Host] = rules
	}
	for _, rules := range t.hosts {
		// Of two routes that both fit one request the better comes first, so the
		// first that fits is the best.
		slices.SortStableFunc(rules, func(a, b *Route) int {
			return cmp.Or(
				cmp.Compare(b.Proto, a.Proto),
				cmp.Compare(len(b.PathBegin), len(a.PathBegin)),
				cmp.Compare(min(b.Secure, 1), min(a.Secure, 1)))
		})
	}
	return t
}

// Match returns the route of an HTTP request, nil if there is none. The host is
// that of the Host field, in any case and with or without a port; path is the
// request target, whose query does not matter; secure says that the request
// came over TLS.
//
// The routes of exactly that host are looked at alone if there are any, also
// if none of them fits, and those of * otherwise. Of those that fit, one that
// names proto is better than one that does not; then the longer path_beg; then
// one that names ssl.
//
// Match allocates nothing.
func (t *Table) Match(secure bool, host, path string) *Route {
	return match(t, secure, host, path)
}

// MatchBytes is Match for a request that is still in its buffer.
func (t *Table) MatchBytes(secure bool, host, path []byte) *Route {
	return match(t, secure, host, path)
}

func match[T string | []byte](t *Table, secure bool, host, path T) *Route {
	var buf [maxHost]byte
	rules := t.hosts[anyHost]
	if name, ok := appendHost(buf[:0], host); ok && len(name) > 0 {
		if own, known := t.hosts[string(name)]; known {
			rules = own
		}
	}
	for i := range len(path) {
		if path[i] == '?' {
			path = path[:i]
			break
		}
	}
	for _, r := range rules {
		if secure && r.Secure == SecureNo || !secure && r.Secure == SecureYes {
			continue
		}
		if beginsWith(path, r.PathBegin) {
			return r
		}
	}
	return nil
}

func beginsWith[T string | []byte](s T, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if s[i] != prefix[i] {
			return false
		}
	}
	return true
}

// Named returns the route with an ID; nil if there is none, or several.
func (t *Table) Named(id string) *Route { return t.ids[id] }

// Routes returns all routes in the order of the file. The caller must not
// change the slice.
func (t *Table) Routes() []*Route { return t.routes }

// String returns the table as a routes file, but without comments and keys.
func (t *Table) String() string {
	var s strings.Builder
	for _, r := range t.routes {
		s.WriteString(r.String() + "\n")
	}
	return s.String()
}
