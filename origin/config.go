package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3"

	"marquee/grip"
)

// envPrefix begins the environment variable of every flag: -listen is
// MARQUEE_ORIGIN_LISTEN.
const envPrefix = "MARQUEE_ORIGIN"

// A config is what the flags say, validated.
type config struct {
	listen string // host:port; port 0 means any free one
	store  storeConfig
	region string // for the dashboard
	// edges are the control endpoints to publish to, each once: those of -edge,
	// and that of GRIP_URL. None means that nothing is published.
	edges []*grip.Endpoint
	// sigKeys check Grip-Sig: that of -sig-key, or else those of the control
	// URLs. None means that Grip-Sig is not checked.
	sigKeys     []grip.Key
	holdTimeout time.Duration // whole seconds; 0 leaves it to the edge
	keepAlive   time.Duration // whole seconds; 0: none
	logLevel    slog.Level
	logFormat   string // text or json
	version     bool   // print the version and end
}

const usageText = `origin serves the headline: clients read it, change it and wait for the next one.

Each flag can also come from the environment (-listen from ` + envPrefix + `_LISTEN) and
from the file that -config names; the command line goes before both.

`

// maxHoldTimeout bounds -hold-timeout, as no poll is of use to anybody for longer,
// and -keep-alive.
const maxHoldTimeout = time.Hour

// parseConfig reads the flags from args, the environment and the file that
// -config names, in this order of precedence. When asked to, it prints usage to
// stdout and returns an error that is flag.ErrHelp.
func parseConfig(args []string, stdout io.Writer) (*config, error) {
	cfg := &config{}
	var edges urlList
	fs := flag.NewFlagSet("origin", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // an error is for the caller to print
	fs.StringVar(&cfg.listen, "listen", ":8080", "`address` to serve the headline API on; port 0 takes a free one")
	fs.StringVar(&cfg.store.dir, "data", "headline-data", "`directory` that keeps the headline; created when missing; not used with -nats")
	fs.StringVar(&cfg.store.listen, "nats-listen", "127.0.0.1:4222", "`address` where the embedded NATS server listens, which keeps the headline and\nconnects a cluster; it asks nobody for a password, so keep it private; port 0 takes a free one")
	cfg.store.bus.Flags(fs, "", "`URL` of a NATS server or cluster with JetStream to use in place of the embedded one")
	fs.StringVar(&cfg.store.bus.Name, "name", "origin", "the origin's `name` in the cluster")
	fs.StringVar(&cfg.region, "region", "", "where the origin is, for the dashboard")
	fs.Var(&edges, "edge", "control `URL` of an edge to publish to, such as http://127.0.0.1:5561; repeatable\n(the environment's GRIP_URL counts as one more)")
	sigKey := fs.String("sig-key", "", "`key` to check Grip-Sig with: plain text, base64:... or file:path\n(default: the key of the control URLs; without any, every GRIP proxy is believed)")
	fs.DurationVar(&cfg.holdTimeout, "hold-timeout", 0, "how long edges shall hold a poll, in whole seconds up to 1h; 0 lets the edge decide")
	fs.DurationVar(&cfg.keepAlive, "keep-alive", 15*time.Second, "after how long without a headline edges shall send a stream a comment, in whole seconds up to 1h; 0 is never")
	logLevel := fs.String("log-level", "info", "lowest `level` to log: debug, info, warn or error")
	fs.StringVar(&cfg.logFormat, "log-format", "text", "`format` of the log on stderr: text or json")
	fs.BoolVar(&cfg.version, "version", false, "print the version and exit")
	fs.String("config", "", "`file` with one flag a line: the name, a space, the value")
	err := ff.Parse(fs, args,
		ff.WithEnvVarPrefix(envPrefix),
		ff.WithConfigFileFlag("config"),
		ff.WithConfigFileParser(ff.PlainParser),
	)
	if errors.Is(err, flag.ErrHelp) {
		fs.SetOutput(stdout)
		fmt.Fprint(stdout, usageText)
		fs.PrintDefaults()
	}
	if err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: origin takes flags only", fs.Arg(0))
	}
	if err := cfg.validate(*logLevel); err != nil {
		return nil, err
	}
	if err := cfg.setEdges(edges, os.Getenv("GRIP_URL")); err != nil {
		return nil, err
	}
	if err := cfg.setSigKeys(*sigKey); err != nil {
		return nil, err
	}
	return cfg, nil
}

