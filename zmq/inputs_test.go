package zmq

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

// item is an item of a channel, as a message.
func item(channel, body string) string {
	return string(grip.AppendTnetstring(nil, grip.Dict{
		{Key: "channel", Value: channel},
		{Key: "formats", Value: grip.Dict{{Key: "http-response", Value: grip.Dict{{Key: "body", Value: body}}}}},
	}))
}

// wantItem waits for an item with a long poll's answer.
func (d *desk) wantItem(t *testing.T, channel, body string) {
	t.Helper()
	it := wait(t, d.itemCh)
	if it.Channel != channel || it.HTTPResponse == nil || string(it.HTTPResponse.Body) != body {
		t.Fatalf("item of %q with %+v, want one of %q with %.50q", it.Channel, it.HTTPResponse, channel, body)
	}
}

func TestPull(t *testing.T) {
	ipc := "ipc://" + filepath.Join(t.TempDir(), "pull")
	d := startInputs(t, Config{Pull: []string{"tcp://127.0.0.1:0", ipc}})
	tcp, _, _ := d.Endpoints()
	long := strings.Repeat("x", 900_000)
	for _, endpoint := range []string{tcp, ipc} {
		z := startLibzmq(t, "PUSH", "connect", endpoint)
		z.tell("send", item("c", "bare"))
		d.wantItem(t, "c", "bare")
		z.tell("send", "T"+item("c", "\xff\x00"))
		d.wantItem(t, "c", "\xff\x00")
		z.tell("send", `J{"channel": "c", "http-response": {"body": "json"}}`)
		d.wantItem(t, "c", "json")
		for _, bad := range [][]string{{"junk"}, {""}, {"1:x,"}, {item("c", "x"), "y"}, {item("c", strings.Repeat("x", maxMessage))}} {
			z.tell("send", bad...)
			d.log.want(t, "message skipped")
		}
		z.tell("send", item("c", long))
		d.wantItem(t, "c", long)
	}
}

// TestPullPublished takes what pushpin-publish sends.
func TestPullPublished(t *testing.T) {
	publish, err := exec.LookPath("pushpin-publish")
	if err != nil {
		t.Skip("no pushpin-publish")
	}
	d := startInputs(t, Config{Pull: []string{"tcp://127.0.0.1:0"}})
	tcp, _, _ := d.Endpoints()
	out, err := exec.Command(publish, "--spec", tcp, "news", "hello", "--id", "5", "--prev-id", "4", "--sender", "me").CombinedOutput()
	if err != nil {
		t.Fatalf("pushpin-publish: %v %s", err, out)
	}
	it := wait(t, d.itemCh)
	if it.Channel != "news" || it.ID != "5" || it.PrevID != "4" || it.Meta.Get("sender") != "me" ||
		string(it.HTTPResponse.Body) != "hello\n" || string(it.HTTPStream.Content) != "hello\n" || string(it.WSMessage.Content) != "hello" {
		t.Errorf("item is %+v", it)
	}
}

// TestPullBackpressure holds an item back until the publisher cannot write any
// more, and finds that nothing was lost.
func TestPullBackpressure(t *testing.T) {
	d := startInputs(t, Config{Pull: []string{"tcp://127.0.0.1:0"}})
	tcp, _, _ := d.Endpoints()
	c := dialPeer(t, tcp, "PUSH")
	body := strings.Repeat("x", 100_000)
	sent := 0
	for ; sent < 1000; sent++ {
		if err := c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Write(appendMessage(nil, []byte(item("c", body)))); err != nil {
			if n > 0 {
				sent++ // cut short: it never gets there
			}
			break
		}
	}
	if sent == 1000 {
		t.Fatal("100 MB went to an edge that takes nothing")
	}
	for range sent - 1 {
		d.wantItem(t, "c", body)
	}
}

