package main

import "context"

// faults are trials in which a server fails, or what it stands on.
func faults() []trial {
	return []trial{
		{
			name: "edge-killed", does: "the edge is killed, and started again after a second",
			long: longSize, short: shortSize,
			run: func(ctx context.Context, s *scene) error {
				return s.outage(ctx, s.edge)
			},
		},
		{
			name: "origin-killed", does: "the origin is killed, and started again after a second",
			long: longSize, short: shortSize,
			run: func(ctx context.Context, s *scene) error {
				return s.outage(ctx, s.origin)
			},
		},
	}
}

// outage kills a server, and starts it again.
func (s *scene) outage(ctx context.Context, v *server) error {
	if err := v.kill(); err != nil {
		return err
	}
	if err := s.sleep(ctx, s.size.period/10); err != nil {
		return err
	}
	return v.start(ctx)
}
