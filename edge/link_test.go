package main

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"marquee/grip"
)

// hintItem has the edge ask the origin for the streams of a channel.
func hintItem(channel string) grip.Item {
	return grip.Item{Channel: channel, HTTPStream: &grip.HTTPStream{Action: grip.Hint}}
}

// holdStream tells the edge to hold a stream of c.
func holdStream(w http.ResponseWriter, channel string) {
	w.Header().Set("Grip-Hold", "stream")
	w.Header().Set("Grip-Channel", channel)
}

// A link whose answer has no next one is the last, also when there was a hint
// while it was asked: then there is nobody to ask (GRIP reference 4.2, 4.3).
func TestHintDuringLastLink(t *testing.T) {
	askedCh, goCh := make(chan struct{}, 1), make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/next" {
			askedCh <- struct{}{}
			hang(req, goCh)
		} else {
			w.Header().Set("Grip-Link", "</next>; rel=next")
		}
		holdStream(w, "c")
	}))
	c := r.dial()
	c.get("/")
	c.wantStatus(200)
	r.waitHolds(1)
	r.publish(hintItem("c"))
	await(t, askedCh, "the link at the origin")
	r.publish(hintItem("c"))
	close(goCh)
	r.waitLinked()
	r.publish(streamItem("c", 1, "news"))
	c.wantChunk("news")
}

// waitLinked waits until no stream waits for its link.
func (r *rig) waitLinked() {
	r.t.Helper()
	eventually(r.t, func() (err error) {
		r.onLoops(func(l *loop) {
			l.wheel.each(func(c *conn) {
				if c.stream != nil && c.stream.state == linking {
					err = errors.New("a stream waits for its link")
				}
			})
		})
		return err
	})
}

// While a filter is asked about an item nothing overtakes it: neither hints, of
// a stream that has no link, nor the time of the link (GRIP reference 4.3, 9).
func TestLinkDuringFilter(t *testing.T) {
	for _, tt := range []struct {
		name  string
		link  string
		play  func(r *rig)
		links int // that are asked
	}{
		{"hints without a link", "", func(r *rig) {
			r.publish(hintItem("c"), hintItem("c"), hintItem("c"))
		}, 0},
		{"the link's time", "</next>; rel=next; timeout=1", func(r *rig) {
			r.tickUntil(3*time.Second, func() bool { return false })
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			askedCh, goCh, linkCh := make(chan struct{}, 2), make(chan struct{}), make(chan struct{}, 100)
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch req.URL.Path {
				case "/decide":
					askedCh <- struct{}{}
					hang(req, goCh)
					return
				case "/next":
					linkCh <- struct{}{}
				}
				holdStream(w, "c; filter=http-check")
				w.Header().Set("Grip-Set-Meta", `url="/decide"`)
				if tt.link != "" {
					w.Header().Set("Grip-Link", tt.link)
				}
			}))
			c := r.dial()
			c.get("/")
			c.wantStatus(200)
			r.waitHolds(1)
			publishedCh := make(chan error, 1)
			go func() {
				got, err := publishTo(r.control, streamItem("c", 1, "one"))
				if err == nil && (!got[0].Complete || got[0].Written != 1) {
					t.Errorf("receipt %+v, want it complete and 1 written", got[0])
				}
				publishedCh <- err
			}()
			await(t, askedCh, "the filter")
			tt.play(r)
			if n := len(linkCh); n > 0 {
				t.Errorf("the link was asked %d times while the filter was", n)
			}
			close(goCh)
			c.wantChunk("one")
			if err := await(t, publishedCh, "the receipt"); err != nil {
				t.Error(err)
			}
			for range tt.links {
				r.tickUntil(3*time.Second, func() bool { return len(linkCh) > 0 })
				await(t, linkCh, "the link at the origin")
			}
			r.waitLinked()
			r.publish(streamItem("c", 2, "two"))
			c.wantChunk("two")
		})
	}
}
