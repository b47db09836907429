package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// viewing is one way of measuring contenders.
type viewing struct {
	polls    bool
	channels int          // as for feed.begin
	cert     *certificate // by TLS when it is not nil
}

// Every contender that is installed brings each change to all clients, in order and
// byte for byte, in everything that it can be measured in.
func TestContenders(t *testing.T) {
	dir := commands(t)
	t.Setenv(asCommand, "1") // the floor is this program once more
	cert, err := issueCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range contenders(dir) {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := c.find(); err != nil {
				t.Skip(err)
			}
			e, f := startContender(t, c, nil)
			if c.polls {
				t.Run("polls", func(t *testing.T) { viewing{polls: true}.check(t, c, e, f) })
			}
			if c.streams {
				t.Run("streams", func(t *testing.T) { viewing{}.check(t, c, e, f) })
			}
			if c.polls && c.each {
				t.Run("polls, a channel each", func(t *testing.T) { viewing{polls: true, channels: viewerCount}.check(t, c, e, f) })
			}
			if c.streams && c.each {
				t.Run("streams, a channel each", func(t *testing.T) { viewing{channels: viewerCount}.check(t, c, e, f) })
			}
			pids, err := e.pids()
			if err != nil || len(pids) == 0 || pids[0] != e.process.pid {
				t.Errorf("pids() = %v, %v, want %d first", pids, err, e.process.pid)
			}
			if c.tls {
				e, f := startContender(t, c, cert)
				t.Run("streams by TLS", func(t *testing.T) { viewing{cert: cert}.check(t, c, e, f) })
			}
		})
	}
}

// commands returns a directory with the commands that contenders need: the edge,
// built for the test, and what make bench-setup has built.
func commands(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir, "../edge").CombinedOutput(); err != nil {
		t.Fatalf("build the edge: %v\n%s", err, out)
	}
	peers, err := filepath.Abs("../bin/peers")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(peers, filepath.Join(dir, "peers")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startContender starts a contender with a feed for the test.
func startContender(t *testing.T, c *contender, cert *certificate) (*entrant, *feed) {
	t.Helper()
	f := serveFeed(t)
	e, err := c.start(t.Context(), t.Output(), arena{feed: f, cert: cert})
	if err != nil {
		t.Fatalf("start %s: %v", c.name, err)
	}
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Errorf("stop %s: %v", c.name, err)
		}
	})
	return e, f
}

// check has viewers watch the entrant, makes changes, the last as long as one can be,
// and looks at what each viewer gets. Pushpin loses one now and then, or ends a
// stream, so it may try again.
func (v viewing) check(t *testing.T, c *contender, e *entrant, f *feed) {
	t.Helper()
	attempts := 1
	if c.pace > 0 {
		attempts = 3
	}
	for n := 1; ; n++ {
		err := v.try(t, c, e, f)
		switch {
		case err == nil:
			return
		case n == attempts:
			t.Fatal(err)
		}
		t.Logf("attempt %d: %v", n, err)
	}
}

// try is one attempt of check.
func (v viewing) try(t *testing.T, c *contender, e *entrant, f *feed) error {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var onChange []int
	before := len(f.headlines())
	if err := f.begin(ctx, e, v.channels, func(n int) { onChange = append(onChange, n) }); err != nil {
		return err
	}
	a, err := watch(ctx, e, v)
	if err != nil {
		return err
	}
	defer a.leave()
	for i, text := range []string{"Gate 1", `Gate "2" <now>`, strings.Repeat("Gates 3 ", c.maxBody/8)} {
		if err := postHeadline(ctx, &http.Client{Transport: a.transport}, f.url(), text); err != nil {
			return err
		}
		want := newBulletin(before+2+i, text)
		if err := a.await(ctx, want.json); err != nil {
			return fmt.Errorf("change %d: %w", want.id, err)
		}
	}
	if want := []int{1, 2, 3}; !slices.Equal(onChange, want) {
		return fmt.Errorf("onChange was called with %v, want %v", onChange, want)
	}
	return nil
}
