package marquee

import (
	"runtime"
	"testing"
)

// A delivery to a held socket allocates nothing: what a change allocates is hardly
// more for thousands of sockets than for a few. This and the other gates (bench and
// httpparse have some, too) count what does not depend on the machine.
func TestGateAllocations(t *testing.T) {
	const few, many, changes = 100, 2000, 20
	allocations := func(sockets int) float64 {
		h := newHouse(t, sockets)
		for range 3 { // until the holds' slices have their size
			h.deliver()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range changes {
			h.deliver()
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / changes
	}
	atFew, atMany := allocations(few), allocations(many)
	each := (atMany - atFew) / (many - few)
	t.Logf("a change allocates %.1f times with %d sockets, %.1f times with %d: %.4f a delivery", atFew, few, atMany, many, each)
	// Measured: 0.008, for the parts that a loop does its work in.
	if most := 0.05; each > most {
		t.Errorf("a delivery allocates %.3f times, want %v at most", each, most)
	}
}
