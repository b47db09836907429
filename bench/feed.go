package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"marquee/grip"
)

// A feed is the publisher of a race, and the origin of those entrants that have
// one: the load client posts the changes of the headline here, the feed numbers
// them and has the entrant publish them, each to whoever waits.
//
// As an origin it answers polls and streams as the headline service does, but
// under a path for each channel and with all headlines in memory. All channels have
// the same headlines. It trusts whoever asks.
type feed struct {
	server *http.Server
	addr   string
	doneCh chan struct{} // closed when the server has ended

	// changeMu makes changes happen one after the other, so that entrants get them
	// in the order of their ids. It is held for what follows.
	changeMu sync.Mutex
	entrant  *entrant
	channels []string
	onChange func(n int)
	changes  int // since begin

	mu sync.RWMutex
	// all is every headline until now, that with id 1 first. It only ever grows.
	all []*bulletin
}

// A bulletin is a headline with its number. It is immutable.
type bulletin struct {
	id   int // from 1
	text string
	json []byte // what clients get: {"id": 1, "body": "text"}
}

// startFeed starts a feed on a free port of the loopback. What its server complains
// of goes to stderr.
func startFeed(stderr io.Writer) (*feed, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the feed: %w", err)
	}
	f := &feed{addr: l.Addr().String(), doneCh: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /headline/value/", f.present)
	mux.HandleFunc("POST /headline/value/", f.post)
	mux.HandleFunc("GET /poll/{channel}", f.poll)
	mux.HandleFunc("GET /events/{channel}", f.events)
	f.server = &http.Server{Handler: mux, ErrorLog: log.New(stderr, "feed: ", 0)}
	go func() {
		defer close(f.doneCh)
		_ = f.server.Serve(l) // until close
	}()
	return f, nil
}

// close ends the feed and every connection to it. Entrants must have stopped.
func (f *feed) close() error {
	err := f.server.Close()
	<-f.doneCh
	return err
}

// url is where the headline is read and changed.
func (f *feed) url() string { return headlineURL(f.addr) }

// begin makes e the one that publishes: to channelOne or, when channels is not 0, to
// each of so many, c0 and on, in a message of its own. It publishes a first headline,
// so that there is one when clients come. From then on onChange, unless it is nil, is
// called with the number of each change since, from 1, when it has been posted, and
// nothing is published before it returns.
func (f *feed) begin(ctx context.Context, e *entrant, channels int, onChange func(n int)) error {
	f.changeMu.Lock()
	defer f.changeMu.Unlock()
	f.entrant, f.channels = e, channelsOf(channels)
	f.onChange, f.changes = onChange, 0
	_, err := f.publish(ctx, headline)
	return err
}

// channelsOf returns channelOne alone for 0, and else the channels of so many clients.
func channelsOf(clients int) []string {
	if clients == 0 {
		return []string{channelOne}
	}
	channels := make([]string, clients)
	for i := range channels {
		channels[i] = strings.Replace(channelEach, clientNumber, strconv.Itoa(i), 1)
	}
	return channels
}

// publish makes text the headline and has it published. The caller holds changeMu.
func (f *feed) publish(ctx context.Context, text string) (*bulletin, error) {
	b := f.add(text)
	publishes, ctx := errgroup.WithContext(ctx)
	publishes.SetLimit(publishConns)
	for _, channel := range f.channels {
		publishes.Go(func() error { return f.entrant.publish(ctx, channel, b) })
	}
	return b, publishes.Wait()
}

// add numbers a headline. An entrant that gets it may ask for it at once.
func (f *feed) add(text string) *bulletin {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := newBulletin(len(f.all)+1, text)
	f.all = append(f.all, b)
	return b
}

// headlines returns all until now, oldest first.
func (f *feed) headlines() []*bulletin {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.all
}

// present answers with the headline.
func (f *feed) present(w http.ResponseWriter, _ *http.Request) {
	all := f.headlines()
	if len(all) == 0 {
		http.Error(w, "there is no headline yet", http.StatusNotFound)
		return
	}
	reply(w, "application/json", all[len(all)-1].json)
}

