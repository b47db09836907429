package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"marquee/fanout"
	"marquee/grip"
)

// The words in which the tests of this package are written: a rig is an edge
// that serves on real sockets in front of a real origin, and a client speaks to
// it byte by byte. Every wait ends with the event, or fails after patience.

// patience is how long a test waits for what must come. It is not reached
// unless something is broken.
const patience = 20 * time.Second

// rig is a running edge and what a test needs to know of it.
type rig struct {
	t       testing.TB
	edge    *edge
	address string   // for clients, who speak TLS to it when clientTLS is set
	listen  []string // all addresses for clients without TLS
	secure  string   // that for clients with TLS; "" for none
	control string   // URL of the control endpoint
	log     *edgeLog
	stop    func() // tells the edge to stop, and waits until it has
}

// newRig starts an edge in front of an HTTP origin. It ends with the test, and
// must leave nothing behind.
func newRig(t testing.TB, origin http.Handler, args ...string) *rig {
	t.Helper()
	wantNoLeaks(t)
	return startEdge(t, serve(t, origin), nil, args...)
}

// newRawRig starts an edge in front of an origin that speaks bytes: origin is
// called with each connection, which is closed when it returns.
func newRawRig(t testing.TB, origin func(nc net.Conn), args ...string) *rig {
	t.Helper()
	wantNoLeaks(t)
	return startEdge(t, serveRaw(t, origin), nil, args...)
}

// newHastyRig is newRig with holds that end after d unless the origin gives a
// timeout; d may be shorter than the flag allows.
func newHastyRig(t testing.TB, origin http.Handler, d time.Duration, args ...string) *rig {
	t.Helper()
	wantNoLeaks(t)
	return startEdge(t, serve(t, origin), func(c *Config) { c.HoldTimeout = d }, args...)
}

// startEdge starts an edge in front of an origin's host:port; change, if any,
// is made to its configuration.
func startEdge(t testing.TB, origin string, change func(*Config), args ...string) *rig {
	t.Helper()
	cfg, err := parseConfig(slices.Concat([]string{
		"-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-origin", origin,
		"-loops", "2", "-log-format", "json", "-log-level", "debug", "-drain-timeout", "5s", "-drain-spread", "0s",
	}, secureArgs(t), args), io.Discard)
	if err != nil {
		t.Fatalf("parseConfig(%q): %v", args, err)
	}
	if change != nil {
		change(cfg)
	}
	log := &edgeLog{readyCh: make(chan ready, 1)}
	e, err := newEdge(cfg, newLogger(cfg, log))
	if err != nil {
		t.Fatalf("newEdge: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	runCh := make(chan error, 1)
	go func() { runCh <- e.run(ctx) }()
	r := &rig{t: t, edge: e, log: log}
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-runCh:
			if err != nil {
				t.Errorf("edge ended with %v", err)
			}
		case <-time.After(cfg.DrainTimeout + patience):
			t.Errorf("edge has not stopped %v after its drain timeout", patience)
		}
		if t.Failed() {
			t.Logf("the edge's log:\n%s", log)
		}
	})
	t.Cleanup(r.stop)
	select {
	case at := <-log.readyCh:
		r.listen, r.secure = strings.Split(at.Listen, ","), at.ListenTLS
		r.address, r.control = r.listen[0], "http://"+at.Control
		if clientTLS != nil {
			r.address = r.secure
		}
	case err := <-runCh:
		runCh <- err
		t.Fatalf("edge ended before it was ready: %v", err)
	case <-time.After(patience):
		t.Fatal("edge is not ready")
	}
	return r
}

// ready is the log record that tells where an edge listens.
type ready struct {
	Msg, Listen, Control string
	ListenTLS            string `json:"listen_tls"`
}

// edgeLog is what an edge logs, in JSON.
type edgeLog struct {
	readyCh chan ready

	mu   sync.Mutex // text
	text bytes.Buffer
}

