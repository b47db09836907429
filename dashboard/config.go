package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/peterbourgon/ff/v3"

	"marquee/bus"
)

// envPrefix begins the environment variable of every flag: -listen is
// MARQUEE_DASHBOARD_LISTEN.
const envPrefix = "MARQUEE_DASHBOARD"

const (
	// defaultCapacity is how many clients are wanted until somebody says
	// otherwise.
	defaultCapacity = 5000
	maxCapacity     = 20_000_000
	maxNodeCapacity = 1_000_000
	// maxSpawned bounds the edges, and the groups, that -spawn starts: a
	// mistyped capacity must not fill the machine with processes.
	maxSpawned = 256
	// minAdminToken is the shortest -admin-token: whoever is on the network may
	// try as often as he likes.
	minAdminToken = 16
	// maxRegion bounds the name of a region, which is part of names of nodes.
	maxRegion = 64
)

// A config is what the flags say, validated.
type config struct {
	bus          bus.Config
	listen       string // of the page; port 0 means any free one
	capacity     int    // -1 leaves what was kept
	nodeCapacity int
	regions      []string
	spawn        bool
	adminToken   string // empty when only local requests may change things
	logLevel     slog.Level
	logFormat    string // text or json
	version      bool   // print the version and end
}

const usageText = `dashboard conducts the demonstration: it pairs client groups with edges, sends
headlines, counts who has received them and how fast, and shows it on a page.

Each flag can also come from the environment (-listen from ` + envPrefix + `_LISTEN) and
from the file that -config names; the command line goes before both.

`

// parseConfig reads the flags from args, the environment and the file that
// -config names, in this order of precedence. When asked to, it prints usage to
// stdout and returns an error that is flag.ErrHelp.
func parseConfig(args []string, stdout io.Writer) (*config, error) {
	cfg := &config{capacity: -1}
	fs := flag.NewFlagSet("dashboard", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // an error is for the caller to print
	cfg.bus.Flags(fs, "nats://127.0.0.1:4222", "`URL` of the NATS server or cluster; origin runs one unless told otherwise")
	fs.StringVar(&cfg.listen, "listen", ":8090", "`address` of the page, host:port; port 0 takes a free one")
	fs.Func("capacity", fmt.Sprintf("how many `clients` are wanted, 0 to %d; kept over restarts, also when changed on the page\n(default: as it was kept, at first %d)", maxCapacity, defaultCapacity), func(s string) (err error) {
		cfg.capacity, err = parseCapacity(s)
		return err
	})
	fs.IntVar(&cfg.nodeCapacity, "node-capacity", 5000, fmt.Sprintf("how many `clients` one edge, or one client group, is for, 1 to %d", maxNodeCapacity))
	regions := fs.String("regions", "us-west-1,us-west-2,us-east-1,eu-west-1", "`names` of the regions that nodes are spread over, with commas")
	spawn := fs.String("spawn", "", "local to start and stop edges and client groups on this machine as needed; empty when they are started elsewhere")
	fs.StringVar(&cfg.adminToken, "admin-token", "", fmt.Sprintf("`secret` of %d characters or more that lets requests from elsewhere change things; better by environment or file", minAdminToken))
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
		return nil, fmt.Errorf("unexpected argument %q: dashboard takes flags only", fs.Arg(0))
	}
	return cfg, cfg.validate(*regions, *spawn, *logLevel)
}

func (c *config) validate(regions, spawn, logLevel string) error {
	if c.bus.URL == "" {
		return errors.New("-nats is empty: want nats://host:port")
	}
	if err := c.bus.Validate(); err != nil {
		return err
	}
	if _, port, err := net.SplitHostPort(c.listen); err != nil {
		return fmt.Errorf("-listen %q: want host:port or :port", c.listen)
	} else if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("-listen %q: port must be 0 to 65535", c.listen)
	}
	if c.nodeCapacity < 1 || c.nodeCapacity > maxNodeCapacity {
		return fmt.Errorf("-node-capacity %d: must be 1 to %d", c.nodeCapacity, maxNodeCapacity)
	}
	if err := c.setRegions(regions); err != nil {
		return err
	}
	switch spawn {
	case "", "local":
		c.spawn = spawn == "local"
	default:
		return fmt.Errorf("-spawn %q: must be local, or empty", spawn)
	}
	if err := c.checkCapacity(c.capacity); err != nil {
		return fmt.Errorf("-capacity %d: %w", c.capacity, err)
	}
	if n := len(c.adminToken); n > 0 && n < minAdminToken {
		return fmt.Errorf("-admin-token has %d characters: must be %d or more", n, minAdminToken)
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

func (c *config) setRegions(list string) error {
	for region := range strings.SplitSeq(list, ",") {
		region = strings.TrimSpace(region)
		switch {
		case region == "" || len(region) > maxRegion || strings.Trim(region, regionBytes) != "":
			return fmt.Errorf("-regions %q: a region is 1 to %d letters, digits, hyphens or underscores", list, maxRegion)
		case slices.Contains(c.regions, region):
			return fmt.Errorf("-regions %q: %s is there twice", list, region)
		}
		c.regions = append(c.regions, region)
	}
	return nil
}

const regionBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// parseCapacity reads a capacity as a person writes it.
func parseCapacity(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 || n > maxCapacity {
		return 0, fmt.Errorf("capacity must be a number from 0 to %d", maxCapacity)
	}
	return n, nil
}

// checkCapacity returns an error when this dashboard cannot start that many
// nodes.
func (c *config) checkCapacity(capacity int) error {
	if needed := nodesNeeded(capacity, c.nodeCapacity); c.spawn && needed > maxSpawned {
		return fmt.Errorf("that needs %d edges and as many client groups, and -spawn local starts %d of each at most", needed, maxSpawned)
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
