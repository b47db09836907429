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
	"slices"
	"strings"
	"sync"
	"time"

	"marquee/grip"
	"marquee/pushpin"
)

// pushpinPace is how many clients a second Pushpin is given: of 1,000 that came at
// once many got 502.
const pushpinPace = 1000

// probeTimeout is how long a poll may take that shows that Pushpin is ready. A poll
// that came too early may be lost.
const probeTimeout = time.Second

// pushpinRates are the settings that limit how fast Pushpin delivers, and what it
// writes of it, with their values in a race that is to be fair.
var pushpinRates = []string{
	"message_rate=100000000", // deliveries a second
	"message_hwm=100000000",  // deliveries that wait for their turn
	"log_level=1",            // no line for each request
}

// zurlLimits are the settings that limit how much Pushpin asks the feed at a time,
// likewise.
var zurlLimits = []string{
	"max_open_requests=50000",
	"in_hwm=100000", // messages that wait between the processes
	"out_hwm=100000",
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
				settings = append(settings, pushpinRates...)
				for _, limit := range zurlLimits {
					settings = append(settings, "zurl: "+limit)
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
	config, err := e.configurePushpin(addrs, a, tuned)
	if err != nil {
		return e.abandon(fmt.Errorf("write the configuration of pushpin: %w", err))
	}
	e.process, err = start(stderr, program{path: "pushpin", args: []string{"--config", config}})
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
// has, and returns the configuration's file.
func (e *entrant) configurePushpin(addrs []string, a arena, tuned bool) (string, error) {
	c := pushpin.Copy{Dir: e.dir, Clients: addrs[0], Publishers: addrs[1]}
	if tuned {
		c.Settings, c.Zurl = slices.Clone(pushpinRates), zurlLimits
	}
	if a.cert != nil {
		c.Settings = append(c.Settings, "https_ports="+addrs[2])
		if err := e.copyCertificate(a.cert, addrs[2]); err != nil {
			return "", err
		}
	}
	routes := os.WriteFile(e.file("routes"), []byte("* "+a.feed.addr+"\n"), 0o600)
	return c.File(), errors.Join(routes, c.Write())
}

// copyCertificate puts a certificate where Pushpin looks for the one of an address.
func (e *entrant) copyCertificate(c *certificate, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(e.file("runner/certs"), 0o700); err != nil {
		return err
	}
	for from, suffix := range map[string]string{c.cert: ".crt", c.key: ".key"} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(e.file("runner/certs/default_"+port+suffix), text, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
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
