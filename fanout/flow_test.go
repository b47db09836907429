package fanout

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"marquee/grip"
)

// TestEveryMessageOnceAndInOrder lets publishers lose, repeat and reorder what they
// publish on two channels, while streams come and go on several loops, pause
// and merge, with an origin that answers links late. Whoever stays gets every
// message of each channel once and in order. Time is the bubble's, as in
// TestNobodyIsLeftBehind. MARQUEE_FLOWS is how many runs there are, 4 without it.
func TestEveryMessageOnceAndInOrder(t *testing.T) {
	runs := 4
	if n, err := strconv.Atoi(os.Getenv("MARQUEE_FLOWS")); err == nil {
		runs = n
	}
	for run := range runs {
		t.Run(fmt.Sprintf("seed %d", run), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playRiver(t, uint64(run)) })
		})
	}
}

// river is an origin with a log of messages, 1, 2, 3 ..., for each channel.
type river struct {
	t      *testing.T
	hub    *Hub
	last   int64 // message of every channel
	logs   map[string]*atomic.Int64
	asking sync.WaitGroup // links that have not been answered
	links  atomic.Int64
	items  atomic.Int64 // appended

	mu     sync.Mutex // random
	random *rand.Rand
}

// n returns a random number below n.
func (rv *river) n(n int) int {
	rv.mu.Lock()
	defer rv.mu.Unlock()
	return rv.random.IntN(n)
}

// pause takes a random time below d, often none.
func (rv *river) pause(d time.Duration) {
	if rv.n(2) == 0 {
		time.Sleep(time.Duration(rv.n(int(d))))
	}
}

const (
	// linkTimeout is after how long without an item on every channel streams ask
	// the origin.
	linkTimeout = time.Second
	// riverStreams is how many streams come: more than one turn writes to.
	riverStreams = 3 * turnWrites
)

func playRiver(t *testing.T, seed uint64) {
	rv := &river{t: t, last: 150, random: rand.New(rand.NewPCG(seed, 0)), logs: map[string]*atomic.Int64{"a": {}, "b": {}}}
	rv.hub = NewHub(time.Now, func(r Receipt) {
		if !r.Complete || r.Matched != r.Written+r.Dropped {
			t.Errorf("got receipt %+v, want it complete, and all written or dropped", r)
		}
		rv.items.Add(r.Written)
	})
	loops := 1 + rv.n(3)
	stopCh := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for ticker := time.NewTicker(time.Second); ; {
			select {
			case <-ticker.C:
				rv.hub.Tick()
			case <-stopCh:
				return
			}
		}
	})
	banks := make([]*bank, loops)
	for i := range banks {
		b := &bank{block: block{wakeCh: make(chan struct{}, 1)}, river: rv, all: make(map[*flow]bool)}
		b.shard = rv.hub.NewShard(b.wake)
		banks[i] = b
		running.Go(func() { b.loop(stopCh) })
		running.Go(func() {
			for ticker := time.NewTicker(50 * time.Millisecond); ; {
				select {
				case <-ticker.C:
					b.post(b.tick)
				case <-stopCh:
					return
				}
			}
		})
	}
	var coming sync.WaitGroup
	coming.Go(func() {
		for i := range riverStreams {
			b := banks[i%loops]
			b.post(func() { b.open() })
			rv.pause(2 * time.Millisecond)
		}
	})
	for name := range rv.logs {
		for range 1 + rv.n(3) {
			coming.Go(func() {
				for rv.write(name) {
					rv.pause(30 * time.Millisecond)
				}
			})
		}
	}
	coming.Wait()

	// What was lost at last is found out by the link's timeout, behind all that
	// may have to be waited for before.
	time.Sleep(3 * (earlyWait + linkTimeout))
	for _, b := range banks {
		b.post(b.shut)
	}
	synctest.Wait()
	close(stopCh)
	running.Wait()
	rv.asking.Wait() // for answers that nobody reads
	t.Logf("%d loops: %d links, %d pieces written", loops, rv.links.Load(), rv.items.Load())
	if rv.links.Load() == 0 || rv.items.Load() == 0 {
		t.Error("no link was asked for, or nothing appended by items")
	}
	st := &stage{t: t, hub: rv.hub, shards: rv.hub.shards}
	st.wantEmpty()
}

