package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client is one connection to an edge.
type client struct {
	t    testing.TB
	nc   *peer
	in   *bufio.Reader
	head textproto.MIMEHeader // of the answer being read
	// sentHead: the answer being read is to HEAD.
	sentHead bool
}

// dial connects a client, until the end of the test.
func (r *rig) dial() *client {
	r.t.Helper()
	return dial(r.t, r.address)
}

func dial(t testing.TB, address string) *client {
	t.Helper()
	return dialBy(t, net.Dialer{Timeout: patience}, address)
}

func dialBy(t testing.TB, d net.Dialer, address string) *client {
	t.Helper()
	nc, err := connect(d, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &client{t: t, nc: nc, in: bufio.NewReader(nc)}
}

// send writes bytes.
func (c *client) send(text string) {
	c.t.Helper()
	_ = c.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.nc, text); err != nil {
		c.t.Fatalf("send %.60q: %v", text, err)
	}
}

// ask sends a request without content; fields are lines without their end.
func (c *client) ask(method, target string, fields ...string) {
	c.t.Helper()
	c.sentHead = method == http.MethodHead
	c.send(request(method, target, fields...))
}

// get sends a GET.
func (c *client) get(target string, fields ...string) {
	c.t.Helper()
	c.ask(http.MethodGet, target, fields...)
}

// request makes the bytes of a request without content.
func request(method, target string, fields ...string) string {
	return method + " " + target + " HTTP/1.1\r\n" +
		strings.Join(append([]string{"Host: headline.example"}, fields...), "\r\n") + "\r\n\r\n"
}

// leave closes the connection.
func (c *client) leave() { c.nc.Close() }

// readHead reads the head of an answer.
func (c *client) readHead() (status int, err error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	r := textproto.NewReader(c.in)
	line, err := r.ReadLine()
	if err != nil {
		return 0, err
	}
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	if status, err = strconv.Atoi(code); err != nil || version != "HTTP/1.1" {
		return 0, fmt.Errorf("status line is %q", line)
	}
	c.head, err = r.ReadMIMEHeader()
	return status, err
}

// readBody reads the rest of an answer, as its head says.
func (c *client) readBody(status int) (string, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	switch {
	case c.sentHead, status == 204, status == 304:
		return "", nil
	case c.head.Get("Transfer-Encoding") == "chunked":
		var all strings.Builder
		for {
			data, err := c.readChunk()
			if data == "" || err != nil {
				return all.String(), err
			}
			all.WriteString(data)
		}
	case c.head.Get("Content-Length") != "":
		n, err := strconv.Atoi(c.head.Get("Content-Length"))
		if err != nil {
			return "", err
		}
		body := make([]byte, n)
		n, err = io.ReadFull(c.in, body)
		return string(body[:n]), err
	default:
		body, err := io.ReadAll(c.in)
		return string(body), err
	}
}

// readChunk reads one chunk; the last one is empty.
func (c *client) readChunk() (string, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	line, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 31)
	if err != nil {
		return "", fmt.Errorf("chunk begins with %q", line)
	}
	data := make([]byte, size+2)
	if _, err := io.ReadFull(c.in, data); err != nil {
		return "", err
	}
	if string(data[size:]) != "\r\n" {
		return "", fmt.Errorf("chunk of %d bytes ends with %q", size, data[size:])
	}
	return string(data[:size]), nil
}

// wantStatus reads the head of an answer.
func (c *client) wantStatus(want int) {
	c.t.Helper()
	got, err := c.readHead()
	if err != nil {
		c.t.Fatalf("read head of answer: %v", err)
	}
	if got != want {
		body, _ := c.readBody(got)
		c.t.Fatalf("status %d (%q), want %d", got, body, want)
	}
}

// wantHeader compares all values of a field of the answer being read; no value
// for a field that must not be there.
func (c *client) wantHeader(name string, want ...string) {
	c.t.Helper()
	if got := c.head.Values(name); strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
		c.t.Errorf("field %s is %q, want %q", name, got, want)
	}
}

// wantBody reads the rest of the answer being read.
func (c *client) wantBody(want string) {
	c.t.Helper()
	got, err := c.readBody(0)
	if err != nil || got != want {
		c.t.Fatalf("body %s, %v, want %s", brief(got), err, brief(want))
	}
}

// wantChunk reads one chunk of the answer being read; "" for the last.
func (c *client) wantChunk(want string) {
	c.t.Helper()
	got, err := c.readChunk()
	if err != nil || got != want {
		c.t.Fatalf("chunk %s, %v, want %s", brief(got), err, brief(want))
	}
}

// wantAnswer reads a whole answer.
func (c *client) wantAnswer(status int, body string) {
	c.t.Helper()
	got, err := c.readHead()
	if err != nil {
		c.t.Fatalf("read head of answer: %v", err)
	}
	gotBody, err := c.readBody(got)
	if got != status || gotBody != body || err != nil {
		c.t.Fatalf("answer %d %s, %v, want %d %s", got, brief(gotBody), err, status, brief(body))
	}
}

// wantClosed waits until the edge has closed the connection, with nothing said
// before, and closes it from here too.
func (c *client) wantClosed() {
	c.t.Helper()
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(c.in)
	if len(rest) > 0 || err != nil {
		c.t.Fatalf("got %s, %v, want the end of the connection", brief(string(rest)), err)
	}
	c.leave()
}

// wantCut waits until the edge has cut the connection off, whatever came before.
func (c *client) wantCut() {
	c.t.Helper()
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c.in); errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("the connection is still open")
	}
}

// wantNothing looks whether the edge says something that it should not.
func (c *client) wantNothing() {
	c.t.Helper()
	_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if b, err := c.in.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %q, %v, want nothing", b, err)
	}
}

// brief shortens what is too long to read.
func brief(s string) string {
	if len(s) <= 200 {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q... (%d bytes)", s[:200], len(s))
}

// dialAccepted connects a client to nobody, and returns both ends.
func dialAccepted(t *testing.T) (c *client, nc net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c = dial(t, ln.Addr().String())
	if nc, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return c, nc
}
