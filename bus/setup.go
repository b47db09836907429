package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// Setup is what a client group is to do. Each replaces the one before.
type Setup struct {
	Count   int    `json:"count"`   // clients wanted
	URL     string `json:"url"`     // base URI that they ask for
	Connect string `json:"connect"` // host:port that they connect to
}

// setupAnswer is the payload of the answer.
type setupAnswer struct {
	Error string `json:"error,omitempty"`
}

// SetUp has the client group of that name do what s says, and returns when the
// group has accepted it. The group's own error comes with its text; no answer
// is an error when ctx ends, or after 30 s.
func (b *Bus) SetUp(ctx context.Context, group string, s Setup) error {
	if err := b.requestSetUp(ctx, group, s); err != nil {
		return fmt.Errorf("set up group %q: %w", group, err)
	}
	return nil
}

func (b *Bus) requestSetUp(ctx context.Context, group string, s Setup) error {
	if err := checkName("group", group); err != nil {
		return err
	}
	m, err := b.request(ctx, setupPrefix+token(group), b.seal(marshal(s)))
	if err != nil {
		return err
	}
	var answer setupAnswer
	if err := unmarshal(m.Data, &answer); err != nil {
		b.refuse(m, err)
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// serveSetUp has f carry out what is asked of the group of that name, until
// stop, which waits for the call that is running.
func (b *Bus) serveSetUp(ctx context.Context, group string, f func(Setup) error) (stop func(), err error) {
	msgCh := make(chan *nats.Msg, nodeQueue)
	unsubscribe, err := b.listen(ctx, msgCh, setupPrefix+token(group))
	if err != nil {
		return nil, err
	}
	stopCh := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			select {
			case <-stopCh:
				return
			case m := <-msgCh:
				b.answerSetUp(m, f)
			}
		}
	})
	return func() {
		unsubscribe()
		close(stopCh)
		loop.Wait()
	}, nil
}

func (b *Bus) answerSetUp(m *nats.Msg, f func(Setup) error) {
	var s Setup
	err := unmarshal(m.Data, &s)
	if err != nil {
		b.refuse(m, err)
	} else {
		err = f(s)
	}
	var answer setupAnswer
	if err != nil {
		answer.Error = err.Error()
	}
	if err := m.Respond(b.seal(marshal(answer))); err != nil {
		b.log.Warn("set-up not answered", "err", err)
	}
}
