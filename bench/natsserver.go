package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/peterbourgon/ff/v3/ffcli"
)

// natsCommand is "bench nats", a NATS server with JetStream in a process of its own,
// for trials in which it fails.
func natsCommand(stderr io.Writer) *ffcli.Command {
	var listen, dir string
	return subcommand(stderr, "nats", "be a NATS server with JetStream, for the trials of bench torture",
		func(set *flag.FlagSet) {
			set.StringVar(&listen, "listen", "", "IP `address` with port")
			set.StringVar(&dir, "data", "", "`directory` that keeps the streams")
		},
		func(ctx context.Context) error {
			at, err := netip.ParseAddrPort(listen)
			if err != nil {
				return fmt.Errorf("-listen: %w", err)
			}
			if dir == "" {
				return errors.New("-data must name a directory")
			}
			return serveNATS(ctx, stderr, at, dir)
		})
}

// serveNATS serves until ctx ends.
func serveNATS(ctx context.Context, stderr io.Writer, at netip.AddrPort, dir string) error {
	s, err := natsserver.NewServer(&natsserver.Options{
		ServerName: "bench", Host: at.Addr().String(), Port: int(at.Port()),
		NoSigs: true, NoSystemAccount: true, NoLog: true,
		// As the origin's own server: nothing acknowledged is lost.
		JetStream: true, StoreDir: dir, SyncAlways: true,
	})
	if err != nil {
		return fmt.Errorf("configure nats server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(readyTimeout / 2) {
		return fmt.Errorf("start nats server: not ready within %v", readyTimeout/2)
	}
	slog.New(slog.NewJSONHandler(stderr, nil)).Info("ready", "listen", at.String(), "nats", s.ClientURL())
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
