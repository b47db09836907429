package main

import (
	"net/http"
	"sync/atomic"
	"testing"
)

// An origin that is away when a hold must be asked again does not cost the
// client its hold: it is asked until it answers.
func TestHoldOutlivesOrigin(t *testing.T) {
	for _, args := range [][]string{nil, {"-share-all"}} {
		var away atomic.Int32
		h := &headline{id: 1}
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if away.Add(-1) >= 0 {
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(w, req)
		}), args...)
		cs := r.poll(4, 1)
		r.waitHolds(4)
		for h.change() < 3 {
		}
		away.Store(4)
		r.publish(headlineItem(3)) // follows 2, which nobody here has seen
		for _, c := range cs {
			c.wantAnswer(http.StatusOK, headlineBody(3))
		}
	}
}
