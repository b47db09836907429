package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"marquee/bus"
	"marquee/grip"
)

// holdouts is how many clients hold at the end of a drain by slowDrain: of so many
// the last one holds for 15 s after the drain has begun, so that a test has that time
// until nobody is left.
const holdouts = 2000

// slowDrain are the arguments of an edge that lets few clients go at a time.
var slowDrain = []string{"-share-all", "-loops", "1", "-drain-timeout", "2m", "-drain-spread", "1m"}

// A successor takes over the sockets; what the one before has begun it brings to
// its end.
func TestUpgrade(t *testing.T) {
	startedCh, goCh := make(chan struct{}), make(chan struct{})
	h := &headline{id: 1}
	p := startLineage(t, serve(t, slowly(h, startedCh, goCh)), "-share-all", "-drain-timeout", "1m", "-drain-spread", "30s")
	idle := p.dial()
	idle.get(headlinePath)
	idle.wantAnswer(200, headlineBody(1))
	held := p.poll(100, 1)
	p.waitHolds(100)
	slow := p.dial()
	slow.get("/slow")
	await(t, startedCh, "the slow request")
	checker := dial(t, strings.TrimPrefix(p.control, "http://"))
	checker.get("/healthz")
	checker.wantAnswer(200, "ok\n")

	before := p.upgrade()
	checker.get("/healthz") // the service goes on
	checker.wantStatus(200)
	checker.wantHeader("Connection", "close")
	checker.wantBody("ok\n")
	checker.wantClosed()
	eventually(t, func() error { // the loops may not have begun to drain
		idle.get(headlinePath)
		idle.wantAnswer(200, headlineBody(1))
		if got := idle.head.Get("Connection"); got != "close" {
			return fmt.Errorf("field Connection of who was idle is %q, want close", got)
		}
		return nil
	})
	idle.wantClosed()
	for _, c := range held {
		c.wantStatus(200)
		c.wantHeader("Connection", "close")
		c.wantBody("{}")
		c.wantClosed()
	}
	again := p.poll(10, 1)
	p.waitHolds(10) // in the successor
	close(goCh)
	slow.wantStatus(200)
	slow.wantHeader("Connection", "close")
	slow.wantBody(headlineBody(1))
	slow.wantClosed()
	p.wantExit(before)
	if got := p.publish(headlineItem(h.change()))[0]; got.Written != 10 {
		t.Errorf("receipt %+v, want 10 written", got)
	}
	for _, c := range again {
		c.wantAnswer(200, headlineBody(2))
		c.get(pollPath(2))
	}
	p.waitHolds(10)
	p.signal(syscall.SIGTERM)
	for _, c := range again {
		c.wantAnswer(200, "{}")
		c.wantClosed()
	}
	p.wantExit(p.pid)
}

