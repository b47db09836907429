// Command edge holds the clients of a realtime HTTP API in front of its origin.
//
// It speaks GRIP: the origin answers a request with an instruct to hold it, and
// later publishes an item to the edge's control endpoint, which answers every
// hold of that channel.
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
	"syscall"
)

// version is set when the command is linked.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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
	log.Info("starting", "version", version, "go", runtime.Version(), "pid", os.Getpid(), "cores", runtime.GOMAXPROCS(0))
	warnOfShown(args, log)
	e, err := newEdge(cfg, log)
	if err != nil {
		return err
	}
	return e.run(ctx)
}
