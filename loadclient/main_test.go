package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the command, for the tests that need a
// process: exit statuses, signals and limits.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_LOADCLIENT") != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// command returns the command with args, as a process.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	// Under the race detector a process would stay for a second at its end.
	c.Env = append(os.Environ(), "RUN_LOADCLIENT=1", "GORACE=atexit_sleep_ms=0")
	return c
}

func testLog(out io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(out, nil)) }

// quick are flags that make a run short.
func quick(s *service, more ...string) []string {
	return append([]string{"-url", s.URL + "/headline/value/", "-post", s.URL + "/headline/value/",
		"-repoll-delay", "0s", "-repoll-jitter", "20ms", "-every", "0s"}, more...)
}

// result is a run's summary as its JSON reader sees it.
type result struct {
	Clients        int
	ConnectSeconds float64 `json:"connect_seconds"`
	Changes        []struct {
		ID                           uint64
		Start                        float64 `json:"start_ms"`
		Recipients, Received, Missed int
		Min                          float64 `json:"min_ms"`
		P50                          float64 `json:"p50_ms"`
		Max                          float64 `json:"max_ms"`
	}
	Quantiles    []float64 `json:"quantiles_ms"`
	Errors       map[string]int
	Reconnects   int
	TimeoutsHeld int `json:"timeouts_held"`
	Streams      *streamSummary
	OK           bool
}

func decode(t *testing.T, b []byte) result {
	t.Helper()
	var r result
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatalf("parse JSON summary: %v\n%s", err, b)
	}
	return r
}

// TestProcess runs the command against a service and checks all it puts out.
func TestProcess(t *testing.T) {
	s := startService(t, sized)
	file := filepath.Join(t.TempDir(), "summary.json")
	out, err := command(t, quick(s, "-c", "200", "-changes", "3", "-json", file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("exit: %v\n%s", err, out)
	}
	text := string(out)
	t.Log("\n" + text)
	for _, want := range []string{
		`(?m)^200 clients connected in \d+\.\d{3} s$`,
		`(?m)^\d\d:\d\d:\d\d\.\d{3} r=200 rt=\d+/\d+/\d+$`,
		`(?m)^ +id +recipients +received +missed +min +avg +p50 +p90 +p95 +p99 +max +ms$`,
		`(?m)^ +2 +200 +200 +0( +\d+\.\d{3}){7}$`,
		`(?m)^ +4 +200 +200 +0( +\d+\.\d{3}){7}$`,
		`(?m)^ +all +600 +600 +0( +\d+\.\d{3}){7}$`,
		`(?m)^errors: connect 0, reset 0, timeout 0, status 0, torn 0, wrong 0$`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("output lacks %s", want)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := decode(t, b)
	if !r.OK || r.Clients != 200 || len(r.Changes) != 3 || r.ConnectSeconds <= 0 {
		t.Errorf("JSON: %s", b)
	}
	for i, c := range r.Changes {
		if c.ID != uint64(i+2) || c.Recipients != 200 || c.Received != 200 || c.Missed != 0 || c.Min <= 0 || c.Max < c.P50 || c.P50 < c.Min {
			t.Errorf("change %d: %+v", i, c)
		}
		// Each is made when all wait again, and so have received the one before.
		if before := r.Changes[max(i-1, 0)]; i == 0 && c.Start != 0 || i > 0 && c.Start < before.Start+before.Max-0.002 {
			t.Errorf("change %d began at %v ms, after %+v", i, c.Start, before)
		}
	}
	if q := r.Quantiles; len(q) != 101 || q[0] != min(r.Changes[1].Min, r.Changes[2].Min) || q[100] != max(r.Changes[1].Max, r.Changes[2].Max) {
		t.Errorf("quantiles %v, want 101, from the least time of all changes but the first to the most", q)
	}
}

func TestProcessExitStatus(t *testing.T) {
	s := startService(t, sized)
	tornService := startService(t, raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n%s"))
	tornService.change("a headline")
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"help", []string{"-h"}, 0, ""},
		{"version", []string{"-version"}, 0, ""},
		{"unknown flag", []string{"-x"}, 2, "-x"},
		{"out of range", []string{"-c", "0"}, 2, "-c 0: must be 1 to 1000000"},
		{"json file cannot be made", quick(s, "-json", t.TempDir()), 2, "-json"},
		{"nobody listens", []string{"-url", refusing(t), "-post", s.URL}, 1, "connection refused"},
		{"service is torn", quick(tornService, "-c", "1"), 1, "ask for the headline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := command(t, tt.args...)
			var stderr bytes.Buffer
			c.Stderr = &stderr
			err := c.Run()
			if got := c.ProcessState.ExitCode(); got != tt.status {
				t.Errorf("exit status %d (%v), want %d\n%s", got, err, tt.status, &stderr)
			}
			if !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("stderr %q lacks %q", &stderr, tt.stderr)
			}
		})
	}
}

