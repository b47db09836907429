package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"marquee/grip"
)

// What is published to one of the two processes reaches those who hold in the
// other.
func TestPublishDuringUpgrade(t *testing.T) {
	for _, tt := range []struct {
		name      string
		toSuccess bool
	}{{"to the successor", true}, {"to the predecessor", false}} {
		t.Run(tt.name, func(t *testing.T) {
			h := &headline{id: 1}
			p := startLineage(t, serve(t, h), slowDrain...)
			held := p.poll(holdouts, 1)
			p.waitHolds(holdouts)
			publisher := dial(t, strings.TrimPrefix(p.control, "http://"))
			publisher.get("/healthz")
			publisher.wantStatus(200)
			publisher.wantBody("ok\n")

			before := p.upgrade()
			fresh := p.dial()
			fresh.get(pollPath(1))
			p.waitHolds(1)
			it := headlineItem(h.change())
			if tt.toSuccess {
				if got := p.publish(it)[0]; got.Written != 1 {
					t.Errorf("receipt %+v, want 1 written", got)
				}
			} else {
				body := grip.AppendItems(nil, []grip.Item{it})
				publisher.send(fmt.Sprintf("POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
				publisher.wantStatus(200)
				publisher.wantHeader("Connection", "close") // the next one is for the successor
				publisher.wantBody("Published\n")
				publisher.wantClosed()
			}
			fresh.wantAnswer(200, headlineBody(2))
			items := wantLetGo(t, held, 2)
			for _, c := range held {
				c.leave()
			}
			if items == 0 {
				t.Error("nobody who held in the predecessor was given the item")
			}
			p.wantExit(before)
		})
	}
}

// While the other process does not take what is published, the publisher is warned,
// and so is who reads the log. When it goes on, so does the hand-over.
func TestPublishToStuckProcess(t *testing.T) {
	for _, tt := range []struct {
		name      string
		toSuccess bool
	}{{"to the successor", true}, {"to the predecessor", false}} {
		t.Run(tt.name, func(t *testing.T) {
			startedCh, goCh := make(chan struct{}), make(chan struct{})
			h := &headline{id: 1}
			p := startLineage(t, serve(t, slowly(h, startedCh, goCh)), "-drain-timeout", "2m", "-drain-spread", "0s")
			slow := p.dial()
			slow.get("/slow")
			await(t, startedCh, "the slow request")
			var publishers []*client
			for range 2 {
				publisher := dial(t, strings.TrimPrefix(p.control, "http://"))
				publisher.get("/healthz")
				publisher.wantAnswer(200, "ok\n")
				publishers = append(publishers, publisher)
			}
			before := p.upgrade()
			fresh := p.dial()
			fresh.get(pollPath(1))
			p.waitHolds(1)
			stuck := p.pid
			if tt.toSuccess {
				stuck = before
			}
			publish := func() (warning string) {
				it := headlineItem(h.change())
				if tt.toSuccess {
					_, warning = p.publishWarned(it)
					return warning
				}
				warning = publishers[0].publishLast(it)
				publishers = publishers[1:]
				return warning
			}

			t.Cleanup(func() {
				if t.Failed() {
					_ = syscall.Kill(before, syscall.SIGKILL)
				}
			})
			freeze(t, stuck)
			if warning := publish(); !strings.Contains(warning, fmt.Sprintf("process %d", stuck)) {
				t.Errorf("warning %q, want one that names process %d", warning, stuck)
			}
			p.waitLog(`"level":"WARN"`, "does not take what is published", fmt.Sprintf(`"pid":%d`, stuck))
			if tt.toSuccess {
				p.waitMetric(`marquee_drops_total{reason="handover_not_taken",what="item"}`, 1)
			}
			if err := syscall.Kill(stuck, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			fresh.wantAnswer(200, headlineBody(2))
			fresh.get(pollPath(2))
			p.waitHolds(1)
			if warning := publish(); warning != "" {
				t.Errorf("warning %q although the process goes on", warning)
			}
			fresh.wantAnswer(200, headlineBody(3))
			close(goCh)
			slow.wantStatus(200)
			p.wantExit(before)
			if log := p.log.String(); strings.Count(log, "the other process of a hand-over has ended") > 1 {
				t.Error("it is said to have ended before it has")
			}
		})
	}
}

// publishLast publishes over a connection to a process that has a successor, and
// returns the warning.
func (c *client) publishLast(items ...grip.Item) (warning string) {
	c.t.Helper()
	body := grip.AppendItems(nil, items)
	c.send(fmt.Sprintf("POST /publish/ HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	c.wantStatus(200)
	c.wantHeader("Connection", "close")
	said, err := c.readBody(200)
	if err != nil {
		c.t.Fatal(err)
	}
	c.wantClosed()
	var answer published
	if err := json.Unmarshal([]byte(said), &answer); err != nil || answer.Message != "Published" {
		c.t.Fatalf("the publisher is told %q, %v", said, err)
	}
	return answer.Warning
}

// A publisher who goes on over the same connection is not cut off, however soon the
// last client has left, and what is published reaches the other edges still.
func TestPublisherOutlastsClients(t *testing.T) {
	const attempts = 5 // on a machine that may be busy for longer than publishers are waited for
	for range attempts {
		if publishWhenDrained(t) {
			return
		}
	}
	t.Errorf("%d times the publisher found the connection closed", attempts)
}

// publishWhenDrained publishes when the last client has left, and reports false when
// the connection is closed by then, as it may be no sooner than after publisherPause.
func publishWhenDrained(t *testing.T) bool {
	t.Helper()
	nats := startNATS(t, server.Options{})
	h := &headline{id: 1}
	origin := serve(t, h)
	p := startLineage(t, origin, "-share-all", "-nats", "nats://"+nats.address(), "-name", "east")
	other := startProcess(t, origin, "-share-all", "-nats", "nats://"+nats.address(), "-name", "west")
	elsewhere := other.poll(1, 1)
	other.waitHolds(1)
	publisher := dial(t, strings.TrimPrefix(p.control, "http://"))
	publisher.get("/healthz")
	publisher.wantStatus(200)
	publisher.wantBody("ok\n")

	began := time.Now()
	before := p.upgrade()
	p.waitLog(`"msg":"drained"`)
	body := grip.AppendItems(nil, []grip.Item{headlineItem(h.change())})
	_, _ = fmt.Fprintf(publisher.nc, "POST /publish/ HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	status, err := publisher.readHead()
	said := ""
	if err == nil {
		said, err = publisher.readBody(status)
	}
	if took := time.Since(began); err != nil && took > publisherPause {
		t.Logf("%v after the upgrade began: %v", took, err)
		return false
	}
	if err != nil || status != 200 || strings.Contains(said, "warning") {
		t.Fatalf("the publisher is told %d %q, %v, want no warning", status, said, err)
	}
	publisher.wantHeader("Connection", "close")
	publisher.wantClosed()
	elsewhere[0].wantAnswer(200, headlineBody(2))
	p.wantExit(before)
	return true
}
