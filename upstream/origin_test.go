package upstream

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	remove := trusted.trust()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		remove()
		os.Exit(code)
	}))
}

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// receive waits for a value from a Go channel.
func receive[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("still no %s", what)
	}
	return v
}

// eventually waits for what has no event of its own.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// serve starts an origin for the length of the test and returns its address.
func serve(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// wire answers a request with these very bytes, and closes the connection.
func wire(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		nc, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer nc.Close()
		io.WriteString(nc, text)
	}
}

// serveRaw starts an origin that knows no HTTP: talk has each connection, which
// is closed when it returns, and at the test's end.
func serveRaw(t testing.TB, talk func(net.Conn)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu     sync.Mutex
		conns  []net.Conn
		closed bool
		wg     sync.WaitGroup
	)
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, nc)
			if closed {
				nc.Close()
			}
			mu.Unlock()
			wg.Go(func() {
				defer nc.Close()
				talk(nc)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		closed = true
		for _, nc := range conns {
			nc.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

// readRequest reads one request, and returns its bytes as they were sent.
func readRequest(nc net.Conn) (sent string, err error) {
	var all bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(nc, &all)))
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	return all.String(), err
}

// gate is an origin's handler that shows each request to the test and lets it
// pass when the test says so.
type gate struct {
	arrivedCh chan *http.Request
	passCh    chan struct{} // closed to let all pass
	answer    http.HandlerFunc
}

func newGate(answer http.HandlerFunc) *gate {
	return &gate{arrivedCh: make(chan *http.Request, 100), passCh: make(chan struct{}), answer: answer}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.arrivedCh <- r
	select {
	case <-g.passCh:
		g.answer(w, r)
	case <-r.Context().Done():
	}
}

// arrived waits for the next request to arrive at the origin.
func (g *gate) arrived(t testing.TB) *http.Request {
	t.Helper()
	return receive(t, g.arrivedCh, "request at the origin")
}

// wantQuiet checks that no request has arrived that the test has not seen. It
// must be called when it would have.
func (g *gate) wantQuiet(t testing.TB) {
	t.Helper()
	select {
	case r := <-g.arrivedCh:
		t.Errorf("the origin is asked for %s %s once more", r.Method, r.URL)
	default:
	}
}

// answer makes a handler of lines of the form "Name: value", up to the first
// that is none, which is the content.
func answer(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, line := range lines {
			name, value, ok := strings.Cut(line, ": ")
			if !ok {
				io.WriteString(w, line)
				return
			}
			w.Header().Add(name, value)
		}
	}
}

// instruct makes a handler that answers with a JSON instruct.
func instruct(json string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grip-instruct")
		answer(append(fields, strings.ReplaceAll(json, ": ", ":"))...)(w, r)
	}
}

// trickle is a handler whose answer's end nobody lives to see.
func trickleAnswer(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "so far")
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

const (
	holding = "Grip-Hold: response"
	channel = "Grip-Channel: c; prev-id=1"
)

// client is a Client with the service that its requests are put to.
type client struct {
	*Client
	service *Service
}

// Ask puts a request to the service, unless it has one.
func (c *client) Ask(r *Request, notBefore time.Time, done func(Result)) *Ticket {
	return c.Client.Ask(c.to(r), notBefore, done)
}

// to returns r with a service.
func (c *client) to(r *Request) *Request {
	if r.Service == nil {
		r.Service = c.service
	}
	return r
}

// newService makes a service.
func newService(t testing.TB, cfg ServiceConfig) *Service {
	t.Helper()
	s, err := NewService(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newClient makes a client of an origin. At the end of the test nothing may be
// open or in line.
func newClient(t testing.TB, origin string, change ...func(*Config)) *client {
	cfg := Config{
		MaxOpen:       8,
		AnswerTimeout: patience,
		HoldTimeout:   55 * time.Second,
		Log:           slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&cfg)
	}
	c := NewClient(cfg)
	t.Cleanup(func() {
		eventually(t, "nothing open, nothing in line", func() bool {
			s := c.Stats()
			return s.Open == 0 && s.Waiting == 0
		})
		c.Close()
	})
	return &client{c, newService(t, ServiceConfig{Targets: []Target{{Address: origin}}})}
}

// asker is somebody who asks.
type asker struct {
	t        testing.TB
	ticket   *Ticket
	resultCh chan Result
}

// ask asks, and leaves at the end of the test. A fresh one takes nothing that was
// put before.
func ask(t testing.TB, c *client, r *Request, fresh bool) *asker {
	a := &asker{t: t, resultCh: make(chan Result, 1)}
	notBefore := time.Time{}
	if fresh {
		notBefore = time.Now().Add(1) // in a bubble the clock stands still
	}
	a.ticket = c.Ask(r, notBefore, func(r Result) {
		select {
		case a.resultCh <- r:
		default:
			t.Errorf("done is called again, with %s", describe(r))
		}
	})
	t.Cleanup(func() { a.ticket.Leave() })
	return a
}

// result waits for what the asker gets.
func (a *asker) result() Result {
	a.t.Helper()
	return receive(a.t, a.resultCh, "result")
}

// want waits for what the asker gets, in the form of describe. A body that
// follows is closed.
func (a *asker) want(want string) {
	a.t.Helper()
	r := a.result()
	if got := describe(r); got != want {
		a.t.Errorf("got %s, want %s", got, want)
	}
	if r.Answer != nil && r.Answer.Body != nil {
		r.Answer.Body.Close()
	}
}

// wantNone checks that the asker, who has left in time, got nothing. It must be
// called when whatever there was has been given to the others.
func (a *asker) wantNone() {
	a.t.Helper()
	select {
	case r := <-a.resultCh:
		a.t.Errorf("got %s, want nothing", describe(r))
	default:
	}
}

// describe says what an asker got: "alone", "failure CODE", or the answer's
// kind and beginning.
func describe(r Result) string {
	kind := "answer"
	switch a := r.Answer; {
	case r.Failure != nil:
		return fmt.Sprintf("failure %d", r.Failure.Code)
	case r.Alone:
		return "alone"
	case r.Kept:
		kind = "kept answer"
	case a.Body != nil:
		kind = "stream"
	}
	return fmt.Sprintf("%s %.20s", kind, r.Answer.Response.Body)
}

// get is a request for /, that may share its answer unless key is empty.
func get(key string) *Request {
	return &Request{Method: "GET", Host: "example.com", Target: "/", Key: key}
}

// newBubbleClient makes a client of an origin in the same synctest bubble.
func newBubbleClient(t testing.TB, h http.HandlerFunc, change ...func(*Config)) *client {
	ln := &pipeListener{connCh: make(chan net.Conn), doneCh: make(chan struct{})}
	s := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	c := newClient(t, "origin:80", change...)
	c.dial = ln.dial
	return c
}

// pipeListener joins a client and a server in memory, so that both can live in
// a synctest bubble, where the time is the test's.
type pipeListener struct {
	connCh chan net.Conn
	doneCh chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.connCh:
		return nc, nil
	case <-l.doneCh:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.doneCh) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.connCh <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
