package main

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"marquee/bus"
	"marquee/grip"
)

// statusChannel is the GRIP channel of the status document.
const statusChannel = "dashboard-status"

// A status is the document that the page shows. Times are in milliseconds, null
// where there is nothing to tell yet.
type status struct {
	ID       uint64          `json:"id"`
	Capacity int             `json:"capacity"`
	Regions  []string        `json:"regions"`
	Edges    upNeeded        `json:"edges"`
	Groups   upNeeded        `json:"groups"`
	Ping     *statusSpan     `json:"ping"`
	Headline *statusHeadline `json:"headline"`
	// Clients: with the newest headline, wanted, with a first answer, with an
	// error since the last.
	Received int `json:"received"`
	Clients  int `json:"clients"`
	Started  int `json:"started"`
	Errored  int `json:"errored"`
	// Delivery is by the demonstration's formula, True by the clients' clocks,
	// Error what the first's average has more than the second's.
	Delivery *statusSpan `json:"delivery"`
	True     *statusSpan `json:"true"`
	Error    *float64    `json:"error"`
	// Of the newest change: times since it began and receipts; upper ends of
	// bars and their clients.
	Curve     [][2]float64 `json:"curve"`
	Histogram [][2]int     `json:"histogram"`
	Runs      []statusRun  `json:"runs"`
	Nodes     []statusNode `json:"nodes"`
}

type upNeeded struct {
	Up     int `json:"up"`
	Needed int `json:"needed"`
}

type statusSpan struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
	Avg float64 `json:"avg"`
}

type statusHeadline struct {
	headline
	At int64 `json:"at"` // since 1970, when triggered or first heard of
}

type statusRun struct {
	statusHeadline
	Received int      `json:"received"`
	Clients  int      `json:"clients"` // that there were when it began
	Min      *float64 `json:"min"`
	Avg      *float64 `json:"avg"`
	Max      *float64 `json:"max"`
	TrueAvg  *float64 `json:"true_avg"`
	TrueMax  *float64 `json:"true_max"`
}

type statusNode struct {
	Kind     bus.Kind     `json:"kind"`
	Name     string       `json:"name"`
	Region   string       `json:"region"`
	Pair     string       `json:"pair"` // of an edge its group, and vice versa
	Ping     *float64     `json:"ping"`
	Held     int64        `json:"held"`
	Received int64        `json:"received"`
	Errors   int64        `json:"errors"`
	Up       bool         `json:"up"`
	Version  string       `json:"version"`
	Receipt  *bus.Receipt `json:"receipt"`
}

// milliseconds returns d with three decimals.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

func newStatusSpan(s *span) *statusSpan {
	if s == nil {
		return nil
	}
	return &statusSpan{milliseconds(s.min), milliseconds(s.max), milliseconds(s.avg)}
}

func newStatusHeadline(h headline, at time.Time) statusHeadline {
	return statusHeadline{h, at.UnixMilli()}
}

// status returns the present status, without an id, and its figures.
func (d *dashboard) status() (*status, figures) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := figures{
		edgesUp:  len(d.roster.upByName(bus.KindEdge)),
		groupsUp: len(d.roster.upByName(bus.KindGroup)),
		needed:   nodesNeeded(d.capacity, d.cfg.nodeCapacity),
		ping:     d.roster.pings,
	}
	s := &status{
		Capacity:  d.capacity,
		Regions:   d.cfg.regions,
		Edges:     upNeeded{f.edgesUp, f.needed},
		Groups:    upNeeded{f.groupsUp, f.needed},
		Ping:      newStatusSpan(f.ping),
		Curve:     [][2]float64{},
		Histogram: [][2]int{},
		Runs:      []statusRun{},
		Nodes:     d.statusNodes(),
	}
	f.headline = d.deliveries.newest.ID
	if f.headline > 0 {
		h := newStatusHeadline(d.deliveries.newest, d.deliveries.newestAt)
		s.Headline = &h
	}
	s.Clients, s.Started, s.Errored, s.Received = d.deliveries.counts()
	f.received = s.Received
	if c := d.deliveries.change(); c != nil {
		f.delivery = c.delivery()
		actual := c.actual()
		s.Delivery, s.True = newStatusSpan(f.delivery), newStatusSpan(actual)
		if f.delivery != nil && actual != nil {
			s.Error = new(milliseconds(f.delivery.avg - actual.avg))
		}
		for _, p := range c.histogram.curve() {
			s.Curve = append(s.Curve, [2]float64{float64(p.ms), float64(p.received)})
		}
		for _, b := range c.histogram.bars() {
			s.Histogram = append(s.Histogram, [2]int{b.upper, b.clients})
		}
	}
	for _, c := range d.deliveries.runs {
		s.Runs = append(s.Runs, newStatusRun(c))
	}
	return s, f
}

func newStatusRun(c *change) statusRun {
	run := statusRun{statusHeadline: newStatusHeadline(c.headline, c.at), Received: c.received(), Clients: c.clients}
	if s := c.delivery(); s != nil {
		run.Min, run.Avg, run.Max = new(milliseconds(s.min)), new(milliseconds(s.avg)), new(milliseconds(s.max))
	}
	if s := c.actual(); s != nil {
		run.TrueAvg, run.TrueMax = new(milliseconds(s.avg)), new(milliseconds(s.max))
	}
	return run
}

// statusNodes returns the table of nodes: origin, edges, groups; by name. mu is
// held.
func (d *dashboard) statusNodes() []statusNode {
	pairOf := make(map[string]string)
	for group, edge := range d.pairs {
		pairOf[group], pairOf[edge] = edge, group
	}
	nodes := []statusNode{}
	for _, n := range d.roster.nodes {
		shown := statusNode{
			Kind: n.Kind, Name: n.Name, Region: n.Region, Pair: pairOf[n.Name], Up: n.up, Version: n.Version,
			Held: n.Load.Held, Received: n.Load.Received, Errors: n.Load.Errors, Receipt: n.Receipt,
		}
		if n.shownPing > 0 {
			shown.Ping = new(milliseconds(n.shownPing))
		}
		nodes = append(nodes, shown)
	}
	order := []bus.Kind{bus.KindOrigin, bus.KindEdge, bus.KindGroup}
	slices.SortFunc(nodes, func(a, b statusNode) int {
		if a.Kind != b.Kind {
			return slices.Index(order, a.Kind) - slices.Index(order, b.Kind)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return nodes
}

// A document is a status with its id, as it is sent. It is immutable.
type document struct {
	id      uint64
	figures figures
	// body is the JSON, rest the part of it that is not the id.
	body, rest []byte
}

// newDocument returns s with that id.
func newDocument(s *status, f figures, id uint64) (*document, error) {
	s.ID = id
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	prefix := len(`{"id":` + strconv.FormatUint(id, 10))
	return &document{id: id, figures: f, body: body, rest: body[prefix:]}, nil
}

func (d *document) idString() string { return strconv.FormatUint(d.id, 10) }

// item returns the publish of d after the one before it.
func (d *document) item(before *document) grip.Item {
	return grip.Item{
		Channel: statusChannel,
		ID:      d.idString(),
		PrevID:  before.idString(),
		HTTPResponse: &grip.HTTPResponse{Response: grip.Response{
			Code:   200,
			Header: grip.Header{{Name: "Content-Type", Value: "application/json"}},
			Body:   d.body,
		}},
	}
}
