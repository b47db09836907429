package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client is a client of the subject: one connection, spoken byte by byte.
type client struct {
	t    testing.TB
	s    *scene
	nc   net.Conn
	in   *bufio.Reader
	head bool // the answer that comes next is one to HEAD

	chunked bool     // of the answer that is being read
	rest    int64    // of its body, -1 until the connection ends
	chunk   int64    // bytes that are left of the chunk
	ended   bool     // all of its body has been read
	chunks  []string // contents of chunks as they were cut
}

// answer is what a client got.
type answer struct {
	t      testing.TB
	proto  string
	code   int
	reason string
	lines  []string
	body   string
}

// dial connects a client. It is closed at the end of the case.
func (s *scene) dial() *client {
	s.Helper()
	return s.dialTo(proxy.address)
}

// dialTo is dial for another address of the subject.
func (s *scene) dialTo(address string) *client {
	s.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = nc.Close() })
	return &client{t: s, s: s, nc: nc, in: bufio.NewReader(nc)}
}

// send sends bytes, $C and $P replaced. Who answers and closes before all has
// come makes the rest impossible to send; what is read next tells what happened.
func (c *client) send(text string) {
	_, _ = io.WriteString(c.nc, c.s.expand(text))
}

// get sends a GET for a path of the scene. A Host among the fields replaces that
// of the plainest route.
func (c *client) get(path string, fields ...string) {
	c.t.Helper()
	c.request("GET", path, "", fields...)
}

// request sends a request for a path below the scene's.
func (c *client) request(method, path, body string, fields ...string) {
	c.t.Helper()
	c.head = method == "HEAD"
	c.send(requestTo(method, "/$P"+path, body, fields...))
}

// requestTo makes a request for a whole target.
func requestTo(method, target, body string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, target)
	if !hasField(fields, "Host") {
		b.WriteString("Host: grip.test\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	return b.String() + "\r\n" + body
}

// get asks on a connection of its own and returns the whole answer.
func (s *scene) get(path string, fields ...string) *answer {
	s.Helper()
	c := s.dial()
	c.get(path, fields...)
	return c.answer()
}

// answer reads an answer with its body.
func (c *client) answer() *answer {
	c.t.Helper()
	a := c.start()
	a.body = c.toEnd()
	return a
}

// publishUntilAnswered publishes items, made from 0, 1 and so on, until the
// client has an answer, and returns it. It is for what Pushpin may lose.
func (c *client) publishUntilAnswered(item func(n int) string) *answer {
	c.t.Helper()
	c.patient()
	answeredCh := make(chan struct{})
	go func() {
		defer close(answeredCh)
		_, _ = c.in.Peek(1)
	}()
	pause := 10 * time.Millisecond
	for n := 0; ; n++ {
		c.s.publish(item(n))
		select {
		case <-answeredCh: // answered, or out of patience
			return c.answer()
		case <-time.After(pause):
			pause += pause
		}
	}
}

// start reads the head of an answer; 100 (Continue) is skipped.
func (c *client) start() *answer {
	c.t.Helper()
	c.patient()
	a := &answer{t: c.t}
	for a.code == 0 || a.code == 100 {
		*a = answer{t: c.t}
		for {
			line, err := c.in.ReadString('\n')
			if err != nil {
				c.t.Fatalf("client got no answer: %v (%q %q)", err, a.lines, line)
			}
			line = strings.TrimRight(line, "\r\n")
			if line == "" {
				break
			}
			if a.proto != "" {
				a.lines = append(a.lines, line)
				continue
			}
			status := strings.SplitN(line, " ", 3)
			if len(status) < 2 {
				c.t.Fatalf("client got the status line %q", line)
			}
			a.proto = status[0]
			a.code, _ = strconv.Atoi(status[1])
			if len(status) > 2 {
				a.reason = status[2]
			}
		}
	}
	c.chunked, c.ended, c.chunk, c.rest, c.chunks = false, false, 0, -1, nil
	length, err := strconv.ParseInt(a.field("Content-Length"), 10, 64)
	switch {
	case c.head || a.code == 204 || a.code == 304:
		c.ended = true
	case strings.EqualFold(a.field("Transfer-Encoding"), "chunked"):
		c.chunked = true
	case err == nil:
		c.rest = length
		c.ended = length == 0
	}
	return a
}

// read returns the next bytes of the body, at most n; io.EOF after the last.
func (c *client) read(n int) (string, error) {
	if c.ended {
		return "", io.EOF
	}
	if c.chunked && c.chunk == 0 {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return "", unexpected(err)
		}
		size, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ";")
		if c.chunk, err = strconv.ParseInt(size, 16, 64); err != nil {
			return "", fmt.Errorf("bad chunk size %q", line)
		}
		if c.chunk == 0 {
			c.ended = true
			for line != "" {
				if line, err = c.in.ReadString('\n'); err != nil {
					return "", unexpected(err)
				}
				line = strings.TrimRight(line, "\r\n")
			}
			return "", io.EOF
		}
		c.chunks = append(c.chunks, "")
	}
	switch {
	case c.chunked:
		n = int(min(int64(n), c.chunk))
	case c.rest >= 0:
		n = int(min(int64(n), c.rest))
	}
	p := make([]byte, n)
	n, err := c.in.Read(p)
	text := string(p[:n])
	switch {
	case c.chunked:
		c.chunks[len(c.chunks)-1] += text
		if c.chunk -= int64(n); c.chunk == 0 && err == nil {
			_, err = c.in.Discard(2)
		}
		return text, unexpected(err)
	case c.rest >= 0:
		c.rest -= int64(n)
		c.ended = c.rest == 0
		return text, unexpected(err)
	}
	c.ended = err == io.EOF
	return text, err
}

