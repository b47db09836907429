package fanout

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"marquee/grip"
)

// TestNobodyIsLeftBehind lets publishers publish at random moments while 1,000
// clients on several loops poll, each with the id that it got last. Time is the
// bubble's: it moves on only when everybody waits, so a client that is stranded
// is found at once, and seldom are two runs alike.
func TestNobodyIsLeftBehind(t *testing.T) {
	for _, tt := range []struct {
		name              string
		loops, publishers int
		items             int64
	}{
		{"one loop", 1, 1, 100},
		{"four loops", 4, 1, 200},
		{"four loops, publishers that overtake each other", 4, 4, maxEarly},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				playTown(t, tt.loops, tt.publishers, tt.items)
			})
		})
	}
}

// town is an origin with a number, that everybody in it wants to know.
type town struct {
	t         *testing.T
	hub       *Hub
	last      int64 // the final number
	number    atomic.Int64
	asking    sync.WaitGroup // questions that the origin has not answered
	matched   atomic.Int64   // pollers answered by items
	told      atomic.Int64   // pollers answered by the origin
	awaited   atomic.Int64   // pollers that do not know the last number
	arrivedCh chan struct{}  // closed when all do
}

func playTown(t *testing.T, loops, publishers int, items int64) {
	const pollers = 1000
	tn := &town{t: t, last: items, arrivedCh: make(chan struct{})}
	tn.hub = NewHub(time.Now, func(r Receipt) {
		if r.Queued+r.Dropped > 0 || r.Matched != r.Written || !r.Complete {
			t.Errorf("got receipt %+v, want all written", r)
		}
		tn.matched.Add(r.Matched)
	})
	stopCh := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for ticker := time.NewTicker(time.Second); ; {
			select {
			case <-ticker.C:
				tn.hub.Tick()
			case <-stopCh:
				return
			}
		}
	})
	tn.awaited.Store(pollers)
	blocks := make([]*block, loops)
	for i := range blocks {
		b := &block{town: tn, wakeCh: make(chan struct{}, 1), open: make(map[int64]*question), all: make(map[*question]bool)}
		b.shard = tn.hub.NewShard(b.wake)
		blocks[i] = b
		running.Go(func() { b.loop(stopCh) })
	}
	for i := range pollers {
		b := blocks[i%loops]
		b.post(func() { (&poller{block: b}).poll() })
	}

	var publishing sync.WaitGroup
	for range publishers {
		publishing.Go(func() {
			for tn.change() {
				pause()
			}
		})
	}
	publishing.Wait()
	// A few rounds to the origin are milliseconds; who needs more than that
	// waits for something else, at last for the hold's timeout.
	select {
	case <-tn.arrivedCh:
	case <-time.After(time.Second):
		t.Errorf("a second after the last publish, %d of %d pollers have been left behind", tn.awaited.Load(), pollers)
	}
	// Items that were overtaken are delivered all the same, and reach nobody.
	time.Sleep(earlyWait + 2*time.Second)
	tn.asking.Wait() // now everybody holds for what does not come any more
	t.Logf("%d answers by items, %d by the origin", tn.matched.Load(), tn.told.Load())

	for _, b := range blocks {
		b.post(b.shut)
	}
	synctest.Wait()
	close(stopCh)
	running.Wait()
	st := &stage{t: t, hub: tn.hub, shards: tn.hub.shards}
	st.wantEmpty()
	if tn.matched.Load() == 0 {
		t.Error("no poller was ever answered by an item")
	}
}

// change makes and publishes the next number, until the last.
func (tn *town) change() bool {
	for {
		n := tn.number.Load()
		if n == tn.last {
			return false
		}
		if tn.number.CompareAndSwap(n, n+1) {
			pause()
			_, fate := tn.hub.Publish(item("number", strconv.FormatInt(n+1, 10), strconv.FormatInt(n, 10)))
			if fate == Duplicate || fate == Overflow {
				tn.t.Errorf("publish of %d: got fate %v, want delivered or waiting", n+1, fate)
			}
			return true
		}
	}
}

// pause takes a random time, often none.
func pause() {
	if n := rand.IntN(8); n > 3 {
		time.Sleep(time.Duration(n-3) * time.Millisecond)
	}
}

