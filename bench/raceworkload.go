package main

import (
	"slices"
	"time"
)

// A raceWorkload is one kind of load that contenders are compared under.
type raceWorkload struct {
	name  string // in the report
	sizes sizes  // numbers of clients, each a comparison of its own
	// only names those who take part; empty for all who can.
	only []string

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
	raceMarquee1       = "marquee, 1 loop"
	racePushpinShipped = "pushpin as shipped"
	raceCentrifugo     = "centrifugo"
	raceMercure        = "mercure"
	raceURing          = "floor, io_uring"

	// Of the turns of streams at a steady rate.
	steadyEvery  = 100 * time.Millisecond
	steadyPeriod = 20 * time.Second
)

// raceWorkloads returns what is raced. full is everything, for an hour; the rest is
// what fits into ten minutes.
func raceWorkloads(full bool) []*raceWorkload {
	steady := sizes{5000}
	if full {
		steady = streamSizes
	}
	polls := func(n int) time.Duration { return 500*time.Millisecond + time.Duration(n)*30*time.Microsecond }
	all := []*raceWorkload{}
	for _, n := range pollSizes {
		w := &raceWorkload{name: longPoll, sizes: sizes{n}, changes: 4, every: polls(n)}
		all = append(all, w)
	}
	for _, n := range streamSizes {
		all = append(all, &raceWorkload{name: streamOne, sizes: sizes{n}, stream: true, changes: 4, every: polls(n), rush: n == summarySize})
	}
	const slow = 2 * time.Second
	return append(all,
		&raceWorkload{name: streamTen, sizes: steady, stream: true, changes: int(steadyPeriod / steadyEvery), every: steadyEvery, rounds: 1,
			only: []string{raceFloor, raceMarquee, raceNchan, racePushpin, raceCentrifugo, raceMercure}},
		&raceWorkload{name: herd, sizes: sizes{5000}, changes: 8, only: []string{raceFloor, raceMarquee, raceNchan, racePushpin}},
		&raceWorkload{name: "channels", sizes: sizes{5000}, each: true, stream: true, changes: 3, every: slow},
		&raceWorkload{name: "long poll 100 B", sizes: sizes{1000}, body: 100, gzip: true, changes: 4, every: polls(1000)},
		&raceWorkload{name: "long poll 4 KB", sizes: sizes{1000}, body: 4 << 10, gzip: true, changes: 4, every: polls(1000)},
		&raceWorkload{name: "long poll 64 KB", sizes: sizes{1000}, body: 64 << 10, gzip: true, changes: 4, every: polls(1000)},
		&raceWorkload{name: "stream TLS", sizes: sizes{1000}, stream: true, tls: true, changes: 4},
		&raceWorkload{name: "long poll, traced", sizes: sizes{500}, changes: 4, every: polls(1000), rounds: 1, traced: true},
		&raceWorkload{name: "stream, traced", sizes: sizes{500}, stream: true, changes: 4, every: polls(1000), rounds: 1, traced: true},
	)
}

// admits reports whether a contender takes part with n clients.
func (w *raceWorkload) admits(c *contender, n int) bool {
	switch {
	case len(w.only) > 0 && !slices.Contains(w.only, c.name):
		return false
	case w.stream && !c.streams, !w.stream && !c.polls, w.tls && !c.tls, w.each && !c.each, w.body > c.maxBody:
		return false
	case c.name == racePushpinShipped: // it takes seconds for what others do in a twentieth of one
		return w.name == longPoll && (n == 1000 || n == 5000)
	case c.name == raceMarquee1:
		return (w.name == longPoll || w.name == streamOne) && (n == 5000 || n == 15000)
	}
	return true
}
