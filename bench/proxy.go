package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// A manner is what a proxy does with connections.
type manner int

const (
	passes   manner = iota // gives on what comes, both ways
	refuses                // does not listen
	hangsUp                // accepts a connection, and resets it
	freezes                // gives nothing on, both ways, of connections old and new, until it passes again
	tears                  // ends an answer after some bytes of it
	trickles               // gives an answer on in small pieces, with pauses
	garbles                // answers a request by itself, with what is no good answer
)

// flapping are the manners of an origin that cannot decide what is wrong with it.
var flapping = []manner{passes, refuses, hangsUp, tears, trickles, garbles}

// trickle is the pause between two pieces of an answer that trickles.
const trickle = 5 * time.Millisecond

// A proxy stands in front of a server, at an address of its own, and does not always
// behave. Its methods are safe for several at once.
type proxy struct {
	addr, target string
	wg           sync.WaitGroup // of the goroutines, which end with close

	mu       sync.Mutex
	random   *rand.Rand
	manner   manner
	thawedCh chan struct{} // closed when it does not freeze
	listener net.Listener  // nil while it refuses, and once it is closed
	conns    map[net.Conn]bool
	closed   bool
}

// newProxy starts a proxy that passes. What it does at random is of random, which is
// its own from now on.
func newProxy(addr, target string, random *rand.Rand) (*proxy, error) {
	p := &proxy{addr: addr, target: target, random: random, thawedCh: make(chan struct{}), conns: make(map[net.Conn]bool)}
	close(p.thawedCh)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p, p.listen()
}

// listen opens the listener. The caller holds mu.
func (p *proxy) listen() error {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("start a proxy: %w", err)
	}
	p.listener = l
	p.wg.Go(func() { p.accept(l) })
	return nil
}

// behave changes its manner. Connections that there are end, but when it freezes or
// has frozen: those are to wait.
func (p *proxy) behave(m manner) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.manner
	p.manner = m
	if before == freezes && m != freezes {
		close(p.thawedCh)
	}
	if m == freezes && before != freezes {
		p.thawedCh = make(chan struct{})
	}
	if m != freezes && before != freezes {
		p.cut()
	}
	if m == refuses && p.listener != nil {
		err := p.listener.Close()
		p.listener = nil
		return err
	}
	if m != refuses && p.listener == nil {
		return p.listen()
	}
	return nil
}

// cut resets all connections. The caller holds mu.
func (p *proxy) cut() {
	for c := range p.conns {
		hangUp(c)
	}
}

// hangUp closes a connection with a reset.
func hangUp(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // at worst it is closed in order
	}
	_ = c.Close()
}

// close ends the proxy and its connections.
func (p *proxy) close() error {
	p.mu.Lock()
	p.closed = true
	var err error
	if p.listener != nil {
		err = p.listener.Close()
		p.listener = nil
	}
	if p.manner == freezes {
		p.manner = passes
		close(p.thawedCh)
	}
	p.cut()
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

// accept is the goroutine of a listener.
func (p *proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		if p.add(c) {
			p.wg.Go(func() {
				defer p.remove(c)
				p.serve(c)
			})
		}
	}
}

// add takes a connection in, to be cut with the others; it is closed, and not taken
// in, when the proxy is.
func (p *proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) remove(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

// state returns the manner, and what is closed when it does not freeze any more.
func (p *proxy) state() (manner, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.manner, p.thawedCh
}

// number returns a random one of 0 to n-1.
func (p *proxy) number(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.random.IntN(n)
}

// serve is the goroutine of one connection.
func (p *proxy) serve(c net.Conn) {
	m, thawedCh := p.state()
	<-thawedCh
	switch m {
	case hangsUp, refuses:
		hangUp(c)
		return
	case garbles:
		p.garble(c)
		return
	}
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), postTimeout)
	defer cancel()
	server, err := dialer.DialContext(ctx, "tcp", p.target)
	if err != nil {
		hangUp(c)
		return
	}
	if !p.add(server) {
		return
	}
	defer p.remove(server)
	p.wg.Go(func() {
		p.copy(server, c, 1<<62, 0)
		p.half(server)
	})
	switch m {
	case tears:
		p.copy(c, server, int64(p.number(400)), 0)
		if p.number(2) == 0 {
			hangUp(c)
		}
	case trickles:
		p.copy(c, server, 1<<62, trickle)
	default:
		p.copy(c, server, 1<<62, 0)
	}
}

// half closes the sending side of a connection, whose other one may go on.
func (p *proxy) half(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // it may be closed already
	}
}

// copy gives on from one connection to the other until one ends, or most bytes are
// given on. With a pause it does so in pieces of a few bytes.
func (p *proxy) copy(to io.Writer, from io.Reader, most int64, pause time.Duration) {
	buf := make([]byte, 16<<10)
	for most > 0 {
		n, err := from.Read(buf[:min(int64(len(buf)), most)])
		most -= int64(n)
		_, thawedCh := p.state()
		<-thawedCh
		for piece := range slices.Chunk(buf[:n], pieceSize(n, pause)) {
			if _, err := to.Write(piece); err != nil {
				return
			}
			if pause > 0 {
				time.Sleep(pause)
			}
		}
		if err != nil {
			return
		}
	}
}

// pieceSize is how many of n bytes are given on at a time.
func pieceSize(n int, pause time.Duration) int {
	if pause > 0 {
		return 16
	}
	return max(n, 1)
}

// garbage are answers that no client of HTTP can use, or that say what is not so of
// their own length. $ stands for random bytes.
var garbage = []string{
	"$",
	"hello\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n$",
	"HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nGrip-Channel: headline-value; prev-id=1\r\nContent-Length: 100\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: headline-value\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n$",
	"HTTP/1.1 200 OK\r\nGrip-Hold: sideways\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nGrip-Hold: response\r\nGrip-Channel: \x00\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 999999 Quite\r\n\r\n",
	"HTTP/1.1 200 OK\r\n$: $\r\n\r\n",
	"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noh\r\n",
	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"id\": true",
}

// garble reads the beginning of a request and answers garbage.
func (p *proxy) garble(c net.Conn) {
	buf := make([]byte, 1<<10)
	if _, err := c.Read(buf); err != nil {
		return
	}
	answer := garbage[p.number(len(garbage))]
	for i := range len(answer) {
		b := []byte{answer[i]}
		if answer[i] == '$' {
			b = make([]byte, 1+p.number(1<<10))
			for j := range b {
				b[j] = byte(p.number(256))
			}
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}
