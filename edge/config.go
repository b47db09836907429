package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3"
	"golang.org/x/sys/unix"

	"marquee/bus"
	"marquee/fanout"
	"marquee/grip"
)

// Config is what the flags say. Every flag can also be given as an environment
// variable (MARQUEE_EDGE_HOLD_TIMEOUT for -hold-timeout) and as a line
// "hold-timeout 55s" of the file named by -config; the command line wins, then
// the environment.
type Config struct {
	// Where to listen and whom to ask.
	Listen    []string
	ListenTLS []string
	TLSCert   []string // files, as many as
	TLSKey    []string // of these
	Control   string
	Origin    string
	Routes    string   // a file
	Route     []string // lines of one

	// Who may use the control endpoint; everybody without a key and a token.
	ControlKey   string
	ControlIss   string
	ControlToken string

	// How to ask.
	ShareAll        bool
	MaxOpenRequests int
	OriginTimeout   time.Duration
	SigIss          string
	SigKey          string
	UpstreamKey     string
	Forwarding      forwarding
	AutoCrossOrigin bool
	ZeroMQ          zeroMQ
	Debug           bool

	// How to hold.
	IOUring        bool
	Loops          int
	MaxConnections int // 0: what the limit on file descriptors leaves
	HoldTimeout    time.Duration

	// How to stop.
	DrainDelay   time.Duration
	DrainSpread  time.Duration // used up to half of DrainTimeout
	DrainTimeout time.Duration

	// What clients may ask.
	Limits limits

	// The cluster; none without Bus.URL.
	Bus    bus.Config
	Name   string
	Region string

	LogLevel        string
	LogFormat       string
	AccessLog       string // a file; "-" is standard output, "" none
	AccessLogSample float64
	AccessLogQuery  bool
	Version         bool

	key          grip.Key // of SigKey
	upstreamKey  grip.Key // of UpstreamKey
	controlKey   grip.Key // of ControlKey
	controlToken string   // of ControlToken
	handshakes   handshakeLimits
}

// reservedFiles is how many descriptors are kept back from clients, beside one
// for each open request and for each loop's ring: listeners, loops, control
// connections, and the second descriptor that a connection has while it moves.
const reservedFiles = 128

// stringList is a flag that may be given several times, or once with commas.
// The first use replaces the default; an empty one leaves nothing.
type stringList struct {
	values *[]string
	given  bool
}

func (l *stringList) String() string {
	if l.values == nil {
		return ""
	}
	return strings.Join(*l.values, ",")
}

func (l *stringList) Set(s string) error {
	if !l.given {
		*l.values, l.given = nil, true
	}
	if s == "" {
		*l.values = nil
		return nil
	}
	for v := range strings.SplitSeq(s, ",") {
		*l.values = append(*l.values, strings.TrimSpace(v))
	}
	return nil
}

// appendTo makes a flag that may be given several times, whose values may have
// commas.
func appendTo(values *[]string) func(string) error {
	return func(s string) error {
		*values = append(*values, s)
		return nil
	}
}

