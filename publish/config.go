package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"marquee/grip"
)

// defaultSpec is where an edge listens for publishers unless told otherwise.
const defaultSpec = "http://localhost:5561"

const usageText = `publish sends one item to a channel.

  publish [flags] CHANNEL [CONTENT]

CONTENT is text, @FILE for what a file has, or - for what comes on stdin. It is
the body for long polls, what is appended to streams, and a WebSocket message.
Flags may come after the arguments; what begins with - and is none follows --.

  publish news 'Flight 123 arriving in terminal A.'
  publish -id 8 -prev-id 7 -H 'Content-Type: application/json' news @news.json
  GRIP_URL='https://edge.example/?iss=app&key=file:edge.pem' publish -receipt news -

Flags:
`

// config is what the flags, the arguments and the environment say.
type config struct {
	channel    string
	content    string // as on the command line
	hasContent bool

	id, prevID string
	noSeq      bool
	code       int
	header     grip.Header
	meta       grip.Meta
	action     grip.Action // Send, Hint or Close
	patch      bool
	noEOL      bool

	endpoints []*grip.Endpoint
	receipt   bool
	version   bool
}

// credentials are what a publish shows instead of what its URL says.
type credentials struct {
	user, token, tokenFile string
	insecure               bool
}

// parseConfig reads the command line, and GRIP_URL where it has no -spec. Help
// goes to stdout.
func parseConfig(args []string, stdout io.Writer, getenv func(string) string) (*config, error) {
	cfg := &config{}
	var specs []string
	var auth credentials
	var hint, closing bool
	var sender string
	fs := flag.NewFlagSet("publish", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are printed once, by main
	fs.StringVar(&cfg.id, "id", "", "`ID` of the item: the state of the channel after it")
	fs.StringVar(&cfg.prevID, "prev-id", "", "`ID` of the item before: the item waits for it")
	fs.StringVar(&sender, "sender", "", "`NAME` of the meta variable sender, for the filter skip-self")
	fs.IntVar(&cfg.code, "code", 200, "status `code` of the answer to long polls, 0 to 999")
	both(fs, "header", "H", "\"`NAME: VALUE`\" to add to the answer to long polls; repeatable", func(s string) error {
		name, value, ok := strings.Cut(s, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return errors.New("a header is given as NAME: VALUE")
		}
		cfg.header = append(cfg.header, grip.Field{Name: name, Value: strings.TrimSpace(value)})
		return nil
	})
	both(fs, "meta", "M", "`NAME=VALUE` of a meta variable, for filters; repeatable", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return errors.New("a meta variable is given as NAME=VALUE")
		}
		cfg.meta = cfg.meta.With(name, value)
		return nil
	})
	fs.BoolVar(&hint, "hint", false, "send no content: have the edge ask the origin")
	fs.BoolVar(&closing, "close", false, "send no content: end streams and WebSocket connections")
	fs.BoolVar(&cfg.patch, "patch", false, "the content is a JSON Patch (RFC 6902) for the held answers of long polls")
	fs.BoolVar(&cfg.noSeq, "no-seq", false, "do not wait for the item before")
	fs.BoolVar(&cfg.noEOL, "no-eol", false, "add no line end to content from the command line that goes to long polls and streams")
	fs.Func("spec", "control `URL` of an edge; repeatable, or several with commas\n(default: the environment's GRIP_URL, or else "+defaultSpec+")", func(s string) error {
		specs = append(specs, splitSpecs(s)...)
		return nil
	})
	both(fs, "user", "u", "`USER:PASSWORD` to show. Better in GRIP_URL than on the command line", store(&auth.user))
	fs.Func("B", "bearer `token` to show. Better in a file than on the command line", store(&auth.token))
	fs.StringVar(&auth.tokenFile, "token-file", "", "`file` with a bearer token to show")
	fs.BoolVar(&auth.insecure, "insecure-auth", false, "show a password or token to other machines without TLS, too")
	fs.BoolVar(&cfg.receipt, "receipt", false, "print what became of the item")
	fs.BoolVar(&cfg.version, "version", false, "print the version and exit")
	fs.BoolVar(&cfg.version, "V", false, "the same as -version")
	arguments, err := parseMixed(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usageText)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
	}
	if err != nil || cfg.version {
		return cfg, err
	}
	if sender != "" && cfg.meta.Get("sender") == "" {
		cfg.meta = cfg.meta.With("sender", sender)
	}
	if err := cfg.setArguments(arguments); err != nil {
		return nil, err
	}
	if err := cfg.setAction(hint, closing); err != nil {
		return nil, err
	}
	if cfg.code < 0 || cfg.code > 999 {
		return nil, fmt.Errorf("-code is %d: it takes 0 to 999", cfg.code)
	}
	if len(specs) == 0 {
		specs = splitSpecs(getenv("GRIP_URL"))
	}
	if len(specs) == 0 {
		specs = []string{defaultSpec}
	}
	return cfg, cfg.setEndpoints(specs, auth)
}

