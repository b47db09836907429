package zmq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// maxPeers is how many peers a socket can have. More are closed as they come,
// and try again by themselves. Each can have one message of 1 MiB in hand.
const maxPeers = 256

// Between two attempts to connect, or to accept after an error.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = 5 * time.Second
)

// socket is a ZeroMQ socket: endpoints and the peers that come by them.
type socket struct {
	// Immutable after run is called.
	socketType string
	listeners  []net.Listener
	remotes    []endpoint // to connect to
	log        *slog.Logger
	complaints *rate.Limiter // of logs about peers
	// serve is called for every peer on a goroutine of its own, which ends with
	// it. The connection is closed when ctx ends, and when serve returns.
	serve func(ctx context.Context, p *peer) error

	wg sync.WaitGroup // of run's goroutines

	mu    sync.Mutex
	count int // peers, and those in the handshake
}

func newSocket(socketType string, log *slog.Logger, serve func(context.Context, *peer) error) *socket {
	return &socket{
		socketType: socketType,
		log:        log.With("socket", socketType),
		complaints: rate.NewLimiter(1, 20),
		serve:      serve,
	}
}

// listen opens endpoints, of which close closes all, unless some are inherited.
func (s *socket) listen(ctx context.Context, endpoints []string, inherited []net.Listener) error {
	if len(inherited) > 0 {
		s.listeners = inherited
		return nil
	}
	for _, text := range endpoints {
		e, err := parseEndpoint(text)
		if err != nil {
			return err
		}
		ln, err := e.listen(ctx)
		if err != nil {
			return fmt.Errorf("listen on %s for %s: %w", text, s.socketType, err)
		}
		s.listeners = append(s.listeners, ln)
	}
	return nil
}

// connect says what run is to connect to.
func (s *socket) connect(endpoints []string) error {
	for _, text := range endpoints {
		e, err := parseEndpoint(text)
		if err != nil {
			return err
		}
		s.remotes = append(s.remotes, e)
	}
	return nil
}

// run serves peers until ctx ends. When it returns all listeners are closed and
// all goroutines of the socket have ended.
func (s *socket) run(ctx context.Context) {
	for _, ln := range s.listeners {
		s.wg.Go(func() { s.acceptLoop(ctx, ln) })
	}
	for _, e := range s.remotes {
		s.wg.Go(func() { s.connectLoop(ctx, e) })
	}
	<-ctx.Done()
	s.close()
	s.wg.Wait()
}

// close closes the listeners, of a socket that runs or will not be run.
func (s *socket) close() {
	for _, ln := range s.listeners {
		ln.Close()
	}
}

// endpoint returns where the socket listens first, "" when nowhere.
func (s *socket) endpoint() string {
	if len(s.listeners) == 0 {
		return ""
	}
	return endpointOf(s.listeners[0])
}

// acceptLoop accepts peers until the listener closes. Running out of file
// descriptors makes it wait, never end.
func (s *socket) acceptLoop(ctx context.Context, ln net.Listener) {
	pause := shortestPause
	for {
		nc, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.complain("cannot accept a peer, trying again", "err", err)
			if !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, longestPause)
			continue
		}
		pause = shortestPause
		if !s.enter() {
			s.complain("no room for another peer", "peer", nc.RemoteAddr().String(), "limit", maxPeers)
			nc.Close()
			continue
		}
		s.wg.Go(func() {
			defer s.leave()
			if _, err := s.attend(ctx, nc); err != nil {
				s.complain("peer ended badly", "peer", nc.RemoteAddr().String(), "err", err)
			}
		})
	}
}

// connectLoop keeps a connection to an endpoint until ctx ends. What goes wrong
// is logged once until it goes right again.
func (s *socket) connectLoop(ctx context.Context, e endpoint) {
	pause, quiet := shortestPause, false
	for {
		nc, err := e.dial(ctx)
		if err == nil {
			var met bool
			if met, err = s.attend(ctx, nc); met {
				pause, quiet = shortestPause, false
			}
		}
		if err == nil {
			err = errors.New("peer closed the connection")
		}
		if ctx.Err() != nil {
			return
		}
		if !quiet {
			s.log.Warn("not connected, trying again", "peer", e.address, "err", err)
			quiet = true
		}
		pause = min(2*pause, longestPause)
		if !sleep(ctx, pause/2+rand.N(pause/2)) {
			return
		}
	}
}

// attend shakes hands with a peer and serves it. The connection is closed when
// it returns. Met says whether the handshake went well. That ctx has ended, or
// that the peer has left, is no error.
func (s *socket) attend(ctx context.Context, nc net.Conn) (met bool, err error) {
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer nc.Close()
	defer stop()
	p, err := shakeHands(nc, s.socketType)
	if err == nil {
		met = true
		err = s.serve(ctx, p)
	}
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		err = nil
	}
	return met, err
}

// enter counts a peer, when there is room.
func (s *socket) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == maxPeers {
		return false
	}
	s.count++
	return true
}

func (s *socket) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
}

// complain logs what is wrong with a peer. One that is wrong all the time does
// not fill the log. Safe from any goroutine.
func (s *socket) complain(text string, args ...any) {
	if s.complaints.Allow() {
		s.log.Warn(text, args...)
	}
}

// sleep waits for d, and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
