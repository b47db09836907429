package main

import (
	"cmp"
	"context"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// goShare is which part of the control group's limit Go may take before it
	// spends more time on collecting garbage instead. The rest is for what it
	// does not count: the kernel's memory for sockets, and pages of the binary.
	goShare = 0.9

	// The shares of a limit in use at which something is done, from what costs
	// others little to what costs more. Each state lasts until the share is below
	// that of the state before, so that nothing flaps.
	memoryAmple  = 0.65
	memoryTight  = 0.75
	memoryScarce = 0.85

	// memoryCheck is how often one looks. 5,000 connections may come in between:
	// about 25 MB, most of it the kernel's.
	memoryCheck = 250 * time.Millisecond
	// memoryRelief is how often garbage is collected, and slow clients are cut
	// off, while memory is short.
	memoryRelief = 2 * time.Second
	// leastQueued is how many bytes must wait for a loop's slow clients for it to
	// be worth cutting some off.
	leastQueued = 64 << 10
)

// memoryState is how much memory is left:
//
//	ample → tight → scarce
//	  ↑ ↑______│       │
//	  └────────────────┘
type memoryState uint8

const (
	ample  memoryState = iota
	tight              // slow clients with the longest queues are cut off
	scarce             // and nobody new is let in, or held, who was not before
)

// memoryStates is what the log says of each.
var memoryStates = [...]string{
	ample:  "memory suffices again",
	tight:  "memory is tight: slow clients are cut off if much waits for them",
	scarce: "memory is scarce: new connections and new holds are refused",
}

// next returns the state at a share of the limit in use.
func (s memoryState) next(used float64) memoryState {
	switch {
	case used >= memoryScarce, s == scarce && used >= memoryTight:
		return scarce
	case used >= memoryTight, s != ample && used >= memoryAmple:
		return tight
	}
	return ample
}

// memory knows how much of its memory the process uses, and keeps it from being
// killed by the kernel: when most of it is in use, load is shed.
type memory struct {
	// Immutable.
	log    *slog.Logger
	root   fs.FS
	groups []cgroup
	// goLimit is what Go may take, in bytes; 0 for no limit. It is GOMEMLIMIT, or
	// follows from the control groups.
	goLimit int64

	// Any goroutine.
	scarce    atomic.Bool
	shortages atomic.Int64  // times that it became scarce
	share     atomic.Uint64 // in use: math.Float64bits
	refused   atomic.Int64  // holds
	cut       atomic.Int64  // slow clients

	// memoryLoop only.
	state    memoryState
	relieved time.Time // when it began to collect garbage last
	weighs   bool      // what that has freed is still to be seen
	samples  []runtimemetrics.Sample

	// What is alive is known only after a collection, which also gives the rest back
	// to the kernel. Meanwhile memoryLoop goes on: there is one at a time.
	collecting  atomic.Bool
	collections sync.WaitGroup
}

// newMemory finds the limits, and sets Go's unless the environment has. root is
// the root directory.
func newMemory(log *slog.Logger, root fs.FS) *memory {
	m := &memory{log: log, root: root, samples: make([]runtimemetrics.Sample, len(memoryClasses))}
	for i, name := range memoryClasses {
		m.samples[i].Name = name
	}
	var err error
	if m.groups, err = cgroups(root); err != nil {
		log.Debug("no limit on memory is known", "err", err)
	}
	least := int64(math.MaxInt64)
	for _, g := range m.groups {
		least = min(least, g.limit)
	}
	given := os.Getenv("GOMEMLIMIT")
	if given == "" && len(m.groups) > 0 {
		debug.SetMemoryLimit(int64(goShare * float64(least)))
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		m.goLimit = limit
	}
	switch {
	case given != "":
		log.Info("memory limit of the environment", "GOMEMLIMIT", given, "limit_bytes", m.limit())
	case len(m.groups) > 0:
		log.Info("memory limit of the control group", "GOMEMLIMIT", m.goLimit, "limit_bytes", least)
	}
	return m
}

// limit returns the lowest limit of a control group, or Go's without one; 0 for
// no limit.
func (m *memory) limit() int64 {
	limit := m.goLimit
	for i, g := range m.groups {
		if i == 0 || g.limit < limit {
			limit = g.limit
		}
	}
	return limit
}

