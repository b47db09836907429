package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
)

// limits is what one client, or all of one address, may ask of the edge. What
// the flags say goes for every route; a route may set a lower bound for heads,
// and one of its own for contents.
type limits struct {
	// MaxHead is how long a request's head may be, in bytes.
	MaxHead int
	// MaxBody is how long a request's content may be, in bytes; 0 for any.
	MaxBody int64

	// Connections that one address may have at a time; 0 for any number.
	Connections int
	// Requests a second of one address, and how many it may make at once after
	// it has made none for a while. 0 for any number.
	Requests, Burst int
	// Exempt are the networks whose addresses have none of the three.
	Exempt []netip.Prefix
}

// The bounds of what the flags take. A head is read before it is known whose it
// is, so that one of every connection may be in memory at a time.
const (
	minHead, maxHead = 1 << 10, 256 << 10
	maxBody          = 1 << 50
	maxOfAddress     = 1_000_000
)

// defaultBurst is how many seconds' requests an address may make at once. It is an
// office, a school, or a mobile network behind one translator, more often than
// not, and after a change all of its clients ask at the same moment.
const defaultBurst = 5

// flags defines the flags that set l, with their defaults.
func (l *limits) flags(fs *flag.FlagSet) {
	fs.IntVar(&l.MaxHead, "max-head", 32<<10, "`bytes` that a request's head may have, 1024 to 262144; the route option max_head sets less")
	fs.Int64Var(&l.MaxBody, "max-body", 0, "`bytes` that a request's content may have, unless the route option max_body says; 0 for any number")
	fs.IntVar(&l.Connections, "address-connections", 0, "`connections` at a time of one client address, an IPv6 network of 64 bits counting as one; 0 for any number, which is right where a proxy or load balancer stands in front, unless -address-exempt names it")
	fs.IntVar(&l.Requests, "address-requests", 0, "`requests` a second of one client address; 0 for any number")
	fs.IntVar(&l.Burst, "address-burst", 0, "`requests` that a client address may make at once; 0 for those of five seconds")
	fs.Var(networkList{&l.Exempt}, "address-exempt", "`networks` and addresses that the limits by address do not go for: proxies, load balancers, health checks; may be given several times")
}

// validate checks every value and completes those that depend on others.
func (l *limits) validate(bad func(format string, args ...any)) {
	between := func(name string, v, low, high int64) {
		if v < low || v > high {
			bad("-%s is %d: it takes %d to %d", name, v, low, high)
		}
	}
	between("max-head", int64(l.MaxHead), minHead, maxHead)
	between("max-body", l.MaxBody, 0, maxBody)
	between("address-connections", int64(l.Connections), 0, maxOfAddress)
	between("address-requests", int64(l.Requests), 0, maxOfAddress)
	between("address-burst", int64(l.Burst), 0, maxOfAddress)
	if l.Burst > 0 && l.Requests == 0 {
		bad("-address-burst is %d, but -address-requests is 0: a burst is of a limited rate", l.Burst)
	}
	if l.Burst == 0 {
		l.Burst = defaultBurst * l.Requests
	}
}

// networkList is a flag that takes networks and addresses, with commas or given
// several times.
type networkList struct{ networks *[]netip.Prefix }

func (l networkList) String() string {
	if l.networks == nil || len(*l.networks) == 0 {
		return ""
	}
	return fmt.Sprint(*l.networks)
}

func (l networkList) Set(s string) error {
	for _, text := range listMembers([]string{s}) {
		p, err := netip.ParsePrefix(text)
		if a, e := netip.ParseAddr(text); e == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() {
			return errors.New("it takes addresses and networks, 192.0.2.7 or 2001:db8::/32, not " + text)
		}
		*l.networks = append(*l.networks, p.Masked())
	}
	return nil
}

// limit is a bound that a client has run into.
type limit uint8

const (
	limitConnections limit = iota // of an address
	limitRequests                 // of an address
	limitHead                     // length
	limitBody                     // length
	limitTime                     // for a head or a content to come
	limitAhead                    // sent before the answer to the request before
	limitCount
)
