package route

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// SlowPolicy says what becomes of a stream's messages when its client reads
// them more slowly than they come, and as much as may wait for it is waiting. A client
// that would get a longer content with a gap, as the answer to a next link, is
// disconnected in any case.
type SlowPolicy uint8

const (
	SlowUnset      SlowPolicy = iota // the route does not say
	SlowDisconnect                   // the client's connection is closed
	SlowDropOldest                   // the oldest messages that wait are dropped
	SlowConflate                     // all but the newest message are dropped
)

var slowNames = [...]string{"unset", "disconnect", "drop-oldest", "conflate"}

// String returns the policy as the routes file writes it.
func (p SlowPolicy) String() string { return slowNames[p] }

// ParseSlowPolicy reads a policy's name.
func ParseSlowPolicy(s string) (SlowPolicy, error) {
	for p := SlowDisconnect; p <= SlowConflate; p++ {
		if s == slowNames[p] {
			return p, nil
		}
	}
	return SlowUnset, fmt.Errorf("it takes disconnect, drop-oldest or conflate, not %s", clip(s))
}

// SlowChannel is the policy for the channels of which * in the pattern may be
// any text, also none.
type SlowChannel struct {
	Pattern string
	Policy  SlowPolicy
}

// slowBytesMin and slowBytesMax bound slow_bytes. Less could not hold one
// message with its framing; more, times the clients, is all memory there is.
const (
	slowBytesMin = 1 << 10
	slowBytesMax = 1 << 30
)

// parseSlowBytes reads the value of slow_bytes.
func parseSlowBytes(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < slowBytesMin || n > slowBytesMax {
		return 0, fmt.Errorf("it takes a number of bytes, %d to %d, not %s", slowBytesMin, slowBytesMax, clip(s))
	}
	return n, nil
}

// parseSlowChannel reads PATTERN:POLICY. The pattern may have colons itself.
func parseSlowChannel(s string) (SlowChannel, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 1 {
		return SlowChannel{}, errors.New("it takes PATTERN:POLICY, not " + clip(s))
	}
	p, err := ParseSlowPolicy(s[i+1:])
	return SlowChannel{s[:i], p}, err
}

// fits reports whether a channel is of the pattern. It takes time in proportion
// to the product of both lengths at most, and allocates nothing.
func fits(pattern, channel string) bool {
	star, from := -1, 0 // the last * that was met, and where its text ends
	p, c := 0, 0
	for c < len(channel) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, c
			p++
		case p < len(pattern) && pattern[p] == channel[c]:
			p++
			c++
		case star >= 0: // let the last * have one byte more
			from++
			p, c = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