// block is one loop.
type block struct {
	town   *town
	shard  *Shard
	wakeCh chan struct{}

	mu    sync.Mutex // tasks
	tasks []func()

	// Loop only.
	open map[int64]*question // that may be joined, by the number known
	all  map[*question]bool  // that wait or hold
}

func (b *block) wake() {
	select {
	case b.wakeCh <- struct{}{}:
	default:
	}
}

func (b *block) post(f func()) {
	b.mu.Lock()
	b.tasks = append(b.tasks, f)
	b.mu.Unlock()
	b.wake()
}

func (b *block) loop(stopCh <-chan struct{}) {
	for {
		select {
		case <-b.wakeCh:
		case <-stopCh:
			return
		}
		b.mu.Lock()
		tasks := b.tasks
		b.tasks = nil
		b.mu.Unlock()
		for _, f := range tasks {
			f()
		}
		if b.shard.Turn() {
			b.wake()
		}
	}
}

// shut lets everybody go.
func (b *block) shut() {
	for q := range b.all {
		q.group.Each(func(h *Hold, _ Client) { h.Leave() })
		b.shard.Leave(&q.watch)
	}
}

// question is what some pollers of a block want to know: what comes after the
// number that they know.
type question struct {
	block *block
	known int64
	group *Group
	watch Watch
}

// put puts the question to the origin, whose answer is late by a random time,
// half of it after the origin has looked.
func (q *question) put() {
	tn := q.block.town
	tn.asking.Add(1)
	asked := time.Now()
	go func() {
		pause()
		n := tn.number.Load()
		pause()
		q.block.post(func() {
			defer tn.asking.Done()
			q.settle(n, asked)
		})
	}()
}

func (q *question) settle(n int64, asked time.Time) {
	if n != q.known {
		g := q.group
		q.end()
		q.block.town.told.Add(int64(g.Len()))
		q.block.shard.Give(g, NewAnswer(grip.Response{Body: strconv.AppendInt(nil, n, 10)}))
		return
	}
	q.watch = Watch{
		Channels: []grip.Channel{{Name: "number", PrevID: strconv.FormatInt(n, 10)}},
		Template: NewTemplate(grip.Response{}, nil),
		Group:    q.group,
		Asked:    asked,
		Asker:    q,
	}
	switch standing, a := q.block.shard.Enter(&q.watch); standing {
	case Behind:
		q.put()
	case AtHand:
		g := q.group
		q.Answered(a)
		q.block.shard.Give(g, a)
	}
}

// end makes a question that nobody joins any more.
func (q *question) end() {
	if q.block.open[q.known] == q {
		delete(q.block.open, q.known)
	}
	delete(q.block.all, q)
	q.block.shard.Leave(&q.watch)
}

func (q *question) Answered(*Answer) { q.end() }
func (q *question) Superseded()      { q.block.town.t.Error("superseded after the watch has ended") }
func (q *question) Missed()          { q.put() }
func (q *question) Closed()          { q.block.town.t.Error("a long poll was closed") }
func (q *question) Filter(*Delivery) { q.block.town.t.Error("there are no filters here") }
func (q *question) Unfiltered(error) { q.block.town.t.Error("there are no filters here") }

// poller is a client of a block, that knows the number it got last.
type poller struct {
	block *block
	hold  Hold
	known int64
}

// poll joins those who have the same question, or puts it. Some ask alone.
func (p *poller) poll() {
	b := p.block
	q := b.open[p.known]
	if q == nil || rand.IntN(50) == 0 {
		q = &question{block: b, known: p.known, group: new(Group)}
		b.open[p.known], b.all[q] = q, true
		q.put()
	}
	q.group.Join(&p.hold, p)
}

func (p *poller) Append(*Piece) Outcome { panic("a long poll is no stream") }
func (p *poller) Finish()               { panic("a long poll is no stream") }

func (p *poller) Deliver(wire []byte) Outcome {
	c := client{}
	c.Deliver(wire)
	n, err := strconv.ParseInt(c.got[0], 10, 64)
	if err != nil || n <= p.known {
		p.block.town.t.Errorf("a poller that knows %d got %q", p.known, c.got[0])
		return Dropped
	}
	p.known = n
	if tn := p.block.town; n == tn.last && tn.awaited.Add(-1) == 0 {
		close(tn.arrivedCh)
	}
	p.poll()
	return Written
}
