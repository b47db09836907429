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
	Changes []loadChange   `json:"changes"`
	Errors  map[string]int `json:"errors"`
	OK      bool           `json:"ok"`
}

// A loadChange is how one change reached the clients.
type loadChange struct {
	ID         int     `json:"id"`
	Recipients int     `json:"recipients"`
	Received   int     `json:"received"`
	P50        float64 `json:"p50_ms"`
	Max        float64 `json:"max_ms"`
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

// measureLoad is runLoad without the show, for the result.
func measureLoad(ctx context.Context, stderr io.Writer, args ...string) (result loadResult, err error) {
	dir, err := os.MkdirTemp("", "marquee-")
	if err != nil {
		return result, fmt.Errorf("make a directory for the load client's result: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "load.json")
	if err := runLoad(ctx, io.Discard, stderr, append(args, "-json", file)...); err != nil {
		return result, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return result, fmt.Errorf("read the load client's result: %w", err)
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return result, fmt.Errorf("parse the load client's result: %w", err)
	}
	return result, nil
}