// validate checks the flags that stand for themselves.
func (c *config) validate(logLevel string) error {
	if _, port, err := net.SplitHostPort(c.listen); err != nil {
		return fmt.Errorf("-listen %q: want host:port or :port", c.listen)
	} else if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("-listen %q: port must be 0 to 65535", c.listen)
	}
	if c.store.dir == "" {
		return fmt.Errorf("-data must name a directory")
	}
	if _, err := net.ResolveTCPAddr("tcp", c.store.listen); err != nil || c.store.listen == "" {
		return fmt.Errorf("-nats-listen %q: want host:port or :port", c.store.listen)
	}
	if c.store.bus.Name == "" {
		return fmt.Errorf("-name must not be empty")
	}
	if err := c.store.bus.Validate(); err != nil {
		return err
	}
	for _, f := range []struct {
		flag string
		got  time.Duration
	}{{"-hold-timeout", c.holdTimeout}, {"-keep-alive", c.keepAlive}} {
		if f.got < 0 || f.got > maxHoldTimeout || f.got%time.Second != 0 {
			return fmt.Errorf("%s %s: must be whole seconds from 0s to %s", f.flag, f.got, maxHoldTimeout)
		}
	}
	switch logLevel {
	case "debug", "info", "warn", "error":
		_ = c.logLevel.UnmarshalText([]byte(logLevel)) // slog knows these four
	default:
		return fmt.Errorf("-log-level %q: must be debug, info, warn or error", logLevel)
	}
	if c.logFormat != "text" && c.logFormat != "json" {
		return fmt.Errorf("-log-format %q: must be text or json", c.logFormat)
	}
	return nil
}

// setEdges parses the control URLs. GRIP_URL often says what a flag says too,
// and no edge wants every item twice.
func (c *config) setEdges(flagURLs []string, gripURL string) error {
	seen := map[string]bool{}
	add := func(source, rawURL string) error {
		ep, err := grip.ParseEndpoint(rawURL)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		if ep.VerifyIss != "" {
			return fmt.Errorf("%s: control URL has verify-iss: the issuer of Grip-Sig is not checked, only its key", source)
		}
		if !seen[ep.PublishURL] {
			seen[ep.PublishURL] = true
			c.edges = append(c.edges, ep)
		}
		return nil
	}
	for _, rawURL := range flagURLs {
		if err := add("-edge", rawURL); err != nil {
			return err
		}
	}
	if gripURL != "" {
		return add("GRIP_URL", gripURL)
	}
	return nil
}

// setSigKeys parses -sig-key, which overrides the keys of the control URLs.
func (c *config) setSigKeys(sigKey string) error {
	if sigKey != "" {
		key, err := grip.ParseVerifyKey(sigKey)
		if err != nil {
			return fmt.Errorf("-sig-key: %w", err)
		}
		c.sigKeys = []grip.Key{key}
		return nil
	}
	for _, ep := range c.edges {
		c.sigKeys = append(c.sigKeys, ep.VerifyKeys...)
	}
	return nil
}

// logger returns the log as the flags want it.
func (c *config) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.logLevel}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// A urlList is the value of -edge. One value may hold several URLs with spaces
// between them, since an environment variable cannot be repeated.
type urlList []string

func (l *urlList) String() string { return strings.Join(*l, " ") }

func (l *urlList) Set(value string) error {
	urls := strings.Fields(value)
	if len(urls) == 0 {
		return fmt.Errorf("want a control URL such as http://127.0.0.1:5561")
	}
	*l = append(*l, urls...)
	return nil
}
