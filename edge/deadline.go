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

// wheel keeps the deadlines of one loop's connections, or of its streams: a timer
// wheel (Varghese and Lauck, scheme 6) whose lists run through the entries
// themselves. Since every connection always has a deadline, it is also the list
// of them. Loop only.
//
// Moving a deadline further away, which is what nearly every request and every
// message of a stream does, writes one field: the entry is found where it was
// and put on.
type wheel[E entry[E]] struct {
	slots [wheelSlots]E // first of each list
	now   int64         // ticks that have been dealt with
}

// entry is what can have a deadline.
type entry[E any] interface {
	comparable
	deadline() *timer[E] // the same at each call
}

// timer is an entry's place in the wheel.
type timer[E any] struct {
	next, prev E
	due        int64 // tick at which the deadline has passed
	visit      int64 // tick at which the wheel comes by
	set        bool
}

// set gives e a deadline in d or up to one tick later, in place of the one it
// has.
func (w *wheel[E]) set(e E, d time.Duration) {
	t := e.deadline()
	t.due = w.now + 1 + int64((d+tick-1)/tick)
	if t.set && t.visit <= t.due {
		return
	}
	w.remove(e)
	w.insert(e)
}

func (w *wheel[E]) insert(e E) {
	var none E
	t := e.deadline()
	t.visit = min(t.due, w.now+wheelSlots)
	slot := &w.slots[t.visit%wheelSlots]
	t.next, t.prev, t.set = *slot, none, true
	if t.next != none {
		t.next.deadline().prev = e
	}
	*slot = e
}

// remove takes e out; an entry that is not in is left alone.
func (w *wheel[E]) remove(e E) {
	var none E
	t := e.deadline()
	if !t.set {
		return
	}
	if t.prev != none {
		t.prev.deadline().next = t.next
	} else {
		w.slots[t.visit%wheelSlots] = t.next
	}
	if t.next != none {
		t.next.deadline().prev = t.prev
	}
	*t = timer[E]{due: t.due}
}

// advance moves on by one tick and appends those whose deadline has passed to
// due. They have no deadline until they are given one.
func (w *wheel[E]) advance(due []E) []E {
	var none E
	w.now++
	for e := w.slots[w.now%wheelSlots]; e != none; {
		t := e.deadline()
		next := t.next
		w.remove(e)
		if t.due <= w.now {
			due = append(due, e)
		} else {
			w.insert(e)
		}
		e = next
	}
	return due
}

// each calls f for every entry. f may remove that one.
func (w *wheel[E]) each(f func(E)) {
	var none E
	for _, e := range w.slots {
		for e != none {
			next := e.deadline().next
			f(e)
			e = next
		}
	}
}
