package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// gripHeader is the header of a publish by GRIP.
var gripHeader = http.Header{"Content-Type": {"application/json"}}

// marqueeContender is the edge in dir, in front of the feed, with so many event loops
// and with those flags.
func marqueeContender(name, dir string, loops int, flags ...string) *contender {
	path := filepath.Join(dir, "edge")
	flags = append([]string{"-share-all", "-loops", strconv.Itoa(loops)}, flags...)
	return &contender{
		name: name, polls: true, streams: true, tls: true, each: true, maxBody: 64 << 10,
		find: func() (string, []string, error) {
			if _, err := exec.LookPath(path); errors.Is(err, fs.ErrNotExist) {
				return "", nil, missing(path, "make build")
			}
			version, err := firstLine(path, "-version")
			return version, []string{strings.Join(flags, " ")}, err
		},
		start: func(ctx context.Context, stderr io.Writer, a arena) (*entrant, error) {
			e, err := newEntrant(speaksHeadline)
			if err != nil {
				return nil, err
			}
			args := append([]string{
				"-origin", a.feed.addr, "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-log-format", "json",
			}, flags...)
			if a.cert != nil {
				args = append(args, "-listen-tls", "127.0.0.1:0", "-tls-cert", a.cert.cert, "-tls-key", a.cert.key)
			}
			var addrs ready
			if e.process, addrs, err = startServer(ctx, childLog(stderr), program{path: path, args: args}); err != nil {
				return e.abandon(err)
			}
			e.askFeed(addrs.Listen, addrs.ListenTLS)
			e.publishGRIP("http://" + addrs.Control + "/publish/")
			return e, nil
		},
	}
}

// askFeed says that the entrant, a GRIP proxy in front of the feed, has the feed's
// paths at this address and, unless it is empty, at that by TLS.
func (e *entrant) askFeed(addr, addrTLS string) {
	e.pollURL = at("http://" + addr + "/poll/")
	e.streamURL = at("http://" + addr + "/events/")
	if addrTLS != "" {
		e.secureURL = at("https://" + addrTLS + "/events/")
	}
}

// publishGRIP says that the entrant takes items at this address.
func (e *entrant) publishGRIP(to string) {
	e.publish = func(ctx context.Context, channel string, b *bulletin) error {
		_, err := e.post(ctx, to, gripHeader, b.item(channel))
		return err
	}
}
