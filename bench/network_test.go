package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// newTestNetwork makes a network with hosts, or skips the test where that cannot
// be done.
func newTestNetwork(t *testing.T, names ...string) (*network, []*host) {
	t.Helper()
	if err := canMakeNetworks(); err != nil {
		t.Skip(err)
	}
	n, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	var hosts []*host
	for _, name := range names {
		h, err := n.join(name)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	return n, hosts
}

// listen accepts one connection in the host and sends what comes on it.
func listen(t *testing.T, h *host) (addr string, receivedCh chan string) {
	t.Helper()
	var l net.Listener
	err := inside(h.ns, func() (err error) {
		l, err = net.Listen("tcp", h.at(0))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	receivedCh = make(chan string)
	go func() {
		defer close(receivedCh)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 64)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			receivedCh <- string(buf[:n])
		}
	}()
	return l.Addr().String(), receivedCh
}

// What is sent to a host that is cut off arrives when it is back.
func TestNetworkPartition(t *testing.T) {
	_, hosts := newTestNetwork(t, "a", "b")
	a, b := hosts[0], hosts[1]
	addr, receivedCh := listen(t, b)
	conn, err := a.dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatalf("dial %s from another host: %v", addr, err)
	}
	defer conn.Close()
	if got, _, _ := net.SplitHostPort(conn.LocalAddr().String()); got != a.addr.String() {
		t.Errorf("dialled from %s, want %s", got, a.addr)
	}
	send := func(text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	send("one")
	if got := <-receivedCh; got != "one" {
		t.Errorf("received %q, want %q", got, "one")
	}
	if err := b.unplug(); err != nil {
		t.Fatal(err)
	}
	send("two")
	select {
	case got := <-receivedCh:
		t.Errorf("received %q through a link that is down", got)
	case <-time.After(100 * time.Millisecond):
	}
	if err := b.plug(); err != nil {
		t.Fatal(err)
	}
	if got := <-receivedCh; got != "two" {
		t.Errorf("received %q after the link was up again, want %q", got, "two")
	}
}

// The address of a host means nothing outside its network.
func TestNetworksAreApart(t *testing.T) {
	_, hosts := newTestNetwork(t, "a")
	_, others := newTestNetwork(t, "a", "b")
	addr, _ := listen(t, hosts[0])
	if conn, err := others[1].dial(t.Context(), "tcp", addr); err == nil {
		conn.Close()
		t.Errorf("%s of one network was reached from another", addr)
	}
}

// A program runs in its host's network, and there is no other interface.
func TestProgramInHost(t *testing.T) {
	_, hosts := newTestNetwork(t, "a")
	var out bytes.Buffer
	script := shellScript("ip -brief address")
	script.stdout, script.host = &out, hosts[0]
	p, err := start(io.Discard, script)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "eth0") || !strings.Contains(got, hosts[0].addr.String()) {
		t.Errorf("interfaces in the host:\n%swant lo, and eth0 with %s", got, hosts[0].addr)
	}
}
