package zmq

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"marquee/grip"
)

// The defaults of a StatsConfig.
const (
	DefaultReportInterval  = 10 * time.Second
	DefaultSubscriptionTTL = 60 * time.Second
	DefaultConnectionTTL   = 120 * time.Second
)

// StatsConfig says where statistics go, and how they look.
type StatsConfig struct {
	// Endpoint is where the PUB socket listens: tcp://HOST:PORT or ipc://PATH.
	Endpoint string
	// Inherited are listeners that are there already, and take the place of
	// Endpoint.
	Inherited []net.Listener
	// Format is "tnetstring", which is also what "" means, or "json".
	Format string
	// From is the sender that every message names; not empty.
	From string
	// ReportInterval is the time between two reports. Zero means 10 s; the
	// least is one second.
	ReportInterval time.Duration
	// SubscriptionTTL and ConnectionTTL are how long a listener may believe that
	// a subscription or connection is there without hearing of it again; both
	// are told again after three quarters of that. Zero means 60 s and 120 s; the
	// least is four seconds.
	SubscriptionTTL, ConnectionTTL time.Duration
	Log                            *slog.Logger
}

// Stats says what happens in the edge to whoever listens (GRIP §12). All its
// methods but Run never block for a listener, and are safe from any goroutine.
// A listener gets up to 16 MiB behind; what comes then is dropped for it. As
// long as nobody listens nothing is written, but the tables are kept, so that
// who comes later is told all that is there within a TTL.
type Stats struct {
	// Immutable after NewStats.
	pub             *pub
	format          format
	from            string
	log             *slog.Logger
	reportInterval  time.Duration
	subscriptionTTL time.Duration
	connectionTTL   time.Duration

	mu            sync.Mutex
	now           time.Time // of the last tick
	reported      time.Time // of the last report
	subscriptions map[subscription]*list.Element
	connections   map[string]*list.Element
	// The same, as *subscribed and *connected, by when they were last told.
	toldSubscriptions, toldConnections *list.List
	changed                            map[subscription]struct{} // since they were last told
	routes                             map[string]*route
	dropped                            uint64 // when it was last logged
}

// subscription is that somebody holds a channel in a mode.
type subscription struct{ mode, channel string }

type subscribed struct {
	subscription
	subscribers int
	told        time.Time
}

type connected struct {
	id, route, peer string
	secure          bool
	since           time.Time
	minutes         int64 // counted, the one that runs included
	told            time.Time
}

// NewStats opens the socket of cfg. Run sends what there is to say from time to
// time, and closes it.
func NewStats(cfg StatsConfig) (*Stats, error) {
	s := &Stats{
		from:              cfg.From,
		log:               cfg.Log,
		subscriptions:     make(map[subscription]*list.Element),
		connections:       make(map[string]*list.Element),
		toldSubscriptions: list.New(),
		toldConnections:   list.New(),
		changed:           make(map[subscription]struct{}),
		routes:            make(map[string]*route),
		now:               time.Now(),
	}
	s.reported = s.now
	var ok bool
	if s.format, ok = formats[cfg.Format]; !ok {
		return nil, fmt.Errorf("stats format %q is neither tnetstring nor json", cfg.Format)
	}
	if s.from == "" {
		return nil, errors.New("stats have no sender")
	}
	for _, d := range []struct {
		name         string
		to           *time.Duration
		value        time.Duration
		usual, least time.Duration
	}{
		{"report interval", &s.reportInterval, cfg.ReportInterval, DefaultReportInterval, time.Second},
		{"subscription TTL", &s.subscriptionTTL, cfg.SubscriptionTTL, DefaultSubscriptionTTL, 4 * time.Second},
		{"connection TTL", &s.connectionTTL, cfg.ConnectionTTL, DefaultConnectionTTL, 4 * time.Second},
	} {
		if *d.to = d.value; d.value == 0 {
			*d.to = d.usual
		}
		if *d.to < d.least {
			return nil, fmt.Errorf("stats %s is %v, the least is %v", d.name, d.value, d.least)
		}
	}
	s.pub = newPub(cfg.Log)
	if err := s.pub.socket.listen(context.Background(), []string{cfg.Endpoint}, cfg.Inherited); err != nil {
		return nil, err
	}
	return s, nil
}

// Close closes the socket. It is for who does not call Run.
func (s *Stats) Close() { s.pub.socket.close() }

// Listeners returns what the socket listens on. They stay the socket's.
func (s *Stats) Listeners() []net.Listener { return s.pub.socket.listeners }

// Endpoint returns where the socket listens, with the port found for 0.
func (s *Stats) Endpoint() string { return s.pub.socket.endpoint() }

// Run serves listeners, tells again what has to be told again, and reports,
// until ctx ends. When it returns the socket is closed.
func (s *Stats) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.tickLoop(ctx) })
	s.pub.socket.run(ctx)
	wg.Wait()
}

// Subscribed says that so many hold a channel in a mode: response, stream or
// ws. The first time is told at once, a change of the number within a second.
func (s *Stats) Subscribed(mode, channel string, subscribers int) {
	key := subscription{mode, channel}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.subscriptions[key]; ok {
		if sub := e.Value.(*subscribed); sub.subscribers != subscribers {
			sub.subscribers = subscribers
			s.changed[key] = struct{}{}
		}
		return
	}
	sub := &subscribed{key, subscribers, s.now}
	s.subscriptions[key] = s.toldSubscriptions.PushBack(sub)
	s.sendSubscribed(sub)
}

// Unsubscribed says that nobody holds a channel in a mode any more.
func (s *Stats) Unsubscribed(mode, channel string) {
	key := subscription{mode, channel}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.subscriptions[key]
	if !ok {
		return
	}
	s.toldSubscriptions.Remove(e)
	delete(s.subscriptions, key)
	delete(s.changed, key)
	s.send("sub", grip.Dict{{Key: "mode", Value: mode}, {Key: "channel", Value: channel}, {Key: "unavailable", Value: true}})
}

