package main

import (
	"context"
	"os"
	"strconv"
	"time"
)

// attackerAddr is where those attackers connect from who are limited by their
// address; all others have the loopback's own.
const attackerAddr = "127.0.0.66"

// An attack is what an attacker does in a trial.
type attack struct {
	kind string // of bench attack
	// long and short are numbers of connections at a time, and rate of connections
	// a second; 0 for as many as go.
	long, short, rate int
	from              string
	figures           []edgeFigure
}

// An edgeFigure is a metric of the edge that the report shows, as what was added in
// the attack: a second, if unit says so.
type edgeFigure struct {
	name, unit, metric string
	perSecond          bool
	// least is what there must be of it with the long size, for the attack to have
	// been one.
	least float64
}

// The metrics of the edge that the attacks look at.
const (
	acceptedTotal = "marquee_connections_accepted_total"
	requestsTotal = "marquee_requests_total"
	stalledTotal  = "marquee_connections_stalled_total"
	dropsTotal    = "marquee_drops_total"
)

// An attack goes on for as long as it takes until the edge's limits of time are in
// force: 10 s for a head, and 30 s for a content and for an answer.
var (
	attackSize  = size{clients: 5000, changes: 10, every: time.Second, period: 15 * time.Second}
	patientSize = size{clients: 5000, changes: 10, every: time.Second, period: 40 * time.Second}
)

// attacks are trials in which clients do what they should not. Those who hold are
// not to notice: a change may take them twice as long at the most.
func attacks() []trial {
	// An attacker of its own address; those who hold have none that is limited.
	limited := []string{"-address-requests", "200", "-address-connections", "100", "-address-exempt", "127.0.0.1"}
	cutOff := edgeFigure{name: "cut off", metric: dropsTotal, least: 1000}
	of := func(name, does string, long size, edge []string, a attack) trial {
		return trial{
			name: name, does: does, long: long, short: shortSize, edge: edge, most: 2,
			run: func(ctx context.Context, s *scene) error { return s.attack(ctx, a) },
		}
	}
	return []trial{
		of("slow-heads", "2,000 clients send a head of which each byte takes a second", attackSize, nil,
			attack{kind: "head", long: 2000, short: 20, figures: []edgeFigure{cutOff}}),
		of("slow-bodies", "2,000 clients send a content of which each byte takes a second, half of them one that is streamed to the origin", patientSize, nil,
			attack{kind: "body", long: 2000, short: 20, figures: []edgeFigure{cutOff}}),
		of("slow-readers", "2,000 clients ask for much at once and take a byte a second", patientSize, nil,
			attack{kind: "reader", long: 2000, short: 20, figures: []edgeFigure{{name: "cut off", metric: stalledTotal, least: 1000}}}),
		of("idle", "10,000 clients connect and say nothing", attackSize, nil,
			attack{kind: "idle", long: 10_000, short: 100, figures: []edgeFigure{{name: "connections", metric: acceptedTotal, least: 10_000}}}),
		of("connection-flood", "5,000 clients a second connect and leave at once", attackSize, nil,
			attack{kind: "connect", long: 32, short: 4, rate: 5000, figures: []edgeFigure{{name: "connections", unit: "a second", metric: acceptedTotal, perSecond: true, least: 2000}}}),
		of("pipelining-flood", "50 clients send as many requests as they can without waiting for answers", attackSize, nil,
			attack{kind: "pipeline", long: 50, short: 4, figures: []edgeFigure{{name: "requests", unit: "a second", metric: requestsTotal, perSecond: true, least: 5000}}}),
		of("request-flood", "50 clients of one address, which is limited to 200 requests a second, ask as often as they can", attackSize, limited,
			attack{kind: "request", long: 50, short: 4, from: attackerAddr, figures: []edgeFigure{{name: "refused", unit: "a second", metric: dropsTotal, perSecond: true}}}),
	}
}

// attack has an attacker at work for a while, and says what the edge counted of it.
func (s *scene) attack(ctx context.Context, a attack) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n, rate := a.long, a.rate
	if s.short {
		n = a.short
	}
	args := []string{"attack", "-kind", a.kind, "-addr", s.addrs.edge, "-n", strconv.Itoa(n), "-rate", strconv.Itoa(rate)}
	if a.from != "" {
		args = append(args, "-from", a.from)
	}
	began, before := time.Now(), metrics(nil)
	if before, err = scrape(ctx, s.control); err != nil {
		return err
	}
	attacker, err := s.add(ctx, "attacker", self, args...)
	if err != nil {
		return err
	}
	if err := s.sleep(ctx, s.size.period); err != nil {
		return err
	}
	after, err := scrape(ctx, s.control)
	if err != nil {
		return err
	}
	for _, f := range a.figures {
		v := after[f.metric] - before[f.metric]
		if f.perSecond {
			v /= time.Since(began).Seconds()
		}
		s.figure(f.name, f.unit, v)
		if v < f.least && !s.short {
			s.fail("%s: %.0f in the attack, want %.0f at the least", f.name, v, f.least)
		}
	}
	return attacker.stop()
}
