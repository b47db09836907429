package main

import "time"

// leastRate is how many bytes a second a client must send of a content, and take
// of an answer that waits for it, on average: what a poor mobile connection does
// many times over. A bound on the time between two bytes alone would let a client
// hold a connection, and with a long content a request open at the origin, for
// days with a byte now and then.
const leastRate = 500

// pace is for how much longer a client may let the edge wait in an exchange. What
// the client sends gives it more time: at leastRate it never runs out. Owned by
// whoever drives the connection.
type pace struct{ left, most time.Duration }

// newPace returns the pace of a client that may pause for as long as most.
func newPace(most time.Duration) pace { return pace{most, most} }

// came notes n bytes that came after waiting for them.
func (p *pace) came(n int, waited time.Duration) {
	p.left = min(p.left-waited+time.Duration(n)*(time.Second/leastRate), p.most)
	p.left = max(p.left, 0)
}
