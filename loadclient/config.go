package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3"

	"marquee/bus"
)

// config is what the flags say. Immutable after parseConfig.
type config struct {
	// Clients.
	clients        int // with nats: at most
	url            *url.URL
	stream         bool
	dialect        *dialect // not nil
	gzip           bool     // polls accept it
	rate           int      // connects a second while ramping up; 0: as fast as possible
	repollDelay    time.Duration
	repollJitter   time.Duration // random 0..repollJitter on top of repollDelay
	requestTimeout time.Duration // for a whole request, connect included
	reconnect      bool          // one connection a request

	// Changes.
	post          string // URL; "": somebody else changes the headline
	every         time.Duration
	changes       int           // 0: until interrupted
	size          int           // bytes of a headline's text; 0: short
	settle        time.Duration // rest before the first change
	deliverWithin time.Duration // a client that has not got a change by then missed it
	audit         bool
	maxBackoff    time.Duration // longest rest after failures, without the jitter

	// Cluster.
	nats   bus.Config // without Log; no URL: it stands alone
	region string

	// Output.
	json      string // file; "": none, "-": standard output
	logFormat string // text or json
	version   bool
}

// Where the clients find the headline unless -url says another place.
const (
	pollURL   = "http://127.0.0.1:7999/headline/value/"
	streamURL = "http://127.0.0.1:7999/headline/events/"
)

// A headline's text may be padded to so many bytes: no fewer than it has anyway, and
// no more than make a body of that and JSON around it that all servers carry.
const (
	minSize = 100
	maxSize = 64 << 10
)

// usageError is an error in what the user asked for: nothing was begun.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// parseConfig reads flags, then MARQUEE_LOADCLIENT_* environment variables,
// then the -config file; the first to name a setting wins. Any error other
// than flag.ErrHelp is a usageError; for that one the usage was written to out.
func parseConfig(args []string, out io.Writer) (config, error) {
	var c config
	fs := flag.NewFlagSet("loadclient", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&c.clients, "c", 5000, "number of `clients`; with -nats, the most that a set-up may ask for")
	target := fs.String("url", "", "`URL` the clients ask, http only (default "+pollURL+", with -stream "+streamURL+"); "+clientMark+" in it is each client's number, from 0")
	speaks := fs.String("speaks", dialects[0].name, "`kind` of server: headline, the service or an edge before it; or one that carries what -post publishes to it:\nnchan, centrifugo (unidirectional, -stream only) or mercure (-stream only)")
	fs.BoolVar(&c.gzip, "gzip", false, "polls accept answers coded with gzip; not for -stream")
	fs.BoolVar(&c.stream, "stream", false, "the clients open streams of server-sent events, and do not poll; what comes twice or not in order is counted")
	fs.IntVar(&c.rate, "rate", 10000, "connects per second while ramping up, 0 for as fast as possible")
	fs.DurationVar(&c.repollDelay, "repoll-delay", 2*time.Second, "rest between an answer and the next poll, or the end of a stream and the next")
	fs.DurationVar(&c.repollJitter, "repoll-jitter", time.Second, "random extra rest, 0 to this; with -repoll-delay 0 as well all poll again at once")
	fs.DurationVar(&c.requestTimeout, "request-timeout", 60*time.Second, "time for a whole request, connect included; for a stream, until it begins")
	fs.BoolVar(&c.reconnect, "reconnect", false, "open a connection for each request (HTTP/1.0, Connection: close)")
	fs.StringVar(&c.post, "post", "", "`URL` to change the headline at (form field body); without it changes are only watched, until Ctrl-C")
	fs.DurationVar(&c.every, "every", 5*time.Second, "with -post: least time between two changes; with -stream, exactly that")
	fs.IntVar(&c.changes, "changes", 3, "with -post: number of changes, 0 for until Ctrl-C")
	fs.IntVar(&c.size, "size", 0, "with -post: `bytes` of each headline's text, padded with words; 0 for about 60")
	fs.BoolVar(&c.audit, "audit", false, "check each client's sequence until SIGTERM, and write each headline that all have reached,\nand in the end a summary, as a line of JSON on standard output")
	fs.StringVar(&c.json, "json", "", "write the summary as JSON to this `file`; - is standard output, and the text goes to standard error")
	c.nats.Flags(fs, "", "`URL` of the NATS server or cluster that sets this group of clients up, until SIGTERM; none, it stands alone")
	fs.StringVar(&c.nats.Name, "name", "", "with -nats: the group's `name` in the cluster; by default made of host and process")
	fs.StringVar(&c.region, "region", "", "with -nats: `region` that the group is in, for the dashboard")
	fs.StringVar(&c.logFormat, "log-format", "text", "`format` of the log on stderr: text or json")
	fs.BoolVar(&c.version, "version", false, "print the version and exit")
	fs.String("config", "", "`file` with one flag a line, \"name value\"")
	err := ff.Parse(fs, args,
		ff.WithEnvVarPrefix("MARQUEE_LOADCLIENT"),
		ff.WithConfigFileFlag("config"),
		ff.WithConfigFileParser(ff.PlainParser))
	if errors.Is(err, flag.ErrHelp) {
		fs.SetOutput(out)
		fs.Usage()
		return c, flag.ErrHelp
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err == nil {
		err = c.checkMode(fs)
	}
	if *target == "" {
		*target = pollURL
		if c.stream {
			*target = streamURL
		}
	}
	if err == nil {
		err = c.validate(*target, *speaks)
	}
	if err != nil {
		return c, usageError{err}
	}
	if c.dialect.foreign {
		c.settle = settleTime
	}
	c.maxBackoff = maxBackoff
	if c.audit {
		c.maxBackoff = auditBackoff
	}
	c.deliverWithin = 10 * time.Second
	if c.post == "" {
		// A change may come while clients rest; they get it when they poll again.
		c.deliverWithin += c.repollDelay + c.repollJitter
	}
	return c, nil
}

// checkMode returns an error when a flag was given that -nats rules out, or
// that needs it, and completes the name.
func (c *config) checkMode(fs *flag.FlagSet) error {
	var err error
	fs.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "url", "post", "every", "changes", "size", "json", "stream", "speaks", "gzip":
			if c.nats.URL != "" {
				err = fmt.Errorf("-nats and -%s exclude each other: with -nats, the set-up says what to ask", f.Name)
			}
		case "region", "name":
			if c.nats.URL == "" {
				err = fmt.Errorf("-%s needs -nats", f.Name)
			}
		}
	})
	if err == nil && c.audit && (c.post != "" || c.json != "" || c.nats.URL != "") {
		err = errors.New("-audit excludes -post, -json and -nats: it watches what others change, and has an output of its own")
	}
	if err == nil {
		err = c.nats.Validate()
	}
	if err != nil || c.nats.URL == "" {
		return err
	}
	if c.nats.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("-name is not given, and %w", err)
		}
		c.nats.Name = fmt.Sprintf("group-%s-%d", host, os.Getpid())
	}
	return nil
}

