package main

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

const (
	readSize = 64 << 10 // bytes read at a time, from any client

	wakeTag = -1 // of an event, in place of a client's number

	// tick is how exactly the loop looks at the clock. Each look costs more than
	// a client's next poll, so that those of a tick are better made together.
	tick = 5 * time.Millisecond
)

var errLoopEnded = errors.New("the event loop has ended")

// pool is a group of clients on one epoll loop.
type pool struct {
	// Immutable after newPool.
	cfg        config
	log        *slog.Logger
	epoch      time.Time // zero of the pool's clock
	poller     *poller
	wakeFD     int           // eventfd: there is mail
	doneCh     chan struct{} // closed by run when the loop has ended
	newsCh     chan struct{} // cap 1; loop to printer: all started, or a change settled
	snapshotCh chan snapshot // cap 1; loop to group: when statistics are due, the latest; nil: no group

	// Event loop only; anybody's before run, and once doneCh is closed.
	clients    []client
	inState    [states]int
	timers     *timers
	ledger     *ledger
	audit      *audit // nil: none
	tally      tally
	pace       pace
	parser     responseParser
	readBuf    []byte
	requestBuf []byte

	// Of streams, likewise.
	eventParser eventParser
	idBuf       [20]byte
	order       order // of polls, too
	disorder    rate.Sometimes
	keepAlives  int // comments

	// What the clients are to do, likewise.
	target     *target // nil: not known yet
	generation uint32  // of target
	wanted     int     // clients that are not to be idle
	cursor     int     // clients before this have begun if they were to
	begun      int     // clients that have begun since the last set-up
	beganAt    time.Duration

	// What they did, likewise.
	started      int           // clients that have had their first answer
	startedAt    time.Duration // when the last one had
	errored      int           // clients whose last request failed
	connections  int
	deliveries   int
	faults       [faults]int
	complaints   [faults]rate.Sometimes
	reconnects   int           // connections the server closed that were meant to be persistent
	timeoutsHeld int           // answers without a headline
	waitingCh    chan struct{} // closed when all clients wait for a change; nil: nobody asked
	stopping     bool
	endErr       error // why the loop ended, nil when stopped

	// Any goroutine.
	gauges gauges
	mailMu sync.Mutex
	mail   []func() // to be run on the loop; guarded by mailMu
}

