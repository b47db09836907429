package main

import "time"

const (
	// tick is the resolution of every deadline of a connection.
	tick = 250 * time.Millisecond
	// wheelSlots ticks are one turn of the wheel; a deadline further off is
	// looked at once a turn.
	wheelSlots = 256
	// nextTick is a deadline that passes with the next tick.
	nextTick = 0
)

// wheel keeps the deadline of every connection of one loop: a timer wheel
// (Varghese and Lauck, scheme 6) whose lists run through the connections
// themselves. Since every connection always has a deadline, it is also the list
// of them. Loop only.
//
// Moving a deadline further away, which is what nearly every request does,
// writes one field: the connection is found where it was and put on.
type wheel struct {
	slots [wheelSlots]*conn // first of each list
	now   int64             // ticks that have been dealt with
}

// timer is a connection's place in the wheel.
type timer struct {
	next, prev *conn
	due        int64 // tick at which the deadline has passed
	visit      int64 // tick at which the wheel comes by
	set        bool
}

// set gives c a deadline in d or up to one tick later, in place of the one it
// has.
func (w *wheel) set(c *conn, d time.Duration) {
	t := &c.timer
	t.due = w.now + 1 + int64((d+tick-1)/tick)
	if t.set && t.visit <= t.due {
		return
	}
	w.remove(c)
	w.insert(c)
}

func (w *wheel) insert(c *conn) {
	t := &c.timer
	t.visit = min(t.due, w.now+wheelSlots)
	slot := &w.slots[t.visit%wheelSlots]
	t.next, t.prev, t.set = *slot, nil, true
	if t.next != nil {
		t.next.timer.prev = c
	}
	*slot = c
}

// remove takes c out; a connection that is not in is left alone.
func (w *wheel) remove(c *conn) {
	t := &c.timer
	if !t.set {
		return
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.visit%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	*t = timer{due: t.due}
}

// advance moves on by one tick and appends those whose deadline has passed to
// due. They have no deadline until they are given one.
func (w *wheel) advance(due []*conn) []*conn {
	w.now++
	for c := w.slots[w.now%wheelSlots]; c != nil; {
		next := c.timer.next
		w.remove(c)
		if c.timer.due <= w.now {
			due = append(due, c)
		} else {
			w.insert(c)
		}
		c = next
	}
	return due
}

// each calls f for every connection. f may remove that one.
func (w *wheel) each(f func(*conn)) {
	for _, c := range w.slots {
		for c != nil {
			next := c.timer.next
			f(c)
			c = next
		}
	}
}
