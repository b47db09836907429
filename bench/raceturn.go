package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A raceTurn is one contender under one workload, once, with a fresh process.
type raceTurn struct {
	stderr   io.Writer
	workload *raceWorkload
	clients  int
	result   *raceResult // gets the samples

	feed    *feed
	entrant *entrant
	pids    []int // of the entrant, as found last
	pace    int   // of the contender
	changes int   // that are measured

	mu   sync.Mutex
	load *process // nil until it has begun
	// readings are from before the clients come, and from the first and the last
	// measured change, before anybody is told of it.
	readings []reading
	err      error  // why one could not be taken
	trace    *trace // nil when it is not traced, or not yet
}

// A reading is what has been used until a change.
type reading struct {
	server, client time.Duration // CPU time
	memory, slab   float64       // bytes, 0 when not read
}

// Changes as the feed counts them: the one that warms up, those that are measured,
// and one that only ends the last measured one's time.
const (
	changeWarm  = 1
	changeFirst = 2
)

// changeLast is the number of the last change of a turn.
func (t *raceTurn) changeLast() int { return changeFirst + t.changes }

// pacedChanges are measured of polls that come back at a contender's pace.
const pacedChanges = 2

// run starts the contender, has the load come, and stops both.
func (t *raceTurn) run(ctx context.Context, c *contender, cert *certificate) (err error) {
	if t.feed, err = startFeed(t.stderr); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.feed.close()) }()
	t.pace, t.changes = c.pace, t.workload.changes
	if t.pace > 0 && !t.workload.stream {
		t.changes = min(t.changes, pacedChanges) // it takes long until all poll again
	}
	a := arena{feed: t.feed}
	if t.workload.tls {
		a.cert = cert
	}
	if t.entrant, err = c.start(ctx, t.stderr, a); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.entrant.stop()) }()
	if t.pids, err = t.entrant.pids(); err != nil {
		return err
	}
	channels := 0
	if t.workload.each {
		channels = t.clients
	}
	ctx, cancel := until(ctx, t.entrant.process)
	defer cancel()
	onChange := t.changed
	if t.workload.tls {
		onChange = nil
	}
	if err := t.feed.begin(ctx, t.entrant, channels, onChange); err != nil {
		return err
	}
	if t.workload.tls {
		return t.secure(ctx, cert)
	}
	return t.plain(ctx)
}

