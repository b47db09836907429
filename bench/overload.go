package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What we read of an edge that has too much to do.
const (
	connections   = "marquee_connections"
	turnedAway    = "marquee_connections_refused_total"
	memoryUsed    = "marquee_memory_used_ratio"
	memoryScarcer = "marquee_memory_shortages_total"
)

// overload are trials with more clients than there is room for.
func overload() []trial {
	return []trial{
		{
			name: "out-of-files", does: "25,000 clients want in, of an edge that may open 20,000 files",
			long: longSize, short: shortSize,
			run: outOfFiles,
		},
		{
			name: "out-of-memory", does: "requests without end fill an edge that may take 64 MB of memory",
			long:    size{clients: 2000, changes: 10, every: time.Second, period: 10 * time.Second},
			short:   shortSize,
			prepare: limitMemory,
			run:     outOfMemory,
		},
		{
			name: "in-and-out", does: "15,000 clients come and leave, ten times",
			long:  size{clients: 200, changes: 5, every: time.Second, period: 10 * time.Second},
			short: shortSize,
			run:   inAndOut,
		},
	}
}

// outOfFiles sends more clients than the edge may open files for.
func outOfFiles(ctx context.Context, s *scene) error {
	limit, crowded := 20_000, 25_000-s.size.clients
	if s.short {
		open, err := s.edge.process.files()
		if err != nil {
			return err
		}
		limit, crowded = open+150, 400
	}
	if err := unix.Prlimit(s.edge.process.pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}, nil); err != nil {
		return fmt.Errorf("limit the edge's files: %w", err)
	}
	c, err := s.crowd(crowded)
	if err != nil {
		return err
	}
	m, err := s.awaitEdge(ctx, "clients are turned away", func(m metrics) bool { return m[turnedAway] > float64(crowded)/100 })
	if err == nil {
		err = s.sleep(ctx, s.size.period)
	}
	if err == nil {
		err = s.askInVain(ctx)
	}
	if err == nil {
		m, err = scrape(ctx, s.control)
	}
	if err = errors.Join(err, c.leave()); err != nil {
		return err
	}
	s.figure("held at the most", "", m[connections])
	s.figure("turned away", "", m[turnedAway])
	return s.awaitRecovery(ctx)
}

// askInVain opens connections for which there is no room: each must get a 503 that
// says when to come again, and an orderly end.
func (s *scene) askInVain(ctx context.Context) error {
	const attempts = 50
	kinds := map[string]int{}
	for range attempts {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", s.addrs.edge)
		if err != nil {
			return fmt.Errorf("connect to a full edge: %w", err)
		}
		kinds[s.refusal(conn)]++
		conn.Close()
	}
	// Room for one may come up at any moment: clients of the crowd come and go.
	for kind, n := range kinds {
		s.figure(kind, fmt.Sprintf("of %d", attempts), float64(n))
	}
	if n := kinds["refused in order"]; n < attempts*9/10 {
		s.fail("of %d who asked a full edge %d were refused with a 503, Retry-After and an orderly end", attempts, n)
	}
	return nil
}

// refusal says how the edge ends a connection for which it has no room.
func (s *scene) refusal(conn net.Conn) string {
	_ = conn.SetDeadline(time.Now().Add(awaitTimeout))
	_, _ = fmt.Fprintf(conn, "GET /headline/value/ HTTP/1.1\r\nHost: %s\r\n\r\n", s.addrs.edge)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "cut off"
	}
	defer resp.Body.Close()
	switch _, err = io.Copy(io.Discard, resp.Body); {
	case resp.StatusCode == http.StatusOK:
		return "let in"
	case resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || err != nil:
		return "refused wrongly"
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return "refused and cut off"
	}
	return "refused in order"
}

// awaitRecovery returns when the crowd has left and new clients are held again.
func (s *scene) awaitRecovery(ctx context.Context) error {
	if err := s.awaitGone(ctx); err != nil {
		return err
	}
	fresh, err := hold(ctx, s.log.Writer(), s.eventsURL, 20)
	if err != nil {
		return fmt.Errorf("after the overload: %w", err)
	}
	fresh.load.kill()
	return nil
}

