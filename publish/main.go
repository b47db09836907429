// Command publish sends one item to a channel: to whoever holds it at an edge, or
// at any other GRIP proxy with an HTTP control endpoint.
//
//	publish news 'Flight 123 arriving in terminal A.'
//
// Its options are those of pushpin-publish, and some more. An *endpoint* is the
// control endpoint of one edge, given as GRIP_URL has it; there may be several,
// and each is told. A *receipt* is what an edge of Marquee says became of the item.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
		os.Exit(1)
	}
}

// run is the command: it returns nil when every endpoint has taken the item.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) error {
	cfg, err := parseConfig(args, stdout, getenv)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if cfg.version {
		_, err := fmt.Fprintln(stdout, "publish", version)
		return err
	}
	item, err := cfg.item(stdin)
	if err != nil {
		return err
	}
	outcomes := post(ctx, cfg.endpoints, item, cfg.receipt)
	if err := failure(outcomes); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, "Published"); err != nil {
		return err
	}
	if cfg.receipt {
		return printReceipts(stdout, stderr, outcomes)
	}
	return nil
}
