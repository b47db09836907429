package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"marquee/grip"
)

// Where Debian's package keeps what a private copy is made of.
const (
	pushpinConfig = "/usr/share/pushpin/pushpin.conf.condure"
	pushpinLib    = "/usr/lib/pushpin"
)

// pushpinPace is how many clients a second Pushpin is given: of 1,000 that came at
// once many got 502.
const pushpinPace = 1000

// probeTimeout is how long a poll may take that shows that Pushpin is ready. A poll
// that came too early may be lost.
const probeTimeout = time.Second

// pushpinRates are the settings that limit how fast Pushpin delivers, and what it
// writes of it, with their values in a race that is to be fair.
var pushpinRates = [][2]string{
	{"message_rate", "100000000"}, // deliveries a second
	{"message_hwm", "100000000"},  // deliveries that wait for their turn
	{"log_level", "1"},            // no line for each request
}

// zurlLimits are the settings that limit how much Pushpin asks the feed at a time,
// likewise.
var zurlLimits = [][2]string{
	{"max_open_requests", "50000"},
	{"in_hwm", "100000"}, // messages that wait between the processes
	{"out_hwm", "100000"},
}

// pushpinContender is Pushpin, of the package, in front of the feed. Tuned, it has no
// limit on the rate of deliveries; otherwise it is as shipped, but for what makes it
// possible to run it apart.
func pushpinContender(name string, tuned bool) *contender {
	return &contender{
		name: name, polls: true, streams: true, tls: true, each: true, maxBody: 64 << 10, pace: pushpinPace,
		find: func() (string, []string, error) {
			for _, program := range []string{"pushpin", "zurl"} {
				if _, err := exec.LookPath(program); err != nil {
					return "", nil, missing(program, "make bench-setup, or Debian's pushpin and zurl")
				}
			}
			version, err := firstLine("pushpin", "--version")
			settings := []string{fmt.Sprintf("clients come and poll again at most %d a second", pushpinPace), "zurl: deny empty"}
			if tuned {
				for _, rate := range pushpinRates {
					settings = append(settings, strings.Join(rate[:], "="))
				}
				for _, limit := range zurlLimits {
					settings = append(settings, "zurl: "+strings.Join(limit[:], "="))
				}
			}
			return strings.TrimPrefix(version, "pushpin "), settings, err
		},
		start: func(ctx context.Context, stderr io.Writer, a arena) (*entrant, error) {
			return startPushpin(ctx, stderr, a, tuned)
		},
	}
}

func startPushpin(ctx context.Context, stderr io.Writer, a arena, tuned bool) (*entrant, error) {
	e, err := newEntrant(speaksHeadline)
	if err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(3) // for clients, for publishers, and for clients by TLS
	if err != nil {
		return e.abandon(err)
	}
	if err := e.configurePushpin(addrs, a, tuned); err != nil {
		return e.abandon(fmt.Errorf("write the configuration of pushpin: %w", err))
	}
	e.process, err = start(stderr, program{path: "pushpin", args: []string{"--config", e.file("pushpin.conf")}})
	if err != nil {
		return e.abandon(err)
	}
	secure := ""
	if a.cert != nil {
		secure = addrs[2]
	}
	e.askFeed(addrs[0], secure)
	control := "http://" + addrs[1] + "/publish/"
	e.publishGRIP(control)
	if err := e.awaitHold(ctx, control); err != nil {
		return e.abandon(err)
	}
	return e, nil
}

