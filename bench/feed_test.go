package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// serveFeed runs a feed for the test.
func serveFeed(t *testing.T) *feed {
	t.Helper()
	f, err := startFeed(t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.close(); err != nil {
			t.Errorf("close the feed: %v", err)
		}
	})
	return f
}

// What a GRIP proxy is answered, before there is a headline and after three.
func TestFeedOrigin(t *testing.T) {
	const one, two, three = `{"id": 1, "body": "a"}`, `{"id": 2, "body": "<b>"}`, `{"id": 3, "body": "c"}`
	const eventTwo, eventThree = "id: 2\ndata: " + two + "\n\n", "id: 3\ndata: " + three + "\n\n"
	for _, test := range []struct {
		name, path     string
		header         http.Header
		headlines      []string
		code           int
		channel, hold  string
		body, bodyType string
	}{
		{"no headline yet", "/headline/value/", nil, nil, 404, "", "", "there is no headline yet\n", "text/plain; charset=utf-8"},
		{"poll for the first", "/poll/c?last_id=0", nil, nil, 200, "c", "response", "{}", "application/json"},
		{"poll for what there is not", "/poll/c", nil, nil, 404, "c", "", "there is no headline yet\n", "text/plain; charset=utf-8"},
		{"stream before the first", "/events/c", nil, nil, 200, "c", "stream", "", "text/event-stream"},
		{"headline", "/headline/value/", nil, []string{"a"}, 200, "", "", one, "application/json"},
		{"first poll", "/poll/c7", nil, []string{"a", "<b>", "c"}, 200, "c7; prev-id=3", "", three, "application/json"},
		{"poll of who has the newest", "/poll/c7?last_id=3", nil, []string{"a", "<b>", "c"}, 200, "c7; prev-id=3", "response", "{}", "application/json"},
		{"poll of who has another", "/poll/c7?last_id=1", nil, []string{"a", "<b>", "c"}, 200, "c7; prev-id=3", "", three, "application/json"},
		{"first stream", "/events/c7", nil, []string{"a", "<b>", "c"}, 200, "c7; prev-id=3", "stream", eventThree, "text/event-stream"},
		{"stream that has missed some", "/events/c7", http.Header{"Grip-Last": {"c7; last-id=1"}}, []string{"a", "<b>", "c"}, 200, "c7; prev-id=3", "stream", eventTwo + eventThree, "text/event-stream"},
		{"stream that comes back", "/events/c7", http.Header{"Last-Event-Id": {"2"}}, []string{"a", "<b>", "c"}, 200, "c7; prev-id=3", "stream", eventThree, "text/event-stream"},
		{"stream that has all", "/events/c7", http.Header{"Last-Event-Id": {"3"}}, []string{"a", "<b>", "c"}, 200, "c7; prev-id=3", "stream", "", "text/event-stream"},
		{"stream from the future", "/events/c7", http.Header{"Last-Event-Id": {"4"}}, []string{"a", "<b>", "c"}, 400, "", "", "\"4\" is not the id of a headline\n", "text/plain; charset=utf-8"},
		{"stream from nowhere", "/events/c7", http.Header{"Grip-Last": {"c7; last-id=x"}}, []string{"a", "<b>", "c"}, 400, "", "", "\"x\" is not the id of a headline\n", "text/plain; charset=utf-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := serveFeed(t)
			for _, text := range test.headlines {
				f.add(text)
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.addr+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.header != nil {
				r.Header = test.header
			}
			transport := &http.Transport{DisableKeepAlives: true}
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%d %q %q %q %q", resp.StatusCode, resp.Header.Get("Grip-Channel"), resp.Header.Get("Grip-Hold"), body, resp.Header.Get("Content-Type"))
			want := fmt.Sprintf("%d %q %q %q %q", test.code, test.channel, test.hold, test.body, test.bodyType)
			if got != want {
				t.Errorf("GET %s:\n got %s\nwant %s", test.path, got, want)
			}
		})
	}
}

// Each change goes to every channel once, after onChange has returned.
func TestFeedPublishes(t *testing.T) {
	for _, test := range []struct {
		channels int
		want     []string
	}{
		{0, []string{"c"}},
		{1, []string{"c0"}},
		{12, []string{"c0", "c1", "c10", "c11", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"}},
	} {
		t.Run(fmt.Sprint(test.channels), func(t *testing.T) {
			f := serveFeed(t)
			var mu sync.Mutex
			got := make(map[int][]string)
			e := &entrant{publish: func(_ context.Context, channel string, b *bulletin) error {
				mu.Lock()
				defer mu.Unlock()
				got[b.id] = append(got[b.id], channel)
				return nil
			}}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			if err := postHeadline(t.Context(), client, f.url(), "too early"); err == nil {
				t.Error("a change before begin was taken")
			}
			published := -1 // when onChange was called
			if err := f.begin(t.Context(), e, test.channels, func(n int) { published = len(got[n+1]) }); err != nil {
				t.Fatal(err)
			}
			if err := postHeadline(t.Context(), client, f.url(), "now"); err != nil {
				t.Fatal(err)
			}
			for id := 1; id <= 2; id++ {
				if slices.Sort(got[id]); !slices.Equal(got[id], test.want) {
					t.Errorf("headline %d was published to %v, want %v", id, got[id], test.want)
				}
			}
			if published != 0 {
				t.Errorf("%d messages were published before onChange, want 0", published)
			}
		})
	}
}

func TestFeedSaysWhatFails(t *testing.T) {
	f := serveFeed(t)
	var fails error
	e := &entrant{publish: func(context.Context, string, *bulletin) error { return fails }}
	if err := f.begin(t.Context(), e, 0, nil); err != nil {
		t.Fatal(err)
	}
	fails = errors.New("out of paper")
	err := postHeadline(t.Context(), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, f.url(), "x")
	if want := "post a headline: 502 Bad Gateway: out of paper\n"; err == nil || err.Error() != want {
		t.Errorf("a change that nobody takes: got error %v, want %q", err, want)
	}
}

func TestChannelURL(t *testing.T) {
	for channel, want := range map[string]string{
		channelOne:           "http://a/poll?id=c",
		channelEach:          "http://a/poll?id=c{client}",
		`{"c` + clientNumber: "http://a/poll?id=%7B%22c{client}",
	} {
		if got := at("http://a/poll?id=")(channel); got != want {
			t.Errorf("the URL of channel %q is %s, want %s", channel, got, want)
		}
	}
}
