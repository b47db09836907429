package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"
)

const (
	lineEvery    = 100 * time.Millisecond // while a change is delivered
	connectEvery = time.Second            // while clients connect, and out is no terminal
	streamEvery  = time.Second            // while messages or keep-alives come on streams
)

// printer writes what happens while it happens: how many clients have
// started, then a line per change and lineEvery, or of streams a line streamEvery.
// One goroutine's.
type printer struct {
	out   io.Writer
	pool  *pool
	shown streamCounts // in the last line of streams
}

// run prints until ctx ends. It fails when the loop does.
func (w *printer) run(ctx context.Context) error {
	total := w.pool.cfg.clients
	show, end := w.connectLines(total)
	if isTerminal(w.out) {
		show, end = w.connectBar(total)
	}
	defer func() { end() }()
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	var next time.Time // line of streams
	for connecting := true; ; {
		var started int
		var took time.Duration
		linesDue := !w.pool.cfg.stream || !time.Now().Before(next)
		var lines func()
		err := w.pool.do(func() {
			started, took = w.pool.started, w.pool.startedAt-w.pool.beganAt
			if linesDue {
				lines = w.lines()
			}
		})
		if err != nil {
			return err
		}
		if connecting {
			show(started)
		}
		if connecting && started == total {
			connecting = false
			end()
			end = func() {}
			fmt.Fprintf(w.out, "%d clients connected in %.3f s\n", total, took.Seconds())
		}
		if linesDue {
			lines()
			next = time.Now().Add(streamEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-w.pool.newsCh:
		}
	}
}

// connectLines shows the ramp as a line every connectEvery.
func (w *printer) connectLines(total int) (show func(started int), end func()) {
	next := time.Now().Add(connectEvery)
	show = func(started int) {
		if now := time.Now(); started < total && !now.Before(next) {
			next = next.Add(connectEvery)
			fmt.Fprintf(w.out, "%d of %d clients connected\n", started, total)
		}
	}
	return show, func() {}
}

// connectBar shows the ramp as a bar on a terminal. Until its end, w.out
// writes above the bar.
func (w *printer) connectBar(total int) (show func(started int), end func()) {
	terminal := w.out
	container := mpb.New(mpb.WithOutput(terminal), mpb.WithWidth(60), mpb.WithRefreshRate(lineEvery))
	bar := container.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name("connecting "), decor.CountersNoUnit("%d / %d")),
		mpb.AppendDecorators(decor.Percentage()))
	w.out = container
	show = func(started int) { bar.SetCurrent(int64(started)) }
	end = func() {
		bar.Abort(false) // no effect on a bar that is complete
		container.Wait()
		w.out = terminal
	}
	return show, end
}

// lines looks at what there is to say, and returns what prints it. Loop only, or
// once it has ended; the printing is not.
func (w *printer) lines() (print func()) {
	ds := w.pool.ledger.unshown()
	if w.pool.cfg.stream {
		now := w.pool.streamCounts()
		return func() { w.streamLine(now, ds) }
	}
	return func() {
		for _, d := range ds {
			fmt.Fprintln(w.out, d.line(time.Now()))
		}
	}
}

// streamLine prints how the streams stand, if anything came since the last time,
// with the delivery times of the changes that did.
func (w *printer) streamLine(now streamCounts, ds []deliveries) {
	if now.messages == w.shown.messages && now.keepAlives == w.shown.keepAlives {
		return
	}
	w.shown = now
	line := fmt.Sprintf("%s streams=%d messages=%d keep-alives=%d", time.Now().Format(clockFormat), now.streams, now.messages, now.keepAlives)
	if len(ds) > 0 {
		line += " " + merged(ds).times()
	}
	fmt.Fprintln(w.out, line)
}

// merged returns the deliveries of all of ds, which are not none.
func merged(ds []deliveries) deliveries {
	all := deliveries{min: ds[0].min}
	var sum time.Duration
	for _, d := range ds {
		all.received += d.received
		all.min, all.max = min(all.min, d.min), max(all.max, d.max)
		sum += time.Duration(d.received) * d.average
	}
	all.average = sum / time.Duration(all.received)
	return all
}

// clockFormat is the time of day in a line.
const clockFormat = "15:04:05.000"

// line is the demo's line: time of day, clients that have received the change,
// and minimum/maximum/average delivery time in whole milliseconds.
func (d deliveries) line(now time.Time) string {
	return fmt.Sprintf("%s r=%d %s", now.Format(clockFormat), d.received, d.times())
}

func (d deliveries) times() string {
	ms := func(d time.Duration) int64 { return d.Round(time.Millisecond).Milliseconds() }
	return fmt.Sprintf("rt=%d/%d/%d", ms(d.min), ms(d.max), ms(d.average))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
