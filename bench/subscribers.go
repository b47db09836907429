package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// subscribeDials is how many subscribers connect at a time.
const subscribeDials = 64

// Subscribers are clients in this process, each with a stream of the headlines and a
// goroutine of its own: what the load client does for ten times as many, on one
// loop and without TLS.
type subscribers struct {
	conns []net.Conn
	// eventCh gets what a client gets. There is room for one event of each.
	eventCh chan event
	reading sync.WaitGroup
}

// An event is one headline that has come to one client.
type event struct {
	id int
	at time.Time
}

// subscribe connects n clients to the stream at address, by TLS if config is not
// nil. When it returns, all have the beginning of the answer.
func subscribe(ctx context.Context, address string, n int, config *tls.Config) (*subscribers, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("connect %d clients: %w", n, err)
	}
	c := &subscribers{conns: make([]net.Conn, n), eventCh: make(chan event, n)}
	answers := make([]*bufio.Reader, n)
	errs := make([]error, n)
	nextCh := make(chan int)
	var dialling sync.WaitGroup
	for range subscribeDials {
		dialling.Go(func() {
			for i := range nextCh {
				c.conns[i], answers[i], errs[i] = joinOne(ctx, at, config)
			}
		})
	}
	for i := range n {
		nextCh <- i
	}
	close(nextCh)
	dialling.Wait()
	if err := errors.Join(errs...); err != nil {
		c.leave()
		return nil, fmt.Errorf("connect %d clients: %w", n, err)
	}
	for _, answer := range answers {
		c.reading.Go(func() { c.read(answer) })
	}
	return c, nil
}

// joinOne connects one client, asks for the stream, and returns when it begins.
func joinOne(ctx context.Context, at *url.URL, config *tls.Config) (net.Conn, *bufio.Reader, error) {
	dialer := net.Dialer{Timeout: awaitTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return nil, nil, err
	}
	if config != nil {
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
		conn = encrypted
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", at.RequestURI(), at.Host); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	answer := bufio.NewReader(conn)
	_ = conn.SetDeadline(time.Now().Add(awaitTimeout)) // fails on a closed connection only
	line, err := answer.ReadString('\n')
	if err == nil && !strings.Contains(line, " 200 ") {
		err = fmt.Errorf("GET %s is answered %q", at, line)
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, answer, nil
}

// read tells of each event that an answer brings, until it ends. A headline's id is
// the first in the data, whatever is around the headline.
func (c *subscribers) read(answer *bufio.Reader) {
	for {
		line, err := answer.ReadString('\n')
		if err != nil {
			return
		}
		data, ok := strings.CutPrefix(line, "data:")
		if _, id, found := strings.Cut(data, `"id":`); ok && found {
			c.eventCh <- event{leadingInt([]byte(strings.TrimSpace(id))), time.Now()}
		}
	}
}

// await waits until every client has got the event of that id, and returns when
// the median and the last of them had it.
func (c *subscribers) await(ctx context.Context, id int) (median, last time.Time, err error) {
	timeout := time.NewTimer(awaitTimeout)
	defer timeout.Stop()
	times := make([]time.Time, 0, len(c.conns))
	for len(times) < len(c.conns) {
		select {
		case e := <-c.eventCh:
			if e.id != id {
				return median, last, fmt.Errorf("headline %d has come, want %d", e.id, id)
			}
			times = append(times, e.at)
		case <-timeout.C:
			return median, last, fmt.Errorf("headline %d has come to %d of %d clients within %v", id, len(times), len(c.conns), awaitTimeout)
		case <-ctx.Done():
			return median, last, context.Cause(ctx)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times[len(times)/2], times[len(times)-1], nil
}

// leave closes all connections and waits for the clients' end.
func (c *subscribers) leave() {
	for _, conn := range c.conns {
		if conn != nil {
			conn.Close()
		}
	}
	doneCh := make(chan struct{})
	go func() {
		c.reading.Wait()
		close(doneCh)
	}()
	for {
		select {
		case <-c.eventCh: // let who wants to tell of one
		case <-doneCh:
			return
		}
	}
}
