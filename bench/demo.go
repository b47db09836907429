package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
)

// headline is the first value that we set.
const headline = "Flight 123 arriving in terminal A."

// maxClients is the most that one load client is good for.
const maxClients = 20000

// demoCommand is "bench demo", which make demo runs.
func demoCommand(stdout, stderr io.Writer) *ffcli.Command {
	var clients, changes int
	var every time.Duration
	return subcommand(stderr, "demo", "hold clients on one edge and change the headline for them",
		func(set *flag.FlagSet) {
			set.IntVar(&clients, "c", 5000, "number of `clients`, 1 to 20000")
			set.IntVar(&changes, "changes", 3, "number of headline `changes`, 1 to 1000")
			set.DurationVar(&every, "every", 4*time.Second, "`time` between changes, at least 100ms")
		},
		func(ctx context.Context) error {
			if err := inRange("c", clients, 1, maxClients); err != nil {
				return err
			}
			if err := inRange("changes", changes, 1, 1000); err != nil {
				return err
			}
			if every < 100*time.Millisecond {
				return fmt.Errorf("-every %v: must be at least 100ms", every)
			}
			return demo(ctx, stdout, stderr, clients, changes, every)
		})
}

// demo fails if any client missed a headline.
func demo(ctx context.Context, stdout, stderr io.Writer, clients, changes int, every time.Duration) (err error) {
	s, err := startStack(ctx, childLog(stderr), anywhere)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ctx, cancel := until(ctx, s.edge, s.origin)
	defer cancel()
	fmt.Fprintf(stdout, "origin at %s, edge at %s, %d clients\n", s.originURL, s.edgeURL, clients)
	return runLoad(ctx, stdout, stderr,
		"-c", strconv.Itoa(clients), "-url", s.edgeURL,
		"-post", s.originURL, "-changes", strconv.Itoa(changes), "-every", every.String())
}

// usual is where make run puts the stack if nothing else is there.
var usual = stackConfig{edge: "127.0.0.1:7999", control: "127.0.0.1:5561", origin: "127.0.0.1:8080"}

// runCommand is "bench run", which make run runs.
func runCommand(stdout, stderr io.Writer) *ffcli.Command {
	var clients int
	return subcommand(stderr, "run", "hold clients on one edge until Ctrl-C, for you to change the headline",
		func(set *flag.FlagSet) {
			set.IntVar(&clients, "c", 5000, "number of `clients`, 1 to 20000")
		},
		func(ctx context.Context) error {
			if err := inRange("c", clients, 1, maxClients); err != nil {
				return err
			}
			return stayUp(ctx, stdout, stderr, clients)
		})
}

// stayUp runs a stack and its load until ctx ends, which is not an error.
func stayUp(ctx context.Context, stdout, stderr io.Writer, clients int) (err error) {
	s, err := startStack(ctx, childLog(stderr), usual)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := postHeadline(ctx, http.DefaultClient, s.originURL, headline); err != nil {
		return err
	}
	fmt.Fprintf(stdout, `The edge is at %[1]s, its control endpoint at %[2]s.
In another terminal, read the headline, wait for the next, and change it:

  curl %[1]s
  curl '%[1]s?last_id=1' &
  curl -d 'body=Flight 123 arriving in terminal B.' %[3]s

Each change shows below as it reaches the %[4]s clients. Ctrl-C stops everything.

`, s.edgeURL, s.control, s.originURL, thousands(clients))
	up, cancel := until(ctx, s.edge, s.origin)
	defer cancel()
	err = runLoad(up, stdout, stderr, "-c", strconv.Itoa(clients), "-url", s.edgeURL)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// postHeadline changes the headline once.
func postHeadline(ctx context.Context, client *http.Client, to, text string) error {
	form := url.Values{"body": {text}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form))
	if err != nil {
		return fmt.Errorf("post a headline: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("post a headline: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return fmt.Errorf("post a headline: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("post a headline: %s: %s", resp.Status, answer)
	}
	return nil
}
