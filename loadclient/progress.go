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
)

// printer writes what happens while it happens: how many clients have
// started, then a line per change and lineEvery. One goroutine's.
type printer struct {
	out  io.Writer
	pool *pool
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
	for connecting := true; ; {
		var started int
		var took time.Duration
		var ds []deliveries
		err := w.pool.do(func() {
			started, took = w.pool.started, w.pool.startedAt-w.pool.beganAt
			ds = w.pool.ledger.unshown()
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
		w.lines(ds)
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

// lines prints how changes stand.
func (w *printer) lines(ds []deliveries) {
	for _, d := range ds {
		fmt.Fprintln(w.out, d.line(time.Now()))
	}
}

// line is the demo's line: time of day, clients that have received the change,
// and minimum/maximum/average delivery time in whole milliseconds.
func (d deliveries) line(now time.Time) string {
	ms := func(d time.Duration) int64 { return d.Round(time.Millisecond).Milliseconds() }
	return fmt.Sprintf("%s r=%d rt=%d/%d/%d", now.Format("15:04:05.000"), d.received, ms(d.min), ms(d.max), ms(d.average))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
