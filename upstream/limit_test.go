package upstream

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// jobLog is what has happened to jobs, in order.
type jobLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *jobLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// job makes a job that runs until somebody says done to the limiter.
func (l *jobLog) job(name string) *job {
	return &job{
		run:     func() { l.add("run %s", name) },
		refused: func() { l.add("refuse %s", name) },
	}
}

// want waits until all is still, checks what has happened since the last time,
// in order, and what the limiter says.
func (l *jobLog) want(t *testing.T, lim *limiter, running, waiting int, lines ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.lines, lines) {
		t.Errorf("happened: %q, want %q", l.lines, lines)
	}
	l.lines = nil
	if r, w := lim.load(); r != running || w != waiting {
		t.Errorf("%d running and %d waiting, want %d and %d", r, w, running, waiting)
	}
}

func TestLimiterFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log jobLog
		l := newLimiter(2, 10, time.Minute)
		l.start(log.job("a"))
		log.want(t, l, 1, 0, "run a")
		l.start(log.job("b"))
		log.want(t, l, 2, 0, "run b")
		for _, name := range []string{"c", "d", "e"} {
			l.start(log.job(name))
		}
		log.want(t, l, 2, 3)
		l.done(new(job))
		log.want(t, l, 2, 2, "run c")
		l.done(new(job))
		log.want(t, l, 2, 1, "run d")
		l.start(log.job("f"))
		l.done(new(job))
		log.want(t, l, 2, 1, "run e")
		l.done(new(job))
		log.want(t, l, 2, 0, "run f")
		l.done(new(job))
		l.done(new(job))
		log.want(t, l, 0, 0)
	})
}

func TestLimiterFullLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log jobLog
		l := newLimiter(1, 2, time.Minute)
		for _, name := range []string{"a", "b", "c"} {
			l.start(log.job(name))
		}
		log.want(t, l, 1, 2, "run a")
		l.start(log.job("d"))
		log.want(t, l, 1, 2, "refuse d")
		l.done(new(job))
		l.start(log.job("e"))
		log.want(t, l, 1, 2, "run b")
		l.done(new(job))
		l.done(new(job))
		l.done(new(job))
		synctest.Wait()
	})
}

func TestLimiterPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log jobLog
		l := newLimiter(1, 10, 10*time.Second)
		first := log.job("first in line")
		l.start(log.job("a"))
		log.want(t, l, 1, 0, "run a")
		l.start(first)
		time.Sleep(3 * time.Second)
		l.start(log.job("b"))
		time.Sleep(time.Second)
		l.start(log.job("c"))
		l.cancel(first) // the timer is set for it, and must find b and c nevertheless

		time.Sleep(9*time.Second - 1)
		log.want(t, l, 1, 2)
		time.Sleep(time.Nanosecond)
		log.want(t, l, 1, 1, "refuse b")
		time.Sleep(time.Second - 1)
		log.want(t, l, 1, 1)
		time.Sleep(time.Nanosecond)
		log.want(t, l, 1, 0, "refuse c")

		l.start(log.job("d")) // after the line was empty
		time.Sleep(10*time.Second - 1)
		l.done(new(job))
		log.want(t, l, 1, 0, "run d")
		time.Sleep(time.Hour)
		l.done(new(job))
		log.want(t, l, 0, 0)
	})
}

func TestLimiterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log jobLog
		l := newLimiter(1, 1, 10*time.Second)
		running, waiting, refused := log.job("running"), log.job("waiting"), log.job("refused")
		l.start(running)
		l.start(waiting)
		log.want(t, l, 1, 1, "run running")
		l.start(refused)
		log.want(t, l, 1, 1, "refuse refused")

		l.cancel(running)
		l.cancel(refused)
		log.want(t, l, 1, 1)
		l.cancel(waiting)
		l.cancel(waiting)
		log.want(t, l, 1, 0)
		l.done(new(job))
		time.Sleep(time.Minute)
		log.want(t, l, 0, 0)
	})
}

// Jobs that stream leave room for others, whatever they were in the beginning.
func TestLimiterStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log jobLog
		l := newLimiter(8, 2, 10*time.Second)
		stream := func(name string) *job {
			j := log.job(name)
			j.streams = true
			return j
		}
		first := stream("first")
		l.start(first)
		log.want(t, l, 1, 0, "run first")
		for range 5 {
			l.start(stream("stream"))
			log.want(t, l, l.running, 0, "run stream")
		}
		a, b := log.job("a"), log.job("b")
		l.start(a)
		log.want(t, l, 7, 0, "run a")
		for range 2 {
			if !l.stream(a) {
				t.Error("a may not stream, want seven at a time")
			}
		}
		l.start(b)
		log.want(t, l, 8, 0, "run b")
		if l.stream(b) {
			t.Error("b may stream, want seven at a time")
		}
		l.start(stream("c"))
		time.Sleep(time.Second)
		l.start(log.job("d"))
		l.start(stream("e"))
		l.start(stream("f"))
		log.want(t, l, 8, 3, "refuse f")
		l.done(b)
		log.want(t, l, 8, 2, "run d")
		l.done(first)
		log.want(t, l, 8, 1, "run c")
		time.Sleep(10 * time.Second)
		log.want(t, l, 8, 0, "refuse e")
		for range 7 {
			l.done(a)
		}
		l.done(b)
		log.want(t, l, 0, 0)
		if l.streaming != 0 {
			t.Errorf("%d jobs stream after all, want none", l.streaming)
		}
	})
}

// TestLimiterStress starts, cancels and ends jobs from many goroutines.
func TestLimiterStress(t *testing.T) {
	const maxRunning, starters, each = 3, 8, 500
	l := newLimiter(maxRunning, 20, 200*time.Microsecond)
	var running, ran, refused, cancelled atomic.Int64
	var wg sync.WaitGroup
	for s := range starters {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(s)))
			for range each {
				var fate atomic.Int32
				ended := make(chan struct{})
				met := func(count *atomic.Int64) {
					count.Add(1)
					if fate.Add(1) > 1 {
						t.Error("a job is run or refused more than once")
					}
				}
				yields := random.IntN(20)
				var j *job
				j = &job{
					run: func() {
						if n := running.Add(1); n > maxRunning {
							t.Errorf("%d jobs run, the limit is %d", n, maxRunning)
						}
						met(&ran)
						for range yields {
							runtime.Gosched()
						}
						running.Add(-1)
						l.done(j)
						close(ended)
					},
					refused: func() {
						met(&refused)
						close(ended)
					},
				}
				l.start(j)
				if random.IntN(4) > 0 {
					<-ended
					continue
				}
				for range random.IntN(10) {
					runtime.Gosched()
				}
				l.mu.Lock()
				waiting := j.place != nil
				l.unline(j)
				l.mu.Unlock()
				if waiting {
					cancelled.Add(1)
				} else {
					<-ended
				}
			}
		})
	}
	wg.Wait()
	if sum := ran.Load() + refused.Load() + cancelled.Load(); sum != starters*each {
		t.Errorf("%d jobs were run, refused or cancelled, want %d", sum, starters*each)
	}
	if r, w := l.load(); r != 0 || w != 0 {
		t.Errorf("%d running and %d waiting after all, want none", r, w)
	}
	t.Logf("%d ran, %d refused, %d cancelled", ran.Load(), refused.Load(), cancelled.Load())
}
