package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// held is a load client whose streams are held and which sends nothing.
type held struct {
	load   *process
	lineCh chan string // what it says, a line at a time
}

// hold has n streams held at url, and returns when all are. The caller stops the
// load client.
func hold(ctx context.Context, stderr io.Writer, url string, n int) (*held, error) {
	lines := newLines()
	load, err := startLoad(lines, stderr, "-stream", "-c", strconv.Itoa(n), "-url", url, "-rate", "20000")
	if err != nil {
		return nil, err
	}
	h := &held{load, lines.ch}
	_, err = h.await(ctx, fmt.Sprintf("%d clients connected in ", n))
	if err != nil {
		return nil, errors.Join(err, load.stop())
	}
	return h, nil
}

// await returns the first line that has text in it.
func (h *held) await(ctx context.Context, text string) (string, error) {
	timeout := time.NewTimer(awaitTimeout)
	defer timeout.Stop()
	for {
		select {
		case line := <-h.lineCh:
			if strings.Contains(line, text) {
				return line, nil
			}
		case <-h.load.doneCh:
			return "", h.load.failure("ended too early")
		case <-timeout.C:
			return "", fmt.Errorf("waited %v in vain for the load client to say %q", awaitTimeout, text)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// keepAlives waits until the load client counts its keep-alives, and returns the
// count, and the CPU time that the edge has used by then.
func (h *held) keepAlives(ctx context.Context, edge *process) (count int, used time.Duration, err error) {
	const name = " keep-alives="
	line, err := h.await(ctx, name)
	if err != nil {
		return 0, 0, err
	}
	if used, err = edge.cpuTime(); err != nil {
		return 0, 0, err
	}
	_, value, _ := strings.Cut(line, name)
	return leadingInt([]byte(value)), used, nil
}
