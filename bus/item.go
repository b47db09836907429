package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"marquee/grip"
)

const (
	// itemQueue is how many received items may wait for the subscribers.
	itemQueue = 4096
	// lossInterval is how often a subscriber is told of losses at most.
	lossInterval = 100 * time.Millisecond
)

// PublishItem sends item to all who have subscribed to its channel, except on
// this bus. It fails with ErrNotConnected at once when the connection is down;
// without an error the item is on its way, but may be lost with the connection.
// An item that is not Deliverable, which no edge could read, is not sent.
func (b *Bus) PublishItem(item grip.Item) error {
	if !item.Deliverable() {
		return nil
	}
	err := checkName("channel", item.Channel)
	if err == nil {
		err = b.publish(itemPrefix+token(item.Channel), b.sealItem(item))
	}
	if err != nil {
		return fmt.Errorf("publish to channel %q: %w", item.Channel, err)
	}
	b.published.Add(1)
	return nil
}

// sealItem returns the payload of item: the body of a publish, begun as all
// payloads are.
func (b *Bus) sealItem(item grip.Item) []byte {
	size := len(b.opening) + 512
	if f := item.HTTPResponse; f != nil {
		size += len(f.Body) + len(f.Patch)
	}
	if f := item.HTTPStream; f != nil {
		size += len(f.Content)
	}
	if f := item.WSMessage; f != nil {
		size += len(f.Content)
	}
	payload := append(make([]byte, 0, size), b.opening...)
	payload = grip.AppendItems(payload, []grip.Item{item})
	payload[len(b.opening)] = ',' // in place of the body's {
	return payload[:len(payload)-1]
}

// A Subscription is one to a channel. It outlives the loss of the connection.
type Subscription struct {
	bus     *Bus
	channel string
	sub     *nats.Subscription
	item    func(grip.Item)
	lost    func()
	// told is how many lost items were reported. dispatchLoop's.
	told int
}

// Subscribe has item called for every item that is published to channel
// elsewhere. It returns when the server has confirmed: of what reaches that
// server from then on, none is missed. (The other servers of a cluster are told
// by it, a moment later.) When it fails, for one because the connection is
// down, nothing remains. A channel can have one Subscription at a time.
//
// lost is called after items were dropped because the subscribers of this bus
// took too long: the channel may be at a newer item. What a lost connection
// costs is told by Config.Up instead.
//
// All calls, for all channels, are made in the order of arrival on one
// goroutine of the bus, and must not block it. They may call Subscription.Close,
// and one call may still be on its way when Close returns elsewhere.
func (b *Bus) Subscribe(ctx context.Context, channel string, item func(grip.Item), lost func()) (*Subscription, error) {
	s := &Subscription{bus: b, channel: channel, item: item, lost: lost}
	if err := b.subscribe(ctx, s); err != nil {
		return nil, fmt.Errorf("subscribe to channel %q: %w", channel, err)
	}
	return s, nil
}

func (b *Bus) subscribe(ctx context.Context, s *Subscription) error {
	if err := checkName("channel", s.channel); err != nil {
		return err
	}
	if !b.Connected() {
		return ErrNotConnected
	}
	subject := itemPrefix + token(s.channel)
	if err := b.register(subject, s); err != nil {
		return err
	}
	if err := b.confirm(ctx, subject); err != nil {
		s.Close()
		return err
	}
	return nil
}

// register subscribes s. The lock is held throughout: the first item may be
// there before ChanSubscribe returns.
func (b *Bus) register(subject string, s *Subscription) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscriptions[subject] != nil {
		return ErrSubscribed
	}
	if s.sub, err = b.nc.ChanSubscribe(subject, b.itemCh); err != nil {
		return ownError(err)
	}
	b.subscriptions[subject] = s
	return nil
}

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if s.bus.subscriptions[s.sub.Subject] != s {
		return
	}
	delete(s.bus.subscriptions, s.sub.Subject)
	// Fails only when the connection is closed, which unsubscribes, too.
	_ = s.sub.Unsubscribe()
}

// subscription returns whose sub is, nil when it has been closed.
func (b *Bus) subscription(sub *nats.Subscription) *Subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if s := b.subscriptions[sub.Subject]; s != nil && s.sub == sub {
		return s
	}
	return nil
}

// dispatchLoop calls the subscribers until Close.
//
// nats.go drops what itemCh has no room for, and tells so at a subscription's
// first loss, but not again before that subscription has received something.
// So once suspected, a subscription is watched until it has received something
// and all its losses have been told.
func (b *Bus) dispatchLoop() {
	defer close(b.dispatchedCh)
	suspects := make(map[*Subscription]bool)
	var lossCh <-chan time.Time // nil while nobody is suspected
	for {
		select {
		case <-b.ctx.Done():
			return
		case m := <-b.itemCh:
			s := b.subscription(m.Sub)
			if s == nil {
				continue
			}
			if suspects[s] && s.newlyLost() == 0 {
				delete(suspects, s)
			}
			b.deliver(s, m)
		case sub := <-b.slowCh:
			if s := b.subscription(sub); s != nil {
				suspects[s] = true
			}
			if lossCh == nil {
				lossCh = time.After(lossInterval)
			}
		case <-lossCh:
			lossCh = nil
			for s := range suspects {
				if b.subscription(s.sub) != s {
					delete(suspects, s)
				} else if n := s.newlyLost(); n > 0 {
					b.reportLoss(s, n)
				}
			}
			if len(suspects) > 0 {
				lossCh = time.After(lossInterval)
			}
		}
	}
}

// handleSlow is told by nats.go that messages to sub were dropped.
func (b *Bus) handleSlow(sub *nats.Subscription) {
	if !strings.HasPrefix(sub.Subject, itemPrefix) {
		b.lost.Add(1)
		b.complain(slog.LevelWarn, "messages lost, this process reads too slowly", "subject", sub.Subject)
		return
	}
	select {
	case b.slowCh <- sub:
	case <-b.ctx.Done():
	}
}

// newlyLost returns how many items s has lost that it was not told of.
func (s *Subscription) newlyLost() int {
	n, err := s.sub.Dropped()
	if err != nil {
		return 0 // closed meanwhile
	}
	return n - s.told
}

func (b *Bus) reportLoss(s *Subscription, n int) {
	s.told += n
	b.lost.Add(uint64(n))
	b.complain(slog.LevelWarn, "items lost, this process reads too slowly", "channel", s.channel, "lost", n)
	s.lost()
}

// deliver decodes m, once, and hands the item to s.
func (b *Bus) deliver(s *Subscription, m *nats.Msg) {
	item, err := openItem(s.channel, m.Data)
	if err != nil {
		b.refuse(m, err)
		return
	}
	b.received.Add(1)
	s.item(item)
}

// openItem returns the item in a payload that was sent to channel.
func openItem(channel string, payload []byte) (grip.Item, error) {
	if err := checkVersion(payload); err != nil {
		return grip.Item{}, err
	}
	items, err := grip.ParseItems(payload)
	if err != nil {
		return grip.Item{}, fmt.Errorf("decode items: %w", err)
	}
	if len(items) != 1 {
		return grip.Item{}, fmt.Errorf("%d items instead of 1", len(items))
	}
	item := items[0]
	// JSON has no way to write a name that is not UTF-8, but the subject has.
	if utf8.ValidString(channel) && item.Channel != channel {
		return grip.Item{}, errForged
	}
	if !item.Deliverable() {
		return grip.Item{}, errors.New("item without a known format")
	}
	item.Channel = channel
	return item, nil
}
