package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// accessLine is a line of an access log, in JSON.
type accessLine struct {
	Time      time.Time
	Client    string
	Method    string
	Host      string
	Path      string
	Status    int
	Bytes     int
	Seconds   float64
	End       string
	Mode      string
	Held      float64
	Route     string
	UserAgent string `json:"user_agent"`
}

// readAccessLog reads the lines that are in a file, whole.
func readAccessLog(t testing.TB, file string) (lines []accessLine) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(text)) {
		var line accessLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		lines = append(lines, line)
	}
	return lines
}

// waitAccessLog waits until a file has n lines.
func waitAccessLog(t testing.TB, file string, n int) (lines []accessLine) {
	t.Helper()
	eventually(t, func() error {
		if lines = readAccessLog(t, file); len(lines) != n {
			return fmt.Errorf("the access log has %d lines, want %d: %+v", len(lines), n, lines)
		}
		return nil
	})
	return lines
}

// Every way in which a request can end has its line.
func TestAccessLogEndings(t *testing.T) {
	hold := func(w http.ResponseWriter, mode, channel string) {
		w.Header().Set("Grip-Hold", mode)
		w.Header().Set("Grip-Channel", channel)
	}
	origin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/poll":
			hold(w, "response", "c")
		case "/hasty":
			hold(w, "response", "c")
			w.Header().Set("Grip-Timeout", "1")
			_, _ = io.WriteString(w, "nothing")
		case "/stream":
			hold(w, "stream", "s")
			_, _ = io.WriteString(w, "hello\n")
		case "/download", "/cut":
			w.Header().Set("Content-Length", fmt.Sprint(2*maxContent))
			for range 2 {
				_, _ = io.WriteString(w, large)
				if w.(http.Flusher).Flush(); r.URL.Path == "/cut" {
					panic(http.ErrAbortHandler)
				}
			}
		default:
			_, _ = io.WriteString(w, "hi")
		}
	})
	type ending struct {
		name   string
		run    func(r *rig, c *client)
		status int
		end    string
		mode   string
		path   string
		bytes  int // at least
	}
	for _, tt := range []ending{
		{"answered", func(_ *rig, c *client) {
			c.get("/a?token=secret", "User-Agent: test/1")
			c.wantAnswer(200, "hi")
		}, 200, "answer", "", "/a", 80},
		{"answered by an item", func(r *rig, c *client) {
			c.get("/poll", "User-Agent: test/1")
			r.waitHolds(1)
			r.publish(item("c", "", "", "now"))
			c.wantAnswer(200, "now")
		}, 200, "item", "response", "/poll", 80},
		{"timed out", func(_ *rig, c *client) {
			c.get("/hasty", "User-Agent: test/1")
			c.wantAnswer(200, "nothing")
		}, 200, "timeout", "response", "/hasty", 80},
		{"left", func(r *rig, c *client) {
			c.get("/poll", "User-Agent: test/1")
			r.waitHolds(1)
			c.leave()
		}, 0, "left", "response", "/poll", 0},
		{"stream left", func(r *rig, c *client) {
			c.get("/stream", "User-Agent: test/1")
			c.wantStatus(200)
			c.wantChunk("hello\n")
			c.leave()
		}, 200, "left", "stream", "/stream", 80},
		{"stream ended", func(r *rig, c *client) {
			c.get("/stream", "User-Agent: test/1")
			c.wantStatus(200)
			c.wantChunk("hello\n")
			r.publish(closeItem("s"))
			c.wantChunk("")
		}, 200, "end", "stream", "/stream", 80},
		{"drained", func(r *rig, c *client) {
			c.get("/poll", "User-Agent: test/1")
			r.waitHolds(1)
			r.stop()
			c.wantStatus(200)
		}, 200, "drain", "response", "/poll", 80},
		{"downloaded", func(_ *rig, c *client) {
			c.get("/download", "User-Agent: test/1")
			c.wantAnswer(200, large+large)
		}, 200, "answer", "", "/download", 2 * maxContent},
		{"broken off by the origin", func(_ *rig, c *client) {
			c.get("/cut", "User-Agent: test/1")
			c.wantStatus(200)
			c.wantCut()
		}, 200, "origin", "", "/cut", maxContent},
		{"malformed", func(_ *rig, c *client) {
			c.send("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n")
			c.wantStatus(400)
		}, 400, "refused", "", "", 80},
		{"sent too much ahead", func(r *rig, c *client) {
			c.get("/poll", "User-Agent: test/1")
			r.waitHolds(1)
			_, _ = io.WriteString(c.nc, strings.Repeat("x", 2*maxPipelined))
			c.wantCut()
		}, 0, "ahead", "response", "/poll", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "access.log")
			started := time.Now()
			r := newRig(t, origin, "-access-log", file)
			c := r.dial()
			began := time.Now()
			tt.run(r, c)
			line := waitAccessLog(t, file, 1)[0]
			agent, method, host, route := "test/1", "GET", "headline.example", r.counts().id
			if tt.status == 400 {
				agent, method, host, route = "", "", "", ""
			}
			want := accessLine{
				Client: c.nc.LocalAddr().String(), Method: method, Host: host, Path: tt.path,
				Status: tt.status, End: tt.end, Mode: tt.mode, Route: route, UserAgent: agent,
				Time: line.Time, Bytes: line.Bytes, Seconds: line.Seconds, Held: line.Held,
			}
			if line != want {
				t.Errorf("the line is %+v\nwant %+v", line, want)
			}
			if line.Bytes < tt.bytes || tt.bytes == 0 && line.Bytes > 0 {
				t.Errorf("%d bytes, want at least %d", line.Bytes, tt.bytes)
			}
			if took := time.Since(began).Seconds(); line.Seconds <= 0 || line.Seconds > took {
				t.Errorf("%v s, want no more than %v", line.Seconds, took)
			}
			// It is counted in ticks, of which a busy loop deals with several at once.
			if ran := time.Since(started).Seconds(); line.Held > ran {
				t.Errorf("%v held, want no more than %v", line.Held, ran)
			}
		})
	}
}