// memoryClasses are the metrics of the runtime that heap reads: what Go has got
// from the kernel, four parts of it to take off, and what to put in their place;
// and what allocated does.
var memoryClasses = []string{
	"/memory/classes/total:bytes",
	"/memory/classes/heap/released:bytes",
	"/memory/classes/heap/free:bytes",
	"/memory/classes/heap/unused:bytes",
	"/memory/classes/heap/objects:bytes",
	"/gc/heap/live:bytes",
	"/gc/heap/allocs:bytes",
}

// heap returns the bytes that Go cannot do without: what was alive at the last
// collection, and all that is no heap.
func (m *memory) heap() int64 {
	runtimemetrics.Read(m.samples)
	n := int64(m.samples[0].Value.Uint64())
	for _, part := range m.samples[1:5] {
		n -= int64(part.Value.Uint64())
	}
	return n + int64(m.samples[5].Value.Uint64())
}

// allocated returns the bytes that have ever been allocated.
func (m *memory) allocated() uint64 {
	runtimemetrics.Read(m.samples)
	return m.samples[6].Value.Uint64()
}

// inUse returns the largest share of a limit that is in use.
func (m *memory) inUse() (used float64) {
	if m.goLimit > 0 {
		used = float64(m.heap()) / float64(m.goLimit)
	}
	for _, g := range m.groups {
		n, err := g.used(m.root)
		if err != nil {
			m.log.Debug("cannot read what memory is used", "err", err)
			continue
		}
		used = max(used, float64(n)/float64(g.limit))
	}
	m.share.Store(math.Float64bits(used))
	return used
}

// check looks at what is in use, has freed what can be freed without loss, and
// reports whether slow clients are to be cut off. One goroutine calls it.
func (m *memory) check(now time.Time) (cut bool) {
	next := m.state.next(m.inUse())
	switch {
	case m.collecting.Load():
		if next == scarce { // it may be over before that ends
			m.enter(next)
		}
		return false
	case next != ample && now.Sub(m.relieved) >= memoryRelief:
		m.relieved, m.weighs = now, true
		m.collect()
		if next == scarce {
			m.enter(next)
		}
		return false
	}
	m.enter(next)
	cut = m.weighs && m.state != ample
	m.weighs = false
	return cut
}

// collect begins to collect garbage, and to give it back to the kernel, unless that
// is being done.
func (m *memory) collect() {
	if m.collecting.Swap(true) {
		return
	}
	m.collections.Go(func() {
		defer m.collecting.Store(false)
		debug.FreeOSMemory()
	})
}

// enter makes next the state.
func (m *memory) enter(next memoryState) {
	if next == m.state {
		return
	}
	level := slog.LevelWarn
	if next < m.state {
		level = slog.LevelInfo
	}
	if next == scarce {
		m.shortages.Add(1)
	}
	m.state = next
	m.scarce.Store(next == scarce) // before it is said
	used := math.Float64frombits(m.share.Load())
	m.log.Log(context.Background(), level, memoryStates[next], "in_use_percent", int(100*used), "limit_bytes", m.limit())
}

// memoryLoop looks after memory until stopCh closes: less often where nothing
// limits it, so that an idle edge sleeps.
func (e *edge) memoryLoop(stopCh <-chan struct{}) {
	defer e.memory.collections.Wait()
	period := memoryCheck
	if e.memory.goLimit == 0 && len(e.memory.groups) == 0 {
		period = lullCheck
	}
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	var l lull
	for n := 0; ; n++ {
		select {
		case <-stopCh:
			return
		case now := <-ticker.C:
			if e.memory.check(now) {
				for _, l := range e.loops {
					l.post(l.cutSlow)
				}
			}
			if n%int(lullCheck/period) == 0 && l.look(now, e.memory.allocated(), e.connections.Load()) {
				e.memory.collect()
			}
		}
	}
}

// cutSlow cuts off the slow clients for whom most is waiting, until half of what
// waits for all is freed: a few that read nothing can keep what thousands need.
func (l *loop) cutSlow() {
	var slow []*conn
	all := 0
	l.wheel.each(func(c *conn) {
		if n := c.waiting(); n > 0 {
			slow, all = append(slow, c), all+n
		}
	})
	if all < leastQueued {
		return
	}
	slices.SortFunc(slow, func(a, b *conn) int { return cmp.Compare(b.waiting(), a.waiting()) })
	for freed, i := 0, 0; freed < all/2; i++ {
		freed += slow[i].waiting()
		l.edge.memory.cut.Add(1)
		slow[i].cutOff(endMemory)
	}
}