// TestProcessDescriptorLimit checks that the soft limit is raised and the hard
// one respected.
func TestProcessDescriptorLimit(t *testing.T) {
	s := startService(t, sized)
	for _, tt := range []struct {
		name, limits string
		status       int
	}{
		{"soft limit too low", "ulimit -Sn 40", 0},
		{"hard limit too low", "ulimit -n 40", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := command(t, quick(s, "-c", "100", "-changes", "1")...)
			c.Path, c.Args = "/bin/sh", append([]string{"sh", "-c", tt.limits + ` && exec "$0" "$@"`}, c.Args...)
			out, err := c.CombinedOutput()
			if got := c.ProcessState.ExitCode(); got != tt.status {
				t.Errorf("exit status %d (%v), want %d\n%s", got, err, tt.status, out)
			}
			want := "100 clients need 132 open files, the limit RLIMIT_NOFILE is 40"
			if got := strings.Contains(string(out), want); got != (tt.status == 2) {
				t.Errorf("says %q: %v\n%s", want, got, out)
			}
		})
	}
}

// TestProcessInterrupt ends a run that would go on for ever with Ctrl-C.
func TestProcessInterrupt(t *testing.T) {
	for _, tt := range []struct {
		name     string
		headline bool // the service has one
		until    string
		status   int
	}{
		{"all clients served", true, "clients connected", 0},
		{"no headline yet", false, "status 404", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startService(t, sized)
			if tt.headline {
				s.change("a headline")
			}
			c := command(t, "-c", "10", "-url", s.URL)
			out := &transcript{}
			c.Stdout, c.Stderr = out, out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			<-out.await(tt.until)
			if err := c.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if c.Wait(); c.ProcessState.ExitCode() != tt.status {
				t.Errorf("exit status %d, want %d\n%s", c.ProcessState.ExitCode(), tt.status, out)
			}
		})
	}
}

// transcript is output that can be waited for. Safe from any goroutine.
type transcript struct {
	mu    sync.Mutex
	text  []byte
	waits []wait
}

type wait struct {
	text   string
	seenCh chan struct{}
}

// await returns a Go channel that is closed once text has been written.
func (tr *transcript) await(text string) <-chan struct{} {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	w := wait{text, make(chan struct{})}
	tr.waits = append(tr.waits, w)
	tr.check()
	return w.seenCh
}

func (tr *transcript) Write(b []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.text = append(tr.text, b...)
	tr.check()
	return len(b), nil
}

func (tr *transcript) check() {
	tr.waits = slices.DeleteFunc(tr.waits, func(w wait) bool {
		seen := bytes.Contains(tr.text, []byte(w.text))
		if seen {
			close(w.seenCh)
		}
		return seen
	})
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return string(tr.text)
}

