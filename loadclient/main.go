// Command loadclient is a group of simulated headline clients, thousands of
// them on one epoll loop, for measuring how fast a headline change reaches
// everybody.
//
// Terms used here:
//
//   - a client asks once without last_id (its first answer makes it started),
//     then polls with the id it knows, rests, and polls again; of a server that
//     answers only with what comes, its first request makes it started;
//   - a headline is an id and its body text, as the service publishes it;
//   - a change is a headline that clients were waiting for; each client that
//     gets it is one delivery;
//   - a delivery's time runs from the first byte of the POST that made the
//     change to the read that completed the client's answer, or event. Without -post that
//     start is unknown, and times run from the first delivery seen.
//
// With -post it makes the changes itself and exits 0 only when every client
// received every one of them and no answer was torn or wrong.
//
// With -stream the clients do not poll: each opens one stream of server-sent
// events, on which the present headline comes and then every other. What comes
// twice, out of order or not at all is counted. A stream that ends is asked for
// again with Last-Event-ID. -post makes the changes at a steady pace, whether or
// not the ones before have arrived, which is how a rate is found that a server
// sustains.
//
// With -speaks the server is another one than the headline service or an edge before
// it, so that servers can be compared: one that carries whatever is published to it.
// -post is then what publishes to it, and still answers as the headline service does.
//
// With -audit it watches what others change, for as long as it is left to, checks
// each client's sequence of headlines, and exits 0 only when none was sent again,
// none after a newer one, and none that was not published.
//
// With -nats it is a client group of the cluster: a set-up, which comes over the
// bus, says how many clients there are, what they ask and where they connect,
// and another one may change that at any time. The bus is told how they stand.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"github.com/oklog/run"
	"golang.org/x/sys/unix"
)

// version is set by the build: -ldflags "-X main.version=...".
var version = "dev"

func main() {
	runtime.GOMAXPROCS(1) // the loop is the one thing that has work; no thread looks for more
	neverPreempt()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := runCommand(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var usage usageError
	switch {
	case err == nil:
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "loadclient: %v (loadclient -h lists the flags)\n", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "loadclient:", err)
		os.Exit(1)
	}
}

// neverPreempt has the process wait its turn when there is something to read,
// rather than interrupt whoever runs (sched(7), SCHED_BATCH). On a machine that
// it shares with the server, who runs is the server, in the middle of writing to
// thousands of clients. Where that is not allowed all is as right, only slower.
func neverPreempt() {
	threads, _ := os.ReadDir("/proc/self/task") // those to come do as these
	for _, t := range threads {
		id, _ := strconv.Atoi(t.Name())
		if attr, err := unix.SchedGetAttr(id, 0); err == nil {
			attr.Policy = unix.SCHED_BATCH
			_ = unix.SchedSetAttr(id, attr, 0)
		}
	}
}

// runCommand is the whole command. It returns nil when every client received
// every change, streams in order, and no answer was torn or wrong, or a group was ended by ctx, and
// a usageError when nothing was begun because of the arguments.
func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if cfg.version {
		fmt.Fprintln(stdout, "loadclient", version)
		return nil
	}
	log := cfg.logger(stderr)
	if cfg.nats.URL != "" {
		return runGroup(ctx, cfg, log)
	}
	if err := checkDescriptors(cfg.clients); err != nil {
		return usageError{fmt.Errorf("-c: %w", err)}
	}
	if cfg.audit {
		return runAudit(ctx, cfg, stdout, log)
	}
	text, results := stdout, io.Discard
	switch cfg.json {
	case "":
	case "-":
		text, results = stderr, stdout
	default:
		f, err := os.Create(cfg.json)
		if err != nil {
			return usageError{fmt.Errorf("-json: %w", err)}
		}
		defer f.Close()
		results = f
	}
	s, err := load(ctx, cfg, text, log)
	if s != nil {
		s.writeTable(text)
		if werr := s.writeJSON(results); werr != nil {
			err = errors.Join(err, fmt.Errorf("write -json %s: %w", cfg.json, werr))
		}
	}
	return err
}

// load runs the clients until the changes are made, ctx ends, or something
// fails. The summary is nil only when no client was begun; otherwise an error
// says why the summary is not OK.
func load(ctx context.Context, cfg config, out io.Writer, log *slog.Logger) (*summary, error) {
	interrupted := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, t, err := prepare(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	defer p.close()
	w := &printer{out: out, pool: p}
	var g run.Group
	if cfg.post != "" {
		post := newPoster(cfg, p)
		if err := post.ensureHeadline(ctx); err != nil {
			return nil, err
		}
		g.Add(func() error { return post.run(ctx) }, func(error) { cancel() })
	}
	p.setUp(cfg.clients, t)
	g.Add(p.run, func(error) { p.stop() })
	g.Add(func() error { return w.run(ctx) }, func(error) { cancel() })
	err = g.Run()
	if interrupted.Err() != nil {
		err = nil // Ctrl-C is an ordinary end; the summary judges
	}
	// The group has ended, so the loop's state is ours.
	p.ledger.settleAll()
	w.lines()()
	s := p.summary()
	if err == nil {
		err = s.verdict(cfg.changesWanted())
	}
	s.OK = err == nil
	return s, err
}

// runAudit is the command with -audit. It returns nil when ctx has ended it and no
// sequence was broken.
func runAudit(ctx context.Context, cfg config, stdout io.Writer, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, t, err := prepare(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer p.close()
	a := newAuditor(stdout, p)
	p.setUp(cfg.clients, t)
	var g run.Group
	g.Add(p.run, func(error) { p.stop() })
	g.Add(func() error { return a.run(ctx) }, func(error) { cancel() })
	err = g.Run()
	// The group has ended, so the loop's state is ours.
	return errors.Join(err, a.end())
}

// prepare makes a pool, which the caller closes, and what its clients are to ask.
func prepare(ctx context.Context, cfg config, log *slog.Logger) (*pool, *target, error) {
	t, err := newTarget(ctx, cfg, cfg.url, cfg.hostport())
	if err != nil {
		return nil, nil, fmt.Errorf("-url: %w", err)
	}
	if err := t.dialer.checkPorts(cfg.clients); err != nil {
		log.Warn("some clients will not connect", "error", err)
	}
	p, err := newPool(cfg, log)
	return p, t, err
}
