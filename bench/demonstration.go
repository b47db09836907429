package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

// A demonstrationConfig says where the demonstration's heart is to be.
type demonstrationConfig struct {
	// Hosts to run in, nil for our own network: then the origin and NATS have
	// free ports of the loopback address.
	originHost, dashboardHost *host
	// dashboardArgs are the dashboard's flags that say how much of what.
	dashboardArgs []string
}

// Ports of the origin in a host of its own.
const (
	originPort = 8080
	natsPort   = 4222
)

// A demonstration is the origin, with the NATS server that connects the cluster,
// and the dashboard that conducts it, with a data directory of its own that is
// removed with it. Edges and client groups are the dashboard's, or join by
// themselves.
type demonstration struct {
	origin, dashboard *process
	dataDir           string
	natsURL           string
	originAddr        string // host:port of the headline API
	viewer            *viewer
}

// startDemonstration returns when the page can be seen. The dashboard's log lines
// go to stdout, everybody's warnings to log.
func startDemonstration(ctx context.Context, stdout io.Writer, log *log.Logger, config demonstrationConfig) (*demonstration, error) {
	d := &demonstration{}
	if err := d.start(ctx, stdout, log, config); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

func (d *demonstration) start(ctx context.Context, stdout io.Writer, log *log.Logger, config demonstrationConfig) error {
	originPath, err := binary("origin")
	if err != nil {
		return err
	}
	dashboardPath, err := binary("dashboard")
	if err != nil {
		return err
	}
	d.dataDir, err = os.MkdirTemp("", "marquee-")
	if err != nil {
		return fmt.Errorf("make the origin's data directory: %w", err)
	}
	originAddr, natsAddr := "127.0.0.1:0", "127.0.0.1:0"
	if config.originHost != nil {
		originAddr, natsAddr = config.originHost.at(originPort), config.originHost.at(natsPort)
	}
	var at ready
	d.origin, at, err = startServer(ctx, log, program{path: originPath, host: config.originHost, args: []string{
		"-listen", originAddr, "-nats-listen", natsAddr, "-data", d.dataDir, "-log-format", "json",
	}})
	if err != nil {
		return err
	}
	d.originAddr, d.natsURL = at.Listen, at.NATS
	// Clients are held when there is something that they have already.
	if err := postHeadline(ctx, clientIn(config.originHost), headlineURL(d.originAddr), headline); err != nil {
		return err
	}
	d.dashboard, at, err = startServer(ctx, log, program{path: dashboardPath, host: config.dashboardHost, stdout: stdout, args: append([]string{
		"-nats", d.natsURL, "-listen", "127.0.0.1:0", "-log-format", "json",
	}, config.dashboardArgs...)})
	if err != nil {
		return err
	}
	d.viewer = &viewer{page: "http://" + at.Listen, client: clientIn(config.dashboardHost)}
	return nil
}

// stop stops both, and with the dashboard the nodes that it has started, and
// removes the data directory.
func (d *demonstration) stop() error {
	var errs []error
	for _, p := range []*process{d.dashboard, d.origin} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	if d.dataDir != "" {
		errs = append(errs, os.RemoveAll(d.dataDir))
	}
	return errors.Join(errs...)
}

// clientIn returns an HTTP client that is in that host, nil for our own network.
func clientIn(h *host) *http.Client {
	if h == nil {
		return http.DefaultClient
	}
	return &http.Client{Transport: &http.Transport{DialContext: h.dial}}
}
