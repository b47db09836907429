package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A message is one of the feed. Ids count from 1.
type message struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

// id is the message's id as it is written in GRIP.
func (m message) id() string { return strconv.Itoa(m.ID) }

// A request is one that the origin has got, by its own account.
type request struct {
	Method      string
	URL         string
	Signed      bool   // by the subject
	LastEventID string `json:"lastEventId"`
	GripLast    string `json:"gripLast"`
}

// An origin is the feed's service, which may be killed and started again, at
// the same address and with the same feed.
type origin struct {
	t       *testing.T
	address string
	file    string // of the feed
	subject *subject
	program *program

	mu       sync.Mutex
	requests []request // guarded by mu
}

// A stand is a subject with the origin behind it.
type stand struct {
	*subject
	origin *origin
}

// newStand starts both and returns when the one is seen through the other.
func newStand(t *testing.T) *stand {
	t.Helper()
	needSubject(t)
	find(t, "node")
	if _, err := os.Stat("node/node_modules"); err != nil {
		t.Skip("SKIPPED: there are no packages for Node.js here")
	}
	address := freeAddress(t)
	s := startSubject(t, address)
	o := &origin{t: t, address: address, file: filepath.Join(t.TempDir(), "feed"), subject: s}
	o.start()
	eventually(t, func() error {
		status, _, err := get(s.url("/page/"))
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("GET /page/: status %d", status)
		}
		return err
	})
	return &stand{subject: s, origin: o}
}

// start starts the origin's process.
func (o *origin) start() {
	o.t.Helper()
	_, port, _ := net.SplitHostPort(o.address)
	listeningCh := make(chan struct{}, 1)
	o.program = start(o.t, command{
		path: find(o.t, "node"),
		args: []string{"origin.mjs", "--port", port, "--feed", o.file},
		dir:  "node",
		env:  []string{"GRIP_URL=" + o.subject.gripURL()},
		stdout: func(line string) {
			var event struct {
				request
				Listening int
			}
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				o.t.Errorf("the origin says %q: %v", line, err)
			}
			if event.Listening != 0 {
				listeningCh <- struct{}{}
				return
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			o.requests = append(o.requests, event.request)
		},
	})
	select {
	case <-listeningCh:
	case <-o.program.doneCh:
		o.t.Fatalf("the origin ended: %v", o.program.err)
	case <-time.After(patience):
		o.t.Fatalf("the origin does not listen after %v", patience)
	}
}

// asked returns the requests that the origin has got, of those that match says
// true of.
func (o *origin) asked(match func(request) bool) []request {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []request
	for _, r := range o.requests {
		if match(r) {
			found = append(found, r)
		}
	}
	return found
}

// wantAsked waits until the origin has got n such requests.
func (o *origin) wantAsked(n int, what string, match func(request) bool) {
	o.t.Helper()
	eventually(o.t, func() error {
		if got := len(o.asked(match)); got < n {
			return fmt.Errorf("the origin was asked %d times for %s, want %d", got, what, n)
		}
		return nil
	})
}

// put adds a message to the feed, or publishes again the one that has the text.
func (o *origin) put(text string) (message, error) { return o.send(text, "") }

// mustPut is put where nothing may go wrong.
func (o *origin) mustPut(text string) message {
	o.t.Helper()
	m, err := o.put(text)
	if err != nil {
		o.t.Fatal(err)
	}
	return m
}

// lose adds a message to the feed that is not published.
func (o *origin) lose(text string) message {
	o.t.Helper()
	m, err := o.send(text, "?lost")
	if err != nil {
		o.t.Fatal(err)
	}
	return m
}

func (o *origin) send(text, query string) (message, error) {
	req, err := http.NewRequest(http.MethodPut, "http://"+o.address+"/messages/"+url.PathEscape(text)+query, nil)
	if err != nil {
		return message{}, err
	}
	body, err := do(req)
	if err != nil {
		return message{}, err
	}
	var m message
	err = json.Unmarshal(body, &m)
	return m, err
}

// farewell ends all streams.
func (o *origin) farewell() {
	o.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+o.address+"/farewell", nil)
	if err == nil {
		_, err = do(req)
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// writer sends what we send ourselves, a request a connection.
var writer = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

// do sends a request that must be answered with status 200, and returns the
// answer's body.
func do(req *http.Request) ([]byte, error) {
	resp, err := writer.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: status %d: %s", req.Method, req.URL, resp.StatusCode, strings.TrimSpace(string(body)))
	}
	return body, err
}

// get returns the status and the body of a resource.
func get(url string) (status int, body string, err error) {
	resp, err := writer.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
