package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"marquee/fanout"
	"marquee/grip"
	"marquee/httpparse"
	"marquee/route"
	"marquee/upstream"
)

// slowBytes is how many bytes may wait for a client of a stream that reads too
// slowly, unless its route says otherwise.
const slowBytes = 64 << 10

// service is a route at work: who answers its requests, and what is counted for
// it. Immutable; those who have one keep it when the routes are read again.
type service struct {
	route       *route.Route
	up          *upstream.Service
	crossOrigin bool
	overHTTP    bool // some target wants WebSockets carried over HTTP
	debug       bool
	maxBody     int64 // bytes that a request's content may have; 0 for any number
	// serial tells services apart, in the keys of requests.
	serial uint64
	counts *routeCounts
}

// routeCounts is what is counted for a route. It stays when the routes are read
// again, as long as there is one of that id.
type routeCounts struct {
	id string
	// loops has the counts that each loop writes, read by any goroutine.
	loops []loopCounts
	// By format, what those who hold were given.
	answers, messages fanout.Tally
	lost              atomic.Int64 // messages dropped because their client was slow
	cutOff            atomic.Int64 // clients cut off for that
	unfiltered        atomic.Int64 // items skipped because a filter failed
}

// loopCounts is one loop's part of a route's counts. The padding keeps loops
// from writing to the same cache line.
type loopCounts struct {
	requests atomic.Int64
	holds    atomic.Int64 // of mode response, now
	streams  atomic.Int64 // of mode stream, now
	_        [40]byte
}

func newRouteCounts(id string, loops int) *routeCounts {
	return &routeCounts{id: id, loops: make([]loopCounts, loops)}
}

// counts returns the loop's counts for a service.
func (l *loop) counts(s *service) *loopCounts { return &s.counts.loops[l.index] }

// slow returns what becomes of messages for a slow stream of these channels, and
// how many bytes may wait for it.
func (s *service) slow(channels []grip.Channel) (policy route.SlowPolicy, bytes int) {
	for _, c := range channels {
		if policy = s.route.SlowPolicy(c.Name); policy != route.SlowUnset {
			break
		}
	}
	if policy == route.SlowUnset {
		policy = route.SlowDisconnect
	}
	if bytes = s.route.SlowBytes; bytes == 0 {
		bytes = slowBytes
	}
	return policy, bytes
}

// refusesHead reports whether a request's head of n bytes is too long.
func (s *service) refusesHead(n int) bool { return s.route.MaxHead > 0 && n > s.route.MaxHead }

// prefixed returns the channels with the route's prefix before their names.
func (s *service) prefixed(channels []grip.Channel) []grip.Channel {
	out := make([]grip.Channel, len(channels))
	for i, c := range channels {
		c.Name = s.route.Prefix + c.Name
		out[i] = c
	}
	return out
}

// known returns those channels of which an id is known, as the origin knows
// them.
func (s *service) known(channels []grip.Channel) []grip.Channel {
	var out []grip.Channel
	for _, c := range channels {
		if c.PrevID != "" {
			c.Name = c.Name[len(s.route.Prefix):]
			out = append(out, c)
		}
	}
	return out
}

// routing is the routes in force. Immutable.
type routing struct {
	table    *route.Table
	services map[*route.Route]*service
}

// serials numbers services.
var serials atomic.Uint64

// newRouting puts the routes of a table to work; counts of routes that old has
// go on. It reads the keys and certificates that they name.
func (e *edge) newRouting(table *route.Table, old *routing) (*routing, error) {
	r := &routing{table: table, services: make(map[*route.Route]*service)}
	counts := make(map[string]*routeCounts)
	if old != nil {
		for _, s := range old.services {
			counts[s.counts.id] = s.counts
		}
	}
	for _, rt := range table.Routes() {
		up, err := e.newUpstream(rt)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", rt.ID, err)
		}
		if rt.MaxHead > e.cfg.Limits.MaxHead {
			return nil, fmt.Errorf("route %s: max_head is %d: -max-head lets no head have more than %d bytes", rt.ID, rt.MaxHead, e.cfg.Limits.MaxHead)
		}
		c := counts[rt.ID]
		if c == nil {
			c = newRouteCounts(rt.ID, e.cfg.Loops)
			counts[rt.ID] = c
		}
		r.services[rt] = &service{
			route: rt, up: up, counts: c, serial: serials.Add(1),
			overHTTP:    slices.ContainsFunc(rt.Targets, func(t route.Target) bool { return t.OverHTTP }),
			crossOrigin: rt.CrossOrigin || e.cfg.AutoCrossOrigin, debug: rt.Debug || e.cfg.Debug,
			maxBody: e.cfg.Limits.MaxBody,
		}
		if rt.MaxBody > 0 {
			r.services[rt].maxBody = rt.MaxBody
		}
	}
	return r, nil
}

// newUpstream makes the service that asks a route's targets.
func (e *edge) newUpstream(rt *route.Route) (*upstream.Service, error) {
	signer := e.signer
	if rt.SigKey != "" || rt.SigIss != "" {
		iss, key := e.cfg.SigIss, e.cfg.key
		if rt.SigIss != "" {
			iss = rt.SigIss
		}
		if rt.SigKey != "" {
			var err error
			if key, err = grip.ParseKey(string(rt.SigKey)); err != nil {
				return nil, fmt.Errorf("sig_key: %w", err)
			}
		}
		signer = grip.NewSigner(iss, key)
	}
	cfg := upstream.ServiceConfig{Signer: signer, NoGrip: rt.NoGrip, Debug: rt.Debug || e.cfg.Debug}
	for _, t := range rt.Targets {
		cfg.Targets = append(cfg.Targets, upstream.Target{
			Address: t.Address, TLS: t.TLS, Insecure: t.Insecure, Host: t.Host,
			TrustConnectHost: t.TrustConnectHost, Untrusted: t.Untrusted,
			ClientCert: t.ClientCert, ClientKey: t.ClientKey, CA: t.CA, Test: t.Test,
		})
	}
	return upstream.NewService(cfg)
}

// upstreams returns the services as the origin's client knows them.
func (r *routing) upstreams() []*upstream.Service {
	var all []*upstream.Service
	for _, s := range r.services {
		all = append(all, s.up)
	}
	return all
}

// service returns who answers a request, nil when no route takes it.
func (r *routing) service(secure bool, req *httpparse.Request) *service {
	path := req.Target
	for i, b := range path {
		if b == '?' {
			path = path[:i]
			break
		}
	}
	return r.services[r.table.MatchBytes(secure, req.Host, path)]
}

// appendSerial begins a key of requests to a service, that count as such over TLS
// or do not: where links lead, and what the origin says, may depend on it.
func appendSerial(dst []byte, s *service, secure bool) []byte {
	n := s.serial << 1
	if secure {
		n |= 1
	}
	return binary.AppendUvarint(dst, n)
}
