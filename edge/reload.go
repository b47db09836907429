package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"marquee/route"
)

// reloadDelay is how long files must have been left alone before they are read:
// whoever writes them does so in several steps.
const reloadDelay = 200 * time.Millisecond

// reloadPatience is when they are read at the latest, though something in their folder
// changes all the time.
const reloadPatience = 2 * time.Second

// reloadRetry is when they are read again that could not be for want of file
// descriptors.
const reloadRetry = time.Second

// readRoutes puts the routes of the flags, or of their file, in force. Requests
// that are held keep the route that they came by. After an error those that
// were in force stay.
func (e *edge) readRoutes() error {
	table, err := e.cfg.routes()
	if err != nil {
		return err
	}
	next, err := e.newRouting(table, e.routing.Load())
	if err != nil {
		return err
	}
	e.routing.Store(next)
	e.origin.Retain(next.upstreams())
	return nil
}

// routes returns the routes that the flags name.
func (c *Config) routes() (*route.Table, error) {
	if c.Routes == "" && len(c.Route) == 0 {
		return route.Single(c.Origin), nil
	}
	name, text := "-route", []byte(nil)
	if c.Routes != "" {
		var err error
		if text, err = os.ReadFile(c.Routes); err != nil {
			return nil, fmt.Errorf("read the routes file: %w", err)
		}
		name = c.Routes
	}
	for _, line := range c.Route {
		text = append(append(text, '\n'), line...)
	}
	return route.Parse(name, text)
}

// followed is a group of files that are read again together when one of them has
// changed.
type followed struct {
	files func() []string // their paths, which may change too
	// read reads them. news: what is wrong has not been logged yet. It reports
	// whether they are to be read again soon, for want of file descriptors.
	read  func(news bool) (again bool)
	last  [sha256.Size]byte // of their contents
	again bool              // what read reported
}

// routeFiles returns the paths of the routes file, and of the keys and certificates
// that the routes in force name.
func (e *edge) routeFiles() []string {
	var all []string
	if e.cfg.Routes != "" {
		all = append(all, e.cfg.Routes)
	}
	for _, rt := range e.routing.Load().table.Routes() {
		all = append(all, filesOf(rt)...)
	}
	return all
}

// filesOf returns the paths of the keys and certificates that a route names.
func filesOf(rt *route.Route) (all []string) {
	if path, ok := strings.CutPrefix(string(rt.SigKey), "file:"); ok {
		all = append(all, path)
	}
	for _, t := range rt.Targets {
		all = append(all, t.Files()...)
	}
	return all
}

// follows reports whether there are files to follow.
func (f *followed) follows() bool { return len(f.files()) > 0 }

// sum returns a hash of what the files contain, and of which cannot be read.
func (f *followed) sum() [sha256.Size]byte { return hashOf(f.files()) }

func hashOf(files []string) (sum [sha256.Size]byte) {
	hash := sha256.New()
	for _, path := range files {
		text, err := os.ReadFile(path)
		fmt.Fprintf(hash, "%q %d %t\n", path, len(text), err == nil)
		_, _ = hash.Write(text)
	}
	hash.Sum(sum[:0])
	return sum
}

// follow reads the files again if they have changed, or always when forced to.
// Files that a change has named for the first time count as changed the next time.
func (f *followed) follow(forced bool) {
	if sum := f.sum(); forced || f.again || sum != f.last {
		f.last = sum
		f.again = f.read(!f.again)
	}
}

// reloader reads routes and certificates again when they have changed, and on
// SIGHUP.
type reloader struct {
	log        *slog.Logger
	accessLog  *accessLog // opened again on SIGHUP
	supervisor *supervisor
	hangupCh   chan os.Signal
	watcher    *fsnotify.Watcher // nil for none
	groups     []*followed
}

