package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// ZeroMQ's sockets are handed over, too: publishers who connect again find the
// successor.
func TestUpgradeZeroMQ(t *testing.T) {
	h := &headline{id: 1}
	path := t.TempDir() + "/pull"
	p := startLineage(t, serve(t, h), "-drain-spread", "0s",
		"-zmq-pull", "tcp://127.0.0.1:0", "-zmq-pull", "ipc://"+path, "-zmq-rep", "tcp://127.0.0.1:0", "-stats-zmq", "tcp://127.0.0.1:0")
	var at struct{ Msg, Pull, Rep, Pub string }
	for line := range strings.Lines(p.log.String()) {
		_ = json.Unmarshal([]byte(line), &at)
	}
	first := strings.TrimPrefix(at.Pull, "tcp://")
	for n := range 3 {
		held := p.poll(1, h.id)
		p.waitHolds(1)
		network, address := "tcp", first
		if n == 1 {
			network, address = "unix", path
		}
		push := dialPush(t, network, address)
		id := h.change()
		push(fmt.Sprintf(`J{"channel": "headline-value", "id": "%d", "prev-id": "%d", "http-response": {"body": "new"}}`, id, id-1))
		held[0].wantAnswer(200, "new")
		held[0].leave()
		p.wantExit(p.upgrade())
	}
}

// What a PUB publishes during an upgrade reaches who holds in either process, once,
// also when only the one that drains has holds of the channel.
func TestUpgradeZeroMQSub(t *testing.T) {
	const clients = 1000
	startedCh, goCh := make(chan struct{}), make(chan struct{})
	h := &headline{id: 1}
	p := startLineage(t, serve(t, slowly(h, startedCh, goCh)), "-share-all", "-drain-timeout", "2m", "-drain-spread", "1m", "-zmq-sub", "tcp://127.0.0.1:0")
	var at struct{ Sub string }
	for line := range strings.Lines(p.log.String()) {
		_ = json.Unmarshal([]byte(line), &at)
	}
	z := newPub(t, func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(at.Sub, "tcp://")) })
	held := p.poll(clients, 1)
	p.waitHolds(clients)
	z.wantPrefixes("headline-value")
	slow := p.dial()
	slow.get("/slow")
	await(t, startedCh, "the slow request")
	operator := dial(t, strings.TrimPrefix(p.control, "http://"))
	operator.get("/healthz")
	operator.wantAnswer(200, "ok\n")

	before := p.upgrade()
	z.wantPrefixes("")
	z.send("headline-value", `J{"prev-id": "1", "http-response": {"body": "one"}}`)
	z.send("", `J{"channel": "headline-value", "prev-id": "1", "http-response": {"body": "nobody's"}}`)
	z.send("headline-value", "junk")
	p.waitLog("message skipped") // those before have come to both
	items := 0
	for _, c := range held {
		c.wantStatus(200)
		switch body, err := c.readBody(200); {
		case err == nil && body == "one":
			items++
		case err != nil || body != "{}":
			t.Fatalf("body %q, %v", body, err)
		}
	}
	if items == 0 {
		t.Error("nobody who held in the predecessor was given the item")
	}
	p.wantDelivered(1)
	operator.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
	operator.wantStatus(200)
	if text, err := operator.readBody(200); err != nil || !strings.Contains(text, "\nmarquee_items_total{fate=\"delivered\"} 1\n") {
		t.Errorf("the predecessor has not taken the item once, %v:\n%s", err, text)
	}
	fresh := p.poll(1, 1)
	z.wantPrefixes("", "headline-value")
	close(goCh)
	slow.wantAnswer(200, headlineBody(1))
	p.wantExit(before)
	z.wantPrefixes("headline-value")
	z.send("headline-value", `J{"prev-id": "1", "http-response": {"body": "two"}}`)
	fresh[0].wantAnswer(200, "two")
}

// What the SUB of a process gets when it has just handed over is lost for nobody: the
// successor, which may not be connected to the publisher yet, is told.
func TestZeroMQSubAfterHandover(t *testing.T) {
	wantNoLeaks(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := newPub(t, ln.Accept)
	t.Cleanup(func() { ln.Close() })
	h := &headline{id: 1}
	r := startEdge(t, serve(t, h), nil, "-zmq-sub-connect", "tcp://"+ln.Addr().String())
	held := r.poll(1, 1)
	r.waitHolds(1)
	z.wantPrefixes("headline-value")

	ours, theirs := pairedHandover(t)
	toldCh, heardCh := make(chan error, 1), make(chan string, 1)
	go func() {
		toldCh <- theirs.tell(nil, patience)
		question, err := theirs.hear()
		if err == nil {
			err = theirs.answer()
		}
		toldCh <- err
		heardCh <- string(question)
	}()
	if err := r.edge.agree(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	if err := await(t, toldCh, "the hand-over"); err != nil {
		t.Fatal(err)
	}
	z.send("headline-value", `J{"prev-id": "1", "http-response": {"body": "new"}}`)
	held[0].wantAnswer(200, "new")
	if err := await(t, toldCh, "the item at the successor"); err != nil {
		t.Fatal(err)
	}
	if got := <-heardCh; !strings.Contains(got, `"new"`) {
		t.Errorf("the successor is told %q, want the item", got)
	}
}

// dialPush connects as a PUSH socket (ZMTP 3.0, NULL), and returns what sends a
// message of one frame.
func dialPush(t *testing.T, network, address string) (send func(text string)) {
	t.Helper()
	nc, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := greetZeroMQ(nc, "PUSH"); err != nil {
		t.Fatal(err)
	}
	return func(text string) {
		if _, err := io.WriteString(nc, "\x00"+string([]byte{byte(len(text))})+text); err != nil {
			t.Fatal(err)
		}
	}
}
