package main

import (
	"fmt"
	"testing"
)

// TestValidatorsOf checks that validators that come again are not kept twice, and
// that no more than some are kept of a headline.
func TestValidatorsOf(t *testing.T) {
	of := func(h *headline, etag, modified string) *validators {
		return h.validatorsOf(response{etag: []byte(etag), modified: []byte(modified)})
	}
	h := &headline{id: 1}
	first := of(h, "0", "Monday")
	if v := of(h, "0", "Monday"); v != first {
		t.Error("the same validators were kept twice")
	}
	for _, other := range []*validators{of(h, "0", "Tuesday"), of(h, "1", "Monday"), of(h, "", "")} {
		if other == first {
			t.Errorf("%+v are taken for others", *other)
		}
	}
	for n := range 100 {
		of(h, fmt.Sprint(n), "Wednesday")
	}
	if len(h.validators) != maxValidators || *h.validators[maxValidators-1] != (validators{"99", "Wednesday"}) {
		t.Errorf("%d kept, want the newest %d", len(h.validators), maxValidators)
	}
	if *first != (validators{"0", "Monday"}) {
		t.Errorf("who has the first has %+v now", *first)
	}
}