func TestSub(t *testing.T) {
	ipc := "ipc://" + filepath.Join(t.TempDir(), "sub")
	bound := startLibzmq(t, "XPUB", "bind", "tcp://127.0.0.1:*")
	d := startInputs(t, Config{Sub: []string{"tcp://127.0.0.1:0", ipc}, SubConnect: []string{bound.endpoint}})
	_, tcp, _ := d.Endpoints()
	publishers := []*libzmq{bound, startLibzmq(t, "XPUB", "connect", tcp), startLibzmq(t, "XPUB", "connect", ipc)}
	d.Subscribe("news")
	d.Subscribe("news")
	for _, z := range publishers {
		if got := z.frames(); !slices.Equal(got, []string{"\x01news"}) {
			t.Fatalf("subscription is %q", got)
		}
		z.tell("send", "newsreel", item("newsreel", "a prefix is not enough"))
		z.tell("send", "news", "junk")
		d.log.want(t, "message skipped")
		z.tell("send", "news", item("other", "by tnetstring"))
		d.wantItem(t, "news", "by tnetstring")
		z.tell("send", "news", `J{"http-response": {"body": "by JSON"}}`)
		d.wantItem(t, "news", "by JSON")
	}
	d.Unsubscribe("news")
	d.Unsubscribe("news")
	for _, z := range publishers {
		if got := z.frames(); !slices.Equal(got, []string{"\x00news"}) {
			t.Fatalf("unsubscription is %q", got)
		}
	}
	d.Subscribe("")
	for _, z := range publishers {
		if got := z.frames(); !slices.Equal(got, []string{"\x01"}) {
			t.Fatalf("subscription to everything is %q", got)
		}
		z.tell("send", "", `J{"channel": "news", "http-response": {"body": "of no channel"}}`)
		z.tell("send", "newsreel", item("newsreel", "one of all"))
		d.wantItem(t, "newsreel", "one of all")
	}
	d.Unsubscribe("")
	for _, z := range publishers {
		if got := z.frames(); !slices.Equal(got, []string{"\x00"}) {
			t.Fatalf("unsubscription is %q", got)
		}
	}
	d.Subscribe("late")
	late := startLibzmq(t, "XPUB", "connect", tcp)
	if got := late.frames(); !slices.Equal(got, []string{"\x01late"}) {
		t.Errorf("who comes later is told %q", got)
	}
}

// TestSubCoalesces lets a publisher sleep while subscriptions change.
func TestSubCoalesces(t *testing.T) {
	s := newSubscriptions()
	f, _ := s.open()
	for range 3 {
		s.add("a")
		s.add("b")
		s.remove("b")
	}
	pending, ok := s.take(f)
	if !ok || len(pending) != 2 || !pending["a"] || pending["b"] {
		t.Errorf("a publisher is to be told %v, %v, want a and not b", pending, ok)
	}
	for i := range maxPending + 1 {
		s.add(fmt.Sprint(i))
	}
	if pending, ok := s.take(f); ok || len(pending) > 0 {
		t.Errorf("a publisher that sleeps has %d changes waiting, want to be given up", len(pending))
	}
	if _, channels := s.open(); len(channels) != maxPending+2 {
		t.Errorf("the next one begins with %d channels, want %d", len(channels), maxPending+2)
	}
}

// TestSubReconnects loses a publisher that the socket connects to.
func TestSubReconnects(t *testing.T) {
	ipc := "ipc://" + filepath.Join(t.TempDir(), "pub")
	d := startInputs(t, Config{SubConnect: []string{ipc}})
	d.Subscribe("c")
	for range 2 {
		t.Run("publisher", func(t *testing.T) {
			z := startLibzmq(t, "XPUB", "bind", ipc)
			if got := z.frames(); !slices.Equal(got, []string{"\x01c"}) {
				t.Errorf("subscription is %q", got)
			}
		})
	}
}

