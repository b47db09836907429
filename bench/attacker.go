package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

const (
	// attackDials is how many connections of an attack are begun at a time, and
	// attackRetry how long one waits that was refused.
	attackDials = 64
	attackRetry = 100 * time.Millisecond
	// dripEvery is the pause between two bytes of a slow client.
	dripEvery = time.Second
	// floodPiece is how much a pipelining flood writes at a time, in bytes.
	floodPiece = 64 << 10
	// longContent and shortContent are the contents of slow requests, in bytes: one
	// that an edge streams to the origin, and one that it collects.
	longContent, shortContent = 1 << 20, 1000
)

// An attacker is a process that does to a server what its clients should not.
type attacker struct {
	addr, path string
	from       string // address to connect from; empty for any
	n          int    // connections at a time
	rate       int    // connections a second, for floods of them; 0 for as many as go
	act        func(ctx context.Context, a *attacker, i int, nc *net.TCPConn) error

	dialCh   chan struct{} // room for attackDials
	openOnce []sync.Once   // of each connection's first success
	open     sync.WaitGroup
}

// attackKinds are the attacks. Each function is what one connection does, from its
// beginning until it ends, by either side; then there is another.
var attackKinds = map[string]func(ctx context.Context, a *attacker, i int, nc *net.TCPConn) error{
	"idle":     idleAttack,
	"head":     headAttack,
	"body":     bodyAttack,
	"reader":   readerAttack,
	"connect":  connectAttack,
	"pipeline": pipelineAttack,
	"request":  requestAttack,
}

// attackCommand is "bench attack", the attacker of trials.
func attackCommand(stderr io.Writer) *ffcli.Command {
	var a attacker
	var kind string
	return subcommand(stderr, "attack", "be a hostile client, for the trials of bench torture",
		func(set *flag.FlagSet) {
			set.StringVar(&a.addr, "addr", "", "`address` to attack, host:port")
			set.StringVar(&a.path, "path", "/headline/value/", "`path` to ask for")
			set.StringVar(&a.from, "from", "", "IP `address` to connect from; any if empty")
			set.StringVar(&kind, "kind", "idle", "what to do: idle, head, body, reader, connect, pipeline or request")
			set.IntVar(&a.n, "n", 1, "`number` of connections at a time, 1 to 19000")
			set.IntVar(&a.rate, "rate", 0, "connections a `second` that -kind connect makes, 0 to 100000; 0 for as many as go")
		},
		func(ctx context.Context) error {
			if err := errors.Join(inRange("n", a.n, 1, 19000), inRange("rate", a.rate, 0, 100_000)); err != nil {
				return err
			}
			if _, _, err := net.SplitHostPort(a.addr); err != nil {
				return fmt.Errorf("-addr %q: must be host:port", a.addr)
			}
			if a.from != "" && net.ParseIP(a.from) == nil {
				return fmt.Errorf("-from %q: must be an IP address", a.from)
			}
			if a.act = attackKinds[kind]; a.act == nil {
				return fmt.Errorf("-kind %q: no such attack", kind)
			}
			return a.run(ctx, stderr)
		})
}

// run attacks until ctx ends. It is ready when all connections have been open.
//
// An attacker is somebody else's machine: where it shares one with those whom it
// attacks, it must not have their processor.
func (a *attacker) run(ctx context.Context, stderr io.Writer) error {
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19); err != nil {
		return fmt.Errorf("give way to other processes: %w", err)
	}
	a.dialCh = make(chan struct{}, attackDials)
	a.openOnce = make([]sync.Once, a.n)
	a.open.Add(a.n)
	var all sync.WaitGroup
	for i := range a.n {
		all.Go(func() { a.attack(ctx, i) })
	}
	openCh := make(chan struct{})
	go func() {
		a.open.Wait()
		close(openCh)
	}()
	select {
	case <-openCh:
		slog.New(slog.NewJSONHandler(stderr, nil)).Info("ready", "listen", a.addr)
		<-ctx.Done()
	case <-ctx.Done():
	}
	all.Wait()
	for i := range a.n {
		a.opened(i) // so that the goroutine above ends
	}
	return nil
}

// opened notes that connection i has been open.
func (a *attacker) opened(i int) { a.openOnce[i].Do(a.open.Done) }