// both defines a flag with a long and a short name.
func both(fs *flag.FlagSet, long, short, usage string, set func(string) error) {
	fs.Func(long, usage, set)
	fs.Func(short, "the same as -"+long, set)
}

// store returns what sets a flag without showing its value in the help.
func store(to *string) func(string) error {
	return func(s string) error {
		*to = s
		return nil
	}
}

// parseMixed parses flags that come before, between and after the arguments. All
// that follows -- is an argument.
func parseMixed(fs *flag.FlagSet, args []string) (arguments []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		rest := fs.Args()
		if len(rest) == 0 {
			return arguments, nil
		}
		if read := len(args) - len(rest); read > 0 && args[read-1] == "--" {
			return append(arguments, rest...), nil
		}
		arguments, args = append(arguments, rest[0]), rest[1:]
	}
}

// splitSpecs splits at commas before which a URL ends and after which one begins.
func splitSpecs(s string) []string {
	var specs []string
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		switch {
		case part == "":
		case len(specs) > 0 && !strings.Contains(part, "://"):
			specs[len(specs)-1] += "," + part
		default:
			specs = append(specs, part)
		}
	}
	return specs
}

func (c *config) setArguments(arguments []string) error {
	switch len(arguments) {
	case 0:
		return errors.New("no channel: publish CHANNEL CONTENT (publish -help lists the flags)")
	case 1:
	case 2:
		c.content, c.hasContent = arguments[1], true
	default:
		return fmt.Errorf("unexpected argument %q: content of several words is one argument, in quotes", arguments[2])
	}
	c.channel = arguments[0]
	texts := []string{c.channel, c.id, c.prevID}
	for _, f := range c.header {
		texts = append(texts, f.Name, f.Value)
	}
	for _, f := range c.meta {
		texts = append(texts, f.Name, f.Value)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%q is not UTF-8: only content may be anything", text)
		}
	}
	return nil
}

func (c *config) setAction(hint, closing bool) error {
	switch {
	case hint && closing:
		return errors.New("-hint and -close: which one?")
	case hint:
		c.action = grip.Hint
	case closing:
		c.action = grip.Close
	case !c.hasContent:
		return errors.New("no content: publish CHANNEL CONTENT, or -hint, or -close")
	}
	if c.patch && c.action != grip.Send {
		return errors.New("-patch is about content, which -hint and -close do not send")
	}
	return nil
}

// setEndpoints parses the control URLs. None is told twice.
func (c *config) setEndpoints(specs []string, auth credentials) error {
	value, err := auth.field()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, spec := range specs {
		if scheme, _, ok := strings.Cut(spec, "://"); ok && (scheme == "tcp" || scheme == "ipc") {
			return fmt.Errorf("-spec %s is for ZeroMQ: publish speaks HTTP, name the control URL, such as %s", spec, defaultSpec)
		}
		ep, err := grip.ParseEndpoint(spec)
		if err != nil {
			return fmt.Errorf("-spec or GRIP_URL: %w", err)
		}
		if value != "" {
			ep = ep.WithAuth(value)
		}
		if ep.ShowsSecret() && !auth.insecure && !isPrivate(ep.PublishURL) {
			return fmt.Errorf("%s is another machine, without TLS: a password or token could be read on the way; "+
				"use https, or a key with an iss in the URL, or -insecure-auth in a network that you trust", ep.Name)
		}
		if !seen[ep.PublishURL] {
			seen[ep.PublishURL] = true
			c.endpoints = append(c.endpoints, ep)
		}
	}
	return nil
}

// field returns the Authorization that the flags ask for, "" when they do not.
func (a credentials) field() (string, error) {
	given := 0
	for _, s := range []string{a.user, a.token, a.tokenFile} {
		if s != "" {
			given++
		}
	}
	if given > 1 {
		return "", errors.New("of -user, -B and -token-file only one can be shown")
	}
	switch {
	case a.user != "":
		user, password, ok := strings.Cut(a.user, ":")
		if !ok {
			return "", errors.New("-user takes USER:PASSWORD")
		}
		return grip.BasicAuth(user, password), nil
	case a.token != "":
		return grip.BearerAuth(a.token), nil
	case a.tokenFile != "":
		text, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return "", fmt.Errorf("-token-file: %w", err)
		}
		token := strings.TrimSpace(string(text))
		if token == "" || strings.ContainsAny(token, "\r\n") {
			return "", fmt.Errorf("-token-file: %s does not have one line with a token", a.tokenFile)
		}
		return grip.BearerAuth(token), nil
	}
	return "", nil
}

// isPrivate reports whether nobody on the way can read what is sent to a URL.
func isPrivate(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
