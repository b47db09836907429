package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

// downTime is how long a server that was killed stays down, where a trial does not
// say something else: a restart by a supervisor.
const downTime = time.Second

// diskSize is that of the disk of trials in which it gets full, in bytes.
const diskSize = 64 << 20

// randomSize is that of the trials in which things go wrong at random.
var randomSize = size{clients: 5000, changes: 10, every: time.Second, period: 5 * time.Minute}

// faults are trials in which a server fails, or what it stands on.
func faults() []trial {
	return []trial{
		{
			name: "edge-killed", does: "the edge is killed, and started again after a second",
			long: longSize, short: shortSize,
			run: func(ctx context.Context, s *scene) error { return s.edge.outage(ctx, downTime) },
		},
		{
			name: "edge-gone", does: "the edge is killed, and started again only after a while",
			long: longSize, short: shortSize,
			run: func(ctx context.Context, s *scene) error { return s.edge.outage(ctx, s.size.period) },
		},
		{
			name: "edge-hung", does: "the edge is stopped (SIGSTOP), and goes on after a while",
			long: longSize, short: shortSize,
			run: func(ctx context.Context, s *scene) error { return s.edge.hang(ctx, s.size.period) },
		},
		{
			name: "origin-killed", does: "the origin is killed, and started again after a second",
			long: longSize, short: shortSize,
			run: func(ctx context.Context, s *scene) error { return s.origin.outage(ctx, downTime) },
		},
		{
			name: "both-killed", does: "the edge is killed, and after some changes the origin; both are started again",
			long: longSize, short: shortSize,
			run: func(ctx context.Context, s *scene) error {
				if err := s.edge.kill(); err != nil {
					return err
				}
				if err := s.changes.pause(ctx, 3); err != nil {
					return err
				}
				if err := s.origin.outage(ctx, 0); err != nil {
					return err
				}
				return s.edge.start(ctx)
			},
		},
		{
			name: "origin-hung", does: "the origin is stopped (SIGSTOP), and goes on after a while",
			long: longSize, short: shortSize,
			run: func(ctx context.Context, s *scene) error { return s.origin.hang(ctx, s.size.period) },
		},
		{
			name: "origin-hung-herd", does: "the edge is killed and started again while the origin is stopped, so that all come back and ask",
			long: longSize, short: shortSize,
			run: func(ctx context.Context, s *scene) error {
				return s.origin.while(syscall.SIGSTOP, func() error {
					if err := s.edge.outage(ctx, 0); err != nil {
						return err
					}
					return s.sleep(ctx, s.size.period)
				})
			},
		},
		{
			name: "origin-garbage", does: "what the origin answers the edge is garbage",
			long: longSize, short: shortSize, proxied: true,
			run: func(ctx context.Context, s *scene) error { return s.misbehave(ctx, []manner{garbles}) },
		},
		{
			name: "origin-flapping", does: "the origin refuses, resets, tears, trickles and garbles in quick succession",
			long: longSize, short: shortSize, proxied: true,
			run: func(ctx context.Context, s *scene) error { return s.misbehave(ctx, flapping) },
		},
		{
			name: "nats-killed", does: "NATS, which keeps the headline and connects edge and origin, is killed, and started again after a second",
			long: longSize, short: shortSize, nats: true,
			run: func(ctx context.Context, s *scene) error { return s.nats.outage(ctx, downTime) },
		},
		{
			name: "nats-stalled", does: "NATS gives nothing on for a while, and no connection breaks",
			long: longSize, short: shortSize, nats: true, proxied: true,
			run: func(ctx context.Context, s *scene) error {
				if err := s.natsProxy.behave(freezes); err != nil {
					return err
				}
				if err := s.sleep(ctx, s.size.period); err != nil {
					return err
				}
				return s.natsProxy.behave(passes)
			},
		},
		{
			name: "nats-cut-off", does: "the network between NATS and all others is cut for a while",
			long: longSize, short: shortSize, nats: true, hosts: true, needs: canMakeNetworks,
			run: func(ctx context.Context, s *scene) error { return s.cutOff(ctx, "nats", s.size.period) },
		},
		{
			name: "edge-cut-off", does: "the network between the edge and all others, clients too, is cut for a while",
			long: longSize, short: shortSize, hosts: true, needs: canMakeNetworks,
			run: func(ctx context.Context, s *scene) error { return s.cutOff(ctx, "edge", s.size.period) },
		},
		{
			name: "disk-full", does: "the disk that keeps the headline is full for a while",
			long: longSize, short: shortSize, needs: canMakeDisks,
			prepare: smallDisk,
			run:     func(ctx context.Context, s *scene) error { return s.fillDisk(ctx, func() error { return nil }) },
		},
		{
			name: "disk-full-restart", does: "the origin is killed, and started again, while the disk that keeps the headline is full",
			long: longSize, short: shortSize, needs: canMakeDisks,
			prepare: smallDisk,
			run: func(ctx context.Context, s *scene) error {
				return s.fillDisk(ctx, func() error { return s.origin.outage(ctx, 0) })
			},
		},
		{
			name: "all-killed", does: "edge, origin and NATS are killed at random, one every few seconds, and started again",
			long: randomSize, short: size{clients: 40, changes: 3, every: 100 * time.Millisecond, period: 20 * time.Second}, nats: true,
			run: killAtRandom,
		},
	}
}