// newReloader notices changes from now on.
func (e *edge) newReloader() *reloader {
	r := &reloader{log: e.log, accessLog: e.accessLog, supervisor: &e.supervisor, hangupCh: make(chan os.Signal, 1)}
	signal.Notify(r.hangupCh, syscall.SIGHUP)
	r.groups = []*followed{{files: e.routeFiles, read: e.reload}}
	if e.certificates != nil {
		r.groups = append(r.groups, &followed{files: e.certificates.files, read: e.reloadCertificates})
	}
	if slices.ContainsFunc(r.groups, (*followed).follows) {
		var err error
		if r.watcher, err = fsnotify.NewWatcher(); err != nil {
			r.log.Warn("changes of files are not noticed, send SIGHUP after one", "err", err)
		}
	}
	r.watch()
	for _, f := range r.groups {
		f.last = f.sum()
	}
	return r
}

// run reads again until ctx ends. What cannot be read is logged, and the old ones
// stay.
func (r *reloader) run(ctx context.Context) {
	var changeCh <-chan fsnotify.Event
	var errorCh <-chan error
	if r.watcher != nil {
		changeCh, errorCh = r.watcher.Events, r.watcher.Errors
	}
	var dueCh <-chan time.Time
	var since time.Time // of the first change that is not taken account of; zero for none
	changed := func() {
		now := time.Now()
		if since.IsZero() {
			since = now
		}
		dueCh = time.After(min(reloadDelay, since.Add(reloadPatience).Sub(now)))
	}
	follow := func(forced bool) {
		if r.follow(forced) {
			dueCh = time.After(reloadRetry)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.hangupCh:
			r.supervisor.reloading()
			r.accessLog.reopen()
			follow(true)
			r.supervisor.ready()
		case <-changeCh:
			changed()
		case err := <-errorCh:
			r.log.Warn("changes of files may go unnoticed", "err", err)
			changed() // those that were to be told of
		case <-dueCh:
			dueCh, since = nil, time.Time{}
			follow(false)
		}
	}
}

// close ends the reloader, which must not run any more.
func (r *reloader) close() {
	signal.Stop(r.hangupCh)
	if r.watcher != nil {
		r.watcher.Close()
	}
}

// follow lets each group follow its files. It reports whether one is to be read
// again soon.
func (r *reloader) follow(forced bool) (again bool) {
	for _, f := range r.groups {
		f.follow(forced)
		again = again || f.again
	}
	r.watch()
	return again
}

// watch makes the watcher notice changes of all files. It watches their folders:
// editors put a new file in the old one's place.
func (r *reloader) watch() {
	if r.watcher == nil {
		return
	}
	for _, f := range r.groups {
		for _, path := range f.files() {
			folder := filepath.Dir(path)
			if slices.Contains(r.watcher.WatchList(), folder) {
				continue
			}
			if err := r.watcher.Add(folder); err != nil {
				r.log.Warn("changes of a file are not noticed, send SIGHUP after one", "file", path, "err", err)
			}
		}
	}
}

// reload reads the routes again and logs what came of it. It reports whether
// that is to be done again a little later, because there are no file descriptors
// now; news says that this would be new, and is to be logged.
func (e *edge) reload(news bool) (again bool) {
	err := e.readRoutes()
	var bad *route.Error
	switch {
	case errors.As(err, &bad):
		for _, line := range bad.Lines {
			e.log.Error("bad routes file, the old routes stay", "file", bad.File, "line", line.Line, "reason", line.Reason)
		}
	case noFilesLeft(err):
		if news {
			e.log.Error("cannot read the routes, the old ones stay until it succeeds", "err", err)
		}
		return true
	case err != nil:
		e.log.Error("cannot read the routes, the old ones stay", "err", err)
	default:
		e.log.Info("routes loaded", "routes", len(e.routing.Load().services))
	}
	return false
}

// reloadCertificates reads the certificates for clients again.
func (e *edge) reloadCertificates(news bool) (again bool) {
	err := e.certificates.read()
	again = noFilesLeft(err)
	if err != nil && news {
		e.log.Error("cannot read the TLS certificates, the old ones stay", "err", err)
	}
	return again
}

// noFilesLeft reports whether err is a want of file descriptors.
func noFilesLeft(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
