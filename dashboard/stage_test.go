package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"marquee/bus"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		removeCommands()
		os.Exit(code)
	}))
}

// receive returns what comes from ch.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// eventually waits until f reports true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so within %v: %s", patience, what)
		}
	}
}

// A text is what a goroutine writes and a test reads.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.buf.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.buf.String()
}

// await waits until the text has something that matches pattern, and returns the
// match with its groups.
func (x *text) await(t testing.TB, pattern string) []string {
	t.Helper()
	compiled := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if match := compiled.FindStringSubmatch(x.String()); match != nil {
			return match
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v in:\n%s", pattern, patience, x)
		}
	}
}

// startNATS runs a NATS server until the test ends, and returns its URL.
func startNATS(t testing.TB, jetStream bool) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: jetStream, StoreDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("NATS server is not ready")
	}
	return s.ClientURL()
}

// connect returns a bus of that name until the test ends.
func connect(t testing.TB, natsURL, name string) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := bus.Connect(ctx, bus.Config{URL: natsURL, Name: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// A running is a dashboard in a test, without its page's edge.
type running struct {
	*dashboard
	out, log text
	stop     func() error // waits for the end, and closes
}

// startDashboard conducts until the test ends, or stop.
func startDashboard(t *testing.T, natsURL string, change func(*config), open ...func(*dashboard)) *running {
	t.Helper()
	r, err := tryDashboard(t, natsURL, change, open...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryDashboard(t *testing.T, natsURL string, change func(*config), open ...func(*dashboard)) (*running, error) {
	t.Helper()
	clearEnv(t)
	r := &running{}
	cfg, err := parseConfig([]string{"-nats", natsURL, "-node-capacity", "100", "-regions", "a,b", "-log-level", "debug"}, &r.log)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(cfg)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if r.dashboard, err = openDashboard(ctx, cfg, &r.out, cfg.logger(&r.log)); err != nil {
		cancel()
		return r, err
	}
	for _, f := range open {
		f(r.dashboard)
	}
	r.start(ctx)
	r.stop = sync.OnceValue(func() error {
		cancel()
		defer r.close()
		return r.wait()
	})
	t.Cleanup(func() { r.stop() })
	return r, nil
}

// An actor is a node in a test.
type actor struct {
	bus     *bus.Bus
	setupCh chan bus.Setup // of a group: what it accepted
	leave   func()         // says goodbye
	mu      sync.Mutex
	refusal error // of set-ups
}

func (a *actor) refuse(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusal = err
}

// join announces n until the test ends, or leave.
func join(t *testing.T, natsURL string, n bus.Node) *actor {
	t.Helper()
	a := &actor{bus: connect(t, natsURL, n.Name), setupCh: make(chan bus.Setup, 100)}
	var setUp func(bus.Setup) error
	if n.Kind == bus.KindGroup {
		setUp = func(s bus.Setup) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.refusal == nil {
				a.setupCh <- s
			}
			return a.refusal
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var announcer sync.WaitGroup
	announcer.Go(func() {
		if err := a.bus.Announce(ctx, func() bus.Node { return n }, setUp); err != nil {
			t.Error(err)
		}
	})
	a.leave = sync.OnceFunc(func() {
		cancel()
		announcer.Wait()
	})
	t.Cleanup(a.leave)
	return a
}

// awaitSetup waits for set-ups until one is as wanted.
func (a *actor) awaitSetup(t *testing.T, want bus.Setup) {
	t.Helper()
	for {
		s := receive(t, a.setupCh, fmt.Sprintf("set-up %+v", want))
		if s == want {
			return
		}
	}
}

// quiet fails the test when the group was told anything.
func (a *actor) quiet(t *testing.T) {
	t.Helper()
	select {
	case s := <-a.setupCh:
		t.Errorf("a group is told %+v, want nothing", s)
	default:
	}
}

func edgeAt(name, region, clients string) bus.Node {
	n := edgeNode(name, region)
	n.Addresses["clients"] = clients
	return n
}

// startOrigin serves a headline API until the test ends: a list of headlines,
// each as long as change, and announces it.
func startOrigin(t *testing.T, natsURL string) *origin {
	t.Helper()
	o := &origin{}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	o.actor = join(t, natsURL, originNode(o.URL+"/headline/value/"))
	return o
}

// An origin is a headline service without edges.
type origin struct {
	*httptest.Server
	actor *actor

	mu     sync.Mutex
	bodies []string
	answer int // status to refuse with, 0 for none
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case r.URL.Path != "/headline/value/":
		http.Error(w, "no such path", http.StatusTeapot)
		return
	case o.answer != 0:
		http.Error(w, "not like this", o.answer)
		return
	case r.Method == http.MethodPost:
		o.bodies = append(o.bodies, r.PostFormValue("body"))
	case len(o.bodies) == 0:
		http.Error(w, "there is no headline yet", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(headline{uint64(len(o.bodies)), o.bodies[len(o.bodies)-1]})
}

func (o *origin) url() string { return o.URL + "/headline/value/" }

// post asks the dashboard to change something, from this machine.
func (r *running) post(path string, form url.Values) *httptest.ResponseRecorder {
	request := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.RemoteAddr, request.Host = "127.0.0.1:1", "localhost:8090"
	recorder := httptest.NewRecorder()
	r.handler().ServeHTTP(recorder, request)
	return recorder
}

// wantPost asks for a change and checks status and part of the answer.
func (r *running) wantPost(t *testing.T, path string, form url.Values, status int, text string) {
	t.Helper()
	got := r.post(path, form)
	if got.Code != status || !strings.Contains(got.Body.String(), text) || got.Header().Get("Content-Type") != "application/json" {
		t.Errorf("POST %s %v: %d %s, want %d with %q in JSON", path, form, got.Code, got.Body, status, text)
	}
}