// unexpected makes an end inside of a body another error than its end.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// toEnd reads the body to its end.
func (c *client) toEnd() string {
	c.t.Helper()
	text, err := c.readAll()
	if err != nil {
		c.t.Fatalf("client got no end of the body: %v after %q", err, text)
	}
	return text
}

// readAll reads the body to its end or to the error that cuts it off.
func (c *client) readAll() (string, error) {
	c.patient()
	var b strings.Builder
	for {
		text, err := c.read(64 << 10)
		b.WriteString(text)
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
	}
}

// wantBytes reads as many bytes of the body as want has, which must be want.
func (c *client) wantBytes(want string) {
	c.t.Helper()
	c.patient()
	want = c.s.expand(want)
	var got string
	for len(got) < len(want) {
		text, err := c.read(len(want) - len(got))
		got += text
		if err != nil {
			c.t.Fatalf("client got %q, then %v, want %q", got, err, want)
		}
	}
	if got != want {
		c.t.Fatalf("client got %q, want %q", got, want)
	}
}

// until reads the body up to and including the first byte that is end.
func (c *client) until(end string) string {
	c.t.Helper()
	c.patient()
	text := ""
	for !strings.HasSuffix(text, end) {
		part, err := c.read(1)
		if err != nil {
			c.t.Fatalf("client got %q, then %v, want %q", text, err, end)
		}
		text += part
	}
	return text
}

// wantEnd wants the body to be complete, with nothing before its end.
func (c *client) wantEnd() {
	c.t.Helper()
	if text := c.toEnd(); text != "" {
		c.t.Fatalf("client got %q, want the end of the body", text)
	}
}

// wantClosed wants the connection to be closed by the subject, with nothing
// before.
func (c *client) wantClosed() {
	c.t.Helper()
	c.patient()
	text, err := io.ReadAll(c.in)
	if errors.Is(err, os.ErrDeadlineExceeded) || len(text) > 0 {
		c.t.Fatalf("client got %q, %v, want the connection to end", text, err)
	}
}

// close ends the connection on the client's side.
func (c *client) close() { _ = c.nc.Close() }

// patient gives what is read next the suite's patience.
func (c *client) patient() { _ = c.nc.SetReadDeadline(time.Now().Add(patience)) }

// field returns the values of a field joined with ", ".
func (a *answer) field(name string) string { return fieldOf(a.lines, name) }

// has reports whether a field is there at all.
func (a *answer) has(name string) bool { return hasField(a.lines, name) }

// want wants code and body.
func (a *answer) want(code int, body string) *answer {
	a.t.Helper()
	if a.code != code || a.body != body {
		a.t.Fatalf("client got %d %q, want %d %q", a.code, clip(a.body), code, clip(body))
	}
	return a
}

// wantField wants a field with a value, "" for none at all.
func (a *answer) wantField(name, value string) *answer {
	a.t.Helper()
	if got := a.field(name); got != value {
		a.t.Errorf("client got %s: %q, want %q, in %q", name, got, value, a.lines)
	}
	return a
}

// wantNone wants none of the fields.
func (a *answer) wantNone(names ...string) *answer {
	a.t.Helper()
	for _, name := range names {
		if a.has(name) {
			a.t.Errorf("client got %s: %q, want none", name, a.field(name))
		}
	}
	return a
}

// wantNoGrip wants nothing of the instruct to be left.
func (a *answer) wantNoGrip() *answer {
	a.t.Helper()
	for _, line := range a.lines {
		if len(line) > 5 && strings.EqualFold(line[:5], "grip-") {
			a.t.Errorf("client got %q", line)
		}
	}
	return a
}

// clip shortens a long text for a message.
func clip(s string) string {
	if len(s) > 300 {
		return fmt.Sprintf("%s... (%d bytes)", s[:300], len(s))
	}
	return s
}
