package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
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

// When a link's time has come the origin is asked, though what it said to the same
// question before is still kept: streams have that already (GRIP reference 4.3).
func TestLinkTimeAsksAnew(t *testing.T) {
	linkCh := make(chan struct{}, 10)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		holdStream(w, "c; prev-id=7")
		w.Header().Set("Grip-Link", "</next>; rel=next; timeout=1")
		if req.URL.Path == "/next" {
			linkCh <- struct{}{}
			_, _ = fmt.Fprintf(w, "answer %d", len(linkCh))
		}
	}))
	c := r.dial()
	c.get("/")
	c.wantStatus(200)
	for n := range 3 {
		r.waitLinked()
		r.tickUntil(3*time.Second, func() bool { return len(linkCh) > n })
		c.wantChunk(fmt.Sprint("answer ", n+1))
	}
}

// A link is relative to the URL of the answer that it came with, wherever that was
// asked, but what is told when a client has gone to that of the client's request
// (GRIP reference 1.3, 4.4).
func TestRelativeLinks(t *testing.T) {
	for _, tt := range []struct {
		name string
		next []string // in the answers, one after the other
		want []string // where they lead
	}{
		{"paths", []string{"/b/c/next", "after", "../d"}, []string{"headline.example/b/c/next", "headline.example/b/c/after", "headline.example/b/d"}},
		{"URLs", []string{"http://headline.example/b/c/next", "after", "/e"}, []string{"headline.example/b/c/next", "headline.example/b/c/after", "headline.example/e"}},
		{"of another host", []string{"http://OTHER/x/next"}, []string{"OTHER/x/next", "OTHER/x/then", "OTHER/x/then"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			askedCh := make(chan string, 10)
			note := func(req *http.Request) { askedCh <- req.Method + " " + req.Host + req.URL.Path }
			other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				note(req)
				holdStream(w, "c")
				w.Header().Set("Grip-Link", "<then>; rel=next")
			}))
			nextCh := make(chan string, len(tt.next))
			for _, next := range tt.next {
				nextCh <- strings.ReplaceAll(next, "OTHER", other)
			}
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				note(req)
				if req.Method != http.MethodGet {
					return
				}
				holdStream(w, "c")
				w.Header().Add("Grip-Link", "<left>; rel=gone")
				select {
				case next := <-nextCh:
					w.Header().Add("Grip-Link", "<"+next+">; rel=next")
				default:
				}
			}))
			c := r.dial()
			c.get("/room/1/stream")
			c.wantStatus(200)
			await(t, askedCh, "the stream")
			for _, want := range tt.want {
				r.waitLinked()
				r.publish(hintItem("c"))
				if got := await(t, askedCh, "the link"); got != "GET "+strings.ReplaceAll(want, "OTHER", other) {
					t.Errorf("asked %s, want GET %s", got, want)
				}
			}
			r.waitLinked()
			c.leave()
			if got, want := await(t, askedCh, "the gone link"), "POST headline.example/room/1/left"; got != want {
				t.Errorf("told %s, want %s", got, want)
			}
		})
	}
}

// Who comes to where other streams are joins them only if the origin wants the
// same of both from there on, whatever it wanted when they began (GRIP reference
// 4.3).
func TestStreamsJoinByTheirLastAnswer(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		holdStream(w, "c")
		w.Header().Set("Grip-Link", "</next>; rel=next")
		if req.URL.Path == "/next" {
			holdStream(w, "c; filter=skip-self")
			w.Header().Set("Grip-Set-Meta", "user=u")
		}
	}), "-loops", "1")
	first := r.dial()
	first.get("/")
	first.wantStatus(200)
	r.waitHolds(1)
	r.publish(hintItem("c"))
	r.waitLinked()
	second, third := r.dial(), r.dial()
	for _, c := range []*client{second, third} {
		c.get("/")
		c.wantStatus(200)
	}
	r.waitHolds(3)
	r.onLoops(func(l *loop) {
		if n := len(l.streams); n != 2 {
			t.Errorf("there are streams under %d keys, want 2", n)
		}
	})
	its := streamItem("c", 1, "from u")
	its.Meta = grip.Meta{{Name: "sender", Value: "u"}}
	if got := r.publish(its)[0]; got.Written != 2 {
		t.Errorf("receipt %+v, want 2 written", got)
	}
	second.wantChunk("from u")
	third.wantChunk("from u")
	r.publish(streamItem("c", 2, "for all"))
	for _, c := range []*client{first, second, third} {
		c.wantChunk("for all")
	}
}

// A link whose answer is too long to be kept is asked by each of the streams that
// wait for it, none of which waits for another (GRIP reference 4.3).
func TestLongLinkOfSeveralStreams(t *testing.T) {
	const streams = 4
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		holdStream(w, "c")
		w.Header().Add("Grip-Link", "</next>; rel=next")
		if req.URL.Path == "/next" {
			_, _ = io.WriteString(w, long)
			return
		}
		w.Header().Add("Grip-Link", "<"+req.URL.Path+"/gone>; rel=gone") // which makes it another stream
	}), "-loops", "1")
	var cs []*client
	for i := range streams {
		c := r.dial()
		c.get(fmt.Sprintf("/%d", i))
		c.wantStatus(200)
		cs = append(cs, c)
	}
	r.waitHolds(streams)
	joined := r.edge.origin.Stats().Joined
	r.publish(hintItem("c"))
	for _, c := range cs {
		wantContent(t, c, long)
	}
	if got := r.edge.origin.Stats().Joined - joined; got > streams-1 {
		t.Errorf("%d requests for the link waited for another, want %d at most: once each", got, streams-1)
	}
}

// A keep-alive comes while a link is asked, too, however long that takes, but not
// between the parts of its answer (GRIP reference 4.3).
func TestKeepAliveDuringLink(t *testing.T) {
	askedCh, goCh, restCh := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		holdStream(w, "c")
		w.Header().Set("Grip-Link", "</next>; rel=next")
		w.Header().Set("Grip-Keep-Alive", "ping; timeout=1")
		if req.URL.Path == "/next" {
			askedCh <- struct{}{}
			hang(req, goCh)
			_, _ = io.WriteString(w, "begin,")
			_ = http.NewResponseController(w).Flush()
			hang(req, restCh)
			_, _ = io.WriteString(w, "end")
		}
	}))
	c := r.dial()
	c.get("/")
	c.wantStatus(200)
	r.waitHolds(1)
	r.publish(hintItem("c"))
	await(t, askedCh, "the link at the origin")
	pass := func() { r.tickUntil(3*time.Second, func() bool { return false }) }
	pass()
	c.wantChunk("ping")
	close(goCh)
	for data := "ping"; data != "begin,"; { // some may have come meanwhile
		var err error
		if data, err = c.readChunk(); err != nil || data != "ping" && data != "begin," {
			t.Fatalf("chunk %q, %v, want the answer's begin", data, err)
		}
	}
	pass()
	close(restCh)
	c.wantChunk("end")
	r.waitLinked()
	pass()
	c.wantChunk("ping")
}
