package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// publishConns is how many connections a contender's publisher has: as many
	// messages, each to a channel of its own, are under way at a time.
	publishConns = 8
	// publishTimeout bounds one message, from its request to the answer.
	publishTimeout = 30 * time.Second

	// channelOne is the channel that all clients share when they have none of their
	// own.
	channelOne = "c"
	// channelEach is the channel to ask an entrant's addresses for when each client
	// is to have one of its own: the load client puts its number in.
	channelEach = "c" + clientNumber
	// clientNumber stands for the number of the client, from 0, in what the load
	// client is told to ask for.
	clientNumber = "{client}"

	// speaksHeadline is what the load client speaks with the floor, and with those who
	// have the feed as their origin: they tell who comes the present headline.
	speaksHeadline = "headline"

	// answerEvery is how often a server that does not say when it is ready is asked.
	answerEvery = 10 * time.Millisecond
)

// A contender is one server of the race, and what it can be measured in.
type contender struct {
	name    string
	polls   bool
	streams bool
	tls     bool // streams by TLS
	each    bool // a channel for each client, see channelEach
	maxBody int  // bytes of the longest headline
	// pace is how many clients a second come, and come back with their next poll, to
	// one that does not bear them all at once; 0 for one that does.
	pace int
	// find says what would start: its version, and what differs from how it starts
	// by default, a line each. The error says what is not installed and how to get it.
	find func() (version string, settings []string, err error)
	// start starts it, on free ports of the loopback and with files of its own, for
	// clients on polls and streams that are without TLS unless the arena has a
	// certificate. Its complaints go to stderr.
	start func(ctx context.Context, stderr io.Writer, a arena) (*entrant, error)
}

// An arena is what contenders are started in.
type arena struct {
	feed *feed
	// cert, when it is not nil, is for streams by TLS.
	cert *certificate
}

// An entrant is a contender that runs.
type entrant struct {
	process *process // of which all others of the entrant descend
	dir     string   // its files, removed with it; empty for none
	client  *http.Client

	// speaks is the load client's -speaks.
	speaks string
	// pollURL and streamURL are where clients ask for a channel; nil when it has not
	// that. secureURL is streamURL by TLS; nil unless the arena has a certificate
	// and the contender TLS. clientNumber in the channel stays as it is.
	pollURL, streamURL, secureURL func(channel string) string
	// publish sends a headline to those who wait on the channel, and returns when the
	// entrant has taken it. Safe from any goroutine.
	publish func(ctx context.Context, channel string, b *bulletin) error
}

// contenders returns all there are, in the order in which they are shown. dir is
// where the commands are, and below it, in peers, those of other projects that
// make bench-setup builds.
func contenders(dir string) []*contender {
	peers := filepath.Join(dir, "peers")
	return []*contender{
		floorContender(raceFloor, false),
		floorContender(raceURing, true),
		marqueeContender(raceMarquee, dir, 2),
		marqueeContender(raceMarquee1, dir, 1),
		marqueeContender(raceMarqueeWrite, dir, 2, "-io-uring=false"),
		nchanContender(),
		pushpinContender(racePushpin, true),
		pushpinContender(racePushpinShipped, false),
		centrifugoContender(peers),
		mercureContender(peers),
	}
}

// newEntrant returns an entrant that has not started, with a directory for its files.
func newEntrant(speaks string) (*entrant, error) {
	dir, err := os.MkdirTemp("", "race-") // short: the name of a unix socket in it may have 107 bytes
	if err != nil {
		return nil, fmt.Errorf("make a directory for a contender: %w", err)
	}
	return &entrant{
		dir: dir, speaks: speaks,
		client: &http.Client{
			Timeout:   publishTimeout,
			Transport: &http.Transport{MaxConnsPerHost: publishConns, MaxIdleConnsPerHost: publishConns},
		},
	}, nil
}

// file is the path of one of the entrant's files.
func (e *entrant) file(name string) string { return filepath.Join(e.dir, name) }

// pids returns the numbers of all processes of the entrant.
func (e *entrant) pids() ([]int, error) {
	members, err := family(e.process.pid)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, m := range members {
		pids = append(pids, m.pid)
	}
	return pids, nil
}

// stop stops the entrant, if it has started, and removes its files.
func (e *entrant) stop() error {
	e.client.CloseIdleConnections()
	var err error
	if e.process != nil {
		err = e.process.stop()
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}

// abandon stops an entrant that could not be started because of err, which it returns.
func (e *entrant) abandon(err error) (*entrant, error) {
	return nil, errors.Join(err, e.stop())
}

// post sends a publisher's request and returns the answer's body.
func (e *entrant) post(ctx context.Context, to string, header http.Header, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	r.Header = header.Clone()
	resp, err := e.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", to, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("publish to %s: %s: %.200s", to, resp.Status, answer)
	}
	return answer, nil
}

// await tries until done reports true, or an error. The error says that it did not
// within readyTimeout, or that the process has ended.
func (e *entrant) await(ctx context.Context, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("%s was not ready within %v", e.process.name, readyTimeout))
	defer cancel()
	ctx, release := until(ctx, e.process)
	defer release()
	tick := time.NewTicker(answerEvery)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// awaitListening returns when the entrant's process accepts connections at addr.
func (e *entrant) awaitListening(ctx context.Context, addr string) error {
	return e.await(ctx, func(ctx context.Context) (bool, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

// freeAddrs returns n loopback addresses whose ports were free a moment ago, for
// servers that cannot be told to choose, or do not say what they chose.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // until all are chosen, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// at returns the function that makes URLs of a channel: prefix, which may have any
// scheme, address and path, with the channel at its end.
func at(prefix string) func(string) string {
	return func(channel string) string { return prefix + escape(channel) }
}

// escape escapes text for a query or a path, but for clientNumber.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), url.QueryEscape(clientNumber), clientNumber)
}

// missing is the error for a program that is not there.
func missing(program, remedy string) error {
	return fmt.Errorf("%s is not installed: %s", program, remedy)
}

// firstLine runs a program that prints its version and returns the first line of that.
func firstLine(path string, args ...string) (string, error) {
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}
