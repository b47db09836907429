package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A script is a process in a test: a shell that runs one.
func script(log *text, lines string) *process {
	return &process{
		name: "script", path: "/bin/sh", args: []string{"-c", lines},
		log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// keep runs p until the test ends, or stop, and returns what run returned.
func keep(t *testing.T, p *process) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	errCh := make(chan error, 1)
	go func() { errCh <- p.run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return receive(t, errCh, "end of run")
	})
	t.Cleanup(func() { stop() })
	return stop
}

func TestProcessIsStartedAgain(t *testing.T) {
	var log text
	lives := filepath.Join(t.TempDir(), "lives")
	p := script(&log, `echo life >>`+lives+`
		echo 'panic: on purpose' >&2
		echo 'goroutine 1' >&2
		exit 3`)
	stop := keep(t, p)
	eventually(t, "a third life", func() bool {
		data, _ := os.ReadFile(lives)
		return strings.Count(string(data), "life\n") >= 3
	})
	if err := stop(); err != nil {
		t.Errorf("run returns %v, want nil when its context has ended", err)
	}
	log.await(t, `process ended, starting it again.*node=script.*err="exit status 3: panic: on purpose" in=250ms`)
	log.await(t, `process ended, starting it again.* in=500ms`)
}

func TestProcessMustStart(t *testing.T) {
	var log text
	p := script(&log, `echo 'edge: listen: address in use' >&2; exit 1`)
	p.mustStart = true
	err := p.run(t.Context())
	if want := "start script: exit status 1: edge: listen: address in use"; err == nil || err.Error() != want {
		t.Errorf("run returns %v, want %s", err, want)
	}
	p = &process{name: "nothing", path: filepath.Join(t.TempDir(), "none"), mustStart: true, log: p.log}
	if err := p.run(t.Context()); err == nil || !strings.Contains(err.Error(), "start nothing: ") {
		t.Errorf("run without a program returns %v, want an error that names it", err)
	}
}

// The log of a process is read as it comes, in pieces, with lines of any length.
func TestProcessLog(t *testing.T) {
	var log text
	var listen []string
	p := script(&log, "")
	p.ready = func(r ready) { listen = append(listen, r.Listen) }
	all := `{"time":"2013-04-01T01:43:45Z","level":"INFO","msg":"ready","listen":"127.0.0.1:7"}
{"level":"INFO","msg":"not worth repeating"}
{"level":"WARN","msg":"client failed","fault":3,"error":"answer with status 404"}
not a record
second line
` + strings.Repeat("x", 3*maxLine) + "\n"
	l := &processLog{process: p}
	for piece := range slices.Chunk([]byte(all), 7) {
		if n, err := l.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("Write returns %d, %v", n, err)
		}
	}
	if len(listen) != 1 || listen[0] != "127.0.0.1:7" || !p.wasReady {
		t.Errorf("ready was called with %q, want 127.0.0.1:7 once", listen)
	}
	log.await(t, `level=WARN msg="client failed" node=script error="answer with status 404" fault=3`)
	if strings.Contains(log.String(), "not worth repeating") {
		t.Errorf("the log repeats what is no warning:\n%s", &log)
	}
	if l.said != "not a record" {
		t.Errorf("the process said %q, want the first line that is no record", l.said)
	}
	if n := len(log.String()); n > 2*maxLine {
		t.Errorf("a line of %d bytes makes a log of %d", 3*maxLine, n)
	}
}

// What is secret of ours is not for the processes that we start.
func TestChildEnv(t *testing.T) {
	t.Setenv("MARQUEE_DASHBOARD_ADMIN_TOKEN", "secret")
	t.Setenv("MARQUEE_EDGE_LOOPS", "2")
	env := childEnv("MARQUEE_EDGE_NATS", "nats://user:password@host")
	for _, want := range []string{"MARQUEE_EDGE_LOOPS=2", "MARQUEE_EDGE_NATS=nats://user:password@host"} {
		if !slices.Contains(env, want) {
			t.Errorf("a child's environment has no %s", want)
		}
	}
	if text := strings.Join(env, "\n"); strings.Contains(text, "secret") {
		t.Errorf("a child's environment has the admin token:\n%s", text)
	}
}
