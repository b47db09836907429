package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// greetZeroMQ opens a connection as a socket of a type does (ZMTP 3.0, NULL), and
// reads the edge's greeting.
func greetZeroMQ(nc net.Conn, socketType string) error {
	ready := "\x05READY\x0bSocket-Type\x00\x00\x00" + string(rune(len(socketType))) + socketType
	_, err := io.WriteString(nc, "\xff"+strings.Repeat("\x00", 8)+"\x7f\x03\x00NULL"+strings.Repeat("\x00", 16+32)+
		"\x04"+string(rune(len(ready)))+ready)
	if err == nil {
		_, err = io.ReadFull(nc, make([]byte, 64))
	}
	return err
}

// pub is a publisher's PUB socket with one connection at a time, and another one
// after each, as ZeroMQ does it. It sends what the edge is subscribed to, and nothing
// else.
type pub struct {
	t testing.TB

	mu       sync.Mutex // all below
	nc       net.Conn   // nil when there is none
	prefixes map[string]bool
	ended    bool
}

// newPub makes one, until the end of the test; connect returns its next connection.
func newPub(t testing.TB, connect func() (net.Conn, error)) *pub {
	t.Helper()
	p := &pub{t: t, prefixes: make(map[string]bool)}
	endedCh := make(chan struct{})
	go func() {
		defer close(endedCh)
		for {
			nc, err := connect()
			if err != nil || !p.take(nc) {
				return
			}
			_ = p.serve(nc)
			nc.Close()
		}
	}()
	t.Cleanup(func() {
		p.mu.Lock()
		p.ended = true
		if p.nc != nil {
			p.nc.Close()
		}
		p.mu.Unlock()
		await(t, endedCh, "the end of a publisher")
	})
	return p
}

// take begins with a connection, whose subscriber has asked for nothing yet.
func (p *pub) take(nc net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		nc.Close()
		return false
	}
	p.nc = nc
	clear(p.prefixes)
	return true
}

// serve notes what the edge subscribes to until the connection ends.
func (p *pub) serve(nc net.Conn) error {
	if err := greetZeroMQ(nc, "PUB"); err != nil {
		return err
	}
	for {
		var head [2]byte
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			return err
		}
		body := make([]byte, head[1])
		if _, err := io.ReadFull(nc, body); err != nil {
			return err
		}
		switch {
		case head[0] == 4: // READY
		case head[0] != 0 || len(body) == 0:
			return errors.New("no subscription")
		default:
			p.mu.Lock()
			if body[0] == 1 {
				p.prefixes[string(body[1:])] = true
			} else {
				delete(p.prefixes, string(body[1:]))
			}
			p.mu.Unlock()
		}
	}
}

// wantPrefixes waits until the edge is subscribed to these, and to no others.
func (p *pub) wantPrefixes(want ...string) {
	p.t.Helper()
	eventually(p.t, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if got := slices.Sorted(maps.Keys(p.prefixes)); !slices.Equal(got, want) {
			return fmt.Errorf("the edge is subscribed to %q, want %q", got, want)
		}
		return nil
	})
}

// send sends a message of a channel, if the edge is subscribed to it.
func (p *pub) send(channel, message string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for prefix := range p.prefixes {
		if strings.HasPrefix(channel, prefix) {
			frames := "\x01" + string([]byte{byte(len(channel))}) + channel + "\x00" + string([]byte{byte(len(message))}) + message
			if _, err := io.WriteString(p.nc, frames); err != nil {
				p.t.Error(err)
			}
			return
		}
	}
}
