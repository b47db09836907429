package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// upgrades are trials in which a server is replaced while it serves.
func upgrades() []trial {
	long, short := longSize, shortSize
	long.every, short.every = 500*time.Millisecond, 50*time.Millisecond
	return []trial{
		{
			name: "edge-upgraded", does: "the edge hands over to a new process, again and again, while requests come on connections that stay and on new ones",
			long: long, short: short,
			edge: []string{"-drain-spread", "2s"},
			run:  func(ctx context.Context, s *scene) error { return s.upgrade(ctx) },
		},
	}
}

// How much an upgrade trial takes.
const (
	longUpgrades, longRequests   = 10, 100_000
	shortUpgrades, shortRequests = 2, 4_000
	// inquirers is how many clients ask one request after the other, half of them
	// each on a connection of its own.
	inquirers = 32
	// inquiryPause is between two requests of each: 2,000 a second of all.
	inquiryPause = inquirers * time.Second / 2000
)

// upgrade has the edge hand over many times while requests come, none of which may
// fail.
func (s *scene) upgrade(ctx context.Context) error {
	upgrades, requests := longUpgrades, longRequests
	if s.short {
		upgrades, requests = shortUpgrades, shortRequests
	}
	in, err := newInquiry(s.edgeURL)
	if err != nil {
		return err
	}
	defer in.stop()
	var took samples
	for n := range upgrades {
		began := time.Now()
		old, err := s.edge.upgrade(ctx)
		if err != nil {
			return err
		}
		took = append(took, milliseconds(time.Since(began)))
		s.say("upgrade %d of %d: process %d serves, %d requests were answered", n+1, upgrades, s.edge.process.pid, in.answered.Load())
		if err := old.wait(ctx); err != nil {
			return err
		}
		// What is asked of the successor alone counts, too.
		if err := in.await(ctx, (n+1)*requests/upgrades); err != nil {
			return err
		}
	}
	in.stop()
	for _, err := range in.failures() {
		s.fail("a request failed: %v", err)
	}
	s.figure("hand-over", "ms", took...)
	s.note("%d upgrades, %s of %s requests failed, half of them on new connections",
		upgrades, thousands(int(in.failed.Load())), thousands(int(in.answered.Load()+in.failed.Load())))
	return nil
}

// upgrade has the server's process start a successor, which is the server's process
// when it returns, and returns the one before, which drains.
func (v *server) upgrade(ctx context.Context) (old *process, err error) {
	old = v.process
	handedCh := make(chan int, 1)
	old.log.mu.Lock()
	old.log.handedCh = handedCh
	old.log.mu.Unlock()
	if err := syscall.Kill(old.pid, syscall.SIGUSR2); err != nil {
		return nil, fmt.Errorf("have %s start a successor: %w", old.name, err)
	}
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case pid := <-handedCh:
		v.process, err = old.succeeded(pid)
		return old, err
	case <-old.doneCh:
		return nil, old.failure("ended instead of handing over")
	case <-timeout.C:
		return nil, fmt.Errorf("%s has not handed over within %v", old.name, readyTimeout)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// succeeded returns the successor of p, which p has started: it is in p's group, and
// writes to p's log. It is our child when p has ended; the kernel does not kill it
// when we are killed.
func (p *process) succeeded(pid int) (*process, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("be the parent of successors: %w", err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	next := &process{name: p.name, pid: pid, group: p.group, log: p.log, doneCh: make(chan struct{})}
	go func() { // ends with the process
		defer close(next.doneCh)
		defer unix.Close(fd)
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(poll, -1); !errors.Is(err, unix.EINTR) {
				break
			}
		}
		var status unix.WaitStatus
		switch _, err := unix.Wait4(pid, &status, 0, nil); {
		case err != nil:
			next.err = err
		case status != 0:
			next.err = fmt.Errorf("wait status %#x", status)
		}
	}()
	return next, nil
}

// An inquiry is clients that ask the same at a steady pace. A request that fails is
// not tried again, and counted. Its methods are safe for several at once.
type inquiry struct {
	address, request string
	answered, failed atomic.Int64
	stopOnce         func()

	mu     sync.Mutex
	errors []error // the first ones
}

// newInquiry starts one that asks for a URL.
func newInquiry(target string) (*inquiry, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("ask for %q: %w", target, err)
	}
	in := &inquiry{address: u.Host, request: "GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n"}
	stopCh := make(chan struct{})
	var running sync.WaitGroup
	for i := range inquirers {
		running.Go(func() { in.askLoop(stopCh, i%2 == 0) })
	}
	in.stopOnce = sync.OnceFunc(func() {
		close(stopCh)
		running.Wait()
	})
	return in, nil
}

// stop ends it, with the requests under way, and may be called again.
func (in *inquiry) stop() { in.stopOnce() }

// await returns when so many requests were answered or have failed.
func (in *inquiry) await(ctx context.Context, n int) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for int(in.answered.Load()+in.failed.Load()) < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// failures returns the first ones.
func (in *inquiry) failures() []error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.errors
}

// askLoop asks until stopCh closes, on a connection that stays if keep, or on a new
// one for each request.
func (in *inquiry) askLoop(stopCh <-chan struct{}, keep bool) {
	const maxFailures = 10 // that are told
	tick := time.NewTicker(inquiryPause)
	defer tick.Stop()
	a := &inquirer{inquiry: in, keep: keep}
	defer a.hangUp()
	for {
		select {
		case <-tick.C:
		case <-stopCh:
			return
		}
		if err := a.ask(); err != nil {
			a.hangUp()
			in.failed.Add(1)
			in.mu.Lock()
			if len(in.errors) < maxFailures {
				in.errors = append(in.errors, err)
			}
			in.mu.Unlock()
			continue
		}
		in.answered.Add(1)
	}
}

// An inquirer is one client of an inquiry. It speaks HTTP by itself, for package
// net/http would try again what fails.
type inquirer struct {
	inquiry *inquiry
	keep    bool
	nc      net.Conn // nil between connections
	in      *bufio.Reader
	asked   int // requests on this connection
}

// ask asks once and reads the answer.
func (a *inquirer) ask() error {
	if a.nc == nil {
		nc, err := net.DialTimeout("tcp", a.inquiry.address, readyTimeout)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		a.nc, a.in, a.asked = nc, bufio.NewReader(nc), 0
	}
	a.asked++
	_ = a.nc.SetDeadline(time.Now().Add(readyTimeout))
	end := "\r\n"
	if !a.keep {
		end = "Connection: close\r\n\r\n"
	}
	if _, err := io.WriteString(a.nc, a.inquiry.request+end); err != nil {
		return fmt.Errorf("send request %d of a connection: %w", a.asked, err)
	}
	resp, err := http.ReadResponse(a.in, nil)
	if err != nil {
		return fmt.Errorf("read answer %d of a connection: %w", a.asked, err)
	}
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("read answer %d of a connection: %w", a.asked, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("answer %d of a connection: %s: %s", a.asked, resp.Status, strconv.Quote(string(body)))
	}
	if resp.Close || !a.keep {
		a.hangUp()
	}
	return nil
}

// hangUp ends the connection, if there is one.
func (a *inquirer) hangUp() {
	if a.nc != nil {
		a.nc.Close()
		a.nc = nil
	}
}