// Slow clients have their line when they have taken everything, or when they are
// cut off.
func TestAccessLogOfTheSlow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	j := &journal{wide: 20_000}
	r := newSlowRig(t, j, "", "-share-all", "-access-log", file)
	snail := r.followSlowly(j, 0)
	r.waitHolds(1)
	r.overfeed(j, 1)
	line := waitAccessLog(t, file, 1)[0]
	if line.Client != snail.nc.LocalAddr().String() || line.End != "slow" || line.Mode != "stream" || line.Bytes < 20_000 {
		t.Errorf("the line is %+v, want the slow client's", line)
	}
}

// The query is left out, unless it is asked for, and nothing else of a request
// is told that could be a secret.
func TestAccessLogTellsNoSecret(t *testing.T) {
	for _, query := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "access.log")
		args := []string{"-access-log", file}
		if query {
			args = append(args, "-access-log-query")
		}
		r := newRig(t, http.HandlerFunc(hi), args...)
		c := r.dial()
		for _, target := range []string{"/p?token=topsecret", "http://headline.example/p?token=topsecret", "http://headline.example?token=topsecret"} {
			c.get(target, "Authorization: Bearer hidden1", "Cookie: hidden2", "Referer: http://a/?hidden3", "X-Api-Key: hidden4")
			c.wantStatus(200)
			if _, err := c.readBody(200); err != nil {
				t.Fatal(err)
			}
		}
		waitAccessLog(t, file, 3)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "topsecret"); got != query {
			t.Errorf("with query %v: %s", query, text)
		}
		if strings.Contains(string(text), "hidden") {
			t.Errorf("the access log tells a field: %s", text)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("the file's mode is %v, %v, want nothing for others", info.Mode(), err)
		}
		r.stop()
	}
}

