package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"marquee/grip"
)

// filtered is an origin whose streams and polls on c have a filter, and it is
// who decides, at /decide.
func filtered(filter, target string, decide http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/decide" {
			decide(w, r)
			return
		}
		w.Header().Set("Grip-Hold", strings.TrimPrefix(r.URL.Path, "/"))
		w.Header().Set("Grip-Channel", "c; filter="+filter)
		w.Header().Set("Grip-Set-Meta", `url="`+target+`"`)
	})
}

// kind makes an item for streams and polls that the filter knows by its kind.
func kind(k, text string) grip.Item {
	it := item("c", "", "", text)
	it.HTTPStream = &grip.HTTPStream{Content: []byte(text)}
	it.Meta = grip.Meta{{Name: "kind", Value: k}}
	return it
}

// Who is asked whether to deliver may say no, or nothing, and what he says of
// one item does not change what becomes of the next (GRIP reference 9).
func TestHTTPCheck(t *testing.T) {
	h := filtered("http-check", "/decide", func(w http.ResponseWriter, r *http.Request) {
		switch pub := r.Header.Get("Pub-Meta"); {
		case strings.Contains(pub, "drop"):
			w.Header().Set("Action", "drop")
		case strings.Contains(pub, "broken"):
			w.WriteHeader(500)
		case strings.Contains(pub, "away"):
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(204)
		}
	})
	r := newRig(t, h, "-loops", "1")
	stream, poll := r.dial(), r.dial()
	stream.get("/stream")
	stream.wantStatus(200)
	poll.get("/response")
	r.waitHolds(2)
	r.publish(kind("drop", "1"), kind("broken", "2"), kind("away", "3"), kind("keep", "4"), kind("drop", "5"), kind("keep", "6"))
	stream.wantChunk("4")
	stream.wantChunk("6")
	poll.wantAnswer(200, "4")
	if got := r.counts().unfiltered.Load(); got != 4 {
		t.Errorf("%d items are counted as skipped, want 2 for the stream and 2 for the poll", got)
	}
	r.waitLog(`"msg":"an item is skipped: its filter failed"`, `"route":`)
}

// http-modify replaces the content, and an item behind one that takes its time
// comes after it (GRIP reference 9).
func TestHTTPModify(t *testing.T) {
	askedCh, goCh := make(chan struct{}, 1), make(chan struct{})
	h := filtered("http-modify", "/decide", func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		switch pub := r.Header.Get("Pub-Meta"); {
		case strings.Contains(pub, "slow"):
			askedCh <- struct{}{}
			hang(r, goCh)
		case strings.Contains(pub, "same"):
			w.WriteHeader(204)
			return
		}
		_, _ = fmt.Fprintf(w, "<%s>", content)
	})
	r := newRig(t, h)
	stream := r.dial()
	stream.get("/stream")
	stream.wantStatus(200)
	r.waitHolds(1)
	r.publish(kind("fast", "1"))
	stream.wantChunk("<1>")
	publishedCh := make(chan error, 1)
	go func() {
		_, err := publishTo(r.control, kind("slow", "2"), kind("fast", "3"), kind("same", "4"), kind("fast", "5"))
		publishedCh <- err
	}()
	await(t, askedCh, "the slow filter")
	stream.wantNothing()
	close(goCh)
	for _, want := range []string{"<2>", "<3>", "4", "<5>"} {
		stream.wantChunk(want)
	}
	if err := await(t, publishedCh, "the receipts"); err != nil {
		t.Error(err)
	}
}

// A client that leaves while a filter is asked leaves nothing behind; nor does
// the edge wait for the filter of a stream that is over.
func TestClientLeavesFilter(t *testing.T) {
	var asked atomic.Int32
	askedCh, goCh := make(chan struct{}, 10), make(chan struct{})
	h := filtered("http-check", "/decide", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		askedCh <- struct{}{}
		hang(r, goCh)
	})
	r := newRig(t, h)
	for _, target := range []string{"/stream", "/response"} {
		c := r.dial()
		c.get(target)
		r.waitHolds(1)
		publishedCh := make(chan error, 1)
		go func() {
			_, err := publishTo(r.control, kind("slow", "1"), kind("slow", "2"))
			publishedCh <- err
		}()
		await(t, askedCh, "the filter")
		c.leave()
		r.waitHolds(0)
		if err := await(t, publishedCh, "the receipts"); err != nil {
			t.Error(err)
		}
	}
	close(goCh)
	if n := asked.Load(); n != 2 {
		t.Errorf("the filter was asked %d times, want once for each client", n)
	}
}