// write logs the next message of a channel and publishes it, unless that goes
// wrong. It reports whether there was one.
func (rv *river) write(name string) bool {
	log := rv.logs[name]
	n := log.Load()
	if n == rv.last {
		return false
	}
	if !log.CompareAndSwap(n, n+1) {
		return true
	}
	id, prevID := strconv.FormatInt(n+1, 10), strconv.FormatInt(n, 10)
	it := streamItem(name, id, prevID)
	it.HTTPStream.Content = message(name, n+1)
	switch rv.n(12) {
	case 0:
		return true // lost
	case 1:
		rv.asking.Go(func() { // late
			time.Sleep(time.Duration(rv.n(int(2 * earlyWait))))
			rv.hub.Publish(it)
		})
		return true
	case 2:
		rv.hub.Publish(it) // twice
	case 3:
		rv.hub.Publish(grip.Item{Channel: name, HTTPStream: &grip.HTTPStream{Action: grip.Hint}, NoSeq: rv.n(2) == 0})
	case 4:
		rv.pause(50 * time.Millisecond) // overtaken
	}
	rv.hub.Publish(it)
	return true
}

func message(name string, n int64) []byte { return fmt.Appendf(nil, "%s%d;", name, n) }

// bank is one loop.
type bank struct {
	block
	river *river
	all   map[*flow]bool // loop only
}

