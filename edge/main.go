// Command edge holds the clients of a realtime HTTP API in front of its origin.
//
// It speaks GRIP: the origin answers a request with an instruct to hold it, and
// later publishes an item to the edge's control endpoint, which answers every
// hold of that channel.
//
// SIGTERM and SIGINT make it drain and end, a second one ends it at once. SIGHUP
// makes it read its routes again. On SIGUSR2 it starts what is at its path by then,
// hands its sockets over when that is ready, and drains.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

// version is set when the command is linked.
var version = "dev"

// gcPercent is how much garbage may lie beside what is live, in percent, unless
// GOGC says otherwise. At Go's own 100, 10,000 streams that have each asked for
// themselves leave 2,197 bytes of resident memory a stream, at 50 1,739. Delivering
// makes no garbage, so the collector runs hardly more often.
const gcPercent = 50

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "edge:", err)
		os.Exit(1)
	}
}

// run is the command: it returns when ctx has ended and the edge has drained.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stderr)
	if err != nil {
		return err
	}
	if cfg.Version {
		fmt.Fprintln(stdout, "edge", version)
		return nil
	}
	log := newLogger(cfg, stderr)
	slog.SetDefault(log) // what libraries log, net/http for one, comes out alike
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log.Info("starting", "version", version, "go", runtime.Version(), "pid", os.Getpid(), "cores", runtime.GOMAXPROCS(0))
	inherited, err := inheritSockets()
	if err != nil {
		return err
	}
	warnOfShown(args, log)
	e, err := newEdge(cfg, log)
	if err != nil {
		return err
	}
	e.sockets = inherited
	return e.run(ctx)
}
