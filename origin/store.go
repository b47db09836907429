package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"marquee/bus"
)

// Where the headline lives in the store. Nothing else is ever written to the
// bucket, so that its revisions are the ids 1, 2, 3 without gaps.
const (
	bucketName = "headline"
	valueKey   = "value"
	// storedHeadlines are kept, the most that a bucket does: for streams that have
	// missed some while we were away.
	storedHeadlines = jetstream.KeyValueMaxHistory
)

// errInDoubt is the error of a put that may have stored its value nevertheless.
var errInDoubt = errors.New("whether it is stored is not known")

// A store keeps the headline durably, in a key-value bucket of a NATS server:
// one of its own in this process, or another.
type store struct {
	own    *natsServer // nil when the server is another's
	bus    *bus.Bus
	bucket jetstream.KeyValue
}

// A storeConfig says where the bucket is.
type storeConfig struct {
	// bus says how to reach the NATS server. Without a URL the store runs its
	// own, which keeps its files in dir and listens on listen.
	bus         bus.Config
	dir, listen string
}

// openStore opens the store. While a NATS server elsewhere cannot be reached it
// waits for it until ctx ends. The caller closes the store.
func openStore(ctx context.Context, cfg storeConfig, log *slog.Logger) (*store, error) {
	s := &store{}
	if cfg.bus.URL == "" {
		own, err := startNATS(cfg.dir, cfg.listen, log)
		if err != nil {
			return nil, err
		}
		s.own, cfg.bus.URL = own, own.url()
	}
	cfg.bus.Log = log
	var err error
	if s.bus, err = bus.Connect(ctx, cfg.bus); err == nil {
		s.bucket, err = s.bus.Bucket(ctx, bucketName, storedHeadlines)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// load returns the newest of the stored headlines, nil when none was ever put.
func (s *store) load(ctx context.Context) (*history, error) {
	entries, err := s.bucket.History(ctx, valueKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load headlines: %w", err)
	}
	var recent *history
	for _, entry := range entries {
		recent = recent.with(newHeadline(entry.Revision(), string(entry.Value())))
	}
	return recent, nil
}

// put stores body and returns its id. When it returns without an error the
// value is on the disk. Calls must not overlap.
func (s *store) put(ctx context.Context, body string) (uint64, error) {
	if err := s.ready(); err != nil {
		return 0, fmt.Errorf("store headline: %w", err)
	}
	id, err := s.bucket.PutString(ctx, valueKey, body)
	if err == nil {
		return id, nil
	}
	err = fmt.Errorf("store headline: %w: %w", errInDoubt, err)
	if s.own != nil {
		err = errors.Join(err, s.own.reopen())
	}
	return 0, err
}

// ready returns nil when the store can be expected to take something. Without a
// connection it must not be tried: what waits for one would be stored when it is
// back, long after it was refused.
func (s *store) ready() error {
	if !s.bus.Connected() {
		return bus.ErrNotConnected
	}
	if s.own != nil {
		return s.own.ready()
	}
	return nil
}

// close ends the connection, and the server if it is the store's own.
func (s *store) close() {
	if s.bus != nil {
		s.bus.Close()
	}
	if s.own != nil {
		s.own.close()
	}
}
