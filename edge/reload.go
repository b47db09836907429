package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"marquee/route"
)

// reloadDelay is how long the routes file must have been left alone before it is
// read: whoever writes it does so in several steps.
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

// reloadLoop reads the routes again on SIGHUP, and when their file has changed,
// until ctx ends. What cannot be read is logged, and the old routes stay.
func (e *edge) reloadLoop(ctx context.Context) error {
	hangupCh := make(chan os.Signal, 1)
	signal.Notify(hangupCh, syscall.SIGHUP)
	defer signal.Stop(hangupCh)
	var changeCh <-chan fsnotify.Event
	var errorCh <-chan error
	if e.cfg.Routes != "" {
		w, err := fsnotify.NewWatcher()
		if err == nil {
			defer w.Close()
			// The folder: editors put a new file in the old one's place.
			err = w.Add(filepath.Dir(e.cfg.Routes))
		}
		if err != nil {
			e.log.Warn("changes of the routes file are not noticed, send SIGHUP after one", "err", err)
		} else {
			changeCh, errorCh = w.Events, w.Errors
		}
	}
	last, _ := os.ReadFile(e.cfg.Routes)
	var dueCh <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangupCh:
			e.supervisor.reloading()
			e.reload()
			e.supervisor.ready()
		case <-changeCh:
			dueCh = time.After(reloadDelay)
		case err := <-errorCh:
			e.log.Warn("changes of the routes file may go unnoticed", "err", err)
		case <-dueCh:
			dueCh = nil
			if text, err := os.ReadFile(e.cfg.Routes); err != nil || string(text) != string(last) {
				last = text
				e.reload()
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
