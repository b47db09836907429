package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// startAttempts is how often a stack is started when another process took
	// an address between our looking for a free one and the server's using it.
	startAttempts = 3

	// awaitTimeout bounds a wait for the edge to reach a state.
	awaitTimeout = 60 * time.Second
)

// stackConfig says where a stack is to listen. Each address is used if it is
// free; port 0, or a port in use, means any free port on the same host.
type stackConfig struct {
	edge, control, origin string
	// loops is the edge's number of event loops, 0 for its default.
	loops int
	// alone has the edge ask the origin for each client by itself.
	alone bool
	// keepAlive is after how long streams get a comment, 0 for the origin's
	// default.
	keepAlive time.Duration
	// cert and key are the files of a certificate, with which the edge listens for
	// clients who speak TLS, too; empty for none.
	cert, key string
}

// anywhere is the configuration for a stack on free ports of the loopback.
var anywhere = stackConfig{edge: "127.0.0.1:0", control: "127.0.0.1:0", origin: "127.0.0.1:0"}

// A stack is one origin behind one edge, with a data directory of its own that
// is removed with it.
type stack struct {
	edge, origin *process
	dataDir      string
	// edgeURL and originURL are the headline's address at each, eventsURL that of
	// its stream at the edge; control is the base of the edge's control endpoint.
	edgeURL, originURL, eventsURL, control string
	// edgeAddr is where the edge listens, edgeTLSAddr where it does so for TLS.
	edgeAddr, edgeTLSAddr string
}

// startStack returns when both servers are ready.
func startStack(ctx context.Context, log *log.Logger, config stackConfig) (*stack, error) {
	for attempt := 1; ; attempt++ {
		s, err := tryStack(ctx, log, config)
		if err == nil {
			return s, nil
		}
		lostRace := strings.Contains(err.Error(), syscall.EADDRINUSE.Error())
		if !lostRace || attempt == startAttempts {
			return nil, err
		}
	}
}

func tryStack(ctx context.Context, log *log.Logger, config stackConfig) (*stack, error) {
	s := &stack{}
	if err := s.start(ctx, log, config); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// start starts the edge, then the origin. Each needs the other's address, so all
// are chosen before, and may be lost to another process until they are listened
// on.
func (s *stack) start(ctx context.Context, log *log.Logger, config stackConfig) error {
	edgePath, err := binary("edge")
	if err != nil {
		return err
	}
	originPath, err := binary("origin")
	if err != nil {
		return err
	}
	edgeAddr, err := freeAddr(config.edge)
	if err != nil {
		return err
	}
	controlAddr, err := freeAddr(config.control)
	if err != nil {
		return err
	}
	originAddr, err := freeAddr(config.origin)
	if err != nil {
		return err
	}
	s.dataDir, err = os.MkdirTemp("", "marquee-")
	if err != nil {
		return fmt.Errorf("make the origin's data directory: %w", err)
	}

	args := []string{
		"-origin", originAddr,
		"-listen", edgeAddr, "-control", controlAddr, "-log-format", "json",
	}
	if !config.alone {
		args = append(args, "-share-all")
	}
	if config.loops > 0 {
		args = append(args, "-loops", strconv.Itoa(config.loops))
	}
	if config.cert != "" {
		args = append(args, "-listen-tls", "127.0.0.1:0", "-tls-cert", config.cert, "-tls-key", config.key)
	}
	var at ready
	s.edge, at, err = startServer(ctx, log, program{path: edgePath, args: args})
	if err != nil {
		return err
	}
	s.edgeAddr, s.edgeTLSAddr = at.Listen, at.ListenTLS
	s.edgeURL = headlineURL(at.Listen)
	s.eventsURL = eventsURL(at.Listen)
	s.control = "http://" + at.Control

	args = []string{
		"-listen", originAddr, "-nats-listen", "127.0.0.1:0", "-data", s.dataDir, "-edge", s.control, "-log-format", "json",
	}
	if config.keepAlive > 0 {
		args = append(args, "-keep-alive", config.keepAlive.String())
	}
	s.origin, at, err = startServer(ctx, log, program{path: originPath, args: args})
	if err != nil {
		return err
	}
	s.originURL = headlineURL(at.Listen)
	return nil
}

// await scrapes the edge at this interval until done says that what is the case,
// and returns the metrics that said so.
func (s *stack) await(ctx context.Context, every time.Duration, what string, done func(metrics) bool) (metrics, error) {
	deadline := time.Now().Add(awaitTimeout)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		m, err := scrape(ctx, s.control)
		if err != nil {
			return nil, err
		}
		if done(m) {
			return m, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, fmt.Errorf("waited %v in vain until %s", awaitTimeout, what)
}

// stop stops both servers and removes the data directory.
func (s *stack) stop() error {
	var errs []error
	for _, p := range []*process{s.edge, s.origin} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	if s.dataDir != "" {
		errs = append(errs, os.RemoveAll(s.dataDir))
	}
	return errors.Join(errs...)
}

// freeAddr returns addr if one can listen there, and the address of a free port
// on the same host if not.
func freeAddr(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, splitErr := net.SplitHostPort(addr)
		if splitErr != nil {
			return "", fmt.Errorf("find a free port: %w", splitErr)
		}
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// headlineURL is where the headline is found at a server.
func headlineURL(addr string) string {
	return "http://" + addr + "/headline/value/"
}

// eventsPath is where a server has the headline as a stream.
const eventsPath = "/headline/events/"

// eventsURL is where the headline's stream is found at a server.
func eventsURL(addr string) string { return "http://" + addr + eventsPath }
