package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// commandsDir has all commands once commands has been called.
var commandsDir string

// commands builds all commands, once, and returns their directory.
var commands = sync.OnceValues(func() (string, error) {
	var err error
	if commandsDir, err = os.MkdirTemp("", "marquee-commands-"); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", commandsDir+string(filepath.Separator), "marquee/origin", "marquee/edge", "marquee/loadclient", "marquee/dashboard")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build commands: %w\n%s", err, output)
	}
	return commandsDir, nil
})

// removeCommands removes what commands has built.
func removeCommands() {
	if commandsDir != "" {
		os.RemoveAll(commandsDir)
	}
}

// A command is one that runs in a test.
type command struct {
	*exec.Cmd
	out, log text
}

// launch runs a command until the test ends.
func launch(t *testing.T, name string, args ...string) *command {
	t.Helper()
	dir, err := commands()
	if err != nil {
		t.Fatal(err)
	}
	c := &command{Cmd: exec.Command(filepath.Join(dir, name), args...)}
	c.Stdout, c.Stderr = &c.out, &c.log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			c.end(t, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s%s", name, &c.out, &c.log)
		}
	})
	return c
}

// end sends a signal and waits.
func (c *command) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(signal); err != nil {
		t.Errorf("signal %s: %v", c.Path, err)
	}
	if err := c.Wait(); signal == syscall.SIGTERM && err != nil {
		t.Errorf("%s does not leave in order: %v", filepath.Base(c.Path), err)
	}
}

// children returns the processes that c has started, by the node that they are.
func (c *command) children(t *testing.T) map[string]int {
	t.Helper()
	children := map[string]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		data, err := os.ReadFile(stat)
		if err != nil {
			continue // gone meanwhile
		}
		// PID (NAME) STATE PPID …
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if ppid, _ := strconv.Atoi(fields[1]); ppid != c.Process.Pid || fields[0] == "Z" {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(stat), "cmdline"))
		args := strings.Split(string(cmdline), "\x00")
		if i := slices.Index(args, "-name"); i > 0 && i+1 < len(args) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
			children[args[i+1]] = pid
		}
	}
	return children
}

// isThere reports whether a process runs.
func isThere(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(data), ") Z ")
}

// startRealOrigin starts an origin, and returns the URL of the NATS server in it.
func startRealOrigin(t *testing.T) (c *command, natsURL string) {
	c = launch(t, "origin", "-listen", "127.0.0.1:0", "-nats-listen", "127.0.0.1:0", "-data", t.TempDir())
	return c, c.log.await(t, `msg=ready .*nats=(\S+)`)[1]
}

// startReal starts a dashboard that spawns, and returns the URL of its page.
func startReal(t *testing.T, natsURL string, args ...string) (c *command, page string) {
	c = launch(t, "dashboard", append([]string{"-nats", natsURL, "-listen", "127.0.0.1:0",
		"-spawn", "local", "-node-capacity", "100", "-regions", "a,b"}, args...)...)
	return c, "http://" + c.log.await(t, `msg=ready .*listen=(\S+)`)[1]
}

// ask returns the answer of the page's address.
func ask(t *testing.T, method, url, form string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s %v", method, url, response.Status, body, err)
	}
	return string(body)
}