// post makes the form field body the headline, and answers when the entrant has
// taken it.
func (f *feed) post(w http.ResponseWriter, r *http.Request) {
	text := r.PostFormValue("body")
	f.changeMu.Lock()
	defer f.changeMu.Unlock()
	if f.entrant == nil {
		http.Error(w, "nobody publishes yet", http.StatusServiceUnavailable)
		return
	}
	f.changes++
	if f.onChange != nil {
		f.onChange(f.changes)
	}
	// Once some clients may have it, all are to.
	b, err := f.publish(context.WithoutCancel(r.Context()), text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	reply(w, "application/json", b.json)
}

// poll answers with the headline or, when the client has it already, with the
// instruct to hold the poll until the next one.
func (f *feed) poll(w http.ResponseWriter, r *http.Request) {
	all := f.headlines()
	w.Header().Set("Grip-Channel", holdChannel(r, len(all)))
	if r.URL.Query().Get("last_id") != strconv.Itoa(len(all)) {
		f.present(w, r)
		return
	}
	w.Header().Set("Grip-Hold", "response")
	reply(w, "application/json", []byte("{}"))
}

// holdChannel returns the value of Grip-Channel for who has seen so many headlines.
func holdChannel(r *http.Request, seen int) string {
	channel := r.PathValue("channel")
	if seen == 0 {
		return channel // what comes first follows nothing
	}
	return fmt.Sprintf("%s; prev-id=%d", channel, seen)
}

// events answers with the headlines that a stream has missed, or the newest if it is
// a new one, and the instruct to hold it for those to come.
func (f *feed) events(w http.ResponseWriter, r *http.Request) {
	all := f.headlines()
	missed := all[max(0, len(all)-1):]
	if last := lastSeen(r.Header); last != "" {
		seen, err := strconv.Atoi(last)
		if err != nil || seen < 0 || seen > len(all) {
			http.Error(w, fmt.Sprintf("%.20q is not the id of a headline", last), http.StatusBadRequest)
			return
		}
		missed = all[seen:]
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Grip-Hold", "stream")
	w.Header().Set("Grip-Channel", holdChannel(r, len(all)))
	w.Header().Set("Grip-Link", fmt.Sprintf("</events/%s>; rel=next; timeout=120", r.PathValue("channel")))
	var content []byte
	for _, b := range missed {
		content = append(content, b.event()...)
	}
	reply(w, "text/event-stream", content)
}

// lastSeen returns the id of the last headline that a stream has seen, empty when it
// is not known. A GRIP proxy says so in Grip-Last, "CHANNEL; last-id=ID", a client
// that comes back in Last-Event-ID.
func lastSeen(h http.Header) string {
	_, last, _ := strings.Cut(h.Get("Grip-Last"), "last-id=")
	return cmp.Or(last, h.Get("Last-Event-ID"))
}

// reply sends an answer in one piece.
func reply(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // who has gone misses it
}

// newBulletin returns the headline with that id.
func newBulletin(id int, text string) *bulletin {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string, into memory, cannot fail
	return &bulletin{id: id, text: text, json: fmt.Appendf(nil, `{"id": %d, "body": %s}`, id, bytes.TrimSpace(body.Bytes()))}
}

// event returns b as a server-sent event.
func (b *bulletin) event() []byte {
	return fmt.Appendf(nil, "id: %d\ndata: %s\n\n", b.id, b.json) // JSON has no line breaks
}

// item returns b as what a GRIP proxy is to be sent to publish it.
func (b *bulletin) item(channel string) []byte {
	return grip.AppendItems(nil, []grip.Item{{
		Channel: channel, ID: strconv.Itoa(b.id), PrevID: strconv.Itoa(b.id - 1),
		HTTPResponse: &grip.HTTPResponse{Response: grip.Response{
			Header: grip.Header{{Name: "Content-Type", Value: "application/json"}},
			Body:   b.json,
		}},
		HTTPStream: &grip.HTTPStream{Content: b.event()},
	}})
}