// A share of the requests is written, and which is left to chance.
func TestAccessLogSample(t *testing.T) {
	const requests = 2000
	file := filepath.Join(t.TempDir(), "access.log")
	r := newRig(t, http.HandlerFunc(hi), "-access-log", file, "-access-log-sample", "0.25")
	c := r.dial()
	for range requests {
		c.get("/")
		c.wantAnswer(200, "hi /")
	}
	c.leave()
	r.stop()
	// The odds of missing this by chance are below 1 in 10^9.
	if n := len(readAccessLog(t, file)); n < requests/4-120 || n > requests/4+120 {
		t.Errorf("%d lines of %d requests, want about a quarter", n, requests)
	}
}

// On SIGHUP the file that has been moved away is left, and a new one is begun.
func TestAccessLogReopens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	p := startProcess(t, serve(t, http.HandlerFunc(hi)), "-access-log", file)
	c := p.dial()
	get := func(path string) {
		t.Helper()
		c.get(path)
		c.wantAnswer(200, "hi "+path)
	}
	get("/1")
	waitAccessLog(t, file, 1)
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	get("/2")
	if line := waitAccessLog(t, file+".1", 2)[1]; line.Path != "/2" {
		t.Errorf("the second line is %+v, want that of /2", line)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.waitLog("access log opened again")
	get("/3")
	if line := waitAccessLog(t, file, 1)[0]; line.Path != "/3" {
		t.Errorf("the new file begins with %+v, want the line of /3", line)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := await(t, p.exitCh, "the end of the process"); err != nil {
		t.Error(err)
	}
}

// A file that takes nothing loses lines, which is counted and told, and nobody
// waits for it; when it takes something again, lines are written again.
func TestAccessLogThatFails(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi), "-access-log", "/dev/full")
	c := r.dial()
	for range 3 {
		c.get("/")
		c.wantAnswer(200, "hi /")
	}
	r.waitMetric(`marquee_drops_total{reason="access_log",what="line"}`, 3)
	r.waitLog("lines of the access log are lost", "no space left on device")
}

// A writer that is stuck holds up nobody: what has no room in the queue is lost,
// and counted.
func TestAccessLogOverflow(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	a := &accessLog{
		path: "-", sample: 1, json: true, log: slog.New(slog.DiscardHandler), file: write, lineCh: make(chan *record, 4),
		stopCh: make(chan struct{}), doneCh: make(chan struct{}), buffer: bufio.NewWriter(write),
	}
	long := strings.Repeat("x", 100<<10) // more than a pipe takes
	go a.writeLoop()
	lines, lost := 0, func() int64 { return a.dropped() }
	for lost() < 10 {
		a.add(&record{path: long, method: "GET", began: time.Now()})
		lines++
	}
	if got := a.waiting(); got != 4 {
		t.Errorf("%d lines wait, want 4", got)
	}
	readCh := make(chan int)
	go func() {
		n := 0
		for in := bufio.NewReader(read); ; n++ {
			if _, err := in.ReadString('\n'); err != nil {
				readCh <- n
				return
			}
		}
	}()
	a.close()
	write.Close()
	if n := await(t, readCh, "the lines"); int64(n)+lost() != int64(lines) {
		t.Errorf("%d lines were written and %d lost, of %d", n, lost(), lines)
	}
	a.close() // once more does nothing
}

// Without -access-log a request costs nothing.
func TestNoAccessLog(t *testing.T) {
	var a *accessLog
	if n := testing.AllocsPerRun(100, func() {
		if a.begin(nil, nil) != nil {
			t.Error("there is a record")
		}
		a.add(nil)
		a.reopen()
		a.close()
	}); n != 0 || a.dropped() != 0 || a.waiting() != 0 {
		t.Errorf("no access log allocates %v times, has lost %d, %d wait", n, a.dropped(), a.waiting())
	}
}