// A successor that cannot take over changes nothing.
func TestFailedUpgrade(t *testing.T) {
	h := &headline{id: 1}
	p := startLineage(t, serve(t, h))
	held := p.dial()
	held.get(pollPath(1))
	p.waitHolds(1)
	for _, tt := range []struct{ name, program, log string }{
		{"it is gone", "", "no such file"},
		{"it is none", "garbage", "exec format error"},
		{"it ends", "#!/bin/sh\nexit 7\n", "exit status 7"},
		{"it refuses its flags", "#!/bin/sh\nexec " + os.Args[0] + " -origin /\n", "exit status 1"},
	} {
		_ = os.Remove(p.path) // unless the case before has
		if tt.program != "" {
			if err := os.WriteFile(p.path, []byte(tt.program), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		p.signal(syscall.SIGUSR2)
		eventually(t, func() error {
			if log := p.log.String(); !strings.Contains(log, tt.log) {
				return fmt.Errorf("%s: the log does not say %q", tt.name, tt.log)
			}
			return nil
		})
		held.wantNothing()
		c := p.dial()
		c.get(headlinePath)
		c.wantAnswer(200, headlineBody(1))
		c.leave()
	}
	if strings.Contains(p.log.String(), "draining") {
		t.Error("the edge drains although there is no successor")
	}
	install(t, p.path)
	before := p.upgrade()
	held.wantAnswer(200, "{}")
	p.wantExit(before)
}

// A successor that is not ready in time is ended.
func TestLateSuccessor(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	for _, tt := range []struct {
		name    string
		args    []string
		timeout time.Duration
		want    string
	}{
		{"says nothing", []string{"sleep", "1000"}, 100 * time.Millisecond, "not ready within"},
		{"does not listen", []string{"sh", "-c", "exec sleep 1000 3>&- 4>&-"}, patience, "ended before it was ready"},
	} {
		path, err := exec.LookPath(tt.args[0])
		if err != nil {
			t.Fatal(err)
		}
		r.edge.program = program{path: path, args: tt.args, timeout: tt.timeout}
		if pid, err := r.edge.handOver(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("a successor that %s: process %d, error %v, want one with %q", tt.name, pid, err, tt.want)
		}
		c := r.dial()
		c.get("/")
		c.wantAnswer(200, "hi /")
	}
}

// One process after the other can take over while those before still drain, and
// what is published to any of them reaches who holds in the others.
func TestUpgradeInRow(t *testing.T) {
	h := &headline{id: 1}
	p := startLineage(t, serve(t, h), slowDrain...)
	publisher := dial(t, strings.TrimPrefix(p.control, "http://"))
	publisher.get("/healthz")
	publisher.wantAnswer(200, "ok\n")
	var held []*client
	var before []int
	for range 2 {
		more := p.poll(holdouts, 1)
		p.waitHolds(holdouts)
		held = append(held, more...)
		before = append(before, p.upgrade())
	}
	fresh := p.poll(1, 1)
	p.waitHolds(1)
	// To the first of three, from which it has the longest way.
	body := grip.AppendItems(nil, []grip.Item{headlineItem(h.change())})
	publisher.send(fmt.Sprintf("POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	publisher.wantAnswer(200, "Published\n")
	fresh[0].wantAnswer(200, headlineBody(2))
	var items [2]int
	for i, c := range held {
		c.wantStatus(200)
		if body, err := c.readBody(200); err != nil {
			t.Fatal(err)
		} else if body == headlineBody(2) {
			items[i/holdouts]++
		}
		c.leave()
	}
	if items[0] == 0 || items[1] == 0 {
		t.Errorf("%d of those who held in the first process got the item and %d of those in the second, want some of both", items[0], items[1])
	}
	for _, pid := range before {
		p.wantExit(pid)
	}
}

// A process that nobody is left in stays as long as its predecessor: what is published
// to those before and behind it goes through it, and so does the name in the cluster.
func TestMiddleEndsFirst(t *testing.T) {
	const clients = 1000
	for _, tt := range []struct {
		name      string
		clustered bool
	}{{"alone", false}, {"in a cluster", true}} {
		t.Run(tt.name, func(t *testing.T) {
			startedCh, goCh := make(chan struct{}), make(chan struct{})
			h := &headline{id: 1}
			args := []string{"-share-all", "-drain-timeout", "2m", "-drain-spread", "1m"}
			if tt.clustered {
				args = append(args, "-nats", "nats://"+startNATS(t, server.Options{}).address(), "-name", "east")
			}
			p := startLineage(t, serve(t, slowly(h, startedCh, goCh)), args...)
			slow := p.dial()
			slow.get("/slow")
			await(t, startedCh, "the slow request")
			held := p.poll(clients, 1)
			p.waitHolds(clients)
			publisher := dial(t, strings.TrimPrefix(p.control, "http://"))
			publisher.get("/healthz")
			publisher.wantAnswer(200, "ok\n")

			first := p.upgrade()
			middle := p.upgrade()
			p.waitLog(`"msg":"waiting for the predecessor to end"`, fmt.Sprintf(`"pid":%d`, first))
			fresh := p.poll(1, 1)[0]
			p.waitHolds(1)
			if _, warning := p.publishWarned(headlineItem(h.change())); warning != "" {
				t.Errorf("warning %q to who publishes to the last", warning)
			}
			fresh.wantAnswer(200, headlineBody(2))
			items := 0
			for _, c := range held {
				c.wantStatus(200)
				if body, err := c.readBody(200); err != nil {
					t.Fatal(err)
				} else if body == headlineBody(2) {
					items++
				}
			}
			if items == 0 {
				t.Error("nobody who held in the first was given the item")
			}
			fresh.get(pollPath(2))
			p.waitHolds(1)
			if warning := publisher.publishLast(headlineItem(h.change())); warning != "" {
				t.Errorf("warning %q to who publishes to the first", warning)
			}
			fresh.wantAnswer(200, headlineBody(3))
			close(goCh)
			slow.wantStatus(200)
			p.wantExit(first)
			p.wantExit(middle)
			fresh.leave()
			p.wantExit(p.upgrade()) // the name's claim has not ended the process
		})
	}
}

// Nobody waits for the predecessor of a process that is told to stop.
func TestStopMiddle(t *testing.T) {
	startedCh, goCh := make(chan struct{}), make(chan struct{})
	p := startLineage(t, serve(t, slowly(http.HandlerFunc(hi), startedCh, goCh)), "-drain-timeout", "10m")
	slow := p.dial()
	slow.get("/slow")
	await(t, startedCh, "the slow request")
	first := p.upgrade()
	middle := p.upgrade()
	p.waitLog(`"msg":"waiting for the predecessor to end"`)
	if err := syscall.Kill(middle, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { // it is the child of the first, who waits for it
		if syscall.Kill(middle, 0) == nil {
			return fmt.Errorf("process %d still runs", middle)
		}
		return nil
	})
	close(goCh)
	slow.wantStatus(200)
	p.wantExit(first)
}

// A process that has been told to stop hands nothing over any more, but waits and
// drains as without.
func TestStopBeforeUpgrade(t *testing.T) {
	const delay = 3 * time.Second
	for _, tt := range []struct {
		name  string
		begun bool
	}{{"a successor is on its way", true}, {"one is asked for", false}} {
		t.Run(tt.name, func(t *testing.T) {
			p := startLineage(t, serve(t, &headline{id: 1}), "-drain-delay", delay.String(), "-drain-spread", "1s", "-drain-timeout", "1m")
			first := p.pid
			t.Cleanup(func() { p.pid = cmp.Or(p.heir(), first) })
			held := p.poll(10, 1)
			p.waitHolds(10)
			if tt.begun {
				goOn := p.path + ".go"
				script := "#!/bin/sh\nuntil [ -e " + goOn + " ]; do sleep 0.01; done\nexec " + os.Args[0] + ` "$@"` + "\n"
				if err := os.Remove(p.path); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p.path, []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
				p.signal(syscall.SIGUSR2)
				p.waitLog("starting a successor")
				p.signal(syscall.SIGTERM)
				p.waitLog("about to drain")
				if err := os.WriteFile(goOn, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			} else {
				p.signal(syscall.SIGTERM)
				p.waitLog("about to drain")
				p.signal(syscall.SIGUSR2)
			}
			for _, c := range held {
				c.wantStatus(200)
				c.wantHeader("Connection", "close")
				c.wantBody("{}")
				c.wantClosed()
			}
			p.wantExit(first)
			if waited := p.logged("draining").Sub(p.logged("about to drain")); waited < delay {
				t.Errorf("it drains after %v, want %v", waited, delay)
			}
			if strings.Contains(p.log.String(), "handed over") {
				t.Error("it has handed over")
			}
		})
	}
}

// logged returns when a message was logged, first.
func (p *lineage) logged(message string) time.Time {
	p.t.Helper()
	for line := range strings.Lines(p.log.String()) {
		var record struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal([]byte(line), &record) == nil && record.Msg == message {
			return record.Time
		}
	}
	p.t.Fatalf("%q is not in the log", message)
	return time.Time{}
}

// Who reads in the log that there is no successor may ask for one again.
func TestUpgradeAskedAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	signalCh := make(chan os.Signal, 1)
	starts := 0
	e := &edge{sockets: newSockets(), program: program{path: t.TempDir() + "/none"}}
	e.log = slog.New(logHook(func(message string) {
		switch message {
		case "starting a successor":
			if starts++; starts == 2 {
				cancel()
			}
		case "no successor, serving on":
			signalCh <- syscall.SIGUSR2
		}
	}))
	endedCh := make(chan struct{})
	go func() {
		e.successionLoop(ctx, signalCh)
		close(endedCh)
	}()
	signalCh <- syscall.SIGUSR2
	await(t, endedCh, "the second attempt")
}

// A process that drains for its successor ends at once when it is told to stop.
func TestStopAfterUpgrade(t *testing.T) {
	startedCh := make(chan struct{})
	p := startLineage(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			close(startedCh)
			<-req.Context().Done()
		}
		hi(w, req)
	})), "-drain-timeout", "10m")
	slow := p.dial()
	slow.get("/slow")
	await(t, startedCh, "the slow request")
	before := p.upgrade()
	if err := syscall.Kill(before, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	slow.wantCut()
	p.wantExit(before)
	c := p.dial()
	c.get("/")
	c.wantAnswer(200, "hi /")
}

// When the predecessor is gone the node of the cluster has the same name, and items
// from elsewhere reach who holds, in both while both run.
func TestUpgradeInCluster(t *testing.T) {
	nats := startNATS(t, server.Options{})
	h := &headline{id: 1}
	p := startLineage(t, serve(t, h), slices.Concat(slowDrain, []string{"-nats", "nats://" + nats.address(), "-name", "east"})...)
	b, err := bus.Connect(t.Context(), bus.Config{URL: "nats://" + nats.address(), Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	held := p.poll(holdouts, 1)
	p.waitHolds(holdouts)
	before := p.upgrade()
	fresh := p.poll(1, 1)
	p.waitHolds(1)
	if err := b.PublishItem(headlineItem(h.change())); err != nil {
		t.Fatal(err)
	}
	fresh[0].wantAnswer(200, headlineBody(2))
	fresh[0].leave()
	items := 0
	for _, c := range held {
		c.wantStatus(200)
		if body, err := c.readBody(200); err != nil {
			t.Fatal(err)
		} else if body == headlineBody(2) {
			items++
		}
		c.leave()
	}
	if items == 0 {
		t.Error("nobody who held in the predecessor was given the item")
	}
	p.wantExit(before)
	again := p.upgrade() // the name's claim has not ended the process
	p.wantExit(again)
}

// TLS goes on in the successor; who is in the middle of the handshake gets to its end,
// and an answer.
func TestUpgradeTLS(t *testing.T) {
	overTLS(t, nil)
	h := &headline{id: 1}
	p := startLineage(t, serve(t, h), "-share-all", "-loops", "1", "-drain-timeout", "1m", "-drain-spread", "30s")
	held := p.poll(10, 1)
	p.waitHolds(10)
	nc, err := net.Dial("tcp", p.secure)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p.waitMetric("marquee_connections", 11)
	before := p.upgrade()
	for _, c := range held { // and then the loop drains
		c.wantStatus(200)
		c.wantHeader("Connection", "close")
		c.wantBody("{}")
		c.wantClosed()
	}
	late := tls.Client(nc, clientTLS)
	_ = late.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(late, request("GET", headlinePath)); err != nil {
		t.Fatalf("who was in the handshake: %v", err)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(late), nil); err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Errorf("who was in the handshake is answered %v, %v, want 200 and the connection closed", resp, err)
	}
	p.wantExit(before)
	again := p.poll(10, 1)
	p.waitHolds(10)
	p.publish(headlineItem(h.change()))
	for _, c := range again {
		c.wantAnswer(200, headlineBody(2))
	}
}
