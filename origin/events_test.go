package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

// newEventsServer serves the API with keep-alives and returns its base URL.
func newEventsServer(t *testing.T, svc *service, keepAlive time.Duration) string {
	t.Helper()
	server := httptest.NewServer(newHandler(svc, nil, 0, keepAlive, slog.New(slog.DiscardHandler)))
	t.Cleanup(server.Close)
	return server.URL
}

func TestEvents(t *testing.T) {
	event := func(id int, body string) string {
		return fmt.Sprintf("id: %d\ndata: {\"id\": %d, \"body\": %q}\n\n", id, id, body)
	}
	via := func(pairs ...string) http.Header {
		h := http.Header{"Grip-Feature": {"status, session, link:next"}}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	tests := []struct {
		name       string
		headlines  []string
		method     string // "": GET
		target     string // what follows eventsPath
		header     http.Header
		wantStatus int // 0: held
		wantPrevID string
		wantBody   string
	}{
		{name: "new stream", headlines: []string{"a", "b"}, header: via(), wantPrevID: "2", wantBody: event(2, "b")},
		{name: "no headline yet", header: via(), wantPrevID: "0"},
		{name: "HEAD", headlines: []string{"a"}, method: "HEAD", header: via(), wantPrevID: "1"},
		{name: "line breaks stay in one line", headlines: []string{"a\r\nb\n"}, header: via(), wantPrevID: "1", wantBody: event(1, "a\r\nb\n")},

		{name: "Last-Event-ID, two missed", headlines: []string{"a", "b", "c"}, header: via("Last-Event-ID", "1"), wantPrevID: "3", wantBody: event(2, "b") + event(3, "c")},
		{name: "Last-Event-ID, none missed", headlines: []string{"a", "b"}, header: via("Last-Event-ID", "2"), wantPrevID: "2"},
		{name: "Last-Event-ID from the future", headlines: []string{"a", "b"}, header: via("Last-Event-ID", "9"), wantPrevID: "2", wantBody: event(2, "b")},
		{name: "Last-Event-ID empty", headlines: []string{"a", "b"}, header: via("Last-Event-ID", ""), wantPrevID: "2", wantBody: event(2, "b")},
		{name: "Last-Event-ID no number", headlines: []string{"a"}, header: via("Last-Event-ID", "x"), wantStatus: 400, wantBody: "Last-Event-ID is not a number\n"},
		{name: "last_id in the query", headlines: []string{"a", "b"}, target: "?last_id=1", header: via(), wantPrevID: "2", wantBody: event(2, "b")},
		{name: "last_id no number", headlines: []string{"a"}, target: "?last_id=x", header: via(), wantStatus: 400, wantBody: "last_id is not a number\n"},
		{name: "Last-Event-ID before last_id", headlines: []string{"a", "b", "c"}, target: "?last_id=1", header: via("Last-Event-ID", "2"), wantPrevID: "3", wantBody: event(3, "c")},

		{name: "GRIP 4.3 link, one missed", headlines: []string{"a", "b"}, header: via("Grip-Last", "headline-value; last-id=1"), wantPrevID: "2", wantBody: event(2, "b")},
		{name: "GRIP 4.3 link, none missed", headlines: []string{"a", "b"}, header: via("Grip-Last", "headline-value; last-id=2"), wantPrevID: "2"},
		{name: "GRIP 4.3 link, the first headline", headlines: []string{"a", "b"}, header: via("Grip-Last", "headline-value; last-id=0"), wantPrevID: "2", wantBody: event(1, "a") + event(2, "b")},
		{name: "GRIP 4.3 Grip-Last before the client's", headlines: []string{"a", "b", "c"}, target: "?last_id=1", header: via("Grip-Last", `prefix-headline-value; x=y; last-id="2"`, "Last-Event-ID", "1"), wantPrevID: "3", wantBody: event(3, "c")},
		{name: "GRIP 4.3 Grip-Last without last-id", headlines: []string{"a"}, header: via("Grip-Last", "headline-value"), wantStatus: 400, wantBody: "Grip-Last has no last-id that is a number\n"},

		{name: "no proxy", headlines: []string{"a"}, header: http.Header{}, wantStatus: 501, wantBody: "this stream would be held: ask through a GRIP proxy in front of this origin\n"},
		{name: "POST", headlines: []string{"a"}, method: "POST", header: via(), wantStatus: 405, wantBody: "Method Not Allowed\n"},
		{name: "below the events", headlines: []string{"a"}, target: "x", header: via(), wantStatus: 404, wantBody: "404 page not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			svc := newTestService(t, slog.New(slog.DiscardHandler))
			for _, body := range tt.headlines {
				mustChange(t, svc, body)
			}
			method := tt.method
			if method == "" {
				method = "GET"
			}
			resp, body := exchange(t, method, newEventsServer(t, svc, 20*time.Second)+eventsPath+tt.target, tt.header, "")
			if tt.wantStatus != 0 {
				if resp.StatusCode != tt.wantStatus || body != tt.wantBody || resp.Header.Get("Grip-Hold") != "" {
					t.Errorf("got %d %q, Grip-Hold %q, want %d %q and no hold", resp.StatusCode, body, resp.Header.Get("Grip-Hold"), tt.wantStatus, tt.wantBody)
				}
				return
			}
			if resp.StatusCode != 200 || body != tt.wantBody {
				t.Errorf("got %d %q, want 200 %q", resp.StatusCode, body, tt.wantBody)
			}
			for name, want := range map[string]string{
				"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Grip-Hold": "stream",
				"Grip-Channel":    "headline-value; prev-id=" + tt.wantPrevID,
				"Grip-Link":       "</headline/events/>; rel=next; timeout=120",
				"Grip-Keep-Alive": `:\n\n; format=cstring; timeout=20`,
			} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("got %s: %s, want %s", name, got, want)
				}
			}
		})
	}
}