// attack is the life of one connection, again and again.
func (a *attacker) attack(ctx context.Context, i int) {
	for ctx.Err() == nil {
		nc, err := a.dial(ctx)
		if err == nil {
			a.opened(i)
			stop := context.AfterFunc(ctx, func() { nc.Close() })
			err = a.act(ctx, a, i, nc)
			stop()
			nc.Close()
		}
		if err != nil {
			pause(ctx, attackRetry)
		}
	}
}

func (a *attacker) dial(ctx context.Context) (*net.TCPConn, error) {
	select {
	case a.dialCh <- struct{}{}:
		defer func() { <-a.dialCh }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	dialer := net.Dialer{Timeout: awaitTimeout, KeepAlive: -1}
	if a.from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(a.from)}
	}
	nc, err := dialer.DialContext(ctx, "tcp", a.addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return nc.(*net.TCPConn), nil
}

// head begins a request, without the line that ends its head.
func (a *attacker) head(method string) string {
	return method + " " + a.path + " HTTP/1.1\r\nHost: " + a.addr + "\r\n"
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// drip sends text at once, and then a byte now and then.
func drip(ctx context.Context, nc *net.TCPConn, text, more string) error {
	if _, err := io.WriteString(nc, text); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	for i := 0; ctx.Err() == nil; i++ {
		pause(ctx, dripEvery)
		if _, err := io.WriteString(nc, more[i%len(more):][:1]); err != nil {
			return fmt.Errorf("send a byte: %w", err)
		}
	}
	return nil
}

// idleAttack connects and says nothing.
func idleAttack(_ context.Context, _ *attacker, _ int, nc *net.TCPConn) error {
	_, err := io.Copy(io.Discard, nc)
	return err
}

// headAttack sends a head that never ends (slowloris).
func headAttack(ctx context.Context, a *attacker, _ int, nc *net.TCPConn) error {
	return drip(ctx, nc, a.head("GET"), "X-Slow: loris\r\n")
}

// bodyAttack sends a content that never ends: every other one so long that it is
// streamed to the origin.
func bodyAttack(ctx context.Context, a *attacker, i int, nc *net.TCPConn) error {
	length := shortContent
	if i%2 == 1 {
		length = longContent
	}
	return drip(ctx, nc, fmt.Sprintf("%sContent-Length: %d\r\n\r\n", a.head("POST"), length), "x")
}

// readerAttack asks for as much as it may and takes a byte of it now and then.
func readerAttack(ctx context.Context, a *attacker, _ int, nc *net.TCPConn) error {
	_ = nc.SetReadBuffer(1) // the kernel's least
	_ = nc.SetWriteDeadline(time.Now().Add(dripEvery))
	_, err := io.WriteString(nc, strings.Repeat(a.head("GET")+"\r\n", floodPiece*7/8/len(a.head("GET"))))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("send: %w", err)
	}
	for one := make([]byte, 1); ctx.Err() == nil; {
		pause(ctx, dripEvery)
		if _, err := nc.Read(one); err != nil {
			return fmt.Errorf("take a byte: %w", err)
		}
	}
	return nil
}

// connectAttack connects and leaves at once, by a reset: so neither side has to
// remember the connection, and the attacker does not run out of ports.
func connectAttack(ctx context.Context, a *attacker, _ int, nc *net.TCPConn) error {
	if err := nc.SetLinger(0); err != nil {
		return fmt.Errorf("prepare the reset: %w", err)
	}
	if a.rate > 0 {
		nc.Close()
		pause(ctx, time.Duration(a.n)*time.Second/time.Duration(a.rate))
	}
	return nil
}

// pipelineAttack sends requests without end and without waiting for answers, which
// it takes.
func pipelineAttack(ctx context.Context, a *attacker, _ int, nc *net.TCPConn) error {
	one := a.head("GET") + "\r\n"
	piece := []byte(strings.Repeat(one, floodPiece/len(one)))
	takenCh := make(chan struct{})
	go func() {
		defer close(takenCh)
		_, _ = io.Copy(io.Discard, nc)
	}()
	defer func() {
		nc.Close()
		<-takenCh
	}()
	for ctx.Err() == nil {
		if _, err := nc.Write(piece); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}

// requestAttack asks, and asks again as soon as it has its answer, whatever that
// says.
func requestAttack(ctx context.Context, a *attacker, _ int, nc *net.TCPConn) error {
	one := []byte(a.head("GET") + "\r\n")
	in := bufio.NewReader(nc)
	for ctx.Err() == nil {
		if _, err := nc.Write(one); err != nil {
			return fmt.Errorf("ask: %w", err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
	}
	return nil
}