// tick does what is due.
func (b *bank) tick() {
	b.shard.Recheck(2)
	if b.river.n(20) == 0 {
		b.shard.Doubt("b")
	}
	for f := range b.all {
		if f.settled() && time.Since(later(f.since, f.watch.Refreshed())) > linkTimeout && b.shard.Pause(&f.watch) {
			f.ask()
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// open begins one more stream: it joins others that have come as far, or asks
// for itself.
func (b *bank) open() {
	r := &reader{bank: b, got: make(map[string]int64)}
	begins := make(map[string]int64)
	for name, log := range b.river.logs {
		begins[name] = log.Load()
	}
	b.river.asking.Go(func() {
		b.river.pause(20 * time.Millisecond) // the answer is on its way
		b.post(func() {
			maps.Copy(r.got, begins)
			f := &flow{bank: b, group: new(Group)}
			f.watch = Watch{Mode: grip.HoldStream, Channels: state(begins), Group: f.group, Asker: f}
			for o := range b.all {
				if o.settled() && o.at() == f.at() && !o.group.Answering() {
					o.group.Join(&r.hold, r)
					return
				}
			}
			f.group.Join(&r.hold, r)
			b.all[f] = true
			f.enter()
		})
	})
}

// shut checks that all are where they should be, and lets them go.
func (b *bank) shut() {
	for f := range b.all {
		f.group.Each(func(h *Hold, c Client) {
			r := c.(*reader)
			for name := range b.river.logs {
				if r.got[name] != b.river.last {
					b.river.t.Errorf("a stream has come to message %d of %s, want %d (the watch: %v, it pauses %t)",
						r.got[name], name, b.river.last, f.watch.Channels, f.watch.paused)
				}
			}
			h.Leave()
		})
		f.end()
	}
	b.shard.Recheck(1) // forgets who is in doubt and has left
}

// flow is streams that have come to the same point.
type flow struct {
	bank  *bank
	group *Group
	watch Watch
	since time.Time // it holds; zero while the origin is asked
	put   int       // times that the origin was asked
}

// state writes channels down in the order of their names.
func state(at map[string]int64) (cs []grip.Channel) {
	for _, name := range slices.Sorted(maps.Keys(at)) {
		cs = append(cs, grip.Channel{Name: name, PrevID: strconv.FormatInt(at[name], 10)})
	}
	return cs
}

func (f *flow) settled() bool { return !f.since.IsZero() && f.watch.places != nil && !f.watch.paused }

// at is the point that the streams have come to, or come to with what is on its
// way.
func (f *flow) at() string {
	var b strings.Builder
	for _, c := range f.watch.Channels {
		b.WriteString(c.String())
	}
	return b.String()
}

func (f *flow) enter() {
	f.watch.Asked = time.Now()
	if standing, _ := f.bank.shard.Enter(&f.watch); standing == Behind {
		f.ask()
	} else if !f.watch.paused {
		f.since = time.Now()
	}
}

// ask asks the link: what there is after the point where the streams are.
func (f *flow) ask() {
	rv := f.bank.river
	f.since = time.Time{}
	f.put++
	put := f.put
	from := make(map[string]int64)
	for _, c := range f.watch.Channels {
		from[c.Name], _ = strconv.ParseInt(c.PrevID, 10, 64)
	}
	rv.links.Add(1)
	asked := time.Now()
	rv.asking.Go(func() {
		rv.pause(20 * time.Millisecond)
		to := make(map[string]int64)
		var content []byte
		for name, n := range from {
			to[name] = rv.logs[name].Load()
			if rv.n(10) == 0 {
				to[name] = min(to[name], n+1) // so many and no more at a time
			}
			for n++; n <= to[name]; n++ {
				content = append(content, message(name, n)...)
			}
		}
		rv.pause(20 * time.Millisecond)
		f.bank.post(func() {
			if f.put != put || !f.bank.all[f] {
				return
			}
			f.watch.Asked = asked
			if len(content) > 0 {
				f.bank.shard.Append(f.group, NewPiece(content))
			}
			if f.watch.places == nil { // it was behind before it held
				f.watch.Channels = state(to)
				f.enter()
				return
			}
			if f.bank.shard.Resume(&f.watch, state(to)) == Behind {
				f.ask()
			} else if !f.watch.paused && f.put == put {
				f.since = time.Now()
			}
		})
	})
}

func (f *flow) end() {
	delete(f.bank.all, f)
	f.bank.shard.Leave(&f.watch)
}

func (f *flow) Missed()            { f.ask() }
func (f *flow) Answered(*Answer)   { f.bank.river.t.Error("streams were answered") }
func (f *flow) Superseded()        { f.bank.river.t.Error("streams were superseded") }
func (f *flow) Closed()            { f.bank.river.t.Error("streams were closed") }
func (f *flow) Filter(*Delivery)   { f.bank.river.t.Error("there are no filters here") }
func (f *flow) Unfiltered(e error) { f.bank.river.t.Error("there are no filters here") }

// reader is a client of a stream. It checks what it gets, and may leave at any
// time, or come with others.
type reader struct {
	bank *bank
	hold Hold
	got  map[string]int64
}

func (r *reader) Append(p *Piece) Outcome {
	b := r.bank
	for m := range strings.SplitSeq(strings.TrimSuffix(string(p.Wire(Raw)), ";"), ";") {
		if m == keepAlive {
			continue
		}
		n, err := strconv.ParseInt(m[1:], 10, 64)
		if err != nil || n != r.got[m[:1]]+1 {
			b.river.t.Errorf("a stream at message %d of %s got %q", r.got[m[:1]], m[:1], m)
		}
		r.got[m[:1]] = n
	}
	g := r.hold.Group()
	switch b.river.n(3000) {
	case 0:
		r.hold.Leave()
	case 1:
		r.hold.Leave()
		b.open()
		return Dropped
	case 2, 3, 4:
		b.joinNow(g)
	case 5:
		b.shard.Append(g, NewPiece([]byte(keepAlive+";")))
		b.joinNow(g)
	case 6:
		for f := range b.all {
			if f.group == g && f.settled() && b.shard.Pause(&f.watch) {
				f.ask()
			}
		}
	}
	return Written
}

// keepAlive is content that is no message.
const keepAlive = "keep-alive"

// joinNow adds a stream to those of g, from the point to which they come with
// what is on its way.
func (b *bank) joinNow(g *Group) {
	for f := range b.all {
		if f.group == g && f.settled() {
			r := &reader{bank: b, got: make(map[string]int64)}
			for _, c := range f.watch.Channels {
				r.got[c.Name], _ = strconv.ParseInt(c.PrevID, 10, 64)
			}
			g.Join(&r.hold, r)
		}
	}
}

func (r *reader) Deliver([]byte) Outcome { panic("a stream is no long poll") }
func (r *reader) Finish()                { r.bank.river.t.Error("a stream was ended") }
