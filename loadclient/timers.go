package main

import "time"

// timers holds at most one deadline a client, in a binary heap that knows each
// client's place. A client always waits for one thing only (a connect, an
// answer, the end of a rest), so one timer is enough. Nothing here allocates but
// the constructor.
type timers struct {
	heap  []timer
	place []int32 // by client: index in heap, -1 when it has no timer
}

type timer struct {
	at     time.Duration
	client int32
}

func newTimers(clients int) *timers {
	t := &timers{heap: make([]timer, 0, clients), place: make([]int32, clients)}
	for i := range t.place {
		t.place[i] = -1
	}
	return t
}

// set gives client the deadline at, in place of the one it may have.
func (t *timers) set(client int32, at time.Duration) {
	i := int(t.place[client])
	if i < 0 {
		i = len(t.heap)
		t.heap = append(t.heap, timer{})
	}
	t.put(i, timer{at, client})
	t.up(t.down(i))
}

// next returns the earliest deadline; ok is false when there is none.
func (t *timers) next() (at time.Duration, ok bool) {
	if len(t.heap) == 0 {
		return 0, false
	}
	return t.heap[0].at, true
}

// expired takes out the client with the earliest deadline if that is not
// after now.
func (t *timers) expired(now time.Duration) (client int32, ok bool) {
	if len(t.heap) == 0 || t.heap[0].at > now {
		return 0, false
	}
	client = t.heap[0].client
	t.remove(client)
	return client, true
}

// remove takes away the deadline that client may have.
func (t *timers) remove(client int32) {
	i := int(t.place[client])
	if i < 0 {
		return
	}
	t.place[client] = -1
	last := len(t.heap) - 1
	moved := t.heap[last]
	t.heap = t.heap[:last]
	if i < last {
		t.put(i, moved)
		t.up(t.down(i))
	}
}

func (t *timers) put(i int, e timer) {
	t.heap[i] = e
	t.place[e.client] = int32(i)
}

// up moves the timer at i towards the root until its parent is not later.
func (t *timers) up(i int) {
	e := t.heap[i]
	for i > 0 {
		parent := (i - 1) / 2
		if t.heap[parent].at <= e.at {
			break
		}
		t.put(i, t.heap[parent])
		i = parent
	}
	t.put(i, e)
}

// down moves the timer at i towards the leaves until no child is earlier, and
// returns its new index.
func (t *timers) down(i int) int {
	e := t.heap[i]
	for {
		child := 2*i + 1
		if child >= len(t.heap) {
			break
		}
		if right := child + 1; right < len(t.heap) && t.heap[right].at < t.heap[child].at {
			child = right
		}
		if e.at <= t.heap[child].at {
			break
		}
		t.put(i, t.heap[child])
		i = child
	}
	t.put(i, e)
	return i
}
