package fanout

import (
	"sync"
	"sync/atomic"
)

// wires is the byte forms of something that many clients get, each built when the
// first client needs it. There are one or two in practice, so a list is the
// shortest way to them. Safe from any goroutine.
type wires struct {
	first atomic.Pointer[wire]
	mu    sync.Mutex // builds and adds
}

type wire struct {
	variant Variant
	bytes   []byte
	next    *wire
}

// of returns the bytes for a variant: those that there are, or what build makes.
func (ws *wires) of(v Variant, build func(Variant) []byte) []byte {
	if w := ws.find(v); w != nil {
		return w.bytes
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.find(v); w != nil {
		return w.bytes
	}
	w := &wire{variant: v, bytes: build(v), next: ws.first.Load()}
	ws.first.Store(w)
	return w.bytes
}

func (ws *wires) find(v Variant) *wire {
	for w := ws.first.Load(); w != nil; w = w.next {
		if w.variant == v {
			return w
		}
	}
	return nil
}
