package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Ping returns the time of a round trip to the node of that name. It makes two
// and times the second, so that what is done once is not counted. A node that
// does not answer is an error when ctx ends, or after 30 s.
func (b *Bus) Ping(ctx context.Context, name string) (time.Duration, error) {
	var start time.Time
	for range 2 {
		start = time.Now()
		if _, err := b.whoIs(ctx, name); err != nil {
			return 0, fmt.Errorf("ping node %q: %w", name, err)
		}
	}
	return time.Since(start), nil
}

// whoIs asks the node of that name who it is.
func (b *Bus) whoIs(ctx context.Context, name string) (Identity, error) {
	var id Identity
	if err := checkName("node", name); err != nil {
		return id, err
	}
	m, err := b.request(ctx, pingPrefix+token(name), b.seal([]byte("{}")))
	if err != nil {
		return id, err
	}
	if err := unmarshal(m.Data, &id); err != nil {
		b.refuse(m, err)
		return id, err
	}
	return id, nil
}

// answerPing answers the request m.
func (b *Bus) answerPing(m *nats.Msg, id Identity) {
	err := unmarshal(m.Data, &struct{}{})
	if err == nil {
		err = m.Respond(b.seal(marshal(id)))
	}
	if err != nil {
		b.refuse(m, err)
	}
}