func TestRep(t *testing.T) {
	d := startInputs(t, Config{Pull: []string{"tcp://127.0.0.1:0"}, Sub: []string{"tcp://127.0.0.1:0"}, Rep: "tcp://127.0.0.1:0"})
	pull, sub, rep := d.Endpoints()
	uris := grip.Dict{{Key: "command", Value: rep}, {Key: "publish-pull", Value: pull}, {Key: "publish-sub", Value: sub}}
	type dict = grip.Dict
	call := func(id any, method string, args any) string {
		m := dict{{Key: "method", Value: method}}
		if id != nil {
			m = append(dict{{Key: "id", Value: id}}, m...)
		}
		if args != nil {
			m = append(m, grip.Entry{Key: "args", Value: args})
		}
		return string(grip.AppendTnetstring(nil, m))
	}
	publish := func(item any) dict { return dict{{Key: "items", Value: []any{item}}} }
	z := startLibzmq(t, "REQ", "connect", rep)
	for _, test := range []struct {
		name, request, want string
	}{
		// The answers are those of Pushpin 1.36, members in our order, except where it is said.
		{"§5.3 recover", call("1", "recover", nil), "37:2:id,1:1,7:success,4:true!5:value,0:~}"},
		{"§5.3 no id", call(nil, "recover", dict{}), "28:7:success,4:true!5:value,0:~}"},
		{"§5.3 get-zmq-uris", call(nil, "get-zmq-uris", nil), string(success(nil, uris))},
		{"§5.3 conncheck", call("1", "conncheck", dict{{Key: "ids", Value: []any{"a", "live-b"}}}), "46:2:id,1:1,7:success,4:true!5:value,9:6:live-b,]}"},
		{"§5.3 conncheck of none", call("1", "conncheck", dict{{Key: "ids", Value: []any{}}}), "37:2:id,1:1,7:success,4:true!5:value,0:]}"},
		{"§5.3 conncheck without ids", call("1", "conncheck", dict{}), "54:2:id,1:1,7:success,5:false!9:condition,11:bad-request,}"},
		{"§5.3 conncheck of a number", call("1", "conncheck", dict{{Key: "ids", Value: []any{1}}}), "54:2:id,1:1,7:success,5:false!9:condition,11:bad-request,}"},
		{"§5.3 refresh of a connection", call("1", "refresh", dict{{Key: "cid", Value: "x"}}), "57:2:id,1:1,7:success,5:false!9:condition,14:item-not-found,}"},
		{"§5.3 refresh of nothing", call("1", "refresh", dict{}), "54:2:id,1:1,7:success,5:false!9:condition,11:bad-request,}"},
		{"§5.3 method-not-found", call("1", "nope", dict{}), "59:2:id,1:1,7:success,5:false!9:condition,16:method-not-found,}"},
		{"§5.3 publish nothing", call("1", "publish", dict{{Key: "items", Value: []any{}}}), "37:2:id,1:1,7:success,4:true!5:value,0:~}"},
		{"§5.3 publish without items", call("1", "publish", dict{}),
			"113:2:id,1:1,7:success,5:false!9:condition,11:bad-request,5:value,47:Invalid format: object does not contain 'items',}"},
		{"§5.3 publish a number", call("1", "publish", dict{{Key: "items", Value: 7}}),
			"121:2:id,1:1,7:success,5:false!9:condition,11:bad-request,5:value,55:Invalid format: object contains 'items' with wrong type,}"},
		{"§5.3 publish no body", call("1", "publish", publish(dict{{Key: "channel", Value: "c"}, {Key: "http-response", Value: dict{}}})),
			string(failure("1", badRequest, "Invalid format: 'http-response' does not contain 'body', 'body-bin', or 'body-patch'"))},
		// Pushpin says nothing to these, and the caller waits for ever.
		{"no tnetstring", "junk", "45:7:success,5:false!9:condition,11:bad-request,}"},
		{"no dictionary", "1:x,", "45:7:success,5:false!9:condition,11:bad-request,}"},
		{"no method", "0:}", "45:7:success,5:false!9:condition,11:bad-request,}"},
		{"id is a number", call(5, "recover", nil), "45:7:success,5:false!9:condition,11:bad-request,}"},
		{"args are a number", call("1", "recover", 3), "45:7:success,5:false!9:condition,11:bad-request,}"},
		{"too long", strings.Repeat("x", maxMessage+1), "45:7:success,5:false!9:condition,11:bad-request,}"},
	} {
		z.tell("send", test.request)
		want := test.want
		if got := z.frames(); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %.200q is answered %q, want %q", test.name, test.request, got, want)
		}
	}
	for range 2 {
		wait(t, d.recoverCh)
	}
	z.tell("send", call("1", "publish", publish(dict{{Key: "channel", Value: "c"}, {Key: "http-response", Value: dict{{Key: "body", Value: "\xff"}}}})))
	d.wantItem(t, "c", "\xff")
	z.frames()
	z.tell("send", call("1", "refresh", dict{{Key: "channel", Value: "c"}}))
	if it := wait(t, d.itemCh); it.Channel != "c" || it.WSMessage == nil || it.WSMessage.Action != grip.Refresh {
		t.Errorf("refresh publishes %+v", it)
	}
	z.frames()

	dealer := startLibzmq(t, "DEALER", "connect", rep)
	dealer.tell("send", "no way back")
	d.log.want(t, "no way back")
	dealer.tell("send", "hop 1", "hop 2", "", call("1", "recover", nil))
	if got, want := dealer.frames(), []string{"hop 1", "hop 2", "", "37:2:id,1:1,7:success,4:true!5:value,0:~}"}; !slices.Equal(got, want) {
		t.Errorf("a command that came a long way is answered %q, want %q", got, want)
	}
	dealer.tell("send", "", "two", "frames")
	if got, want := dealer.frames(), []string{"", "45:7:success,5:false!9:condition,11:bad-request,}"}; !slices.Equal(got, want) {
		t.Errorf("a command of two frames is answered %q, want %q", got, want)
	}
}

