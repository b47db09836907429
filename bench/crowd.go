package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A crowd is load clients who want to be in beside a trial's audiences, half of them
// with polls, half with streams. Nobody counts what they get.
type crowd []*process

// crowd sends n clients, each half a process. It does not wait for them.
func (s *scene) crowd(n int) (c crowd, err error) {
	for _, half := range []struct {
		n    int
		args []string
	}{
		{n / 2, []string{"-url", s.edgeURL}},
		{n - n/2, []string{"-url", s.eventsURL, "-stream"}},
	} {
		path, err := binary("loadclient")
		if err != nil {
			return c, errors.Join(err, c.leave())
		}
		args := append(half.args, "-c", strconv.Itoa(half.n), "-rate", "10000")
		s.command(path, args)
		p, err := start(s.log.Writer(), program{path: path, args: args, host: s.hosts["clients"]})
		if err != nil {
			return c, errors.Join(err, c.leave())
		}
		c = append(c, p)
	}
	return c, nil
}

// leave takes all away at once. That some had ended by themselves is an error.
func (c crowd) leave() error {
	var errs []error
	for _, p := range c {
		select {
		case <-p.doneCh:
			errs = append(errs, p.failure("ended by itself"))
		default:
			p.kill()
		}
	}
	return errors.Join(errs...)
}

// awaitEdge scrapes the edge until done says that what is the case, and returns the
// metrics that said so.
func (s *scene) awaitEdge(ctx context.Context, what string, done func(metrics) bool) (metrics, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, awaitTimeout, fmt.Errorf("waited %v in vain until %s", awaitTimeout, what))
	defer cancel()
	for {
		m, err := scrape(ctx, s.control)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		if done(m) {
			return m, nil
		}
		if err := s.sleep(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// awaitGone returns when the edge has no more connections than those of the
// audiences, and a few that are about to end.
func (s *scene) awaitGone(ctx context.Context) error {
	_, err := s.awaitEdge(ctx, "the crowd has left", func(m metrics) bool {
		return m[connections] <= float64(s.size.clients+s.size.clients/100)
	})
	return err
}
