package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// bucketName is the key-value bucket of all kept values.
const bucketName = "marquee"

// Keep stores value durably under key, which is made of letters, digits and
// "-/_=." as NATS takes them. It needs a server with JetStream.
func (b *Bus) Keep(ctx context.Context, key string, value []byte) error {
	bucket, err := b.bucket(ctx)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		bucket, err = b.makeBucket(ctx)
	}
	if err == nil {
		_, err = bucket.Put(ctx, key, value)
	}
	if err != nil {
		return fmt.Errorf("keep %q: %w", key, err)
	}
	return nil
}

// Kept returns what was kept last under key, nil when nothing ever was.
func (b *Bus) Kept(ctx context.Context, key string) ([]byte, error) {
	bucket, err := b.bucket(ctx)
	var entry jetstream.KeyValueEntry
	if err == nil {
		entry, err = bucket.Get(ctx, key)
	}
	switch {
	case err == nil:
		return entry.Value(), nil
	case errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, nil
	}
	return nil, fmt.Errorf("look up %q: %w", key, err)
}

// bucket opens the bucket, each time anew: keeping is rare, and the server may
// have been replaced by an empty one.
func (b *Bus) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	if !b.Connected() {
		return nil, ErrNotConnected
	}
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	bucket, err := js.KeyValue(ctx, bucketName)
	// No responder, or one that has it for others only.
	if errors.Is(ownError(err), ErrNobody) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return nil, errors.New("the nats server has no jetstream (nats-server -js)")
	}
	return bucket, ownError(err)
}

func (b *Bus) makeBucket(ctx context.Context) (jetstream.KeyValue, error) {
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	bucket, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucketName})
	return bucket, ownError(err)
}
