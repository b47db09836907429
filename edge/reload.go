package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"marquee/route"
)

// reloadDelay is how long files must have been left alone before they are read:
// whoever writes them does so in several steps.
const reloadDelay = 200 * time.Millisecond

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
	read  func()
	last  [sha256.Size]byte // of their contents
}

// groups returns the groups, as they are now.
func (e *edge) groups() []*followed {
	all := []*followed{{files: e.routeFiles, read: e.reload}}
	if e.certificates != nil {
		all = append(all, &followed{files: e.certificates.files, read: e.reloadCertificates})
	}
	for _, f := range all {
		f.last = f.sum()
	}
	return all
}

// routeFiles returns the paths of the routes file, and of the keys and certificates
// that the routes in force name.
func (e *edge) routeFiles() []string {
	var all []string
	if e.cfg.Routes != "" {
		all = append(all, e.cfg.Routes)
	}
	for _, rt := range e.routing.Load().table.Routes() {
		for _, t := range rt.Targets {
			all = append(all, t.Files()...)
		}
	}
	return all
}

// follows reports whether there are files to follow.
func (f *followed) follows() bool { return len(f.files()) > 0 }

// sum returns a hash of what the files contain, and of which cannot be read.
func (f *followed) sum() (sum [sha256.Size]byte) {
	hash := sha256.New()
	for _, path := range f.files() {
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
	if sum := f.sum(); forced || sum != f.last {
		f.last = sum
		f.read()
	}
}

// reloadLoop reads routes and certificates again on SIGHUP, and when their files
// have changed, until ctx ends. What cannot be read is logged, and the old ones
// stay.
func (e *edge) reloadLoop(ctx context.Context) error {
	hangupCh := make(chan os.Signal, 1)
	signal.Notify(hangupCh, syscall.SIGHUP)
	defer signal.Stop(hangupCh)
	groups := e.groups()
	var changeCh <-chan fsnotify.Event
	var errorCh <-chan error
	watch := func() {}
	if !slices.ContainsFunc(groups, (*followed).follows) {
		// There is nothing to notice.
	} else if w, err := fsnotify.NewWatcher(); err != nil {
		e.log.Warn("changes of files are not noticed, send SIGHUP after one", "err", err)
	} else {
		defer w.Close()
		changeCh, errorCh = w.Events, w.Errors
		watch = func() { e.watch(w, groups) }
	}
	watch()
	var dueCh <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangupCh:
			for _, f := range groups {
				f.follow(true)
			}
			watch()
		case <-changeCh:
			dueCh = time.After(reloadDelay)
		case err := <-errorCh:
			e.log.Warn("changes of files may go unnoticed", "err", err)
		case <-dueCh:
			dueCh = nil
			for _, f := range groups {
				f.follow(false)
			}
			watch()
		}
	}
}

// watch makes w notice changes of the groups' files. It watches their folders:
// editors put a new file in the old one's place.
func (e *edge) watch(w *fsnotify.Watcher, groups []*followed) {
	for _, f := range groups {
		for _, path := range f.files() {
			if folder := filepath.Dir(path); !slices.Contains(w.WatchList(), folder) {
				if err := w.Add(folder); err != nil {
					e.log.Warn("changes of a file are not noticed, send SIGHUP after one", "file", path, "err", err)
				}
			}
		}
	}
}

// reload reads the routes again and logs what came of it.
func (e *edge) reload() {
	err := e.readRoutes()
	var bad *route.Error
	switch {
	case errors.As(err, &bad):
		for _, line := range bad.Lines {
			e.log.Error("bad routes file, the old routes stay", "file", bad.File, "line", line.Line, "reason", line.Reason)
		}
	case err != nil:
		e.log.Error("cannot read the routes, the old ones stay", "err", err)
	default:
		e.log.Info("routes loaded", "routes", len(e.routing.Load().services))
	}
}

// reloadCertificates reads the certificates for clients again.
func (e *edge) reloadCertificates() {
	if err := e.certificates.read(); err != nil {
		e.log.Error("cannot read the TLS certificates, the old ones stay", "err", err)
	}
}
