package main

import "slices"

// frontName is the name of the edge in front of the page. Edges without a region
// whose name begins so are no part of the demonstration.
const frontName = "page-edge"

// newFront returns the edge that serves the page at listen: a GRIP proxy, whose
// origin is this dashboard at address. It must start; up is called when it
// does, and after a death it comes back to the same port.
func newFront(cfg *config, address string, up func(listen string)) (*process, error) {
	path, err := binary("edge")
	if err != nil {
		return nil, err
	}
	args := append(busArgs(cfg.bus), "-name", frontName, "-origin", address, "-share-all",
		"-control", "127.0.0.1:0", "-log-format", "json")
	p := &process{
		name:      frontName,
		path:      path,
		args:      slices.Concat(args, []string{"-listen", cfg.listen}),
		env:       childEnv("MARQUEE_EDGE_NATS", cfg.bus.URL),
		mustStart: true,
	}
	p.ready = func(r ready) {
		if p.wasReady {
			return
		}
		p.args = slices.Concat(args, []string{"-listen", r.Listen})
		up(r.Listen)
	}
	return p, nil
}