// outage kills a server, and starts it again after d.
func (v *server) outage(ctx context.Context, d time.Duration) error {
	if err := v.kill(); err != nil {
		return err
	}
	if err := v.scene.sleep(ctx, d); err != nil {
		return err
	}
	return v.start(ctx)
}

// hang stops a server for d, with all its connections.
func (v *server) hang(ctx context.Context, d time.Duration) error {
	return v.while(syscall.SIGSTOP, func() error { return v.scene.sleep(ctx, d) })
}

// while does something between a signal to a server and SIGCONT.
func (v *server) while(signal syscall.Signal, do func() error) error {
	if err := syscall.Kill(v.process.pid, signal); err != nil {
		return fmt.Errorf("signal %s: %w", v.program.name, err)
	}
	err := do()
	_ = syscall.Kill(v.process.pid, syscall.SIGCONT) // stop tells when it is gone
	return err
}

// misbehave has the origin's proxy behave in these manners, in any order, each time
// for a random while, and then well.
func (s *scene) misbehave(ctx context.Context, manners []manner) error {
	longest := s.size.period / 10
	for end := monotonic() + s.size.period; monotonic() < end; {
		if err := s.proxy.behave(manners[s.random.IntN(len(manners))]); err != nil {
			return err
		}
		if err := s.sleep(ctx, longest/10+time.Duration(s.random.Int64N(int64(longest)))); err != nil {
			return err
		}
	}
	return s.proxy.behave(passes)
}

// cutOff cuts off a host for d.
func (s *scene) cutOff(ctx context.Context, name string, d time.Duration) error {
	h := s.hosts[name]
	if err := h.unplug(); err != nil {
		return err
	}
	if err := s.sleep(ctx, d); err != nil {
		return err
	}
	return h.plug()
}

// smallDisk gives the origin a disk of its own.
func smallDisk(s *scene) (err error) {
	s.disk, err = newDisk(s.dataDir, diskSize)
	s.origin.program.disk = s.disk
	return err
}

// fillDisk leaves no room for a headline, and room again after meanwhile and a time.
// A change is to be refused as long, and the log to say why.
func (s *scene) fillDisk(ctx context.Context, meanwhile func() error) error {
	if err := s.disk.fill(); err != nil {
		return err
	}
	if err := s.changes.awaitRefused(ctx); err != nil {
		return err
	}
	if err := meanwhile(); err != nil {
		return err
	}
	if err := s.sleep(ctx, s.size.period); err != nil {
		return err
	}
	s.wantSaid("no space left on device")
	return s.disk.clear()
}

// killAtRandom kills a server every other second or so, now and then two at once, and
// starts each again after up to two seconds.
func killAtRandom(ctx context.Context, s *scene) error {
	kills := make(map[string]int)
	for end := monotonic() + s.size.period; monotonic() < end; {
		victims := slices.Clone([]*server{s.edge, s.origin, s.nats})
		s.random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
		victims = victims[:1+s.random.IntN(8)/6] // one of four times two
		for _, v := range victims {
			kills[v.program.name]++
			if err := v.kill(); err != nil {
				return err
			}
		}
		if err := s.sleep(ctx, time.Duration(s.random.Int64N(int64(2*downTime)))); err != nil {
			return err
		}
		errs := make([]error, len(victims))
		var starts sync.WaitGroup // at once, so that the origin may have to wait for NATS
		for i, v := range victims {
			starts.Go(func() { errs[i] = v.start(ctx) })
		}
		starts.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if err := s.sleep(ctx, downTime+time.Duration(s.random.Int64N(int64(2*downTime)))); err != nil {
			return err
		}
	}
	for _, v := range []*server{s.edge, s.origin, s.nats} {
		s.figure(v.program.name+" killed", "times", float64(kills[v.program.name]))
	}
	return nil
}