// TestAnswers runs clients against services that answer in every way that is
// good, and checks that all is received.
func TestAnswers(t *testing.T) {
	many := func(c *result) bool { return c.Reconnects >= 20 }
	none := func(c *result) bool { return c.Reconnects == 0 }
	for _, tt := range []struct {
		name       string
		answer     func(w http.ResponseWriter, body []byte, poll int)
		flags      []string
		reconnects func(*result) bool
	}{
		{"sized", sized, nil, none},
		{"herd", sized, []string{"-repoll-jitter", "0"}, none},
		{"as fast as possible", sized, []string{"-rate", "0"}, none},
		{"reconnect", sized, []string{"-reconnect"}, none},
		{"chunked", func(w http.ResponseWriter, body []byte, _ int) {
			for _, b := range body {
				w.Write([]byte{b})
				http.NewResponseController(w).Flush()
			}
		}, nil, none},
		{"gzip", zipped, []string{"-gzip"}, none},
		{"gzip, 4 KB", zipped, []string{"-gzip", "-size", "4096"}, none},
		{"64 KB", sized, []string{"-size", "65536"}, none},
		{"close-delimited", raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n%s"), nil, many},
		{"HTTP/1.0", raw("HTTP/1.0 200 OK\r\n\r\n%s"), nil, many},
		{"close-delimited, reconnect", raw("HTTP/1.0 200 OK\r\n\r\n%s"), []string{"-reconnect"}, none},
		{"Connection: close", func(w http.ResponseWriter, body []byte, _ int) {
			w.Header().Set("Connection", "close")
			sized(w, body, 0)
		}, nil, many},
		{"interim response first", func(w http.ResponseWriter, body []byte, _ int) {
			w.WriteHeader(http.StatusEarlyHints)
			sized(w, body, 0)
		}, nil, none},
		{"in pieces", func(w http.ResponseWriter, body []byte, _ int) {
			all := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			writeRaw(w, strings.Split(all, "")...)
		}, nil, many},
		{"closed while resting", func(w http.ResponseWriter, body []byte, _ int) {
			writeRaw(w, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		}, nil, many},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startService(t, tt.answer)
			s.change("a headline")
			var stdout, stderr bytes.Buffer
			err := runCommand(context.Background(), quick(s, append(tt.flags, "-c", "20", "-changes", "2", "-json", "-")...), &stdout, &stderr)
			if err != nil {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			r := decode(t, stdout.Bytes())
			for f, n := range r.Errors {
				if n != 0 {
					t.Errorf("%d errors %s", n, f)
				}
			}
			if !tt.reconnects(&r) {
				t.Errorf("%d reconnects", r.Reconnects)
			}
		})
	}
}

// TestBadAnswers runs clients against services whose answers are bad from the
// 11th on (the first 10 start the clients), and checks how they are counted.
func TestBadAnswers(t *testing.T) {
	const clients = 10
	for _, tt := range []struct {
		name  string
		fault fault
		bad   func(w http.ResponseWriter, body []byte)
		want  string
	}{
		{"cut in the body", torn, func(w http.ResponseWriter, body []byte) {
			writeRaw(w, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:9]))
		}, "answer ended after"},
		{"cut in the head", torn, func(w http.ResponseWriter, _ []byte) {
			writeRaw(w, "HTTP/1.1 200 OK\r\nContent-")
		}, "answer ended after"},
		{"close-delimited and cut", torn, func(w http.ResponseWriter, body []byte) {
			writeRaw(w, "HTTP/1.0 200 OK\r\n\r\n", string(body[:9]))
		}, "parse body"},
		{"not HTTP", torn, func(w http.ResponseWriter, _ []byte) {
			writeRaw(w, "hello\r\n\r\n")
		}, "status line"},
		{"not JSON", torn, func(w http.ResponseWriter, _ []byte) {
			sized(w, []byte("hello"), 0)
		}, "no JSON object"},
		{"gzip, which nobody accepts", torn, func(w http.ResponseWriter, body []byte) {
			zipped(w, body, 0)
		}, "no JSON object"},
		{"more than the body", torn, func(w http.ResponseWriter, body []byte) {
			writeRaw(w, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s!", len(body), body))
		}, "after the end of the answer"},
		{"other text", wrong, func(w http.ResponseWriter, body []byte) {
			sized(w, bytes.Replace(body, []byte("Flight"), []byte("Freight"), 1), 0)
		}, "Freight"},
		{"other id", wrong, func(w http.ResponseWriter, body []byte) {
			sized(w, bytes.Replace(body, []byte(`"id":2`), []byte(`"id":3`), 1), 0)
		}, ""},
		{"old headline again", wrong, func(w http.ResponseWriter, _ []byte) {
			sized(w, []byte(`{"id":1,"body":"a headline"}`), 0)
		}, "headline 1 in answer to last_id=1"},
		{"status", status, func(w http.ResponseWriter, _ []byte) {
			http.Error(w, "bad gateway", http.StatusBadGateway)
		}, "answer with status 502"},
		{"nothing", reset, func(w http.ResponseWriter, _ []byte) {
			writeRaw(w)
		}, "connection ended before the answer"},
		{"silence", timeout, func(w http.ResponseWriter, _ []byte) {
			c, _, _ := http.NewResponseController(w).Hijack()
			c.Read(make([]byte, 1)) // until the client gives up
			c.Close()
		}, "request not answered within"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startService(t, func(w http.ResponseWriter, body []byte, poll int) {
				// One answer is to the poster's question, before the clients start.
				if poll > clients+1 {
					tt.bad(w, body)
					return
				}
				sized(w, body, poll)
			})
			s.change("a headline")
			cfg, err := parseConfig(quick(s, "-c", fmt.Sprint(clients), "-changes", "1"), nil)
			if err != nil {
				t.Fatal(err)
			}
			cfg.deliverWithin = 5 * time.Second
			if tt.fault == timeout {
				cfg.requestTimeout, cfg.deliverWithin = 4*time.Second, 10*time.Second
			}
			var stdout, stderr bytes.Buffer
			log := testLog(&stderr)
			sum, err := load(context.Background(), cfg, &stdout, log)
			if err == nil || sum == nil || sum.OK {
				t.Fatalf("error %v, summary %+v", err, sum)
			}
			least := clients
			if tt.name == "other id" {
				least = 1 // the POST's answer may tell before all have been delivered, and ends the run
			}
			if got := sum.Errors[tt.fault.String()]; got < least {
				t.Errorf("%d %v faults, want at least %d", got, tt.fault, least)
			}
			for f, n := range sum.Errors {
				if n != 0 && f != tt.fault.String() {
					t.Errorf("%d %s faults, want none", n, f)
				}
			}
			if !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("log lacks %q:\n%s", tt.want, &stderr)
			}
		})
	}
}

