package main

import "time"

const (
	// lullCheck is how often one looks whether anything happens.
	lullCheck = time.Second
	// lullLength is how long nothing must happen.
	lullLength = 3 * time.Second
	// lullPause is the least time between the ends of two lulls: collecting takes
	// about a millisecond of CPU time for a thousand clients.
	lullPause = 10 * time.Second
	// stirBytes is how much is allocated in a lullCheck when something happens, and
	// stirShare which part of the clients then comes or goes.
	stirBytes = 1 << 20
	stirShare = 8
)

// lull notices when much has happened, and then nothing: clients have come, each
// with a request to the origin, or have gone. Garbage is collected only when as much
// again has been allocated as was alive, so what such an event leaves behind stays
// in memory for as long as nothing else happens: at Go's own GOGC 3,580 bytes for
// each of 10,000 streams that had asked for itself, and 1,700 after a collection.
type lull struct {
	allocated uint64 // at the last look
	clients   int64  // when it was quiet last
	stirred   bool   // something has happened since the last collection
	since     time.Time
	collected time.Time
}

// look is told the bytes that have ever been allocated, and how many clients there
// are, and reports whether it is time to collect.
func (l *lull) look(now time.Time, allocated uint64, clients int64) (collect bool) {
	moved := max(clients-l.clients, l.clients-clients)
	stirs := allocated-l.allocated >= stirBytes || moved > 0 && moved >= max(clients, l.clients)/stirShare
	l.allocated = allocated
	if stirs {
		l.stirred, l.since, l.clients = true, now, clients
		return false
	}
	if !l.stirred || now.Sub(l.since) < lullLength || now.Sub(l.collected) < lullPause {
		return false
	}
	l.stirred, l.clients, l.collected = false, clients, now
	return true
}
