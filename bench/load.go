package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A loadResult is what loadclient -json writes: times in milliseconds, from the
// first byte of the request that changes the headline.
type loadResult struct {
	Changes []loadChange `json:"changes"`
	// Quantiles are the times of all deliveries but those of the first change, at 0,
	// 1, ... 100 percent.
	Quantiles []float64 `json:"quantiles_ms"`
	// ConnectSeconds is the time from the first connect to the last client's first
	// answer.
	ConnectSeconds float64        `json:"connect_seconds"`
	Overall        loadSpread     `json:"overall"`
	Streams        loadStreams    `json:"streams"` // with -stream
	Errors         map[string]int `json:"errors"`
	OK             bool           `json:"ok"`
}

// A loadSpread is how long deliveries took.
type loadSpread struct {
	Min float64 `json:"min_ms"`
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// loadStreams is what came on streams that was not to.
type loadStreams struct {
	Gaps           int     `json:"gaps"`
	Repeats        int     `json:"repeats"`
	Reorders       int     `json:"reorders"`
	PostingSeconds float64 `json:"posting_seconds"`
}

// A loadChange is how one change reached the clients.
type loadChange struct {
	ID         int `json:"id"`
	Recipients int `json:"recipients"`
	Received   int `json:"received"`
	// Start is when it was made, in ms since the first one.
	Start float64 `json:"start_ms"`
	loadSpread
}

// missed is how many deliveries there should have been and were not.
func (r loadResult) missed() int {
	n := 0
	for _, c := range r.Changes {
		n += c.Recipients - c.Received
	}
	return n
}

// startLoad starts a load client. Its complaints go to stderr.
func startLoad(stdout, stderr io.Writer, args ...string) (*process, error) {
	path, err := binary("loadclient")
	if err != nil {
		return nil, err
	}
	return start(stderr, program{path: path, args: args, stdout: stdout})
}

// runLoad returns when the load client is done, with an error if it was not
// content.
func runLoad(ctx context.Context, stdout, stderr io.Writer, args ...string) error {
	p, err := startLoad(stdout, stderr, args...)
	if err != nil {
		return err
	}
	return p.wait(ctx)
}

// A measuredLoad is a load client that runs, and writes a result in the end.
type measuredLoad struct {
	process *process
	dir     string // of the result
}

// startMeasuredLoad is startLoad without the show, for the result.
func startMeasuredLoad(stderr io.Writer, args ...string) (*measuredLoad, error) {
	dir, err := os.MkdirTemp("", "marquee-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the load client's result: %w", err)
	}
	l := &measuredLoad{dir: dir}
	if l.process, err = startLoad(io.Discard, stderr, append(args, "-json", l.file())...); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return l, nil
}

func (l *measuredLoad) file() string { return filepath.Join(l.dir, "load.json") }

// result returns when the load client is done. There may be a result beside an
// error, which then says why the load client was not content with it; otherwise it
// has no changes.
func (l *measuredLoad) result(ctx context.Context) (result loadResult, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	complaint := l.process.wait(ctx)
	if context.Cause(ctx) != nil {
		return result, complaint
	}
	text, err := os.ReadFile(l.file())
	if err != nil {
		return result, errors.Join(complaint, fmt.Errorf("read the load client's result: %w", err))
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return loadResult{}, errors.Join(complaint, fmt.Errorf("parse the load client's result: %w", err))
	}
	return result, complaint
}

// measureLoad starts a load client and returns its result.
func measureLoad(ctx context.Context, stderr io.Writer, args ...string) (loadResult, error) {
	l, err := startMeasuredLoad(stderr, args...)
	if err != nil {
		return loadResult{}, err
	}
	return l.result(ctx)
}
