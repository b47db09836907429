package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"marquee/fanout"
	"marquee/grip"
)

const (
	// holdsLimit is how many clients a page of GET /holds has unless it says
	// otherwise, and maxHoldsLimit how many it can have.
	holdsLimit    = 100
	maxHoldsLimit = 1000
	// sliceTime is about how long one loop looks at its clients at a time, and
	// sliceCheck after how many of them it looks at the clock: those who are held
	// do not wait for an operator.
	sliceTime  = time.Millisecond
	sliceCheck = 32
	// sliceWait is how long an operator waits for a loop to come round.
	sliceWait = 2 * time.Second
)

// heldClient is a client that is held, or slow, as an operator sees it.
type heldClient struct {
	Client   string    `json:"client"` // address and port
	Route    string    `json:"route"`
	Mode     string    `json:"mode,omitempty"` // "" when it has had its answer and has not taken it
	Channels []string  `json:"channels"`       // as publishers name them
	Since    time.Time `json:"since,omitzero"` // of the hold, to the tick
	Queued   int       `json:"queued_bytes"`   // what it has not taken
	Lost     int       `json:"lost_messages"`  // of the stream, because it is slow
	Loop     int       `json:"loop"`
	Agent    string    `json:"user_agent"`

	place holdPlace
}

// holdPlace is a client's place in the list: who has most to take comes first,
// and otherwise it is by file descriptor. It is what a cursor says.
type holdPlace struct{ queued, fd int }

// compare orders places.
func (p holdPlace) compare(o holdPlace) int {
	return cmp.Or(cmp.Compare(o.queued, p.queued), cmp.Compare(p.fd, o.fd))
}

func (p holdPlace) String() string { return fmt.Sprintf("%d-%d", p.queued, p.fd) }

// holdQuery is what an operator wants to see. The zero value of a filter lets
// everybody through.
type holdQuery struct {
	limit   int
	after   holdPlace // the last one seen
	next    bool      // after counts
	route   string
	channel string
	slow    bool
}

// holdPage is a part of the list. It is one of a moment for each loop: who
// changes places between two pages may be missed, or seen twice.
type holdPage struct {
	Held    int64        `json:"held"` // all of them, whatever the query
	Slow    int64        `json:"slow"` // likewise
	Clients []heldClient `json:"clients"`
	Next    string       `json:"next,omitempty"` // path and query of the next page; "" for none
}

// readHoldQuery reads the query of GET /holds. Its errors are for the operator.
func readHoldQuery(v url.Values) (holdQuery, error) {
	q := holdQuery{limit: holdsLimit, route: v.Get("route"), channel: v.Get("channel")}
	for name := range v {
		switch name {
		case "limit", "cursor", "route", "channel", "slow":
		default:
			return q, fmt.Errorf("%s: it takes limit, cursor, route, channel and slow", name)
		}
	}
	if s := v.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxHoldsLimit {
			return q, fmt.Errorf("limit is %q: it takes 1 to %d", s, maxHoldsLimit)
		}
		q.limit = n
	}
	if s := v.Get("slow"); s != "" {
		slow, err := strconv.ParseBool(s)
		if err != nil {
			return q, fmt.Errorf("slow is %q: it takes true or false", s)
		}
		q.slow = slow
	}
	if s := v.Get("cursor"); s != "" {
		queued, fd, _ := strings.Cut(s, "-")
		var errs [2]error
		q.after.queued, errs[0] = strconv.Atoi(queued)
		q.after.fd, errs[1] = strconv.Atoi(fd)
		if cmp.Or(errs[0], errs[1]) != nil {
			return q, fmt.Errorf("cursor is %q: it takes what the page before has for the next", s)
		}
		q.next = true
	}
	return q, nil
}

// path returns where the page after that place is.
func (q holdQuery) path(after holdPlace) string {
	v := url.Values{"limit": {strconv.Itoa(q.limit)}, "cursor": {after.String()}}
	if q.route != "" {
		v.Set("route", q.route)
	}
	if q.channel != "" {
		v.Set("channel", q.channel)
	}
	if q.slow {
		v.Set("slow", "true")
	}
	return "/holds?" + v.Encode()
}

// holds answers with who is held or slow.
func (c *control) holds(w http.ResponseWriter, r *http.Request) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	var q holdQuery
	if err == nil {
		q, err = readHoldQuery(values)
	}
	if err != nil {
		reply(w, http.StatusBadRequest, plainText, "Bad query: "+err.Error()+".")
		return
	}
	page, err := c.edge.holdPage(r.Context(), q)
	if err != nil {
		reply(w, http.StatusServiceUnavailable, plainText, err.Error())
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if mediaType(r) == jsonText {
		w.Header().Set("Content-Type", jsonText)
		_ = json.NewEncoder(w).Encode(page)
		return
	}
	w.Header().Set("Content-Type", plainText+"; charset=utf-8")
	page.write(w, time.Now())
}

// write writes the page as a table.
func (p *holdPage) write(w http.ResponseWriter, now time.Time) {
	fmt.Fprintf(w, "%d held, %d slow\n", p.Held, p.Slow)
	if len(p.Clients) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CLIENT\tROUTE\tMODE\tHELD FOR\tQUEUED\tLOST\tLOOP\tCHANNELS\tUSER AGENT")
	for _, c := range p.Clients {
		held := "-"
		if !c.Since.IsZero() {
			held = max(0, now.Sub(c.Since)).Round(time.Second).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", c.Client, printable(c.Route), cmp.Or(c.Mode, "-"), held,
			c.Queued, c.Lost, c.Loop, cmp.Or(printable(strings.Join(c.Channels, " ")), "-"), cmp.Or(printable(c.Agent), "-"))
	}
	_ = t.Flush()
	if p.Next != "" {
		fmt.Fprintln(w, "next:", p.Next)
	}
}

