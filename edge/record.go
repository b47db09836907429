package main

import (
	"log/slog"
	"time"

	"marquee/grip"
)

// ending is how a request came to its end.
type ending string

const (
	endAnswer  ending = "answer"  // the origin answered, or what was at hand
	endItem    ending = "item"    // held, answered by an item or by the origin's second answer
	endTimeout ending = "timeout" // held, for as long as it may be
	endStream  ending = "end"     // the stream came to its end
	endDrain   ending = "drain"   // held, ended because the edge drains
	endRefused ending = "refused" // no request, too long, or too late
	endLeft    ending = "left"    // the client left, or took not all
	endSlow    ending = "slow"    // cut off: too much waited for it
	endMemory  ending = "memory"  // cut off: much waited for it when memory was short
	endStalled ending = "stalled" // cut off: it took nothing for too long
	endAhead   ending = "ahead"   // cut off: it sent too much ahead
	endOrigin  ending = "origin"  // cut off: the origin broke off
	endFault   ending = "fault"   // cut off: by a fault of the edge
)

// record is one request, from the end of its head to that of its answer, for the
// access log. One goroutine has it at a time: that of the loop or of the lease,
// and in the end the access log's.
type record struct {
	began        time.Time
	client       string // address and port
	method, host string // "" when it was no request
	path         string
	route, agent string
	status       int // 0 when there was no answer
	bytes        int64
	mode         grip.HoldMode // 0 when it was not held
	held         time.Duration // to the tick
	end          ending
	final        bool // end does not change any more
	took         time.Duration
}

// sent notes bytes that were given to the client's socket; the first are the
// begin of an answer.
func (r *record) sent(wire []byte) {
	const at = len("HTTP/1.1 ")
	if r.status == 0 && len(wire) >= at+3 {
		for _, digit := range wire[at : at+3] {
			r.status = 10*r.status + int(digit-'0')
		}
	}
	r.bytes += int64(len(wire))
}

// ends notes how the request ends, unless that is known.
func (r *record) ends(how ending) {
	if r.end == "" {
		r.end = how
	}
}

// cut notes that the client is cut off, whatever it was told before.
func (r *record) cut(why ending) {
	if !r.final {
		r.end, r.final = why, true
	}
}

// leave notes that the connection is gone: the client has left before it has
// taken everything, if it has not been cut off.
func (r *record) leave() { r.cut(endLeft) }

// attrs returns what stands in the line.
func (r *record) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String("client", r.client))
	if r.method != "" {
		attrs = append(attrs, slog.String("method", r.method), slog.String("host", r.host), slog.String("path", r.path))
	}
	attrs = append(attrs, slog.Int("status", r.status), slog.Int64("bytes", r.bytes),
		slog.Float64("seconds", r.took.Round(time.Microsecond).Seconds()), slog.String("end", string(r.end)))
	if r.mode != 0 {
		attrs = append(attrs, slog.String("mode", r.mode.String()), slog.Float64("held", r.held.Seconds()))
	}
	if r.route != "" {
		attrs = append(attrs, slog.String("route", r.route))
	}
	if r.agent != "" {
		attrs = append(attrs, slog.String("user_agent", r.agent))
	}
	return attrs
}

// ends notes how the connection's request ends, unless that is known.
func (c *conn) ends(how ending) {
	if c.record != nil {
		c.record.ends(how)
	}
}

// log gives the record of the request that has ended to the access log.
func (c *conn) log() {
	r := c.record
	c.record = nil
	c.loop.edge.accessLog.add(r)
}

// logEnded does so if the client has its answer.
func (c *conn) logEnded() {
	if c.record != nil && c.record.end != "" {
		c.log()
	}
}
