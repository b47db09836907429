package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"marquee/grip"
)

const chroniclePath = "/chronicle?after="

// chronicle is an origin with all that it has ever said: a poll that knows the
// lines up to an id gets all that came after it, or is held for the next.
type chronicle struct{ journal }

// ServeHTTP implements http.Handler.
func (c *chronicle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.RequestURI, chroniclePath) {
		c.journal.ServeHTTP(w, r)
		return
	}
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	w.Header().Set("Grip-Channel", fmt.Sprintf("journal; prev-id=%d", last))
	if after == last {
		w.Header().Set("Grip-Hold", "response")
	}
	for id := after + 1; id <= last; id++ {
		_, _ = io.WriteString(w, c.line(id))
	}
}

// item is what the chronicle publishes as the line of that id.
func (c *chronicle) item(id int) grip.Item {
	it := c.journal.item(id)
	it.HTTPResponse = &grip.HTTPResponse{Response: grip.Response{Body: []byte(c.line(id))}}
	return it
}

// reader is a client that knows how far it has read, and asks again whenever an
// answer or a connection ends.
type reader struct {
	rig    *rig
	from   *chronicle
	last   int // id of the last line
	client *client
	read   atomic.Int64 // last, for those who wait for it
}

// poll polls once, on the connection that there is or on a new one.
func (d *reader) poll() error {
	fresh := d.client == nil
	if fresh {
		d.client = d.rig.dial()
	}
	_, err := io.WriteString(d.client.nc, request("GET", chroniclePath+strconv.Itoa(d.last)))
	var body string
	if err == nil {
		var status int
		if status, err = d.client.readHead(); err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
	}
	if err == nil {
		body, err = d.client.readBody(200)
	}
	if err != nil {
		return fmt.Errorf("poll behind %d, on a new connection %t: %w", d.last, fresh, err)
	}
	if d.client.head.Get("Connection") == "close" {
		d.client.leave()
		d.client = nil
	}
	for line := range strings.Lines(body) {
		if err := d.take(line); err != nil {
			return err
		}
	}
	return nil
}

// follow reads a stream to its end.
func (d *reader) follow() error {
	c := d.rig.dial()
	defer c.leave()
	_, err := io.WriteString(c.nc, request("GET", journalPath, "Last-Event-ID: "+strconv.Itoa(d.last)))
	if err == nil {
		_, err = c.readHead()
	}
	if err != nil {
		return fmt.Errorf("stream behind %d: %w", d.last, err)
	}
	for lines := bufio.NewReader(&chunks{c: c}); ; {
		line, err := lines.ReadString('\n')
		switch {
		case err == io.EOF && line == "":
			return nil
		case err != nil:
			return fmt.Errorf("stream behind %d: %q, %w", d.last, line, err)
		}
		if err := d.take(line); err != nil {
			return err
		}
	}
}

// take takes a line, which must be the next one.
func (d *reader) take(line string) error {
	if want := d.from.line(d.last + 1); line != want {
		return fmt.Errorf("line %q, want %q", line, want)
	}
	d.last++
	d.read.Store(int64(d.last))
	return nil
}

// Clients that say how far they have read get every line once and in order, though
// one process after the other takes over.
func TestUpgradesLoseNothing(t *testing.T) {
	const readers, upgrades, lines = 50, 10, 20
	c := new(chronicle)
	p := startLineage(t, serve(t, c), "-share-all", "-drain-timeout", "20s", "-drain-spread", "500ms")
	endCh := make(chan struct{})
	errCh := make(chan error, 2*readers)
	var all []*reader
	var reading sync.WaitGroup
	for i := range 2 * readers {
		d := &reader{rig: &p.rig, from: c}
		all = append(all, d)
		reading.Go(func() {
			next := d.poll
			if i%2 == 1 {
				next = d.follow
			}
			for {
				if err := next(); err != nil {
					errCh <- err
					return
				}
				select {
				case <-endCh:
					return
				default:
				}
			}
		})
	}
	p.waitHolds(2 * readers)
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	write := func() {
		if _, err := publishTo(p.control, c.item(c.write())); err != nil {
			t.Error(err)
		}
	}
	var written sync.WaitGroup
	stopCh := make(chan struct{})
	written.Go(func() {
		for {
			select {
			case <-stopCh:
				return
			case <-pace.C:
				write()
			}
		}
	})
	for range upgrades {
		p.wantExit(p.upgrade())
		// All go on, in the successor.
		mark := c.current() + lines
		eventually(t, func() error {
			for _, d := range all {
				if got := d.read.Load(); got < int64(mark) {
					return fmt.Errorf("a reader has got to %d, of %d", got, mark)
				}
			}
			select {
			case err := <-errCh:
				t.Fatal(err)
			default:
			}
			return nil
		})
	}
	close(stopCh)
	written.Wait()
	close(endCh)
	write() // ends the polls
	p.signal(syscall.SIGTERM)
	reading.Wait()
	close(errCh)
	for err := range errCh {
		t.Error(err)
	}
	p.wantExit(p.pid)
}

// current returns the id of the newest line.
func (c *chronicle) current() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}