// newPool makes a pool of clients that are all idle until setUp. Its owner calls
// close when run has returned and nobody uses the pool any more.
func newPool(cfg config, log *slog.Logger) (*pool, error) {
	p := &pool{
		cfg:     cfg,
		log:     log,
		epoch:   time.Now(),
		doneCh:  make(chan struct{}),
		newsCh:  make(chan struct{}, 1),
		clients: make([]client, cfg.clients),
		timers:  newTimers(cfg.clients),
		readBuf: make([]byte, readSize),
	}
	if cfg.nats.URL != "" {
		p.snapshotCh = make(chan snapshot, 1)
	}
	p.ledger = newLedger(cfg.deliverWithin, cfg.watching(), p.signalNews)
	if cfg.audit {
		var err error
		if p.audit, err = newAudit(cfg.clients, p.now()); err != nil {
			return nil, err
		}
	}
	for i := range p.clients {
		p.clients[i].fd = -1
	}
	for f := range p.complaints {
		p.complaints[f] = rate.Sometimes{First: 5, Interval: time.Minute}
	}
	p.disorder = rate.Sometimes{First: 5, Interval: time.Minute}
	p.inState[idle] = cfg.clients
	var err error
	if p.poller, err = newPoller(); err != nil {
		return nil, err
	}
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		p.poller.close()
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	if err := p.poller.add(p.wakeFD, wakeTag, unix.EPOLLIN); err != nil {
		p.close()
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return p, nil
}

// close closes all descriptors.
func (p *pool) close() {
	for i := range p.clients {
		p.hangUp(int32(i))
	}
	unix.Close(p.wakeFD)
	p.poller.close()
}

// run is the loop. It returns after stop, or with an error when epoll fails.
func (p *pool) run() error {
	defer close(p.doneCh)
	p.endErr = p.poller.run(p.turn)
	return p.endErr
}

// turn handles events, and does what the clock asks for. It returns when the
// next turn is due if there are no more events, zero for never, or that it was
// the last.
func (p *pool) turn(events []unix.EpollEvent) (next time.Time, last bool) {
	mailed := false
	for _, e := range events {
		if e.Fd == wakeTag {
			mailed = true
		} else {
			p.ready(e.Fd, e.Events)
		}
	}
	if mailed { // last: it may close sockets that there are events of
		p.readMail()
	}
	if p.stopping {
		return time.Time{}, true
	}
	now := p.now()
	for {
		i, ok := p.timers.expired(now)
		if !ok {
			break
		}
		p.timedOut(i)
	}
	p.ledger.expire(now)
	wait := p.ramp(now)
	now = p.now()
	if at, ok := p.timers.next(); ok {
		wait = sooner(wait, at-now)
	}
	if at, ok := p.ledger.deadline(); ok {
		wait = sooner(wait, at-now)
	}
	if p.snapshotCh != nil {
		wait = sooner(wait, p.report(now))
	}
	switch {
	case wait < 0:
		return time.Time{}, false
	case wait == 0:
		return p.epoch.Add(now), false
	}
	return p.epoch.Add((now + wait + tick - 1).Truncate(tick)), false
}

// sooner returns the shorter of two waits, of which the first may be -1, for
// ever, and the second have passed.
func sooner(wait, other time.Duration) time.Duration {
	if other = max(other, 0); wait < 0 || other < wait {
		return other
	}
	return wait
}

// ramp has clients begin that are to at now, and returns how long until there
// are more, -1 when all have begun.
func (p *pool) ramp(now time.Duration) (wait time.Duration) {
	n, wait := ramp{len(p.clients), p.cfg.rate}.due(now-p.beganAt, p.begun)
	for range n {
		i, ok := p.next()
		if !ok {
			return -1
		}
		p.begun++
		p.begin(i)
	}
	if p.cursor == len(p.clients) {
		return -1
	}
	return wait
}

// now is the time since the pool was made. Safe from any goroutine.
func (p *pool) now() time.Duration { return time.Since(p.epoch) }

// do runs f on the loop and returns when it has run. It returns an error when
// the loop has ended. Not for use on the loop itself.
func (p *pool) do(f func()) error {
	ranCh := make(chan struct{})
	p.enqueue(func() { f(); close(ranCh) })
	select {
	case <-ranCh:
		return nil
	case <-p.doneCh:
		if p.endErr != nil {
			return p.endErr
		}
		return errLoopEnded
	}
}

// stop ends the loop. Safe from any goroutine, and after the loop has ended.
func (p *pool) stop() { p.enqueue(func() { p.stopping = true }) }

func (p *pool) enqueue(f func()) {
	p.mailMu.Lock()
	p.mail = append(p.mail, f)
	p.mailMu.Unlock()
	// Can only fail when the counter is near its end: the loop is awake then.
	_, _ = unix.Write(p.wakeFD, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (p *pool) readMail() {
	var count [8]byte
	_, _ = unix.Read(p.wakeFD, count[:]) // resets the eventfd
	p.mailMu.Lock()
	mail := p.mail
	p.mail = nil
	p.mailMu.Unlock()
	for _, f := range mail {
		f()
	}
}

// allWaiting returns a Go channel that is closed once every client waits for a
// change. Not for use on the loop itself.
func (p *pool) allWaiting() (<-chan struct{}, error) {
	ch := make(chan struct{})
	err := p.do(func() {
		p.waitingCh = ch
		p.signalWaiting()
	})
	return ch, err
}

func (p *pool) signalWaiting() {
	if p.waitingCh != nil && p.waiting() == len(p.clients) {
		close(p.waitingCh)
		p.waitingCh = nil
	}
}

// waiting is how many clients wait for a change: they have an unanswered poll in
// flight, or a stream on which the present headline has come.
func (p *pool) waiting() int {
	if p.cfg.stream {
		return min(p.inState[streaming], p.started)
	}
	return p.inState[polling]
}

func (p *pool) signalNews() {
	select {
	case p.newsCh <- struct{}{}:
	default:
	}
}

// countStarted counts a client's first answer, complete at now.
func (p *pool) countStarted(now time.Duration) {
	if p.started++; p.started == p.wanted {
		p.startedAt = now
		p.signalNews()
	}
	p.signalWaiting()
}

// olderThan counts the started clients whose headline is older than id.
func (p *pool) olderThan(id uint64) int {
	n := 0
	for i := range p.clients {
		if c := &p.clients[i]; c.started && c.id < id {
			n++
		}
	}
	return n
}

// confirm notes the id in the answer to the POST of h. When that is not the id
// that was delivered, the deliveries were wrong.
func (p *pool) confirm(h *headline, id uint64) error {
	err := p.ledger.confirm(h, id)
	if err != nil {
		p.faults[wrong] += h.received
	}
	return err
}
