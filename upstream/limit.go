package upstream

import (
	"container/list"
	"sync"
	"time"
)

// limiter lets at most max jobs run at a time. The others wait in line, at most
// queue of them and each at most for patience.
type limiter struct {
	max, queue int
	patience   time.Duration

	mu      sync.Mutex // all below
	running int
	line    list.List // of *job, who has waited longest first
	timer   *time.Timer
}

// job is something to do when there is room.
type job struct {
	run     func() // on a goroutine of its own; ends with limiter.done
	refused func() // instead: waited too long, or the line was full
	until   time.Time
	place   *list.Element // in line; nil when not waiting
}

func newLimiter(max, queue int, patience time.Duration) *limiter {
	return &limiter{max: max, queue: queue, patience: patience}
}

// start runs j now or later, or refuses it. Neither happens before start
// returns, except on another goroutine.
func (l *limiter) start(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.running < l.max:
		l.running++
		go j.run()
	case l.line.Len() >= l.queue:
		go j.refused()
	default:
		j.until = time.Now().Add(l.patience)
		j.place = l.line.PushBack(j)
		if l.line.Len() == 1 {
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

// done says that a job which was run has ended: the next in line begins.
func (l *limiter) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if front := l.line.Front(); front != nil {
		j := front.Value.(*job)
		l.unline(j)
		go j.run()
		return
	}
	l.running--
}

// load returns how many jobs run and how many wait.
func (l *limiter) load() (running, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running, l.line.Len()
}

// unline removes j from the line. Lock held.
func (l *limiter) unline(j *job) {
	if j.place != nil {
		l.line.Remove(j.place)
		j.place = nil
	}
}

// arm sets the one timer for who has waited longest. Lock held.
func (l *limiter) arm() {
	front := l.line.Front()
	if front == nil {
		return
	}
	wait := time.Until(front.Value.(*job).until)
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
	for front := l.line.Front(); front != nil; front = l.line.Front() {
		j := front.Value.(*job)
		if time.Now().Before(j.until) {
			break
		}
		l.unline(j)
		go j.refused()
	}
	l.arm()
}
