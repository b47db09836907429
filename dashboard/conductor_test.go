package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"marquee/bus"
)

// A told is one call of a conductor's setUp, which waits for its answer.
type told struct {
	group string
	bus.Setup
	answerCh chan error
}

func newTestConductor(t *testing.T) (*conductor, context.Context, chan told) {
	ctx, cancel := context.WithCancel(t.Context())
	toldCh := make(chan told)
	c := &conductor{
		log: slog.New(slog.DiscardHandler),
		setUp: func(ctx context.Context, group string, s bus.Setup) error {
			call := told{group, s, make(chan error)}
			select {
			case toldCh <- call:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case err := <-call.answerCh:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
	t.Cleanup(func() {
		cancel()
		c.wait()
	})
	return c, ctx, toldCh
}

func countOf(instance string, n int) order { return order{instance, bus.Setup{Count: n}} }

func TestConductor(t *testing.T) {
	c, ctx, toldCh := newTestConductor(t)
	next := func(group string, count int) told {
		t.Helper()
		call := receive(t, toldCh, "set-up")
		if call.group != group || call.Count != count {
			t.Fatalf("%s is told %d, want %s to be told %d", call.group, call.Count, group, count)
		}
		return call
	}
	c.conduct(ctx, map[string]order{"a": countOf("1", 1)})
	next("a", 1).answerCh <- nil

	// What has been acknowledged is not said again, what is new is.
	c.conduct(ctx, map[string]order{"a": countOf("1", 1), "b": countOf("1", 2)})
	next("b", 2).answerCh <- nil

	// A change, and one more while the group has not answered.
	c.conduct(ctx, map[string]order{"a": countOf("1", 3), "b": countOf("1", 2)})
	call := next("a", 3)
	c.conduct(ctx, map[string]order{"a": countOf("1", 4), "b": countOf("1", 2)})
	c.conduct(ctx, map[string]order{"a": countOf("1", 5), "b": countOf("1", 2)})
	call.answerCh <- nil
	next("a", 5).answerCh <- nil

	// One that refuses is asked again; nobody else is disturbed meanwhile.
	c.conduct(ctx, map[string]order{"a": countOf("1", 6), "b": countOf("1", 2)})
	next("a", 6).answerCh <- errors.New("no room")
	next("a", 6).answerCh <- errors.New("no room")
	c.conduct(ctx, map[string]order{"a": countOf("1", 6), "b": countOf("1", 7)})
	for range 2 {
		call := receive(t, toldCh, "set-up")
		if call.group == "b" {
			call.answerCh <- nil
			break
		}
		call.answerCh <- errors.New("no room")
	}
	next("a", 6).answerCh <- nil

	// A group that was started again knows nothing.
	c.conduct(ctx, map[string]order{"a": countOf("2", 6), "b": countOf("1", 7)})
	next("a", 6).answerCh <- nil

	// A group without orders is told nothing more, not even again.
	c.conduct(ctx, map[string]order{"a": countOf("2", 8), "b": countOf("1", 7)})
	call = next("a", 8)
	c.conduct(ctx, map[string]order{"b": countOf("1", 9)})
	next("b", 9).answerCh <- nil
	select {
	case call.answerCh <- nil:
		t.Error("the attempt to tell a group without orders goes on")
	default:
	}
}