// plain has the load client come.
func (t *raceTurn) plain(ctx context.Context) error {
	empty, err := t.read(true)
	if err != nil {
		return err
	}
	t.readings = append(t.readings, empty)
	load, err := startMeasuredLoad(t.stderr, t.arguments()...)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.load = load.process
	t.mu.Unlock()
	result, complaint := load.result(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trace != nil { // the load did not get to its last change
		_, err := t.trace.end()
		return errors.Join(complaint, err)
	}
	if context.Cause(ctx) != nil || len(result.Changes) < 1+t.changes || t.err != nil {
		return errors.Join(t.err, complaint, context.Cause(ctx))
	}
	// That some deliveries were lost is a result, too.
	t.take(result)
	return nil
}

// arguments are the load client's.
func (t *raceTurn) arguments() []string {
	w, e := t.workload, t.entrant
	at := e.pollURL
	if w.stream {
		at = e.streamURL
	}
	channel := channelOne
	if w.each {
		channel = channelEach
	}
	rate, rest, jitter := 20000, 100*time.Millisecond, 200*time.Millisecond
	switch {
	case t.pace > 0:
		rate = t.pace
		jitter = max(jitter, time.Duration(t.clients)*time.Second/time.Duration(t.pace))
	case w.rush:
		rate = 0
	}
	if w.every == 0 {
		rest, jitter = 0, 0
	}
	args := []string{
		"-c", strconv.Itoa(t.clients), "-url", at(channel), "-speaks", e.speaks, "-rate", strconv.Itoa(rate),
		"-repoll-delay", rest.String(), "-repoll-jitter", jitter.String(),
		"-post", t.feed.url(), "-changes", strconv.Itoa(t.changes + 2), "-every", w.every.String(),
	}
	if w.stream {
		args = append(args, "-stream")
	}
	if w.gzip {
		args = append(args, "-gzip")
	}
	if w.body > 0 {
		args = append(args, "-size", strconv.Itoa(w.body))
	}
	return args
}

// changed takes the reading of the n-th change. It is short at those that are
// measured, since their time has begun.
func (t *raceTurn) changed(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.changeLast()
	if n == changeWarm {
		// Some start their workers when they listen already.
		t.pids, t.err = t.entrant.pids()
	}
	switch {
	case t.err != nil:
	case t.workload.traced:
		t.err = t.tracedChange(n)
	case n == changeFirst || n == last:
		var r reading
		r, t.err = t.read(n == last)
		t.readings = append(t.readings, r)
	}
}

// tracedChange counts system calls from the first to the last change.
func (t *raceTurn) tracedChange(n int) (err error) {
	switch n {
	case changeWarm:
		t.trace, err = startTrace(t.stderr, t.pids)
	case t.changeLast():
		var calls float64
		calls, err = t.trace.end()
		t.trace = nil
		t.result.Syscalls = append(t.result.Syscalls, calls/float64(t.clients*(1+t.changes)))
	}
	return err
}

// read takes a reading.
func (t *raceTurn) read(memory bool) (r reading, err error) {
	for _, pid := range t.pids {
		used, err := cpuTime(pid)
		if err != nil {
			return r, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
		}
		r.server += used
	}
	if t.load != nil {
		if r.client, err = t.load.cpuTime(); err != nil {
			return r, err
		}
	}
	if !memory {
		return r, nil
	}
	for _, pid := range t.pids {
		bytes, err := proportionalMemory(pid)
		if err != nil {
			return r, err
		}
		r.memory += bytes
	}
	r.slab, err = slabMemory()
	return r, err
}

// take adds up what the load client and the readings say.
func (t *raceTurn) take(result loadResult) {
	w, x := t.workload, t.result
	x.Lost += result.disorder()
	if w.traced {
		return
	}
	measured := result.Changes[1:min(len(result.Changes), 1+t.changes)]
	deliveries := float64(t.clients * len(measured))
	for i, change := range measured {
		if w.every == steadyEvery {
			break // its figures are those of all
		}
		x.First = append(x.First, change.Min)
		x.P50 = append(x.P50, change.P50)
		x.P99 = append(x.P99, change.P99)
		x.Last = append(x.Last, change.Max)
		x.Rate = append(x.Rate, float64(change.Received)/change.Max*1000)
		if next := i + 2; w.every == 0 && next < len(result.Changes) {
			x.Cycle = append(x.Cycle, result.Changes[next].Start-change.Start)
		}
	}
	if q := result.Quantiles; len(q) > 0 {
		x.Quantiles = append(x.Quantiles, q)
		if w.every == steadyEvery {
			at := func(percent int) float64 { return q[percent*(len(q)-1)/100] }
			x.First, x.P50, x.P99, x.Last = append(x.First, at(0)), append(x.P50, at(50)), append(x.P99, at(99)), append(x.Last, at(100))
			x.Rate = append(x.Rate, deliveries/(result.Streams.PostingSeconds+at(50)/1000))
		}
	}
	if w.rush && result.ConnectSeconds > 0 {
		x.Connects = append(x.Connects, float64(t.clients)/result.ConnectSeconds)
	}
	if len(t.readings) < 3 {
		return // the turn was cut short
	}
	empty, first, last := t.readings[0], t.readings[1], t.readings[2]
	x.ServerCPU = append(x.ServerCPU, microseconds(last.server-first.server)/deliveries)
	x.ClientCPU = append(x.ClientCPU, microseconds(last.client-first.client)/deliveries)
	x.Memory = append(x.Memory, (last.memory-empty.memory)/float64(t.clients))
	x.Slab = append(x.Slab, (last.slab-empty.slab)/float64(t.clients))
}

func microseconds(d time.Duration) float64 { return d.Seconds() * 1e6 }

// secure has clients of ours come by TLS, and changes the headline as the load
// client does.
func (t *raceTurn) secure(ctx context.Context, cert *certificate) error {
	c, err := subscribe(ctx, t.entrant.secureURL(channelOne), t.clients, cert.client)
	if err != nil {
		return err
	}
	defer c.leave()
	if t.entrant.speaks == speaksHeadline { // it tells who comes the present one
		if _, _, err := c.await(ctx, len(t.feed.headlines())); err != nil {
			return err
		}
	}
	for i := range 1 + t.changes {
		if pause(ctx, settling); ctx.Err() != nil {
			return context.Cause(ctx)
		}
		before, err := t.read(false)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := postHeadline(ctx, http.DefaultClient, t.feed.url(), headline); err != nil {
			return err
		}
		median, last, err := c.await(ctx, len(t.feed.headlines()))
		if err != nil {
			return err
		}
		after, err := t.read(false)
		if err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		x := t.result
		x.P50 = append(x.P50, milliseconds(median.Sub(start)))
		x.Last = append(x.Last, milliseconds(last.Sub(start)))
		x.Rate = append(x.Rate, float64(t.clients)/last.Sub(start).Seconds())
		x.ServerCPU = append(x.ServerCPU, microseconds(after.server-before.server)/float64(t.clients))
	}
	return nil
}

// settling is how long a turn's TLS clients have after they have come, and after
// each change.
const settling = 500 * time.Millisecond

// proportionalMemory returns the bytes of a process that are in memory, where those
// that n processes share count as the n-th part (PSS, proc_pid_smaps(5)).
func proportionalMemory(pid int) (float64, error) {
	return readKB(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
}

// slabMemory returns the bytes that the kernel has taken for objects of its own,
// sockets among them.
func slabMemory() (float64, error) { return readKB("/proc/meminfo", "Slab:") }

// readKB returns the bytes that a file of /proc states in kB in the line of a name.
func readKB(file, name string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		kB, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return 0, fmt.Errorf("read memory: unexpected line %q in %s", line, file)
		}
		return 1024 * kB, nil
	}
	return 0, fmt.Errorf("read memory: no %s in %s", name, file)
}
