// Command dashboard conducts the demonstration: headlines from one origin through
// many edges to very many clients.
//
// Terms used here:
//
//   - the capacity is how many clients are wanted;
//   - a node is an origin, an edge or a client group, in a region, known by what
//     it announces of itself on the bus; it is up once it has answered a ping;
//   - a pair is a client group and the edge that its clients ask;
//   - a set-up is what a group is told: how many clients, what, and where;
//   - a change is one headline on its way to all clients; statistics of the
//     groups tell how far it has come;
//   - the status is all of this in one document, which the page shows.
//
// The page and the status are served through an edge of its own: the dashboard is
// a GRIP origin on a loopback address.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the build: -ldflags "-X main.version=...".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

// run conducts as args say until ctx is done, and returns nil when it has then
// stopped in order. The demonstration's log line goes to stdout, the log to
// stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if cfg.version {
		_, err := fmt.Fprintln(stdout, "dashboard", version)
		return err
	}
	log := cfg.logger(stderr)
	d, err := openDashboard(ctx, cfg, stdout, log)
	if err != nil {
		return err
	}
	err = d.run(ctx)
	d.close()
	if err == nil {
		log.Info("stopped")
	}
	return err
}
