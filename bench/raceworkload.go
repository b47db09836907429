package main

import (
	"time"
)

// A raceWorkload is one kind of load that contenders are compared under.
type raceWorkload struct {
	name  string // in the report
	sizes sizes  // numbers of clients, each a comparison of its own

	stream bool // server-sent events instead of long polls
	tls    bool // streams by TLS, to clients of ours that are goroutines
	each   bool // a channel for each client
	gzip   bool // polls accept it
	body   int  // bytes of a headline; 0 for the load client's own, of some 60
	// changes are measured in a turn, between one that warms up and one that ends
	// it. They are so far apart, or, if that is 0, the next is made when all clients
	// have polled again.
	changes int
	every   time.Duration
	rounds  int // 0 for as many as the race has
	traced  bool
	rush    bool // all clients connect at once
}

// The sizes that are raced. A process may open 20,000 files here, so that 19,000
// clients are about the most of one load client and one server process.
var (
	pollSizes   = sizes{100, 1000, 5000, 15000, 19000}
	streamSizes = sizes{1000, 5000, 15000}
)

const (
	// Those who take part only in what they are there for.
	raceURing          = "floor, io_uring"
	raceMarquee1       = "marquee, 1 loop"
	raceMarqueeWrite   = "marquee, write(2)"
	racePushpinShipped = "pushpin as shipped"

	// Of the turns of streams at a steady rate.
	steadyEvery  = 100 * time.Millisecond
	steadyPeriod = 20 * time.Second
)

// raceWorkloads returns what is raced. full is everything, for an hour; the rest is
// what fits into a quarter of one with the set-up.
func raceWorkloads(full bool) []*raceWorkload {
	steady, few := sizes{5000}, 1
	if full {
		steady, few = streamSizes, 0
	}
	// The larger the crowd, the longer it takes until all have polled again.
	apart := func(n int) time.Duration { return 500*time.Millisecond + time.Duration(n)*20*time.Microsecond }
	changes := func(n int) int {
		if n < 15000 {
			return 4
		}
		return 3
	}
	var all []*raceWorkload
	for _, n := range pollSizes {
		w := &raceWorkload{name: longPoll, sizes: sizes{n}, changes: changes(n), every: apart(n)}
		if n < summarySize {
			w.rounds = few
		}
		all = append(all, w)
	}
	for _, n := range streamSizes {
		w := &raceWorkload{name: streamOne, sizes: sizes{n}, stream: true, changes: changes(n), every: apart(n), rush: n == summarySize}
		if n < summarySize {
			w.rounds = few
		}
		all = append(all, w)
	}
	bodies := func(name string, bytes int) *raceWorkload {
		return &raceWorkload{name: longPoll + " " + name, sizes: sizes{1000}, body: bytes, gzip: true, changes: 4, every: apart(1000), rounds: few}
	}
	return append(all,
		&raceWorkload{name: streamTen, sizes: steady, stream: true, changes: int(steadyPeriod / steadyEvery), every: steadyEvery, rounds: 1},
		&raceWorkload{name: herd, sizes: sizes{5000}, changes: 8, rounds: few},
		&raceWorkload{name: "channels", sizes: sizes{5000}, each: true, stream: true, changes: 3, every: 2 * time.Second, rounds: few},
		bodies("100 B", 100), bodies("4 KB", 4<<10), bodies("64 KB", 64<<10),
		&raceWorkload{name: "stream TLS", sizes: sizes{1000}, stream: true, tls: true, changes: 4, rounds: few},
		&raceWorkload{name: tracedPoll, sizes: sizes{500}, changes: 4, every: apart(1000), rounds: 1, traced: true},
		&raceWorkload{name: tracedStream, sizes: sizes{500}, stream: true, changes: 4, every: apart(1000), rounds: 1, traced: true},
	)
}

// admits reports whether a contender takes part with n clients.
func (w *raceWorkload) admits(c *contender, n int) bool {
	if w.stream && !c.streams || !w.stream && !c.polls || w.tls && !c.tls || w.each && !c.each || w.body > c.maxBody {
		return false
	}
	plain := w.name == longPoll || w.name == streamOne
	switch c.name {
	case raceURing, raceMarqueeWrite:
		return w.name == longPoll && (n == 5000 || n == 15000)
	case raceMarquee1:
		return plain && n == 15000 || w.name == longPoll && n == 5000
	case racePushpinShipped: // it takes seconds for what others do in a twentieth of one
		return w.name == longPoll && n == 1000
	case racePushpin: // more than 5,000 polls it never held here; the other loads keep it busy for minutes
		return n <= 5000 && w.name != herd && w.name != tracedPoll && !w.each
	}
	return true
}
