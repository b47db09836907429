package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// logCh gets what is logged, a record at a time.
type logCh chan string

// Write implements io.Writer.
func (ch logCh) Write(p []byte) (int, error) {
	ch <- string(p)
	return len(p), nil
}

// What an origin sends behind an answer is not given to who waits for a
// connection just then.
func TestOriginConnSurplus(t *testing.T) {
	const extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
	for _, tt := range []struct{ name, method, sent string }{
		{"RFC 9112 §9.2 behind content", "GET", head("HTTP/1.1 200 OK", "Content-Length: 5") + "first" + extra},
		{"RFC 9112 §9.2 behind chunks", "GET", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\nfirst\r\n0\r\n\r\n" + extra},
		{"RFC 9112 §9.2 behind no content", "GET", head("HTTP/1.1 200 OK", "Content-Length: 0") + extra},
		{"RFC 9112 §6.3 behind 204", "GET", head("HTTP/1.1 204 No Content") + extra},
		{"RFC 9112 §6.3 behind the head for HEAD", "HEAD", head("HTTP/1.1 200 OK", "Content-Length: 999") + extra},
	} {
		t.Run(tt.name, func(t *testing.T) {
			askedCh, answerCh := make(chan struct{}), make(chan struct{})
			var asked atomic.Int32
			logCh := make(logCh, 8)
			c := newClient(t, serveRaw(t, func(nc net.Conn) {
				if _, err := readRequest(nc); err != nil {
					return
				}
				if asked.Add(1) > 1 {
					io.WriteString(nc, head("HTTP/1.1 200 OK", "Content-Length: 6")+"second")
					return
				}
				close(askedCh)
				<-answerCh
				io.WriteString(nc, tt.sent)
				io.Copy(io.Discard, nc)
			}), func(cfg *Config) { cfg.Log = slog.New(slog.NewTextHandler(logCh, nil)) })
			dialCh, dial := make(chan struct{}, 1), c.dial
			waitsCh := make(chan struct{}, 2)
			dialCh <- struct{}{}
			c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				waitsCh <- struct{}{}
				<-dialCh
				return dial(ctx, network, address)
			}
			first := get("first") // has all of its content kept together
			first.Method = tt.method
			a := ask(t, c, first, false)
			receive(t, askedCh, "first request")
			b := ask(t, c, get(""), false)
			receive(t, waitsCh, "first connection")
			receive(t, waitsCh, "second connection")
			close(answerCh)
			if res := a.result(); res.Answer == nil {
				t.Fatalf("the first gets %v", res.Failure)
			}
			dialCh <- struct{}{}
			if got, want := describe(b.result()), "answer second"; got != want {
				t.Errorf("the second gets %s, want %s", got, want)
			}
			if got, want := receive(t, logCh, "warning"), fmt.Sprintf("bytes=%d", len(extra)); !strings.Contains(got, want) {
				t.Errorf("the log says %q, want %s", got, want)
			}
		})
	}
}

// A connection that the origin has closed, or on which it has spoken, is not kept:
// not even what may not be asked twice is lost on it.
func TestOriginConnStale(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(nc net.Conn)
	}{
		{"closed", func(nc net.Conn) { nc.(*net.TCPConn).CloseWrite() }},
		{"an answer to nothing", func(nc net.Conn) { io.WriteString(nc, head("HTTP/1.1 408 Too slow", "Content-Length: 0")) }},
		{"a line end", func(nc net.Conn) { io.WriteString(nc, "\r\n") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var conns atomic.Int32
			spoilCh, spoiltCh := make(chan struct{}), make(chan struct{})
			c := newClient(t, serveRaw(t, func(nc net.Conn) {
				fresh := conns.Add(1) > 1
				if _, err := readRequest(nc); err != nil {
					return
				}
				io.WriteString(nc, head("HTTP/1.1 200 OK", "Content-Length: 2")+"ok")
				if !fresh {
					<-spoilCh
					tt.spoil(nc)
				}
				io.Copy(io.Discard, nc)
				if !fresh {
					close(spoiltCh)
				}
			}))
			if got := describe(ask(t, c, get(""), false).result()); got != "answer ok" {
				t.Fatalf("the first gets %s", got)
			}
			close(spoilCh)
			receive(t, spoiltCh, "end of the spoilt connection")
			r := get("")
			r.Method, r.Body = http.MethodPost, []byte("x")
			if got := describe(ask(t, c, r, false).result()); got != "answer ok" {
				t.Errorf("the second gets %s", got)
			}
		})
	}
}

// What has arrived before a request is written is found, though nobody has read
// it yet.
func TestOriginConnPending(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(nc *net.TCPConn)
	}{
		{"closed", func(nc *net.TCPConn) { nc.CloseWrite() }},
		{"reset", func(nc *net.TCPConn) { nc.SetLinger(0); nc.Close() }},
		{"a byte", func(nc *net.TCPConn) { nc.Write([]byte("x")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spoilCh, wroteCh := make(chan struct{}), make(chan []byte, 1)
			address := serveRaw(t, func(nc net.Conn) {
				<-spoilCh
				tt.spoil(nc.(*net.TCPConn))
				in, _ := io.ReadAll(nc)
				wroteCh <- in
			})
			nc, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			oc := newOriginConn(nc, patience, func(int) {})
			oc.begin(false)
			if oc.pending() {
				t.Error("something has come before it was sent")
			}
			close(spoilCh)
			eventually(t, "it has come", oc.pending)
			if n, err := oc.Write([]byte("GET / HTTP/1.1\r\n")); n != 0 || err != errStale {
				t.Errorf("%d bytes are written, %v, want none, %v", n, err, errStale)
			}
			oc.Close()
			if in := receive(t, wroteCh, "end of the connection"); len(in) > 0 {
				t.Errorf("the origin gets %q", in)
			}
		})
	}
}

// A target that wants a certificate says so after the handshake (RFC 8446 §6.2), and
// may have been heard before anything is asked: that is why nothing can be.
func TestOriginConnRefused(t *testing.T) {
	addr := trusted.serveTLS(t, "127.0.0.1", answer("body"), func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	oc := newOriginConn(tls.Client(nc, &tls.Config{ServerName: "127.0.0.1", InsecureSkipVerify: true}), patience, func(int) {})
	if _, err := oc.Read(make([]byte, 1)); err == nil {
		t.Fatal("the target says something")
	}
	oc.begin(false)
	if n, err := oc.Write([]byte("GET / HTTP/1.1\r\n")); n != 0 || !errors.Is(err, errStale) || remedy(err) == "" {
		t.Errorf("%d bytes are written, %v, want none, and that a certificate is required", n, err)
	}
}
