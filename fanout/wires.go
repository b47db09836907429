package fanout

import "sync/atomic"

// wires is the byte forms of something that many clients get, each built when the
// first client needs it. There are one or two in practice, so a list is the
// shortest way to them. Read from any goroutine; the owner's lock guards add.
type wires struct{ first atomic.Pointer[wire] }

type wire struct {
	variant Variant
	bytes   []byte
	next    *wire
}

// get returns the bytes for a variant, if they are built.
func (ws *wires) get(v Variant) ([]byte, bool) {
	for w := ws.first.Load(); w != nil; w = w.next {
		if w.variant == v {
			return w.bytes, true
		}
	}
	return nil, false
}

func (ws *wires) add(v Variant, bytes []byte) {
	ws.first.Store(&wire{variant: v, bytes: bytes, next: ws.first.Load()})
}
