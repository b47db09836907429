package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket opens the JetStream key-value bucket of that name, and makes it when
// there is none, with the server's defaults but for how many values of a key it
// keeps, 1 to 64. It serves those for whom a value kept is not enough, such as who
// needs its revision. The bucket outlives the
// loss of the connection; it ends with the bus.
func (b *Bus) Bucket(ctx context.Context, name string, values uint8) (jetstream.KeyValue, error) {
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	// One that is there is not written to: its disk may be full.
	bucket, err := js.KeyValue(ctx, name)
	if err == nil && !keeps(ctx, bucket, values) || errors.Is(err, jetstream.ErrBucketNotFound) {
		bucket, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, History: values})
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, ownError(err))
	}
	return bucket, nil
}

// keeps reports whether a bucket is known to keep so many values of a key.
func keeps(ctx context.Context, bucket jetstream.KeyValue, values uint8) bool {
	status, err := bucket.Status(ctx)
	return err == nil && status.History() == int64(values)
}