// TestHostilePeers sends what no ZeroMQ sends. Each such peer loses its
// connection at most, and those who behave are served.
func TestHostilePeers(t *testing.T) {
	ready := appendCommand(nil, "READY", property("Socket-Type", "PUSH"))
	lie := func(flags byte, size uint64) []byte {
		return binary.BigEndian.AppendUint64([]byte{flags}, size)
	}
	old := append([]byte{}, greeting...)
	old[10] = 1
	curve := append([]byte{}, greeting...)
	copy(curve[12:], "CURVE")
	d := startInputs(t, Config{Pull: []string{"tcp://127.0.0.1:0"}, Sub: []string{"tcp://127.0.0.1:0"}})
	tcp, sub, _ := d.Endpoints()
	c := dialPeer(t, tcp, "PUSH")
	many := slices.Repeat([][]byte{nil}, 100_000)
	c.send(appendMessage(nil, many...))
	d.log.want(t, "too long")
	for _, test := range []struct {
		name   string
		pieces [][]byte
	}{
		{"HTTP", [][]byte{[]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")}},
		{"ZMTP 1", [][]byte{old[:11]}},
		{"CURVE", [][]byte{curve}},
		{"a message before READY", [][]byte{greeting, appendFrame(nil, 0, []byte("x"))}},
		{"another command before READY", [][]byte{greeting, appendCommand(nil, "PING", []byte{0, 0})}},
		{"READY without a type", [][]byte{greeting, appendCommand(nil, "READY")}},
		{"READY of a SUB", [][]byte{greeting, appendCommand(nil, "READY", property("Socket-Type", "SUB"))}},
		{"READY that ends in a name", [][]byte{greeting, appendCommand(nil, "READY", []byte("\x0bSocket"))}},
		{"READY that ends in a length", [][]byte{greeting, appendCommand(nil, "READY", []byte("\x04Sock\x00\x00"))}},
		{"READY whose value is not there", [][]byte{greeting, appendCommand(nil, "READY", []byte("\x04Sock\xff\xff\xff\xff"))}},
		{"ERROR", [][]byte{greeting, appendCommand(nil, "ERROR", []byte("\x02no"))}},
		{"ERROR without a reason", [][]byte{greeting, appendCommand(nil, "ERROR")}},
		{"an empty command", [][]byte{greeting, appendFrame(nil, flagCommand, nil)}},
		{"a command whose name is longer", [][]byte{greeting, appendFrame(nil, flagCommand, []byte("\x09READY"))}},
		{"a command of 4 EiB", [][]byte{greeting, lie(flagCommand|flagLong, 1<<62)}},
		{"a later command of 4 EiB", [][]byte{greeting, ready, lie(flagCommand|flagLong, 1<<62)}},
		{"a length of 64 bits", [][]byte{greeting, ready, lie(flagLong, 1<<63)}},
		{"unknown flags", [][]byte{greeting, ready, {0x80, 0}}},
		{"a command with more", [][]byte{greeting, ready, {flagCommand | flagMore, 0}}},
		{"a PING without a time", [][]byte{greeting, ready, appendCommand(nil, "PING")}},
		{"a later ERROR", [][]byte{greeting, ready, appendCommand(nil, "ERROR", []byte("\x02no"))}},
	} {
		c, start := dialRaw(t, tcp), time.Now()
		for _, piece := range test.pieces {
			if _, err := c.Write(piece); err != nil {
				break // it has closed already
			}
		}
		c.wantClosed(test.name)
		if time.Since(start) > handshakeTimeout {
			t.Errorf("%s: was waited for", test.name)
		}
	}
	// These hold on, and must not be in anybody's way.
	dialRaw(t, tcp)
	dialRaw(t, tcp).send(greeting[:20])
	dialPeer(t, tcp, "PUSH").send(lie(flagLong, 1<<62), []byte("x"))
	dialPeer(t, tcp, "PUSH").send(lie(flagLong, 1<<19), []byte("x"))
	dialPeer(t, tcp, "PUSH").send(appendFrame(nil, flagMore, []byte("x")))
	dialPeer(t, sub, "PUB").send([]byte{0})
	c.send(appendCommand(nil, "PING", []byte{0, 1}, []byte("context")), appendCommand(nil, "WHAT"))
	flags, size, err := readHead(c.r)
	if err != nil || flags != flagCommand {
		t.Fatalf("a PING is answered with flags %d, %v", flags, err)
	}
	if name, data, err := readCommand(c.r, size); name != "PONG" || string(data) != "context" {
		t.Errorf("a PING is answered %s %q %v", name, data, err)
	}
	c.send(appendMessage(nil, []byte(item("c", "still here"))))
	d.wantItem(t, "c", "still here")
}

// TestEverySplit writes a session in two pieces, cut everywhere.
func TestEverySplit(t *testing.T) {
	d := startInputs(t, Config{Pull: []string{"tcp://127.0.0.1:0"}})
	tcp, _, _ := d.Endpoints()
	session := slices.Concat(greeting, appendCommand(nil, "READY", property("Socket-Type", "PUSH")),
		appendMessage(nil, []byte(item("c", "short"))), appendFrame(nil, 0, []byte(item("c", strings.Repeat("x", 200)))))
	for i := range session {
		c := dialRaw(t, tcp)
		c.send(session[:i])
		if i >= 64 { // it has the greeting when its READY comes
			if _, err := c.r.Discard(64); err != nil {
				t.Fatal(err)
			}
			if _, err := readReady(c.r); err != nil {
				t.Fatal(err)
			}
		}
		c.send(session[i:])
		d.wantItem(t, "c", "short")
		d.wantItem(t, "c", strings.Repeat("x", 200))
		c.Close()
	}
}

// TestMaxPeers fills a socket.
func TestMaxPeers(t *testing.T) {
	d := startInputs(t, Config{Pull: []string{"tcp://127.0.0.1:0"}})
	tcp, _, _ := d.Endpoints()
	first := dialPeer(t, tcp, "PUSH")
	for range maxPeers - 1 {
		dialPeer(t, tcp, "PUSH")
	}
	dialRaw(t, tcp).wantClosed("one more")
	d.log.want(t, "no room")
	first.Close()
	for { // until it is noticed that the first has left
		c := dialRaw(t, tcp)
		if _, err := c.r.ReadByte(); err == nil {
			return
		}
	}
}

func TestListenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := "ipc://" + filepath.Join(dir, "taken")
	startInputs(t, Config{Pull: []string{taken}})
	for _, test := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no scheme", Config{Pull: []string{"127.0.0.1:5560"}}, "neither tcp://HOST:PORT nor ipc://PATH"},
		{"no port", Config{Sub: []string{"tcp://127.0.0.1"}}, "is not tcp://HOST:PORT"},
		{"an empty port", Config{Rep: "tcp://127.0.0.1:"}, "is not tcp://HOST:PORT"},
		{"no path", Config{SubConnect: []string{"ipc://"}}, "neither"},
		{"another scheme", Config{SubConnect: []string{"inproc://x"}}, "neither"},
		{"a path that somebody has", Config{Rep: taken}, "somebody else"},
		{"a file that is no socket", Config{Pull: []string{"ipc://" + file}}, "address already in use"},
		{"one of two", Config{Pull: []string{"tcp://127.0.0.1:0", "tcp://x"}}, "is not tcp://HOST:PORT"},
	} {
		test.cfg.Log = slog.New(slog.DiscardHandler)
		in, err := Listen(context.Background(), test.cfg)
		if err == nil {
			in.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Listen(%+v) = %v, want %q", test.name, test.cfg, err, test.want)
		}
	}
}