// Connected says that a client has connected, and by which route; "" is none.
// Peer is its address, secure whether it came by TLS. An id is connected until
// Disconnected; saying it again with another route changes that.
func (s *Stats) Connected(id, route, peer string, secure bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c *connected
	if e, ok := s.connections[id]; ok {
		c = e.Value.(*connected)
		s.countMinutes(c)
		s.route(c.route).leave()
		c.route, c.peer, c.secure, c.told = route, peer, secure, s.now
		s.toldConnections.MoveToBack(e)
		s.route(route).enter(0)
	} else {
		c = &connected{id: id, route: route, peer: peer, secure: secure, since: s.now, minutes: 1, told: s.now}
		s.connections[id] = s.toldConnections.PushBack(c)
		s.route(route).enter(1)
	}
	s.sendConnected(c)
}

// Disconnected says that a client has left.
func (s *Stats) Disconnected(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.connections[id]
	if !ok {
		return
	}
	c := e.Value.(*connected)
	s.countMinutes(c)
	s.route(c.route).leave()
	s.toldConnections.Remove(e)
	delete(s.connections, id)
	s.send("conn", withRoute(grip.Dict{{Key: "id", Value: id}, {Key: "unavailable", Value: true}}, c.route))
}

// Message says that an item has gone to count holds or connections of a route.
// Transport is the format: http-response, http-stream or ws-message.
func (s *Stats) Message(route, channel, itemID, transport string, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.route(route)
	r.counts.Sent += int64(count)
	if transport == "http-response" {
		r.counts.HTTPResponseSent += int64(count)
	}
	m := grip.Dict{{Key: "channel", Value: channel}}
	if itemID != "" {
		m = append(m, grip.Entry{Key: "item-id", Value: itemID})
	}
	s.send("message", withRoute(append(m,
		grip.Entry{Key: "count", Value: count}, grip.Entry{Key: "transport", Value: transport}), route))
}

// Requested says that a client has asked for something by a route. It is told
// within a second, as activity and as counts.
func (s *Stats) Requested(route string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.route(route).requests++
}

// Report adds to what the next report says of a route.
func (s *Stats) Report(route string, c Counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.route(route).counts.add(c)
}

// route returns what is counted for a route; mu is held.
func (s *Stats) route(name string) *route {
	r := s.routes[name]
	if r == nil {
		r = &route{name: name}
		s.routes[name] = r
	}
	return r
}

func (s *Stats) tickLoop(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.tick(now)
		}
	}
}

// tick tells what is due at now. It is called every second.
func (s *Stats) tick(now time.Time) {
	s.mu.Lock()
	s.now = now
	s.sendRequests()
	for key := range s.changed {
		e := s.subscriptions[key]
		s.toldSubscriptions.MoveToBack(e)
		e.Value.(*subscribed).told = now
		s.sendSubscribed(e.Value.(*subscribed))
	}
	clear(s.changed)
	if now.Sub(s.reported) >= s.reportInterval {
		s.report()
	}
	s.mu.Unlock()
	for s.tellAgain() {
		// Others get at the tables in between.
	}
	if n := s.pub.dropped.Load(); n != s.dropped {
		s.log.Warn("statistics dropped for listeners that do not read", "messages", n-s.dropped)
		s.dropped = n
	}
}

// tellAgain tells some of the subscriptions and connections that have to be
// told again, and reports whether there are more.
func (s *Stats) tellAgain() bool {
	const atOnce = 100
	s.mu.Lock()
	defer s.mu.Unlock()
	for range atOnce {
		told := false
		if e := s.toldSubscriptions.Front(); e != nil {
			if sub := e.Value.(*subscribed); s.now.Sub(sub.told) >= s.subscriptionTTL*3/4 {
				sub.told, told = s.now, true
				s.toldSubscriptions.MoveToBack(e)
				s.sendSubscribed(sub)
			}
		}
		if e := s.toldConnections.Front(); e != nil {
			if c := e.Value.(*connected); s.now.Sub(c.told) >= s.connectionTTL*3/4 {
				c.told, told = s.now, true
				s.countMinutes(c)
				s.toldConnections.MoveToBack(e)
				s.sendConnected(c)
			}
		}
		if !told {
			return false
		}
	}
	return true
}

func (s *Stats) sendSubscribed(sub *subscribed) {
	s.send("sub", grip.Dict{
		{Key: "mode", Value: sub.mode}, {Key: "channel", Value: sub.channel},
		{Key: "ttl", Value: seconds(s.subscriptionTTL)}, {Key: "subscribers", Value: sub.subscribers},
	})
}

func (s *Stats) sendConnected(c *connected) {
	m := grip.Dict{{Key: "id", Value: c.id}, {Key: "type", Value: "http"}, {Key: "peer-address", Value: c.peer}}
	if c.secure {
		m = append(m, grip.Entry{Key: "ssl", Value: true})
	}
	s.send("conn", withRoute(append(m, grip.Entry{Key: "ttl", Value: seconds(s.connectionTTL)}), c.route))
}

// send sends a message; mu is held, so that what is told about one thing is
// told in order.
func (s *Stats) send(kind string, m grip.Dict) {
	s.pub.send(func() []byte {
		return s.format(append([]byte(kind), ' '), append(grip.Dict{{Key: "from", Value: s.from}}, m...))
	})
}

// seconds returns a TTL as messages write it, rounded up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func withRoute(m grip.Dict, route string) grip.Dict {
	if route == "" {
		return m
	}
	return append(m, grip.Entry{Key: "route", Value: route})
}