// configurePushpin makes the entrant's directory a private copy of what the package
// has: all files of a running Pushpin are in it, and zurl may ask the loopback.
func (e *entrant) configurePushpin(addrs []string, a arena, tuned bool) error {
	_, controlPort, err := net.SplitHostPort(addrs[1])
	if err != nil {
		return err
	}
	for _, dir := range []string{"run", "log", "lib/runner", "runner/certs"} {
		if err := os.MkdirAll(e.file(dir), 0o700); err != nil {
			return err
		}
	}
	settings := []string{
		`(?m)^rundir=.*`, "rundir=" + e.file("run") + "\nlibdir=" + e.file("lib"),
		`(?m)^logdir=.*`, "logdir=" + e.file("log"),
		`(?m)^services=.*`, "services=condure,zurl,pushpin-proxy,pushpin-handler",
		`(?m)^http_port=.*`, "http_port=" + addrs[0],
		`(?m)^push_in_http_port=.*`, "push_in_http_port=" + controlPort,
		`tcp://127\.0\.0\.1:556`, "ipc://" + e.file("run") + "/spec-",
	}
	zurl := []string{`(?m)^deny=.*`, "deny="}
	if tuned {
		for _, rate := range pushpinRates {
			settings = append(settings, `(?m)^`+rate[0]+`=.*`, strings.Join(rate[:], "="))
		}
		for _, limit := range zurlLimits {
			zurl = append(zurl, `(?m)^`+limit[0]+`=.*`, strings.Join(limit[:], "="))
		}
	}
	if a.cert != nil {
		_, port, err := net.SplitHostPort(addrs[2])
		if err != nil {
			return err
		}
		settings = append(settings, `(?m)^#https_ports=.*`, "https_ports="+addrs[2])
		for from, suffix := range map[string]string{a.cert.cert: ".crt", a.cert.key: ".key"} {
			if err := edit(from, e.file("runner/certs/default_"+port+suffix)); err != nil {
				return err
			}
		}
	}
	return errors.Join(
		os.WriteFile(e.file("routes"), []byte("* "+a.feed.addr+"\n"), 0o600),
		edit(pushpinConfig, e.file("pushpin.conf"), settings...),
		edit(pushpinLib+"/internal.conf", e.file("lib/internal.conf"),
			`ipc:///var/run/zurl/zurl-`, "ipc://{rundir}/{ipc_prefix}zurl-"),
		edit(pushpinLib+"/runner/zurl.conf.template", e.file("lib/runner/zurl.conf.template"), zurl...),
	)
}

// edit copies a file with each expression replaced, which are in pairs with their
// replacements; one that matches nothing is an error, for then the file is not the
// one that this was written for.
func edit(from, to string, replacements ...string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	text := string(data)
	for i := 0; i < len(replacements); i += 2 {
		expression := regexp.MustCompile(replacements[i])
		if !expression.MatchString(text) {
			return fmt.Errorf("%s has no %s", from, replacements[i])
		}
		text = expression.ReplaceAllLiteralString(text, replacements[i+1])
	}
	return os.WriteFile(to, []byte(text), 0o600)
}

// awaitHold returns when a poll that the entrant has held is answered by what is
// published to control: its processes have found one another then. There must be no
// headline yet.
func (e *entrant) awaitHold(ctx context.Context, control string) error {
	const channel = "probe"
	ctx, cancel := context.WithCancel(ctx)
	answeredCh := make(chan struct{})
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	asking.Go(func() {
		for ctx.Err() == nil {
			if e.held(ctx, e.pollURL(channel)+"?last_id=0") {
				close(answeredCh)
				return
			}
		}
	})
	item := grip.AppendItems(nil, []grip.Item{{Channel: channel, HTTPResponse: &grip.HTTPResponse{}}})
	return e.await(ctx, func(ctx context.Context) (bool, error) {
		select {
		case <-answeredCh:
			return true, nil
		default:
			_, _ = e.post(ctx, control, gripHeader, item) // in vain until somebody listens there
			return false, nil
		}
	})
}

// held reports whether a poll of url is answered, within probeTimeout.
func (e *entrant) held(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := e.client.Do(r)
	if err != nil {
		// Refused, or held by a process that has not found the next: in either case it
		// is too early for some milliseconds yet.
		select {
		case <-time.After(answerEvery):
		case <-ctx.Done():
		}
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