// printable returns text for a terminal, which obeys some bytes: what a client
// sends stands in it.
func printable(s string) string {
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// holdPage asks every loop, in slices, and puts what they say together.
func (e *edge) holdPage(ctx context.Context, q holdQuery) (*holdPage, error) {
	ctx, cancel := context.WithTimeout(ctx, sliceWait)
	defer cancel()
	page := &holdPage{Clients: []heldClient{}}
	seen := make(map[int]bool) // by file descriptor: who is moved while a loop looks may come twice
	var worst *holdPlace       // of a page that is full
	more := false
	for _, l := range e.loops {
		page.Held += l.holds.Load()
		page.Slow += l.slowClients.Load()
		for from := -1; from != 0; {
			s, err := l.askSlice(ctx, q, from, worst)
			if err != nil {
				return nil, err
			}
			from = s.left
			more = more || s.passed
			for _, c := range s.clients {
				if !seen[c.place.fd] {
					seen[c.place.fd] = true
					page.Clients = append(page.Clients, c)
				}
			}
			slices.SortFunc(page.Clients, func(a, b heldClient) int { return a.place.compare(b.place) })
			if len(page.Clients) > q.limit {
				page.Clients, more = page.Clients[:q.limit], true
			}
			if len(page.Clients) == q.limit {
				last := page.Clients[q.limit-1].place
				worst = &last
			}
		}
	}
	if more {
		page.Next = q.path(page.Clients[len(page.Clients)-1].place)
	}
	return page, nil
}

// holdSlice is what a loop says of some of its clients.
type holdSlice struct {
	clients []heldClient
	passed  bool // there are others, behind worst
	left    int  // clients that it has not looked at
}

// askSlice asks the loop for a slice. It waits until the loop comes round, or ctx
// ends. Safe from any goroutine but the loop's.
func (l *loop) askSlice(ctx context.Context, q holdQuery, from int, worst *holdPlace) (holdSlice, error) {
	sliceCh := make(chan holdSlice, 1)
	l.post(func() { sliceCh <- l.holdSlice(q, from, worst) })
	select {
	case s := <-sliceCh:
		return s, nil
	case <-ctx.Done():
		return holdSlice{}, fmt.Errorf("event loop %d does not come round", l.index)
	}
}

// holdSlice looks at the clients of the loop, from the last one of the first so
// many on, of all with -1, for about sliceTime. Going down, it misses nobody who
// stays: who is moved into the place of one that has left has been seen before.
func (l *loop) holdSlice(q holdQuery, from int, worst *holdPlace) (s holdSlice) {
	if from < 0 || from > len(l.clients) {
		from = len(l.clients)
	}
	began := time.Now()
	var sees holdSight
	for n := 1; from > 0; n++ {
		from--
		c := l.clients[from]
		if c.since != 0 || c.slow {
			place := holdPlace{c.waiting(), c.gc.Fd()}
			switch {
			case q.next && place.compare(q.after) <= 0, !sees.wants(q, c):
			case worst != nil && place.compare(*worst) > 0:
				s.passed = true
			default:
				s.clients = append(s.clients, c.describe(place))
			}
		}
		if n%sliceCheck == 0 && time.Since(began) > sliceTime {
			break
		}
	}
	s.left = from
	return s
}

// holdSight judges one client after the other. Those next to each other often
// hold the same, so that its channels are looked through once.
type holdSight struct {
	watch   *fanout.Watch
	matches bool
}

// wants reports whether the query is for c.
func (s *holdSight) wants(q holdQuery, c *conn) bool {
	if q.slow && !c.slow || q.route != "" && c.route() != q.route {
		return false
	}
	if q.channel == "" {
		return true
	}
	w := c.watch()
	if w != s.watch || w == nil {
		s.watch = w
		s.matches = w != nil && slices.ContainsFunc(w.Channels, func(ch grip.Channel) bool { return ch.Name == q.channel })
	}
	return s.matches
}

// describe returns what an operator sees of c. Loop only.
func (c *conn) describe(place holdPlace) heldClient {
	h := heldClient{
		Client: c.gc.RemoteAddr().String(), Route: c.route(), Channels: []string{},
		Queued: place.queued, Loop: c.loop.index, Agent: c.agent, place: place,
	}
	if c.since != 0 {
		h.Mode, h.Since = grip.HoldResponse.String(), c.loop.now.Add(-c.holdTime())
	}
	if c.stream != nil {
		h.Mode = grip.HoldStream.String()
	}
	if c.tail != nil {
		h.Lost = c.tail.lost
	}
	if w := c.watch(); w != nil {
		for _, ch := range w.Channels {
			h.Channels = append(h.Channels, ch.Name)
		}
	}
	return h
}

// route returns the id of the route by which c is held; "" when it is not.
func (c *conn) route() string {
	switch {
	case c.stream != nil:
		return c.stream.service.route.ID
	case c.ask != nil:
		return c.ask.service.route.ID
	}
	return ""
}

// watch returns what c is held for; nil for nothing.
func (c *conn) watch() *fanout.Watch {
	switch {
	case c.stream != nil:
		return &c.stream.watch
	case c.ask != nil:
		return &c.ask.watch
	}
	return nil
}