// memoryBound is what outOfMemory's edge may take.
const memoryBound = 64 << 20

// limitMemory has the edge started with it.
func limitMemory(s *scene) error {
	env, err := exec.LookPath("env")
	if err != nil {
		return err
	}
	p := &s.edge.program
	p.path, p.args = env, slices.Concat([]string{fmt.Sprintf("GOMEMLIMIT=%d", memoryBound), p.path}, p.args)
	return nil
}

// outOfMemory sends requests whose content does not come to its end, which the edge
// has to keep, until it lets nobody in.
func outOfMemory(ctx context.Context, s *scene) (err error) {
	const content, most = 100_000, 5000
	request := fmt.Sprintf("POST /headline/value/ HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", s.addrs.edge, content) +
		strings.Repeat("c", content-1)
	var conns []net.Conn
	leave := func() {
		for _, c := range conns {
			c.Close()
		}
		conns = nil
	}
	defer leave()
	for n := 0; ; n++ {
		if n == most {
			return fmt.Errorf("%d requests of %d bytes do not fill the edge's memory", most, content)
		}
		if n%25 == 0 {
			m, err := scrape(ctx, s.control)
			if err != nil {
				return err
			}
			if m[memoryScarcer] > 0 {
				break
			}
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", s.addrs.edge)
		if err != nil {
			return fmt.Errorf("fill the edge's memory: %w", err)
		}
		conns = append(conns, conn)
		_ = conn.SetDeadline(time.Now().Add(awaitTimeout))
		_, _ = io.WriteString(conn, request) // unless it is turned away
	}
	s.figure("requests until memory was scarce", "", float64(len(conns)))
	if err := s.askInVain(ctx); err != nil {
		return err
	}
	if err := s.sleep(ctx, s.size.period); err != nil {
		return err
	}
	memory, err := s.edge.process.memory()
	if err != nil {
		return err
	}
	s.figure("memory", "MB", memory/1e6)
	leave()
	m, err := s.awaitEdge(ctx, "memory suffices again", func(m metrics) bool { return m[memoryUsed] < 0.65 })
	if err != nil {
		return err
	}
	s.figure("turned away", "", m[turnedAway])
	s.figure("refused or cut off in all", "", m[dropsTotal])
	return s.awaitRecovery(ctx)
}

// inAndOut sends a crowd again and again. Once it has left for the last time, the
// edge must have no more of anything than after the first.
func inAndOut(ctx context.Context, s *scene) error {
	n, cycles := 15_000, 10
	if s.short {
		n, cycles = 200, 3
	}
	began, err := s.edge.settledVitals(ctx)
	if err != nil {
		return err
	}
	var first, last vitals
	var memory samples
	for cycle := range cycles {
		c, err := s.crowd(n)
		if err != nil {
			return err
		}
		// Polls are held, answered, or rest between two; streams are held.
		_, err = s.awaitEdge(ctx, "the crowd is in", func(m metrics) bool {
			return m[connections] >= float64(n+s.size.clients/2) && m[holds] >= float64(n/2)
		})
		if err = errors.Join(err, c.leave()); err != nil {
			return err
		}
		if err := s.awaitGone(ctx); err != nil {
			return err
		}
		// What the crowd has left behind may be collected only when the memory has
		// stood still for a while.
		for looks := 0; looks == 0 || looks < 3 && last.grown(first) != ""; looks++ {
			if last, err = s.edge.settledVitals(ctx); err != nil {
				return err
			}
			if cycle == 0 {
				break
			}
		}
		if cycle == 0 {
			first = last
		}
		memory = append(memory, last.memory/1e6)
		s.say("cycle %d: %.1f MB, %.0f files, %.0f goroutines", cycle+1, last.memory/1e6, last.files, last.goroutines)
	}
	s.figure("memory before", "MB", began.memory/1e6)
	s.figure("memory after each", "MB", memory...)
	if grown := last.grown(first); grown != "" {
		s.fail("between the first and the last cycle grew %s", grown)
	}
	began.memory = last.memory // it is the cycles that are compared
	if grown := last.grown(began); grown != "" {
		s.fail("from before the first cycle grew %s", grown)
	}
	return nil
}