// parseConfig reads flags, environment and file, and validates them.
func parseConfig(args []string, stderr io.Writer) (*Config, error) {
	c := &Config{Listen: []string{":7999"}, handshakes: usualHandshakes}
	fs := flag.NewFlagSet("edge", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprint(stderr, "edge holds the clients of a realtime HTTP API in front of its origin.\n\n"+
			"  edge -origin localhost:8080 -share-all\n\nFlags:\n")
		fs.PrintDefaults()
	}
	fs.Var(&stringList{values: &c.Listen}, "listen", "`address` for clients, host:port; may be given several times; empty for none, beside -listen-tls")
	fs.Var(&stringList{values: &c.ListenTLS}, "listen-tls", "`address` for clients who speak TLS; may be given several times")
	fs.Func("tls-cert", "PEM `file` with the certificate for -listen-tls, and the intermediate ones after it; may be given several times, the name that a client asks for chooses. Read again when it changes and on SIGHUP", appendTo(&c.TLSCert))
	fs.Func("tls-key", "PEM `file` with the key of the certificate; as many as -tls-cert, in the same order", appendTo(&c.TLSKey))
	fs.StringVar(&c.Control, "control", "127.0.0.1:5561", "`address` of the control endpoint (publish, metrics, health); without a -control-key or -control-token it asks nobody who he is, keep it private")
	fs.StringVar(&c.ControlKey, "control-key", "", "`key` of the signed tokens that publishers and operators must have: text, base64:..., or file:PATH, there a public key will do. Better by environment or file than on the command line")
	fs.StringVar(&c.ControlIss, "control-iss", "", "issuer of those tokens; none, any")
	fs.StringVar(&c.ControlToken, "control-token", "", "`token`, as it is or file:PATH, that will do for them too, as bearer token or as password. Better by environment or file than on the command line")
	fs.StringVar(&c.Origin, "origin", "", "`host[:port]` of the origin, port 80 unless given")
	fs.StringVar(&c.Routes, "routes", "", "`file` that says which origin answers which requests, as Pushpin's, in place of -origin; read again when it changes and on SIGHUP")
	fs.Func("route", "one `line` of such a file; may be given several times", appendTo(&c.Route))
	fs.BoolVar(&c.ShareAll, "share-all", false, "ask the origin once for all clients with equal GET requests, also while a hold for them is open")
	fs.IntVar(&c.MaxOpenRequests, "max-open-requests", 512, "`requests` open at the origin at a time, 1 to 10000; others wait in line. An eighth is kept for those that do not stream")
	fs.DurationVar(&c.OriginTimeout, "origin-timeout", time.Minute, "how long the origin may take to begin an answer, 1s to 1h")
	fs.IntVar(&c.Loops, "loops", min(runtime.NumCPU(), fanout.MaxShards), "event `loops`, 1 to 64; one a core is right")
	fs.BoolVar(&c.IOUring, "io-uring", true, "send what many clients get by few system calls, through io_uring; where the kernel does not allow that, by one write for each")
	fs.IntVar(&c.MaxConnections, "max-connections", 0, "client `connections` at a time; 0 for what the limit on open files leaves")
	fs.DurationVar(&c.HoldTimeout, "hold-timeout", grip.DefaultTimeout, "how long a request is held when the origin does not say, 5s to 24h")
	fs.DurationVar(&c.DrainDelay, "drain-delay", 0, "how long to go on as before when told to stop, while /healthz says 503, 0s to 10m: a load balancer needs it to notice")
	fs.DurationVar(&c.DrainSpread, "drain-spread", 5*time.Second, "over how long to let clients go who hold, so that they do not all come back at once, 0s to 10m; at most half of -drain-timeout is used")
	fs.DurationVar(&c.DrainTimeout, "drain-timeout", 10*time.Second, "how long to wait for clients then; who is left is cut off, 0s to 10m")
	c.Limits.flags(fs)
	fs.StringVar(&c.SigIss, "sig-iss", "marquee", "issuer in the signature of requests to the origin (Grip-Sig)")
	fs.StringVar(&c.UpstreamKey, "upstream-key", "", "`key` of the GRIP proxy in front of this one, whose signed requests pass as they are: text, base64:..., or file:PATH; none, nobody is trusted so")
	c.Forwarding.flags(fs)
	c.ZeroMQ.flags(fs)
	fs.BoolVar(&c.AutoCrossOrigin, "auto-cross-origin", false, "let pages of every origin read all answers (CORS, and JSON-P), as the route option aco does")
	fs.BoolVar(&c.Debug, "debug", false, "tell clients why the origin's answer could not be used, as the route option debug does")
	fs.StringVar(&c.SigKey, "sig-key", "", "`key` for that signature: text, base64:..., or file:PATH; none, no signature. Better by environment or file than on the command line")
	c.Bus.Flags(fs, "", "`URL` of the NATS server or cluster that connects this edge with others; none, it stands alone")
	fs.StringVar(&c.Name, "name", "", "the edge's name in the cluster; by default made of host and process")
	fs.StringVar(&c.Region, "region", "", "where the edge is, for the dashboard")
	fs.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&c.LogFormat, "log-format", "text", "text or json")
	fs.StringVar(&c.AccessLog, "access-log", "", "`file` for a line about each request that has ended, - for standard output; none, no lines. Opened again on SIGHUP")
	fs.Float64Var(&c.AccessLogSample, "access-log-sample", 1, "`share` of the requests that get a line, above 0 to 1")
	fs.BoolVar(&c.AccessLogQuery, "access-log-query", false, "write the queries of requests too, and so what tokens are in them")
	fs.BoolVar(&c.Version, "version", false, "print the version and exit")
	fs.String("config", "", "`file` with one \"flag value\" a line")
	err := ff.Parse(fs, args,
		ff.WithEnvVarPrefix("MARQUEE_EDGE"),
		ff.WithConfigFileFlag("config"),
		ff.WithConfigFileParser(ff.PlainParser))
	if err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: every setting is a flag, see edge -help", fs.Arg(0))
	}
	if c.Version {
		return c, nil
	}
	return c, c.validate()
}

