// Command origin is the headline service: a small GRIP origin with one durable
// value. Clients read the headline, change it, and long-poll for the next one, or
// have each sent as an event; polls and streams are held by the edges in front of
// it, to which every change is published.
//
// A *headline* is the value with its id, a revision that rises by one with
// every change. An *edge* is a GRIP proxy, known by its control endpoint. An
// *item* is what is published to it. A *hold* is a poll or a stream that this
// origin told an edge to keep open.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"marquee/bus"
)

// version is set by the build: -ldflags "-X main.version=...".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "origin:", err)
		os.Exit(1)
	}
}

// run serves as args say until ctx is done, and returns nil when it has then
// stopped in order. The log goes to stderr; what was asked for, to stdout.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if cfg.version {
		_, err := fmt.Fprintln(stdout, "origin", version)
		return err
	}
	log := cfg.logger(stderr)
	// Listen first: the directory stays untouched when the address is taken.
	listener, err := listen(cfg.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close()
	svc, err := openService(ctx, cfg.store, cfg.edges, log)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	var announcer sync.WaitGroup
	announcer.Go(func() { stop(svc.store.bus.Announce(ctx, cfg.node(svc.store.bus, listener.Addr()), nil)) })
	if svc.store.own != nil {
		log = log.With("nats", svc.store.own.url())
	}
	err = serve(ctx, listener, newHandler(svc, cfg.sigKeys, cfg.holdTimeout, cfg.keepAlive, log), log)
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause // of the announcement's end
	}
	stop(nil)
	announcer.Wait()
	svc.close()
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// listen returns the socket that systemd has opened (sd_listen_fds(3)), or opens
// one at address.
func listen(address string) (net.Listener, error) {
	inherited, err := activation.Listeners()
	switch {
	case err != nil:
		return nil, fmt.Errorf("take over systemd's socket: %w", err)
	case len(inherited) == 0:
		return net.Listen("tcp", address)
	case len(inherited) > 1 || inherited[0] == nil:
		return nil, errors.New("systemd passes something else than one socket that listens: a socket unit is to have one ListenStream=")
	}
	return inherited[0], nil
}

// notify tells who has started the process how it is, if it wants to know
// (sd_notify(3)).
func notify(state string, log *slog.Logger) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot notify the supervisor", "err", err)
	}
}

// node returns what the origin announces of itself in the cluster.
func (c *config) node(b *bus.Bus, listening net.Addr) func() bus.Node {
	host, port, _ := net.SplitHostPort(listening.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = b.Host()
	}
	api := "http://" + net.JoinHostPort(host, port) + "/headline/value/"
	return func() bus.Node {
		return bus.Node{
			Kind: bus.KindOrigin, Name: c.store.bus.Name, Region: c.region,
			Addresses: map[string]string{"api": api}, Version: version,
		}
	}
}

// stopTimeout bounds the wait for requests under way at the end. A change
// takes at most storeTimeout and ackWait.
const stopTimeout = storeTimeout + time.Second

// serve answers requests from the listener until ctx is done, and those that
// are under way then. It closes the listener.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second, // a form is 64 KiB at most
		WriteTimeout:      30 * time.Second, // no request waits here: edges hold them
		IdleTimeout:       2 * time.Minute,  // longer than the edges keep theirs
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failedCh := make(chan error, 1) // from the goroutine below, which ends with Serve
	go func() { failedCh <- server.Serve(listener) }()
	log.Info("ready", "listen", listener.Addr().String(), "version", version)
	notify(daemon.SdNotifyReady, log)
	select {
	case err := <-failedCh:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	notify(daemon.SdNotifyStopping, log)
	stopCtx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopCtx); err != nil {
		log.Warn("requests cut off", "err", err)
		server.Close()
	}
	<-failedCh
	return nil
}
