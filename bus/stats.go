package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// statsQueue is how many messages may wait for WatchStats: ten seconds of
// twenty groups.
const statsQueue = 2048

// Stats is what the clients of a group have received.
type Stats struct {
	Group string `json:"group"`
	// ID and Body are the newest headline that a client has.
	ID   uint64 `json:"id"`
	Body string `json:"body"`
	// Counts of clients: wanted, with a first answer, with an error since the
	// last answer, and with the headline ID.
	Total    int `json:"total"`
	Started  int `json:"started"`
	Errored  int `json:"errored"`
	Received int `json:"received"`
	// Latency is what batching added: the mean age of the receipts of ID when
	// this was sent.
	Latency time.Duration `json:"latency_ns"`
	// FirstAt, LastAt and MeanAt are when clients received ID, by the clock of
	// their host; zero when none has.
	FirstAt time.Time `json:"first_at,omitzero"`
	LastAt  time.Time `json:"last_at,omitzero"`
	MeanAt  time.Time `json:"mean_at,omitzero"`
}

// PublishStats sends s to all who watch, except on this bus. It fails with
// ErrNotConnected when the connection is down.
func (b *Bus) PublishStats(s Stats) error {
	err := checkName("group", s.Group)
	if err == nil {
		err = b.publish(statsPrefix+token(s.Group), b.seal(marshal(s)))
	}
	if err != nil {
		return fmt.Errorf("publish statistics of group %q: %w", s.Group, err)
	}
	return nil
}

// WatchStats calls f for all statistics of groups elsewhere, on the caller's
// goroutine. It blocks until ctx ends; then it returns nil.
func (b *Bus) WatchStats(ctx context.Context, f func(Stats)) error {
	msgCh := make(chan *nats.Msg, statsQueue)
	stop, err := b.listen(ctx, msgCh, statsPrefix+anyName)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch statistics: %w", err)
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.ctx.Done():
			return fmt.Errorf("watch statistics: %w", ErrNotConnected)
		case m := <-msgCh:
			s, err := openStats(m)
			if err != nil {
				b.refuse(m, err)
				continue
			}
			f(s)
		}
	}
}

// openStats returns the statistics in m.
func openStats(m *nats.Msg) (Stats, error) {
	var s Stats
	if err := unmarshal(m.Data, &s); err != nil {
		return s, err
	}
	if statsPrefix+token(s.Group) != m.Subject {
		return s, errForged
	}
	return s, nil
}
