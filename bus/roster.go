package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// silence is how long a node may be silent before it counts as gone.
	silence       = 5 * time.Second
	sweepInterval = 250 * time.Millisecond
)

// WatchNodes calls seen for every announcement of a node elsewhere, so once a
// second for each and within a second for those who were there before, and left
// when a node has said goodbye, was silent for 5 s, or was started again under
// the same name. It calls them on the caller's goroutine and blocks until ctx
// ends; then it returns nil.
//
// While this bus is cut off, nobody counts as silent.
func (b *Bus) WatchNodes(ctx context.Context, seen func(Node), left func(n Node, why string)) error {
	msgCh := make(chan *nats.Msg, nodeQueue)
	stop, err := b.listen(ctx, msgCh, nodePrefix+anyName, byePrefix+anyName)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	defer stop()
	r := &roster{nodes: make(map[string]*presence), seen: seen, left: left}
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.ctx.Done():
			return fmt.Errorf("watch nodes: %w", ErrNotConnected)
		case m := <-msgCh:
			if err := r.hear(m, time.Now()); err != nil {
				b.refuse(m, err)
			}
		case <-ticker.C:
			r.sweep(time.Now(), b.Connected())
		}
	}
}

// A roster is who is there, by name.
type roster struct {
	nodes map[string]*presence
	seen  func(Node)
	left  func(Node, string)
	// swept is when sweep was called last, and listening since when there was
	// nothing to keep announcements from being heard.
	swept, listening time.Time
}

type presence struct {
	node  Node
	heard time.Time
}

// hear takes an announcement or a goodbye.
func (r *roster) hear(m *nats.Msg, now time.Time) error {
	if strings.HasPrefix(m.Subject, byePrefix) {
		return r.hearGoodbye(m)
	}
	n, err := openNode(m)
	if err != nil {
		return err
	}
	if p := r.nodes[n.Name]; p != nil && p.node.Instance != n.Instance {
		r.remove(p.node, fmt.Sprintf("replaced by %s", n.text()))
	}
	r.nodes[n.Name] = &presence{n, now}
	r.seen(n)
	return nil
}

func (r *roster) hearGoodbye(m *nats.Msg) error {
	name, err := subjectName(m, byePrefix)
	if err != nil {
		return err
	}
	var bye goodbye
	if err := unmarshal(m.Data, &bye); err != nil {
		return err
	}
	if p := r.nodes[name]; p != nil && p.node.Instance == bye.Instance {
		r.remove(p.node, "said goodbye")
	}
	return nil
}

// sweep removes who was silent for too long. Silence counts only while this
// side could hear: connected, and not itself stopped or starved of time.
func (r *roster) sweep(now time.Time, connected bool) {
	if !connected || now.Sub(r.swept) > 4*sweepInterval {
		r.listening = now
	}
	r.swept = now
	for _, p := range r.nodes {
		last := p.heard
		if r.listening.After(last) {
			last = r.listening
		}
		if now.Sub(last) >= silence {
			r.remove(p.node, fmt.Sprintf("silent for %v", now.Sub(p.heard).Round(time.Second)))
		}
	}
}

func (r *roster) remove(n Node, why string) {
	delete(r.nodes, n.Name)
	r.left(n, why)
}
