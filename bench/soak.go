package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

const (
	// soakSample is how often the edges are looked at, at the most a tenth of a soak.
	soakSample = time.Second
	// warmUp is which part of a soak passes before the first look: until then an edge
	// has not met everything once.
	warmUp = 6
	// soakReaders is how many slow readers there are at each edge.
	soakReaders = 20
)

// soakCommand is "bench soak", which make soak runs.
func soakCommand(stdout, stderr io.Writer) *ffcli.Command {
	period, clients := 30*time.Minute, 4000
	var jsonFile, markdownFile string
	return subcommand(stderr, "soak", "serve a mixed load for a long time, and show that nothing is lost and nothing grows",
		func(set *flag.FlagSet) {
			set.DurationVar(&period, "for", period, "how `long`, 10s to 24h")
			set.IntVar(&clients, "clients", clients, "`number` of clients, 20 to 20000: a quarter each polls and streams of an edge with -share-all, and of one without; and a tenth more that connect for each poll")
			set.StringVar(&jsonFile, "json", "", "write the report with all samples to `file`")
			set.StringVar(&markdownFile, "markdown", "", "write the report's table in Markdown to `file`")
		},
		func(ctx context.Context) error {
			if period < 10*time.Second || period > 24*time.Hour {
				return fmt.Errorf("-for %v: must be from 10s to 24h", period)
			}
			if err := inRange("clients", clients, 20, maxClients); err != nil {
				return err
			}
			r := torture(ctx, stdout, stderr, []trial{soak(period, clients)}, tortureConfig{seed: 1})
			err := errors.Join(r.write(stdout), writeJSON(jsonFile, r), r.writeMarkdown(markdownFile))
			switch {
			case err != nil:
				return err
			case context.Cause(ctx) != nil:
				return context.Cause(ctx)
			case !r.OK():
				return errors.New("something was lost or has grown, see the report")
			}
			return nil
		})
}

// soak is a trial without an attack: two edges, one of which asks the origin for
// each client, serve all kinds of clients for the period.
func soak(period time.Duration, clients int) trial {
	size := size{clients: clients / 2, changes: 3, every: time.Second, period: period}
	return trial{
		name: "soak", does: fmt.Sprintf("polls, streams, reconnecting and slow clients at two edges for %v", period),
		long: size, short: size, nats: true,
		run: soakEdges,
	}
}

func soakEdges(ctx context.Context, s *scene) error {
	path, err := binary("edge")
	if err != nil {
		return err
	}
	alone, err := s.add(ctx, "edge that does not share", path, "-origin", s.addrs.origin, "-nats", "nats://"+s.addrs.nats,
		"-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-log-format", "json")
	if err != nil {
		return err
	}
	n := s.size.clients
	if err := s.join(ctx,
		&audience{kind: "polls", clients: n / 2, url: headlineURL(alone.at.Listen)},
		&audience{kind: "streams", clients: n - n/2, url: eventsURL(alone.at.Listen)},
		&audience{kind: "polls", clients: max(n/10, 1), url: s.edgeURL, reconnect: true},
		&audience{kind: "polls", clients: max(n/10, 1), url: headlineURL(alone.at.Listen), reconnect: true},
	); err != nil {
		return err
	}
	slowCtx, stop := context.WithCancel(ctx)
	var slow sync.WaitGroup
	defer slow.Wait()
	defer stop()
	for _, v := range []*server{s.edge, alone} {
		for range soakReaders {
			slow.Go(func() { readSlowly(slowCtx, v.at.Listen) })
		}
	}
	if err := s.sleep(ctx, s.size.period/warmUp); err != nil {
		return err
	}
	courses := make(map[*server]course)
	ticker := time.NewTicker(min(soakSample, s.size.period/10))
	defer ticker.Stop()
	for end := time.Now().Add(s.size.period - s.size.period/warmUp); time.Now().Before(end); {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, v := range []*server{s.edge, alone} {
			now, err := v.vitals(ctx)
			if err != nil {
				return err
			}
			courses[v] = append(courses[v], now)
		}
	}
	for _, v := range []*server{s.edge, alone} {
		first, last := courses[v].third(false), courses[v].third(true)
		s.figure(v.program.name+": memory", "MB", first.memory/1e6, last.memory/1e6)
		s.figure("files", "", first.files, last.files)
		s.figure("goroutines", "", first.goroutines, last.goroutines)
		if grown := last.grown(first); grown != "" {
			s.fail("%s: from the first third to the last grew %s", v.program.name, grown)
		}
	}
	return nil
}

// join adds audiences while the headline changes.
func (s *scene) join(ctx context.Context, more ...*audience) error {
	for _, a := range more {
		if err := a.start(s); err != nil {
			return err
		}
		s.audiences = append(s.audiences, a)
	}
	for _, a := range more {
		if err := a.awaitStarted(ctx); err != nil {
			return err
		}
		s.result.Clients += a.clients
	}
	newest := s.changes.newest()
	for _, a := range more {
		a.after = newest
	}
	return nil
}

// readSlowly is a client that asks more than it reads, again and again, until ctx
// ends.
func readSlowly(ctx context.Context, addr string) {
	requests := strings.Repeat(fmt.Sprintf("GET /headline/value/ HTTP/1.1\r\nHost: %s\r\n\r\n", addr), 500)
	for ctx.Err() == nil {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return // the edge is gone, which the scene notices
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		leave := context.AfterFunc(ctx, func() { conn.Close() })
		for range 20 {
			_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = io.WriteString(conn, requests)
			_, _ = conn.Read(make([]byte, 512))
			select {
			case <-time.After(250 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		leave()
		conn.Close()
	}
}
