package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket opens the JetStream key-value bucket of that name, and makes it when
// there is none, with the server's defaults. It serves those for whom a value
// kept is not enough, such as who needs its revision. The bucket outlives the
// loss of the connection; it ends with the bus.
func (b *Bus) Bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	bucket, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, ownError(err))
	}
	return bucket, nil
}
