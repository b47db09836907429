package upstream

import (
	"container/list"
	"sync"
	"time"
)

// limiter lets at most max jobs run at a time, and at most streams of them whose
// length a client decides on. The others wait in line, at most queue of each kind
// and each at most for patience.
type limiter struct {
	max, streams, queue int
	patience            time.Duration

	mu        sync.Mutex // all below
	running   int
	streaming int          // of running
	lines     [2]list.List // of *job, who has waited longest first; the second one of streams
	timer     *time.Timer
}

// job is something to do when there is room.
type job struct {
	run     func() // on a goroutine of its own; ends with limiter.done
	refused func() // instead: waited too long, or the line was full
	// streams: it lasts for as long as a client takes to send or to read. It may
	// become so when it runs, see limiter.stream; limiter.mu.
	streams bool
	until   time.Time
	place   *list.Element // in line; nil when not waiting
}

// newLimiter returns a limiter that keeps an eighth of its room for jobs that do
// not stream: or clients that send and read as slowly as they may would keep all
// others from the origin.
func newLimiter(max, queue int, patience time.Duration) *limiter {
	return &limiter{max: max, streams: max - max/8, queue: queue, patience: patience}
}

// start runs j now or later, or refuses it. Neither happens before start
// returns, except on another goroutine.
func (l *limiter) start(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch line := l.line(j); {
	case l.fits(j):
		l.begin(j)
	case line.Len() >= l.queue:
		go j.refused()
	default:
		j.until = time.Now().Add(l.patience)
		j.place = line.PushBack(j)
		if line.Len() == 1 {
			l.arm()
		}
	}
}

// cancel takes j out of the line, and reports whether it was still there: then
// neither run nor refused is called.
func (l *limiter) cancel(j *job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	inLine := j.place != nil
	l.unline(j)
	return inLine
}

// stream says that j, which runs, streams from now on. It reports false, and j
// does not, when too many do.
func (l *limiter) stream(j *job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if j.streams {
		return true
	}
	if l.streaming >= l.streams {
		return false
	}
	j.streams = true
	l.streaming++
	return true
}

// done says that j, which was run, has ended: the next in line begins.
func (l *limiter) done(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if j.streams {
		l.streaming--
	}
	if next := l.first(l.fits); next != nil {
		l.unline(next)
		l.begin(next)
	}
}

// load returns how many jobs run and how many wait.
func (l *limiter) load() (running, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running, l.lines[0].Len() + l.lines[1].Len()
}

// line returns where j waits. Lock held.
func (l *limiter) line(j *job) *list.List {
	if j.streams {
		return &l.lines[1]
	}
	return &l.lines[0]
}

// fits reports whether there is room for j. Lock held.
func (l *limiter) fits(j *job) bool {
	return l.running < l.max && (!j.streams || l.streaming < l.streams)
}

// begin runs j. Lock held.
func (l *limiter) begin(j *job) {
	l.running++
	if j.streams {
		l.streaming++
	}
	go j.run()
}

// first returns who has waited longest of those at the front of a line that are
// wanted, nil when none is. Lock held.
func (l *limiter) first(wanted func(*job) bool) (first *job) {
	for i := range l.lines {
		if front := l.lines[i].Front(); front != nil {
			j := front.Value.(*job)
			if wanted(j) && (first == nil || j.until.Before(first.until)) {
				first = j
			}
		}
	}
	return first
}

// unline removes j from the line. Lock held.
func (l *limiter) unline(j *job) {
	if j.place != nil {
		l.line(j).Remove(j.place)
		j.place = nil
	}
}

// arm sets the one timer for who has waited longest. Lock held.
func (l *limiter) arm() {
	first := l.first(func(*job) bool { return true })
	if first == nil {
		return
	}
	wait := time.Until(first.until)
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.expire)
	} else {
		l.timer.Reset(wait)
	}
}

// expire refuses those whose time is up.
func (l *limiter) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := func(j *job) bool { return !time.Now().Before(j.until) }
	for j := l.first(late); j != nil; j = l.first(late) {
		l.unline(j)
		go j.refused()
	}
	l.arm()
}