// validate checks every value and completes those that depend on others. The
// messages name the flag and what it takes.
func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	between := func(name string, v, low, high time.Duration) {
		if v < low || v > high {
			bad("-%s is %v: it takes %v to %v", name, v, low, high)
		}
	}
	if len(c.Listen)+len(c.ListenTLS) == 0 {
		bad("-listen is empty: it takes host:port, unless there is a -listen-tls")
	}
	for _, address := range c.Listen {
		if err := checkAddress(address); err != nil {
			bad("-listen is %q: %w", address, err)
		}
	}
	for _, address := range c.ListenTLS {
		if err := checkAddress(address); err != nil {
			bad("-listen-tls is %q: %w", address, err)
		}
	}
	switch certs, keys := len(c.TLSCert), len(c.TLSKey); {
	case certs != keys:
		bad("-tls-cert is given for %d files and -tls-key for %d: each certificate needs its key", certs, keys)
	case len(c.ListenTLS) > 0 && certs == 0:
		bad("-listen-tls needs a certificate and its key: give -tls-cert and -tls-key")
	case len(c.ListenTLS) == 0 && certs > 0:
		bad("-tls-cert is %q, but there is no -listen-tls: nobody would be shown it", c.TLSCert[0])
	}
	if err := checkAddress(c.Control); err != nil {
		bad("-control is %q: %w", c.Control, err)
	}
	c.validateAccess(bad)
	c.Limits.validate(bad)
	switch named := c.Routes != "" || len(c.Route) > 0; {
	case named && c.Origin != "":
		bad("-origin and -routes or -route exclude each other: a route names its own origin")
	case !named:
		if origin, err := withPort(c.Origin); err != nil {
			bad("-origin is %q: %w", c.Origin, err)
		} else {
			c.Origin = origin
		}
	}
	if c.MaxOpenRequests < 1 || c.MaxOpenRequests > 10_000 {
		bad("-max-open-requests is %d: it takes 1 to 10000", c.MaxOpenRequests)
	}
	if c.Loops < 1 || c.Loops > fanout.MaxShards {
		bad("-loops is %d: it takes 1 to %d", c.Loops, fanout.MaxShards)
	}
	if c.MaxConnections < 0 || c.MaxConnections > 10_000_000 {
		bad("-max-connections is %d: it takes 0 to 10000000", c.MaxConnections)
	}
	between("origin-timeout", c.OriginTimeout, time.Second, time.Hour)
	between("hold-timeout", c.HoldTimeout, grip.MinTimeout, 24*time.Hour)
	between("drain-delay", c.DrainDelay, 0, 10*time.Minute)
	between("drain-spread", c.DrainSpread, 0, 10*time.Minute)
	between("drain-timeout", c.DrainTimeout, 0, 10*time.Minute)
	var err error
	if c.key, err = grip.ParseKey(c.SigKey); err != nil {
		bad("-sig-key: %w", err)
	}
	if c.upstreamKey, err = grip.ParseVerifyKey(c.UpstreamKey); err != nil {
		bad("-upstream-key: %w", err)
	}
	if f := c.ZeroMQ.StatsFormat; f != "tnetstring" && f != "json" {
		bad("-stats-format is %q: it takes tnetstring or json", f)
	}
	if c.SigKey != "" && c.SigIss == "" {
		bad("-sig-iss is empty: a signature needs an issuer")
	}
	if err := c.Bus.Validate(); err != nil {
		bad("%w", err)
	}
	if c.Name == "" {
		host, _ := os.Hostname()
		c.Name = fmt.Sprintf("edge-%s-%d", host, os.Getpid())
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		bad("-log-level is %q: it takes debug, info, warn or error", c.LogLevel)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		bad("-log-format is %q: it takes text or json", c.LogFormat)
	}
	if !(c.AccessLogSample > 0 && c.AccessLogSample <= 1) {
		bad("-access-log-sample is %v: it takes more than 0, up to 1", c.AccessLogSample)
	}
	if c.AccessLog == "" && (c.AccessLogSample != 1 || c.AccessLogQuery) {
		bad("-access-log-sample and -access-log-query need -access-log")
	}
	return errors.Join(errs...)
}