// statusAt returns what a page shows.
func statusAt(t *testing.T, page string) (s status) {
	t.Helper()
	if err := json.Unmarshal([]byte(ask(t, "GET", page+"/status/", "")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitDelivery returns what a page shows once 200 clients have received a
// headline.
func awaitDelivery(t *testing.T, page, body string) (s status) {
	t.Helper()
	eventually(t, fmt.Sprintf("200 clients have received %q", body), func() bool {
		s = statusAt(t, page)
		return s.Headline.Body == body && s.Received == 200 && s.Delivery != nil
	})
	return s
}

// The demonstration with real processes: origin, edges, groups, dashboard.
func TestDemonstration(t *testing.T) {
	_, natsURL := startRealOrigin(t)
	d, page := startReal(t, natsURL, "-capacity", "200")
	send := func(text string) {
		t.Helper()
		ask(t, "POST", page+"/headline/", url.Values{"body": {text}}.Encode())
	}
	d.out.await(t, `en=2/2 cn=2/2`)
	send("first")
	d.out.await(t, `r=200 rt=0/0/0\n$`)
	eventually(t, "all clients are held", func() bool {
		held := int64(0)
		for _, n := range statusAt(t, page).Nodes {
			if n.Kind == "edge" {
				held += n.Held
			}
		}
		return held == 200
	})
	send("second")
	s := awaitDelivery(t, page, "second")
	if s.True == nil || s.True.Max <= 0 || s.Runs[0].Received != 200 || s.Runs[0].Clients != 200 {
		t.Errorf("after the second headline: true %+v, run %+v", s.True, s.Runs[0])
	}

	// The page polls like any other client: its poll is held and answered.
	poll := make(chan string, 1)
	held := sync.WaitGroup{}
	held.Go(func() { poll <- ask(t, "GET", fmt.Sprintf("%s/status/?last_id=%d", page, s.ID), "") })
	send("third")
	held.Wait()
	var next status
	if answer := <-poll; json.Unmarshal([]byte(answer), &next) != nil || next.ID <= s.ID {
		t.Errorf("the poll after status %d is answered %.40s…, want a later one", s.ID, answer)
	}

	// An edge dies, then a group: it is started again, the pair finds together,
	// nobody is lost.
	before := d.children(t)
	if len(before) != 5 {
		t.Fatalf("the dashboard's processes are %v, want 2 edges, 2 groups and the page's edge", before)
	}
	for _, victim := range []string{"a-edge-01", "b-group-01"} {
		if err := syscall.Kill(before[victim], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		send("after the end of " + victim)
		d.log.await(t, `node joined.* node=`+victim+` (?s:.*)node joined.* node=`+victim+` `)
		eventually(t, "every client has the headline", func() bool {
			s := statusAt(t, page)
			return s.Headline.Body == "after the end of "+victim && s.Received == 200 && s.Started == 200
		})
	}

	// The page's edge dies, and comes back to the same address.
	if err := syscall.Kill(before[frontName], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the page's edge is another process", func() bool {
		pid := d.children(t)[frontName]
		return pid != 0 && pid != before[frontName]
	})
	eventually(t, "the page is served again", func() bool {
		response, err := http.Get(page + "/status/")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})

	// Fewer, more, none.
	for _, tt := range []struct {
		capacity, line string
		processes      int
	}{
		{"100", `en=1/1 cn=1/1 ping=\S+ r=100 .*\n$`, 3},
		{"300", `en=3/3 cn=3/3 ping=\S+ r=300 .*\n$`, 7},
		{"0", `en=0/0 cn=0/0 ping=\S+ r=0 .*\n$`, 1},
	} {
		ask(t, "POST", page+"/capacity/", "capacity="+tt.capacity)
		d.out.await(t, tt.line)
		eventually(t, fmt.Sprintf("%d processes for %s clients", tt.processes, tt.capacity), func() bool {
			return len(d.children(t)) == tt.processes
		})
	}
	d.end(t, syscall.SIGTERM)
}

// Whatever happens to the dashboard, no process of it is left behind, and what
// was wanted is kept.
func TestDashboardIsKilled(t *testing.T) {
	_, natsURL := startRealOrigin(t)
	d, page := startReal(t, natsURL, "-capacity", "0")
	ask(t, "POST", page+"/capacity/", "capacity=200")
	d.log.await(t, `node joined.* node=origin `)
	ask(t, "POST", page+"/headline/", "body=first")
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		d.out.await(t, `en=2/2 cn=2/2 ping=\S+ r=200`)
		children := d.children(t)
		if len(children) != 5 {
			t.Errorf("the dashboard's processes are %v, want 5", children)
		}
		d.end(t, signal)
		gone := time.Now()
		eventually(t, fmt.Sprintf("no process is left after %v", signal), func() bool {
			for _, pid := range children {
				if isThere(pid) {
					return false
				}
			}
			return true
		})
		t.Logf("after %v all processes are gone within %v", signal, time.Since(gone).Round(time.Millisecond))
		if signal == syscall.SIGKILL {
			d, _ = startReal(t, natsURL)
		}
	}
}

// The origin dies with the NATS server in it, and comes back: everybody else goes
// on, and the next headline reaches all.
func TestOriginIsKilled(t *testing.T) {
	data := t.TempDir()
	o := launch(t, "origin", "-listen", "127.0.0.1:0", "-nats-listen", "127.0.0.1:0", "-data", data)
	ready := o.log.await(t, `msg=ready nats=nats://(\S+) listen=(\S+)`)
	d, page := startReal(t, "nats://"+ready[1], "-capacity", "200")
	d.log.await(t, `node joined.* node=origin `)
	ask(t, "POST", page+"/headline/", "body=before")
	d.out.await(t, `en=2/2 cn=2/2 ping=\S+ r=200`)
	children := d.children(t)

	o.end(t, syscall.SIGKILL)
	d.log.await(t, `nats connection lost`)
	launch(t, "origin", "-listen", ready[2], "-nats-listen", ready[1], "-data", data)
	d.log.await(t, `(?s)node joined.* node=origin .*node joined.* node=origin `)
	ask(t, "POST", page+"/headline/", "body=after")
	awaitDelivery(t, page, "after")
	if now := d.children(t); !maps.Equal(now, children) {
		t.Errorf("processes are %v after the origin came back, want %v as before", now, children)
	}
	// What was wanted is still known there.
	ask(t, "POST", page+"/capacity/", "capacity=100")
	d.out.await(t, `en=1/1 cn=1/1`)
}

// The page's address is taken: the dashboard says so and ends.
func TestPageCannotListen(t *testing.T) {
	_, natsURL := startRealOrigin(t)
	taken := strings.TrimPrefix(natsURL, "nats://")
	d := launch(t, "dashboard", "-nats", natsURL, "-listen", taken)
	if err := d.Wait(); err == nil || !strings.Contains(d.log.String(), "address already in use") {
		t.Errorf("a dashboard whose address is taken ends with %v and says:\n%s", err, &d.log)
	}
}
