package main

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// echoing starts a proxy in front of a server that gives back each line it gets.
func echoing(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	addr, err := freeAddr("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProxy(addr, l.Addr().String(), rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// A caller is a connection through a proxy.
type caller struct {
	net.Conn
	lines *bufio.Reader
}

func call(t *testing.T, p *proxy) *caller {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &caller{c, bufio.NewReader(c)}
}

// echo sends a line and returns the one that comes back within a time.
func (c *caller) echo(line string, within time.Duration) (string, error) {
	if _, err := io.WriteString(c, line); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	return c.lines.ReadString('\n')
}

func TestProxy(t *testing.T) {
	long := strings.Repeat("x", 1000) + "\n"
	for _, test := range []struct {
		name   string
		manner manner
		want   func(got string, err error) bool
	}{
		{"passes", passes, func(got string, err error) bool { return got == long && err == nil }},
		{"trickles", trickles, func(got string, err error) bool { return got == long && err == nil }},
		{"hangs up", hangsUp, func(_ string, err error) bool { return err != nil }},
		{"tears", tears, func(got string, err error) bool { return err != nil && len(got) < 400 }},
		{"garbles", garbles, func(got string, _ error) bool { return got != "" && got != long }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := echoing(t)
			before := call(t, p)
			if got, err := before.echo("one\n", awaitTimeout); got != "one\n" {
				t.Fatalf("before, the echo is %q, %v", got, err)
			}
			if err := p.behave(test.manner); err != nil {
				t.Fatal(err)
			}
			if got, err := before.echo("two\n", awaitTimeout); err == nil {
				t.Errorf("a connection of before goes on: %q", got)
			}
			var got string
			nc, err := net.Dial("tcp", p.addr) // which may have been hung up on already
			if err == nil {
				got, err = (&caller{nc, bufio.NewReader(nc)}).echo(long, awaitTimeout)
				nc.Close()
			}
			if !test.want(got, err) {
				t.Errorf("the echo is %.80q, %v", got, err)
			}
			if err := p.behave(passes); err != nil {
				t.Fatal(err)
			}
			if got, err := call(t, p).echo(long, awaitTimeout); got != long {
				t.Errorf("when it passes again, the echo is %.80q, %v", got, err)
			}
		})
	}
}

func TestProxyRefuses(t *testing.T) {
	p := echoing(t)
	if err := p.behave(refuses); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", p.addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialled %v, %v, want %v", c, err, syscall.ECONNREFUSED)
	}
	if err := p.behave(passes); err != nil {
		t.Fatal(err)
	}
	if got, err := call(t, p).echo("one\n", awaitTimeout); got != "one\n" {
		t.Errorf("when it passes again, the echo is %q, %v", got, err)
	}
}

// What is sent through a proxy that freezes comes when it does not any more, on
// connections of before and on new ones.
func TestProxyFreezes(t *testing.T) {
	p := echoing(t)
	old := call(t, p)
	if got, err := old.echo("one\n", awaitTimeout); got != "one\n" {
		t.Fatalf("before, the echo is %q, %v", got, err)
	}
	if err := p.behave(freezes); err != nil {
		t.Fatal(err)
	}
	callers := []*caller{old, call(t, p)}
	for _, c := range callers {
		if got, err := c.echo("two\n", 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the echo through a frozen proxy is %q, %v", got, err)
		}
	}
	if err := p.behave(passes); err != nil {
		t.Fatal(err)
	}
	for _, c := range callers {
		if err := c.SetReadDeadline(time.Now().Add(awaitTimeout)); err != nil {
			t.Fatal(err)
		}
		if got, err := c.lines.ReadString('\n'); got != "two\n" {
			t.Errorf("what was sent comes as %q, %v", got, err)
		}
	}
}