// What the service answers is an instruct as the edge reads it.
func TestEventsInstruct(t *testing.T) {
	svc := newTestService(t, slog.New(slog.DiscardHandler))
	mustChange(t, svc, "a")
	for _, keepAlive := range []time.Duration{0, 20 * time.Second} {
		t.Run(keepAlive.String(), func(t *testing.T) {
			resp, body := exchange(t, "GET", newEventsServer(t, svc, keepAlive)+strings.TrimSuffix(eventsPath, "/"), http.Header{"Grip-Sig": {"x"}}, "")
			r := grip.Response{Code: resp.StatusCode, Body: []byte(body)}
			for name, values := range resp.Header {
				for _, value := range values {
					r.Header = append(r.Header, grip.Field{Name: name, Value: value})
				}
			}
			instruct, err := grip.ParseInstruct(r)
			if err != nil {
				t.Fatal(err)
			}
			hold := instruct.Hold
			if hold == nil || hold.Mode != grip.HoldStream || len(hold.Channels) != 1 || hold.Channels[0].String() != "headline-value; prev-id=1" {
				t.Errorf("got hold %+v, want a stream on headline-value after 1", hold)
			}
			if instruct.Next == nil || instruct.Next.URL != eventsPath || instruct.Next.Timeout != linkTimeout {
				t.Errorf("got next link %+v, want %s after %s", instruct.Next, eventsPath, linkTimeout)
			}
			switch k := hold.KeepAlive; {
			case keepAlive == 0 && k != nil:
				t.Errorf("got keep-alive %+v, want none", k)
			case keepAlive > 0 && (k == nil || string(k.Content) != ":\n\n" || k.Timeout != keepAlive || k.Interval):
				t.Errorf("got keep-alive %+v, want a comment after %s without a headline", k, keepAlive)
			}
		})
	}
}

// What streams missed, and the item that goes out to those that did not, are the
// same bytes.
func TestEventsAreTheItems(t *testing.T) {
	edge := newTestEdge(t, nil)
	svc := newTestService(t, slog.New(slog.DiscardHandler), edge)
	base := newEventsServer(t, svc, 0)
	for id := 1; id <= 3; id++ {
		h := mustChange(t, svc, "<b>Gate "+strconv.Itoa(id)+"</b>")
		edge.wantItem(t, h.id, string(h.json))
		_, body := exchange(t, "GET", base+eventsPath, http.Header{"Grip-Feature": {"link:next"}, "Grip-Last": {fmt.Sprintf("headline-value; last-id=%d", id-1)}}, "")
		if body != string(h.event) {
			t.Errorf("the link gives %q, want %q", body, h.event)
		}
	}
}
