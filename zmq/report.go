package zmq

import (
	"encoding/json"
	"time"

	"marquee/grip"
)

// Counts are what a report says of a route since the one before. A client's are
// between it and the edge, the server's between the edge and the origin.
type Counts struct {
	// Received is how many items were published, Sent how many times one went
	// to somebody, HTTPResponseSent how many of these were for long polls. Message
	// counts Sent and HTTPResponseSent by itself.
	Received, Sent, HTTPResponseSent                 int64
	ClientHeaderBytesReceived, ClientHeaderBytesSent int64
	ClientContentBytesReceived                       int64
	ClientContentBytesSent                           int64
	ClientMessagesReceived, ClientMessagesSent       int64
	ServerHeaderBytesReceived, ServerHeaderBytesSent int64
	ServerContentBytesReceived                       int64
	ServerContentBytesSent                           int64
	ServerMessagesReceived, ServerMessagesSent       int64
}

// route is what is counted for one route.
type route struct {
	name        string
	connections int64
	most        int64 // connections since the last report
	minutes     int64 // of connections, begun since the last report
	requests    int64 // since the last tick
	counts      Counts
	silent      bool // the last report had nothing to say
}

// format appends a message's dictionary to its type.
type format func(dst []byte, m grip.Dict) []byte

var formats = map[string]format{"": appendTnetstring, "tnetstring": appendTnetstring, "json": appendJSON}

func appendTnetstring(dst []byte, m grip.Dict) []byte {
	return grip.AppendTnetstring(append(dst, 'T'), m)
}

// appendJSON writes a message of strings, numbers and bools.
func appendJSON(dst []byte, m grip.Dict) []byte {
	dst = append(dst, 'J', '{')
	for i, e := range m {
		if i > 0 {
			dst = append(dst, ',')
		}
		key, _ := json.Marshal(e.Key) // none of these can fail
		value, _ := json.Marshal(e.Value)
		dst = append(append(append(dst, key...), ':'), value...)
	}
	return append(dst, '}')
}

func (c *Counts) add(d Counts) {
	c.Received += d.Received
	c.Sent += d.Sent
	c.HTTPResponseSent += d.HTTPResponseSent
	c.ClientHeaderBytesReceived += d.ClientHeaderBytesReceived
	c.ClientHeaderBytesSent += d.ClientHeaderBytesSent
	c.ClientContentBytesReceived += d.ClientContentBytesReceived
	c.ClientContentBytesSent += d.ClientContentBytesSent
	c.ClientMessagesReceived += d.ClientMessagesReceived
	c.ClientMessagesSent += d.ClientMessagesSent
	c.ServerHeaderBytesReceived += d.ServerHeaderBytesReceived
	c.ServerHeaderBytesSent += d.ServerHeaderBytesSent
	c.ServerContentBytesReceived += d.ServerContentBytesReceived
	c.ServerContentBytesSent += d.ServerContentBytesSent
	c.ServerMessagesReceived += d.ServerMessagesReceived
	c.ServerMessagesSent += d.ServerMessagesSent
}

// enter counts a connection of the route, and the minutes that it begins with.
func (r *route) enter(minutes int64) {
	r.connections++
	r.most = max(r.most, r.connections)
	r.minutes += minutes
}

func (r *route) leave() { r.connections-- }

// countMinutes counts the minutes that c has begun since they were last
// counted: when it is told again, or ends.
func (s *Stats) countMinutes(c *connected) {
	begun := 1 + int64(s.now.Sub(c.since)/time.Minute)
	s.route(c.route).minutes += begun - c.minutes
	c.minutes = begun
}

// sendRequests tells what was asked for since the last time.
func (s *Stats) sendRequests() {
	total := int64(0)
	for _, r := range s.routes {
		if r.requests == 0 {
			continue
		}
		total += r.requests
		s.send("activity", withRoute(grip.Dict{{Key: "count", Value: r.requests}}, r.name))
		r.requests = 0
	}
	if total > 0 {
		s.send("counts", grip.Dict{{Key: "requests-received", Value: total}})
	}
}

// report reports on every route that has, or had at the last time, anything to
// say. A route that has not is forgotten.
func (s *Stats) report() {
	duration := s.now.Sub(s.reported).Milliseconds()
	s.reported = s.now
	for name, r := range s.routes {
		silent := r.most == 0 && r.minutes == 0 && r.counts == Counts{}
		if silent && r.silent {
			if r.requests == 0 {
				delete(s.routes, name)
			}
			continue
		}
		s.send("report", r.message(duration))
		r.silent, r.most, r.minutes, r.counts = silent, r.connections, 0, Counts{}
	}
}

// message returns the report of a route on so many milliseconds.
func (r *route) message(duration int64) grip.Dict {
	c := &r.counts
	return withRoute(grip.Dict{
		{Key: "connections", Value: r.most},
		{Key: "minutes", Value: r.minutes},
		{Key: "received", Value: c.Received},
		{Key: "sent", Value: c.Sent},
		{Key: "http-response-sent", Value: c.HTTPResponseSent},
		{Key: "duration", Value: duration},
		{Key: "client-header-bytes-received", Value: c.ClientHeaderBytesReceived},
		{Key: "client-header-bytes-sent", Value: c.ClientHeaderBytesSent},
		{Key: "client-content-bytes-received", Value: c.ClientContentBytesReceived},
		{Key: "client-content-bytes-sent", Value: c.ClientContentBytesSent},
		{Key: "client-messages-received", Value: c.ClientMessagesReceived},
		{Key: "client-messages-sent", Value: c.ClientMessagesSent},
		{Key: "server-header-bytes-received", Value: c.ServerHeaderBytesReceived},
		{Key: "server-header-bytes-sent", Value: c.ServerHeaderBytesSent},
		{Key: "server-content-bytes-received", Value: c.ServerContentBytesReceived},
		{Key: "server-content-bytes-sent", Value: c.ServerContentBytesSent},
		{Key: "server-messages-received", Value: c.ServerMessagesReceived},
		{Key: "server-messages-sent", Value: c.ServerMessagesSent},
	}, r.name)
}
