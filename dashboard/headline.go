package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"marquee/bus"
)

const (
	// originTimeout bounds one question to the origin.
	originTimeout = 10 * time.Second
	// headlineRetry is between two looks for the first headline.
	headlineRetry = time.Second
	// maxAnswer bounds the origin's answer, a headline in JSON.
	maxAnswer = 1 << 20
)

// errNoOrigin is the error of a change while no origin is there.
var errNoOrigin = errors.New("no origin has announced itself")

// A refusal is what the origin said instead of changing the headline.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("origin answers %d: %s", r.status, r.text)
}

// newOriginClient returns the client that asks the origin. It connects anew each
// time: changes are rare, and none may be lost to a connection that has died
// since the last one.
func newOriginClient() *http.Client {
	return &http.Client{
		Timeout:       originTimeout,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// sendHeadline makes body the headline and returns it with its id. A *refusal is
// the origin's own no. One headline is sent at a time. Whoever asked may leave:
// a change that the origin may have made is followed to the end.
func (d *dashboard) sendHeadline(ctx context.Context, body string) (headline, error) {
	d.sending.Lock()
	defer d.sending.Unlock()
	d.mu.Lock()
	origin := d.roster.origin()
	if origin == nil {
		d.mu.Unlock()
		return headline{}, errNoOrigin
	}
	name, address := origin.Name, origin.Addresses[apiAddress]
	d.deliveries.trigger(body, time.Now()) // S
	d.mu.Unlock()

	h, err := d.postHeadline(context.WithoutCancel(ctx), address, body)

	d.mu.Lock()
	if err != nil {
		d.deliveries.failed()
	} else {
		d.deliveries.made(h)
	}
	d.mu.Unlock()
	d.rearrange() // there may have been none before
	if err != nil {
		return headline{}, fmt.Errorf("send headline to %s at %s: %w", name, address, err)
	}
	return h, nil
}

func (d *dashboard) postHeadline(ctx context.Context, address, body string) (headline, error) {
	form := strings.NewReader(url.Values{"body": {body}}.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, form)
	if err != nil {
		return headline{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return d.askOrigin(r)
}

// readHeadline asks a new origin for its headline until there is one, the origin
// has left, or ctx ends.
func (d *dashboard) readHeadline(ctx context.Context, origin bus.Node) {
	complaint := ""
	for {
		asked := time.Now()
		h, err := d.getHeadline(ctx, origin.Addresses[apiAddress])
		var no *refusal
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			d.mu.Lock()
			d.deliveries.found(h, asked)
			d.mu.Unlock()
			d.rearrange()
			return
		case errors.As(err, &no) && no.status == http.StatusNotFound:
			err = errors.New("there is none yet: send one")
		}
		if err.Error() != complaint {
			complaint = err.Error()
			d.log.Warn("clients wait for a headline", "origin", origin.Name, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(headlineRetry):
		}
		d.mu.Lock()
		now := d.roster.origin()
		known := d.deliveries.newest.ID > 0
		gone := now == nil || now.Instance != origin.Instance
		d.mu.Unlock()
		if gone || known {
			return
		}
	}
}

func (d *dashboard) getHeadline(ctx context.Context, address string) (headline, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return headline{}, err
	}
	return d.askOrigin(r)
}

func (d *dashboard) askOrigin(r *http.Request) (headline, error) {
	response, err := d.origin.Do(r)
	if err != nil {
		return headline{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return headline{}, fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return headline{}, &refusal{response.StatusCode, strings.TrimSpace(string(data[:min(len(data), 200)]))}
	}
	var h headline
	if err := json.Unmarshal(data, &h); err != nil || h.ID == 0 {
		return headline{}, fmt.Errorf("answer %.100q is not a headline", data)
	}
	return h, nil
}
