package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// viewerCount is how many clients watch a contender in these tests.
const viewerCount = 20

// pollPatience is how long a viewer waits for the answer to a poll before it polls anew.
// Pushpin forgets a poll whose headline is published while it is taken in, until the
// hold times out.
const pollPatience = 2 * time.Second

// Viewers are simple clients of a contender, which speak as it does.
type viewers struct {
	transport *http.Transport
	cancel    context.CancelFunc
	watching  sync.WaitGroup
	gotCh     []chan []byte // of each, the headlines that it has got
	errCh     chan error    // of those who could not go on
}

// watch returns viewers when the entrant has all of them: whatever is published then
// is for them.
func watch(ctx context.Context, e *entrant, v viewing) (*viewers, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &viewers{transport: &http.Transport{MaxIdleConnsPerHost: viewerCount}, cancel: cancel, errCh: make(chan error, viewerCount)}
	url := e.streamURL
	switch {
	case v.cert != nil:
		url, w.transport.TLSClientConfig = e.secureURL, v.cert.client
	case v.polls:
		url = e.pollURL
	}
	channel := channelOne
	if v.channels > 0 {
		channel = channelEach
	}
	begunCh := make(chan struct{}, viewerCount)
	for i := range viewerCount {
		gotCh := make(chan []byte, 10)
		w.gotCh = append(w.gotCh, gotCh)
		one := watcher{speaks: e.speaks, url: strings.Replace(url(channel), clientNumber, strconv.Itoa(i), 1), transport: w.transport,
			begun: func() { begunCh <- struct{}{} }, got: func(headline []byte) { gotCh <- headline }}
		w.watching.Go(func() {
			run := one.stream
			if v.polls {
				run = one.poll
			}
			if err := run(ctx); ctx.Err() == nil {
				w.errCh <- fmt.Errorf("client %d: %w", i, err)
			}
		})
	}
	if err := w.awaitAll(ctx, e, v, begunCh); err != nil {
		w.leave()
		return nil, err
	}
	return w, nil
}

// awaitAll returns when as much as one message has come to each viewer. Those of some
// contenders get none when they come, and are sent some.
func (w *viewers) awaitAll(ctx context.Context, e *entrant, v viewing, begunCh <-chan struct{}) error {
	knock := newBulletin(0, "Is everybody there?")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for begun := 0; begun < viewerCount; {
		select {
		case <-begunCh:
			begun++
		case <-tick.C:
			if e.speaks != "nchan" && e.speaks != "mercure" {
				continue
			}
			for _, channel := range channelsOf(v.channels) {
				if err := e.publish(ctx, channel, knock); err != nil {
					return err
				}
			}
		case err := <-w.errCh:
			return err
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d clients got anything", begun, viewerCount)
		}
	}
	return nil
}

// leave returns when all have gone.
func (w *viewers) leave() {
	w.cancel()
	w.watching.Wait()
	w.transport.CloseIdleConnections()
}

// await returns when each has got want next, byte for byte.
func (w *viewers) await(ctx context.Context, want []byte) error {
	for i, gotCh := range w.gotCh {
		select {
		case got := <-gotCh:
			if !bytes.Equal(got, want) {
				return fmt.Errorf("client %d got %.100q, want %.100q", i, got, want)
			}
		case err := <-w.errCh:
			return err
		case <-ctx.Done():
			return fmt.Errorf("client %d did not get %.100q", i, want)
		}
	}
	return nil
}

// A watcher is one of them.
type watcher struct {
	speaks    string
	url       string
	transport http.RoundTripper
	begun     func()       // to call once, when it watches
	got       func([]byte) // to call with each headline after that which was there at the beginning
}

// poll polls until ctx ends.
func (v watcher) poll(ctx context.Context) error {
	header := make(http.Header)
	url := v.url
	for first := true; ; first = false {
		answer, body, err := v.pollOnce(ctx, url, header)
		for errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			answer, body, err = v.pollOnce(ctx, url, header)
		}
		if err != nil {
			return err
		}
		id, err := v.take(body, first)
		if err != nil {
			return err
		}
		if v.speaks == "nchan" {
			header.Set("If-Modified-Since", answer.Get("Last-Modified"))
			header.Set("If-None-Match", answer.Get("Etag"))
		} else {
			url = v.url + "?last_id=" + strconv.Itoa(id)
		}
	}
}

// pollOnce returns the header and the body of the answer to one poll.
func (v watcher) pollOnce(ctx context.Context, url string, header http.Header) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pollPatience)
	defer cancel()
	resp, err := v.get(ctx, url, header)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.Header, body, err
}

// stream reads a stream until ctx ends.
func (v watcher) stream(ctx context.Context) error {
	resp, err := v.get(ctx, v.url, http.Header{"Accept": {"text/event-stream"}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	first := true
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, isData := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !isData {
			continue
		}
		if v.speaks == "centrifugo" && !first { // the first says that it is connected
			var push struct {
				Pub struct {
					Data json.RawMessage `json:"data"`
				} `json:"pub"`
			}
			if err := json.Unmarshal(data, &push); err != nil {
				return fmt.Errorf("%.100q: %w", data, err)
			}
			data = push.Pub.Data
		}
		if _, err := v.take(bytes.Clone(data), first); err != nil {
			return err
		}
		first = false
	}
	return errors.Join(lines.Err(), errors.New("the stream has ended"))
}

// take takes a message and returns its id, 0 when it has none and is no headline.
func (v watcher) take(message []byte, first bool) (id int, err error) {
	var headline struct {
		ID int `json:"id"`
	}
	if err := json.Unmarshal(message, &headline); err != nil {
		return 0, fmt.Errorf("%.100q: %w", message, err)
	}
	switch {
	case first:
		v.begun()
	case headline.ID > 0:
		v.got(message)
	}
	return headline.ID, nil
}

// get asks, and fails if the answer is not 200.
func (v watcher) get(ctx context.Context, url string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header = header.Clone()
	resp, err := v.transport.RoundTrip(r)
	if err == nil && resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		err = fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return resp, err
}
