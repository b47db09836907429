package bus

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

func TestStats(t *testing.T) {
	s := startServer(t, server.Options{})
	group, dashboard := connect(t, s.ClientURL(), "group"), connect(t, s.ClientURL(), "dashboard")
	statsCh := make(chan Stats, 1)
	stop := run(t, func(ctx context.Context) error { return dashboard.WatchStats(ctx, func(s Stats) { statsCh <- s }) })
	eventually(t, "statistics are watched", func() bool { return s.GlobalAccount().Interest("marquee.stats.*") == 1 })
	for _, want := range []Stats{exampleStats, {Group: "a group", Total: 3}, {Body: "<&>\n é"}} {
		if err := group.PublishStats(want); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, statsCh, "statistics"); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := group.PublishStats(Stats{Group: strings.Repeat("x", 1025)}); err == nil || !strings.HasSuffix(err.Error(), "is longer than 1024") {
		t.Errorf("group of 1025 bytes: error %v", err)
	}
	if _, err := openStats(&nats.Msg{Subject: "marquee.stats.a", Data: []byte(`{"v":1,"group":"b"}`)}); err != errForged {
		t.Errorf("statistics of another group: error %v, want %v", err, errForged)
	}
}
