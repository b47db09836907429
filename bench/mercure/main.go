// Command mercure serves Mercure's hub, for Marquee to race against: its library on
// net/http, for subscribers without a token, without history. The key of publishers'
// tokens (HS256) is in the environment, as MERCURE_PUBLISHER_KEY.
//
// It is a module of its own, so that Marquee's has none of what the hub needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/dunglas/mercure"
)

// config is what the flags say.
type config struct {
	listen, listenTLS string // addresses; that for TLS is empty for none
	cert, key         string // files, for TLS
}

func main() {
	var c config
	flag.StringVar(&c.listen, "listen", "127.0.0.1:0", "`address` for subscribers and publishers, port 0 for any")
	flag.StringVar(&c.listenTLS, "listen-tls", "", "`address` for those who speak TLS; empty for none")
	flag.StringVar(&c.cert, "tls-cert", "", "PEM `file` with the certificate for -listen-tls")
	flag.StringVar(&c.key, "tls-key", "", "PEM `file` with its key")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, c, slog.New(slog.NewJSONHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintln(os.Stderr, "mercure:", err)
		os.Exit(1)
	}
}

// serve serves until ctx ends. Who is connected then is cut off.
func serve(ctx context.Context, c config, log *slog.Logger) error {
	key := os.Getenv("MERCURE_PUBLISHER_KEY")
	if key == "" {
		return errors.New("MERCURE_PUBLISHER_KEY is empty: it takes the key of publishers' tokens")
	}
	hub, err := mercure.NewHub(ctx,
		mercure.WithAnonymous(),
		mercure.WithPublisherJWT([]byte(key), "HS256"),
		mercure.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("make the hub: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/.well-known/mercure", hub)
	server := &http.Server{Handler: mux}
	endedCh := make(chan error, 2)

	plain, err := net.Listen("tcp", c.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	attrs := []any{"listen", plain.Addr().String()}
	go func() { endedCh <- server.Serve(plain) }()
	if c.listenTLS != "" {
		secure, err := net.Listen("tcp", c.listenTLS)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		attrs = append(attrs, "listen_tls", secure.Addr().String())
		go func() { endedCh <- server.ServeTLS(secure, c.cert, c.key) }()
	}
	log.Info("ready", attrs...)
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-endedCh:
		return err
	}
}
