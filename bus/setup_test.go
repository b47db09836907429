package bus

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestSetUp(t *testing.T) {
	s := startServer(t, server.Options{})
	group, dashboard := connect(t, s.ClientURL(), "group"), connect(t, s.ClientURL(), "dashboard")
	seenCh, _ := watchNodes(t, s, dashboard)
	setupCh, answerCh := make(chan Setup), make(chan error)
	stop := run(t, func(ctx context.Context) error {
		return group.Announce(ctx, func() Node { return Node{Name: "g", Kind: KindGroup} }, func(s Setup) error {
			setupCh <- s
			return <-answerCh
		})
	})
	// Whoever has seen a group can set it up.
	receive(t, seenCh, "announcement")
	for _, want := range []error{nil, errors.New("count is negative")} {
		errCh := make(chan error, 1)
		go func() { errCh <- dashboard.SetUp(t.Context(), "g", exampleSetup) }()
		if got := receive(t, setupCh, "set-up"); got != exampleSetup {
			t.Errorf("set-up %+v, want %+v", got, exampleSetup)
		}
		// The node stays in sight meanwhile.
		if _, err := dashboard.Ping(t.Context(), "g"); err != nil {
			t.Error(err)
		}
		answerCh <- want
		got := receive(t, errCh, "answer")
		if want == nil && got != nil || want != nil && (got == nil || got.Error() != `set up group "g": `+want.Error()) {
			t.Errorf("error %v, want %v", got, want)
		}
	}

	// Announce does not return before the function has.
	ctx, cancel := context.WithCancel(t.Context())
	errCh, endCh := make(chan error, 1), make(chan error, 1)
	go func() { errCh <- dashboard.SetUp(ctx, "g", exampleSetup) }()
	receive(t, setupCh, "set-up")
	go func() { endCh <- stop() }()
	eventually(t, "the node has left the set-up's subject", func() bool { return s.GlobalAccount().Interest("marquee.setup.g") == 0 })
	select {
	case err := <-endCh:
		t.Errorf("Announce ended during a set-up: %v", err)
	default:
	}
	answerCh <- nil
	if err := receive(t, endCh, "end of Announce"); err != nil {
		t.Error(err)
	}
	cancel()
	receive(t, errCh, "end of SetUp")
	if err := dashboard.SetUp(t.Context(), "g", exampleSetup); !errors.Is(err, ErrNobody) {
		t.Errorf("error %v, want %v", err, ErrNobody)
	}
}