// validateAccess reads the key and the token of the control endpoint.
func (c *Config) validateAccess(bad func(format string, args ...any)) {
	var err error
	if c.controlKey, err = grip.ParseVerifyKey(c.ControlKey); err != nil {
		bad("-control-key: %w", err)
	}
	if c.ControlIss != "" && c.ControlKey == "" {
		bad("-control-iss is %q, but -control-key is empty: only what is signed has an issuer", c.ControlIss)
	}
	if c.controlToken, err = readToken(c.ControlToken); err != nil {
		bad("-control-token: %w", err)
	}
}

// keyPairs returns the files of the certificates and their keys.
func (c *Config) certFiles() []certFiles {
	pairs := make([]certFiles, len(c.TLSCert))
	for i := range pairs {
		pairs[i] = certFiles{c.TLSCert[i], c.TLSKey[i]}
	}
	return pairs
}

// checkAddress reports what is wrong with an address to listen on.
func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("it takes host:port, or :port for every address of this machine")
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("port %q: it takes 0 to 65535", port)
	}
	return nil
}

// withPort completes host[:port] with port 80.
func withPort(origin string) (string, error) {
	if origin == "" {
		return "", errors.New("it takes the host[:port] of the service to put the edge in front of")
	}
	if strings.Contains(origin, "/") {
		return "", errors.New("it takes host[:port], without a scheme or a path")
	}
	host, port, err := net.SplitHostPort(origin)
	if err != nil {
		host, port = strings.Trim(origin, "[]"), "80"
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", errors.New("it takes host[:port]")
		}
	}
	if n, err := net.LookupPort("tcp", port); host == "" || n == 0 || err != nil {
		return "", errors.New("it takes host[:port] with a port of 1 to 65535")
	}
	return net.JoinHostPort(host, port), nil
}

// connections returns how many clients to admit, and a warning when the limit
// on open files is too low for what was asked for.
func (c *Config) connections() (limit int, warning string) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return max(c.MaxConnections, 1), "cannot read the limit on open files: " + err.Error()
	}
	room := int(min(files.Cur, 1<<30)) - c.MaxOpenRequests - c.Loops - reservedFiles
	if c.MaxConnections == 0 {
		return max(room, 1), ""
	}
	if c.MaxConnections > room {
		return c.MaxConnections, fmt.Sprintf(
			"%d files may be open: room for %d connections, not for the %d of -max-connections; raise LimitNOFILE or ulimit -n",
			files.Cur, max(room, 0), c.MaxConnections)
	}
	return c.MaxConnections, ""
}

// newLogger makes the process's logger.
func newLogger(c *Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // validated
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
