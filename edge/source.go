package main

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// maxSources is how many sources are known at a time. Clients of a further one
// are let in without a limit of their own: who has that many addresses is not
// held up by limits for each, and -max-connections bounds them together.
const maxSources = 1 << 16

// sources are the addresses that clients come from, and what each may do. A
// source is known while a client of it is connected, or was lately: until its
// bucket is full again, so that nobody gets a new one by connecting anew.
// nil limits nobody.
type sources struct {
	// Immutable.
	log         *slog.Logger
	connections int32         // a source's at a time; 0 for no limit
	interval    time.Duration // between two requests of a source; 0 for no limit
	burst       time.Duration // the interval times the requests of a full bucket
	exempt      []netip.Prefix
	began       time.Time // zero of the sources' times, which no clock that is set can move

	lastLog atomic.Int64 // second in which a line was logged, plus one: one is enough

	mu    sync.Mutex // known; not taken by loops
	known map[netip.Prefix]*source
}

// source is an IPv4 address, or the /64 network of an IPv6 address: within it a
// host chooses its address freely (RFC 4291 §2.5.1). Safe from any goroutine.
// nil is a source without limits.
type source struct {
	sources *sources     // immutable
	network netip.Prefix // immutable

	connections atomic.Int32 // now; goes up under sources.mu only
	// full is when the bucket will be full, in time since sources.began: the
	// whole state of a token bucket whose tokens come back one an interval (the
	// generic cell rate algorithm, ITU-T I.371, as virtual scheduling). Every
	// request moves it on by one interval, as long as it is not further off than
	// a whole bucket takes.
	full       atomic.Int64
	lastMinute atomic.Int64 // in which a line was logged, plus one
}

// newSources returns the sources that l limits, nil when it limits none.
func newSources(l *limits, log *slog.Logger) *sources {
	if l.Connections == 0 && l.Requests == 0 {
		return nil
	}
	s := &sources{
		log: log, connections: int32(l.Connections), exempt: l.Exempt,
		began: time.Now(), known: make(map[netip.Prefix]*source),
	}
	if l.Requests > 0 {
		s.interval = time.Second / time.Duration(l.Requests)
		s.burst = s.interval * time.Duration(l.Burst)
	}
	return s
}

// now returns the time since the sources began.
func (s *sources) now() int64 { return int64(time.Since(s.began)) }

// enter notes a new connection of the client at peer and returns its source. It
// reports false, and notes nothing, when the source has as many as it may.
func (s *sources) enter(peer net.Addr) (from *source, ok bool) {
	if s == nil {
		return nil, true
	}
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return nil, true
	}
	a := tcp.AddrPort().Addr().Unmap().WithZone("")
	if s.exempts(a) {
		return nil, true
	}
	from, ok = s.count(networkOf(a))
	if !ok {
		from.complain(s.now(), "too many connections from one address", "connections", s.connections)
		return nil, false
	}
	return from, true
}

// count notes a new connection from a network, if it may have one more.
func (s *sources) count(network netip.Prefix) (from *source, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from = s.known[network]
	switch {
	case from == nil && len(s.known) >= maxSources:
		return nil, true
	case from == nil:
		from = &source{sources: s, network: network}
		s.known[network] = from
	case s.connections > 0 && from.connections.Load() >= s.connections:
		return from, false
	}
	from.connections.Add(1)
	return from, true
}

// exempts reports whether clients of that address are not limited.
func (s *sources) exempts(a netip.Addr) bool {
	for _, p := range s.exempt {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// sweep forgets the sources of which nothing is left to remember.
func (s *sources) sweep() {
	if s != nil {
		s.sweepAt(s.now())
	}
}

func (s *sources) sweepAt(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for network, from := range s.known {
		if from.connections.Load() == 0 && from.full.Load() <= now {
			delete(s.known, network)
		}
	}
}

// len returns how many sources are known.
func (s *sources) len() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known)
}

// leave notes that a connection has ended.
func (from *source) leave() {
	if from != nil {
		from.connections.Add(-1)
	}
}

// take takes one request out of the source's bucket. When the bucket is empty it
// returns how long until there is one again.
func (from *source) take() (wait time.Duration) {
	if from == nil || from.sources.interval == 0 {
		return 0
	}
	return from.takeAt(from.sources.now())
}

func (from *source) takeAt(now int64) (wait time.Duration) {
	s := from.sources
	for {
		full := from.full.Load()
		next := max(full, now) + int64(s.interval)
		if wait = time.Duration(next-now) - s.burst; wait > 0 {
			from.complain(now, "too many requests from one address", "per_second", int64(time.Second/s.interval))
			return wait
		}
		if from.full.CompareAndSwap(full, next) {
			return 0
		}
	}
}

// complain logs that the source has run into a limit: once a minute, and not
// when another has just done so.
func (from *source) complain(now int64, what, limit string, value any) {
	s := from.sources
	second, minute := now/int64(time.Second)+1, now/int64(time.Minute)+1
	last := s.lastLog.Load()
	if from.lastMinute.Load() == minute || last == second {
		return
	}
	if s.lastLog.CompareAndSwap(last, second) && from.lastMinute.Swap(minute) != minute {
		s.log.Warn(what, "address", from.String(), limit, value)
	}
}

// String returns the address, or the network of several.
func (from *source) String() string {
	if from.network.IsSingleIP() {
		return from.network.Addr().String()
	}
	return from.network.String()
}

// networkOf returns the network that an address counts as.
func networkOf(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked()
	}
	return netip.PrefixFrom(a, a.BitLen())
}