// Write implements io.Writer: slog writes one record at a time.
func (l *edgeLog) Write(p []byte) (int, error) {
	var at ready
	if json.Unmarshal(p, &at) == nil && at.Msg == "ready" {
		l.readyCh <- at
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *edgeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// logHook is a log that is only called with each message.
type logHook func(message string)

// The methods of slog.Handler.
func (h logHook) Enabled(context.Context, slog.Level) bool { return true }
func (h logHook) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h logHook) WithGroup(string) slog.Handler            { return h }
func (h logHook) Handle(_ context.Context, r slog.Record) error {
	h(r.Message)
	return nil
}

// serve starts an HTTP origin and returns its host:port.
func serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.DisableGeneralOptionsHandler = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

// hang keeps a handler until ch closes, or its request has been given up.
func hang(r *http.Request, ch <-chan struct{}) {
	select {
	case <-ch:
	case <-r.Context().Done():
	}
}

// serveRaw starts an origin that speaks bytes and returns its host:port.
func serveRaw(t testing.TB, origin func(nc net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer nc.Close()
				origin(nc)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		served.Wait()
	})
	return ln.Addr().String()
}

// wantNoLeaks checks, when the test and everything that it starts later has
// ended, that it has left no goroutine and no file open.
func wantNoLeaks(t testing.TB) {
	t.Helper()
	before := openFiles(t)
	goroutines := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		if err := goleak.Find(goroutines); err != nil {
			t.Errorf("goroutines are left: %v", err)
		}
		eventually(t, func() error {
			if now := openFiles(t); now > before {
				return fmt.Errorf("%d files are open, %d were before the test", now, before)
			}
			return nil
		})
	})
}

// openFiles counts this process's file descriptors.
func openFiles(t testing.TB) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// eventually waits until check returns nil.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", patience, err)
		}
		time.Sleep(pause)
	}
}

// inTime calls try with a timeout that is over soon; and as long as try reports false,
// since it was over before what had to come in time, with longer ones: a busy machine
// may need them.
func inTime(t testing.TB, try func(timeout time.Duration) bool) {
	t.Helper()
	timeout := 100 * time.Millisecond
	for ; timeout < patience; timeout *= 5 {
		if try(timeout) {
			return
		}
	}
	t.Fatalf("too late, also with a timeout of %v", timeout/5)
}

// await waits for an event that a Go channel stands for.
func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: not after %v", what, patience)
		panic("unreachable")
	}
}

// web is the HTTP client for the control endpoint: it keeps no connections.
var web = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true},
	Timeout:   patience,
}

// publish puts items to the control endpoint and returns their receipts.
func (r *rig) publish(items ...grip.Item) []fanout.Receipt {
	r.t.Helper()
	receipts, err := publishTo(r.control, items...)
	if err != nil {
		r.t.Fatal(err)
	}
	return receipts
}

// publishTo is publish for any goroutine.
func publishTo(control string, items ...grip.Item) ([]fanout.Receipt, error) {
	req, err := http.NewRequest(http.MethodPost, control+"/publish/", bytes.NewReader(grip.AppendItems(nil, items)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := web.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var published struct {
		Message  string
		Receipts []fanout.Receipt
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &published); err != nil || resp.StatusCode != 200 || published.Message != "Published" {
		return nil, fmt.Errorf("publish: %s %q, %v", resp.Status, body, err)
	}
	return published.Receipts, nil
}

// item makes an item with a JSON body.
func item(channel, id, prevID, body string) grip.Item {
	return grip.Item{Channel: channel, ID: id, PrevID: prevID, HTTPResponse: &grip.HTTPResponse{Response: grip.Response{
		Code: 200, Body: []byte(body),
		Header: grip.Header{{Name: "Content-Type", Value: "application/json"}},
	}}}
}

// metric returns the value of a metric, whose name includes its labels.
func (r *rig) metric(name string) float64 {
	r.t.Helper()
	resp, err := web.Get(r.control + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				r.t.Fatalf("metric %s is %q", name, value)
			}
			return v
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}

// waitMetric waits until a metric has a value.
func (r *rig) waitMetric(name string, want float64) {
	r.t.Helper()
	eventually(r.t, func() error {
		if got := r.metric(name); got != want {
			return fmt.Errorf("%s is %v, want %v", name, got, want)
		}
		return nil
	})
}

// waitHolds waits until n requests are held.
func (r *rig) waitHolds(n int) {
	r.t.Helper()
	r.waitMetric("marquee_holds", float64(n))
}

// onLoops runs f on every loop, one after the other.
func (r *rig) onLoops(f func(l *loop)) {
	r.t.Helper()
	for _, l := range r.edge.loops {
		doneCh := make(chan struct{})
		l.post(func() {
			f(l)
			close(doneCh)
		})
		await(r.t, doneCh, "a turn of a loop")
	}
}

// turn lets every loop come round: what a client has sent before has been read
// after it.
func (r *rig) turn() {
	r.t.Helper()
	r.onLoops(func(*loop) {})
}