// validate checks every range and fills in c.url from target, and c.dialect by its
// name.
func (c *config) validate(target, speaks string) error {
	const maxClients, maxRate, maxTime = 1_000_000, 1_000_000, 24 * time.Hour
	for _, f := range []struct {
		flag          string
		got, low, top int
	}{
		{"-c", c.clients, 1, maxClients},
		{"-rate", c.rate, 0, maxRate},
		{"-changes", c.changes, 0, maxClients},
	} {
		if f.got < f.low || f.got > f.top {
			return fmt.Errorf("%s %d: must be %d to %d", f.flag, f.got, f.low, f.top)
		}
	}
	for _, f := range []struct {
		flag     string
		got, low time.Duration
	}{
		{"-repoll-delay", c.repollDelay, 0},
		{"-repoll-jitter", c.repollJitter, 0},
		{"-request-timeout", c.requestTimeout, time.Millisecond},
		{"-every", c.every, 0},
	} {
		if f.got < f.low || f.got > maxTime {
			return fmt.Errorf("%s %v: must be %v to %v", f.flag, f.got, f.low, maxTime)
		}
	}
	if c.size != 0 && (c.size < minSize || c.size > maxSize) {
		return fmt.Errorf("-size %d: must be 0, or %d to %d", c.size, minSize, maxSize)
	}
	if c.logFormat != "text" && c.logFormat != "json" {
		return fmt.Errorf("-log-format %q: must be text or json", c.logFormat)
	}
	var err error
	if c.url, err = parseURL(target); err != nil {
		return fmt.Errorf("-url %w", err)
	}
	if c.dialect, err = findDialect(speaks); err != nil {
		return fmt.Errorf("-speaks %w", err)
	}
	if !c.dialect.polls && !c.stream {
		return fmt.Errorf("-speaks %s needs -stream: it has no long polls", speaks)
	}
	if c.gzip && c.stream {
		return errors.New("-gzip and -stream exclude each other: an event stream is one body, and each client's would have to be decoded")
	}
	if c.post != "" {
		u, err := url.Parse(c.post)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return fmt.Errorf("-post %q: must be http://host[:port]/path or https", c.post)
		}
	}
	return nil
}

// parseURL parses a URL that clients can ask.
func parseURL(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil || strings.Contains(u.RawQuery, " ") {
		return nil, fmt.Errorf("%q: must be http://host[:port]/path", target)
	}
	return u, nil
}

// logger makes the process's logger.
func (c config) logger(out io.Writer) *slog.Logger {
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, nil))
	}
	return slog.New(slog.NewTextHandler(out, nil))
}

// watching says that others change the headline, and the summary is about that.
func (c config) watching() bool { return c.post == "" && c.nats.URL == "" && !c.audit }

// hostport is where the clients connect.
func (c config) hostport() string {
	port := c.url.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(c.url.Hostname(), port)
}

// changesWanted is how many changes must be made for a run to count as whole;
// 0 when that is up to the user or to others.
func (c config) changesWanted() int {
	if c.post == "" {
		return 0
	}
	return c.changes
}

// waitingWithin is how long it may take until every client waits for a change:
// the ramp, a first answer, a rest, and one request that failed by
// timeout and waited out the longest backoff.
func (c config) waitingWithin() time.Duration {
	d := 2*c.requestTimeout + c.repollDelay + c.repollJitter + c.maxBackoff + backoffJitter
	if c.rate > 0 {
		d += time.Duration(c.clients/c.rate+1) * time.Second
	}
	return d
}
