package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A trial is one attack or fault, and what it is carried out on: a scene of its own,
// with an origin, an edge and clients that hold polls and streams there while the
// headline changes at a steady pace.
type trial struct {
	name string // for -only, and in the report: few words
	does string // what happens, as a sentence without its full stop
	// long and short are its sizes in "bench torture", and with -short.
	long, short size
	// edge and origin are flags that these get beyond the usual.
	edge, origin []string
	// nats connects origin and edge by a NATS server of its own, which then also
	// keeps the headline; otherwise the origin posts to the edge.
	nats bool
	// proxied has the edge ask the origin through scene.proxy, and with nats all ask
	// NATS through scene.natsProxy.
	proxied bool
	// hosts has each server, and the clients, on a host of its own in scene.network.
	// Such a trial needs canMakeNetworks, and is not proxied.
	hosts bool
	// most is how many times as long a change may take to the last client while
	// the trial is carried out as before, by the medians; 0 for no such limit. It is
	// judged with the long size only: few changes in a busy test say nothing.
	most float64
	// needs says what the trial lacks on this machine, nil if nothing: then it is
	// left out, and the report says so. A nil needs is never missing anything.
	needs func() error
	// prepare, if not nil, is called before anything is started, for what flags and
	// programs it has yet to lay out.
	prepare func(*scene) error
	// run carries it out, from its beginning to its end: when run returns, clients
	// have healWithin to have all that was published before. An error ends the
	// trial, which has then failed: it could not be carried out, or s.fail was not
	// enough to say what went wrong.
	run func(ctx context.Context, s *scene) error
}

// A size is how much a trial takes.
type size struct {
	clients int           // half of them streams
	changes int           // before, and again after
	every   time.Duration // between two changes
	// period is for how long run is to go on, for trials that could go on for ever.
	period time.Duration
}

// The usual sizes.
var (
	longSize  = size{clients: 5000, changes: 10, every: time.Second, period: 10 * time.Second}
	shortSize = size{clients: 40, changes: 3, every: 100 * time.Millisecond, period: time.Second}
)

// trials returns all trials in the order of the report.
func trials() []trial {
	return slices.Concat(attacks(), faults(), overload(), upgrades())
}

// pick returns the trials of these names, separated by commas; all if there are
// none.
func pick(all []trial, names string) ([]trial, error) {
	if names == "" {
		return all, nil
	}
	var picked []trial
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(t trial) bool { return t.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %q: no such trial, see bench torture -list", name)
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}