// TestMissedByOne leaves one client of ten without the change.
func TestMissedByOne(t *testing.T) {
	t.Parallel()
	s := startService(t, func(w http.ResponseWriter, body []byte, poll int) {
		if poll == 21 {
			c, _, _ := http.NewResponseController(w).Hijack()
			c.Read(make([]byte, 1))
			c.Close()
			return
		}
		sized(w, body, poll)
	})
	s.change("a headline")
	cfg, err := parseConfig(quick(s, "-c", "10", "-changes", "1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.deliverWithin = 5 * time.Second
	var out bytes.Buffer
	sum, err := load(context.Background(), cfg, &out, testLog(&out))
	if err == nil || err.Error() != "1 deliveries missed" {
		t.Errorf("error %v, want 1 deliveries missed", err)
	}
	if c := sum.Changes[0]; c.Received != 9 || c.Missed != 1 {
		t.Errorf("%+v, want 9 received and 1 missed", c)
	}
}

// TestWatching lets somebody else change the headline, and answers held polls
// with {} in between.
func TestWatching(t *testing.T) {
	s := startService(t, sized)
	s.hold = 50 * time.Millisecond
	s.change("a headline")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stdout := &transcript{}
	var stderr bytes.Buffer
	cfg, err := parseConfig([]string{"-c", "10", "-url", s.URL, "-repoll-delay", "0s", "-repoll-jitter", "10ms"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sumCh := make(chan *summary)
	go func() {
		sum, err := load(ctx, cfg, stdout, testLog(&stderr))
		if err != nil {
			t.Errorf("load: %v", err)
		}
		sumCh <- sum
	}()
	<-stdout.await("10 clients connected")
	s.change("another")
	<-stdout.await(" r=10 rt=0/")
	cancel()
	sum := <-sumCh
	if len(sum.Changes) != 1 || sum.Changes[0].ID != 2 || sum.Changes[0].Received != 10 {
		t.Errorf("changes %+v, want headline 2 received by 10", sum.Changes)
	}
}

// TestFirstHeadline lets the run post the first headline itself.
func TestFirstHeadline(t *testing.T) {
	s := startService(t, sized)
	var stdout, stderr bytes.Buffer
	if err := runCommand(context.Background(), quick(s, "-c", "5", "-changes", "1", "-json", "-"), &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if r := decode(t, stdout.Bytes()); r.Changes[0].ID != 2 {
		t.Errorf("change has id %d, want 2: the first headline is no change", r.Changes[0].ID)
	}
}

// TestSummaryKeys pins the names that readers of the JSON rely on.
func TestSummaryKeys(t *testing.T) {
	s := startService(t, sized)
	var stdout, stderr bytes.Buffer
	if err := runCommand(context.Background(), quick(s, "-c", "1", "-changes", "1", "-json", "-"), &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var top map[string]any
	var parts struct {
		Changes         []map[string]any
		Overall, Errors map[string]any
	}
	if err := errors.Join(json.Unmarshal(stdout.Bytes(), &top), json.Unmarshal(stdout.Bytes(), &parts)); err != nil {
		t.Fatal(err)
	}
	const percentiles = "avg_ms max_ms min_ms p50_ms p90_ms p95_ms p99_ms"
	for _, tt := range []struct {
		name string
		got  map[string]any
		want string
	}{
		{"top", top, "changes clients connect_seconds errors ok overall quantiles_ms reconnects started timeouts_held url version"},
		{"change", parts.Changes[0], "avg_ms id max_ms min_ms missed p50_ms p90_ms p95_ms p99_ms received recipients start_ms"},
		{"overall", parts.Overall, percentiles},
		{"errors", parts.Errors, "connect reset status timeout torn wrong"},
	} {
		keys := slices.Sorted(maps.Keys(tt.got))
		if got := strings.Join(keys, " "); got != tt.want {
			t.Errorf("%s: keys %s, want %s", tt.name, got, tt.want)
		}
	}
}
