package grip

import (
	"strconv"
	"testing"
	"time"
)

func TestHoldModeString(t *testing.T) {
	for mode, want := range map[HoldMode]string{HoldResponse: "response", HoldStream: "stream", 0: "HoldMode(0)"} {
		if got := mode.String(); got != want {
			t.Errorf("HoldMode(%d).String() = %s, want %s", uint8(mode), got, want)
		}
	}
}

// stream is a hold of mode stream.
func stream(channels ...Channel) *Hold { return &Hold{Mode: HoldStream, Channels: channels} }

func TestParseInstructStream(t *testing.T) {
	ok := Response{Code: 200, Header: Header{}}
	twenty := make([]Channel, MaxChannels)
	for i := range twenty {
		twenty[i].Name = strconv.Itoa(i)
	}
	keepAlive := func(content string, timeout time.Duration, interval bool) *Hold {
		return &Hold{Mode: HoldStream, KeepAlive: &KeepAlive{[]byte(content), timeout, interval}}
	}
	for _, tt := range []struct {
		name string
		in   Response
		want Instruct
	}{
		{
			"§4.1 SSE",
			Response{Code: 200, Reason: "OK", Body: []byte("event: open\n\n"), Header: Header{
				{"Content-Type", "text/event-stream"}, {"Grip-Hold", "stream"}, {"Grip-Channel", "news; prev-id=7; filter=skip-self; filter=build-id"},
				{"Grip-Keep-Alive", `:\n\n; format=cstring; timeout=20`}, {"Grip-Link", "</next>; rel=next; timeout=60, </gone>; rel=gone"},
				{"Grip-Set-Meta", "user=alice"}, {"Grip-Set-Meta", "id_format=%(news)s"},
			}},
			Instruct{
				Hold: &Hold{Mode: HoldStream,
					Channels:  []Channel{{Name: "news", PrevID: "7", Filters: []string{"skip-self", "build-id"}}},
					KeepAlive: &KeepAlive{[]byte(":\n\n"), 20 * time.Second, false},
					Meta:      Meta{{"id_format", "%(news)s"}, {"user", "alice"}}},
				Next: &Link{"/next", time.Minute}, Gone: "/gone",
				Response: Response{Code: 200, Reason: "OK", Body: []byte("event: open\n\n"), Header: Header{{"Content-Type", "text/event-stream"}}},
			},
		},
		{"§1.3 Grip-Timeout is for mode response only", Response{Header: Header{{"Grip-Hold", "stream"}, {"Grip-Timeout", "20"}}}, Instruct{Hold: stream(), Response: ok}},
		{
			"§1.3 five filters",
			Response{Header: Header{{"Grip-Hold", "stream"}, {"Grip-Channel", "a; filter=1; filter=2; filter=3; filter=4; filter=5"}}},
			Instruct{Hold: stream(Channel{Name: "a", Filters: []string{"1", "2", "3", "4", "5"}}), Response: ok},
		},
		{
			"§1.3 more than 20 channels are left out",
			Response{Header: Header{{"Grip-Hold", "stream"}, {"Grip-Channel", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20; prev-id=1,21"}}},
			Instruct{Hold: stream(twenty...), Response: ok},
		},
		{
			"§1.3 the last filters of a name count",
			Response{Header: Header{{"Grip-Hold", "stream"}, {"Grip-Channel", "a; filter=x, a; filter=y"}}},
			Instruct{Hold: stream(Channel{Name: "a", Filters: []string{"y"}}), Response: ok},
		},
		{
			"§4.3 no hold, but a link",
			Response{Code: 200, Body: []byte("part 1"), Header: Header{{"Grip-Link", "<?part=2>; rel=next"}}},
			Instruct{Next: &Link{"?part=2", DefaultLinkTimeout}, Response: Response{Code: 200, Header: Header{}, Body: []byte("part 1")}},
		},
		{
			"§4.4 gone link of a long poll, which has no next one",
			Response{Header: Header{{"Grip-Hold", "response"}, {"Grip-Link", "</n>; rel=next"}, {"Grip-Link", "</g>; rel=gone"}}},
			Instruct{Hold: longPoll(0), Gone: "/g", Response: ok},
		},
		{
			"§1.3 expose headers",
			Response{Header: Header{{"Grip-Hold", "stream"}, {"Grip-Expose-Headers", "x-a, Content-Type"}, {"Grip-Expose-Headers", "X-B"},
				{"X-A", "1"}, {"X-C", "3"}, {"content-type", "a/b"}, {"X-B", "2"}, {"Date", "now"}}},
			Instruct{Hold: stream(), Response: Response{Code: 200, Header: Header{{"X-A", "1"}, {"content-type", "a/b"}, {"X-B", "2"}}}},
		},
		{
			"§1.3 expose headers of which none is there",
			Response{Header: Header{{"Grip-Expose-Headers", "X-D"}, {"X-A", "1"}}},
			Instruct{Response: ok},
		},
		{
			"an empty list of headers to expose is none, as in Pushpin",
			Response{Header: Header{{"Grip-Expose-Headers", ""}, {"X-A", "1"}}},
			Instruct{Response: Response{Code: 200, Header: Header{{"X-A", "1"}}}},
		},
		{
			"the header to expose is not that of a JSON response, as in Pushpin",
			jsonInstruct(`{"response": {"headers": {"X-A": "1", "X-B": "2"}}}`, Field{"Grip-Expose-Headers", "X-A"}),
			Instruct{Response: Response{Code: 200, Header: Header{{"X-A", "1"}, {"X-B", "2"}}}},
		},
		{
			"§1.4 stream by JSON",
			jsonInstruct(`{"hold": {"mode": "stream", "channels": [{"name": "a", "filters": ["skip-self", "x"]}, {"name": "b"}], "timeout": 30,
				"keep-alive": {"content": "\n", "timeout": "20"}, "meta": {"user": "u", "a": "é\n"}}}`),
			Instruct{
				Hold: &Hold{Mode: HoldStream,
					Channels:  []Channel{{Name: "a", Filters: []string{"skip-self", "x"}}, {Name: "b"}},
					KeepAlive: &KeepAlive{[]byte("\n"), 20 * time.Second, false},
					Meta:      Meta{{"a", "é\n"}, {"user", "u"}}},
				Response: ok,
			},
		},
		{"§1.4 keep-alive in base64, 55 s by default", jsonInstruct(`{"hold": {"mode": "stream", "channels": [], "keep-alive": {"content-bin": "/wA=", "content": "no"}}}`),
			Instruct{Hold: keepAlive("\xff\x00", 55*time.Second, false), Response: ok}},
		{"§1.3 keep-alive timeout at least 1 s, by JSON too", jsonInstruct(`{"hold": {"mode": "stream", "channels": [], "keep-alive": {"content": "x", "timeout": 0}}}`),
			Instruct{Hold: keepAlive("x", time.Second, false), Response: ok}},
		{"§1.4 JSON overrides content and timeout of the keep-alive", jsonInstruct(`{"hold": {"mode": "stream", "channels": [], "keep-alive": {"content": "new"}}}`, Field{"Grip-Keep-Alive", "old; mode=idle; timeout=7"}),
			Instruct{Hold: keepAlive("new", DefaultKeepAlive, false), Response: ok}},
		{"keep-alive by JSON with the header's content", jsonInstruct(`{"hold": {"mode": "stream", "channels": [], "keep-alive": {"timeout": 9}}}`, Field{"Grip-Keep-Alive", "old"}),
			Instruct{Hold: keepAlive("old", 9*time.Second, false), Response: ok}},
		{"keep-alive by JSON without content is none, as in Pushpin", jsonInstruct(`{"hold": {"mode": "stream", "channels": [], "keep-alive": {"timeout": 1}}}`), Instruct{Hold: stream(), Response: ok}},
		{"keep-alive by JSON with empty content is none, as in Pushpin", jsonInstruct(`{"hold": {"mode": "stream", "channels": [], "keep-alive": {"content": ""}}}`), Instruct{Hold: stream(), Response: ok}},
		{"§1.4 keep-alive is for streams only, by JSON too", jsonInstruct(`{"hold": {"channels": [], "keep-alive": {"content": "x"}}}`), Instruct{Hold: longPoll(0), Response: ok}},
		{
			"§1.4 JSON overrides the mode, meta and channels add up, the link is in the header",
			jsonInstruct(`{"hold": {"mode": "stream", "channels": [{"name": "a", "prev-id": "2", "filters": ["y"]}], "meta": {"b": "new"}}}`,
				Field{"Grip-Hold", "response"}, Field{"Grip-Channel", "a; prev-id=1; filter=x, c"}, Field{"Grip-Set-Meta", "b=old, a=1"}, Field{"Grip-Link", "</n>; rel=next"}),
			Instruct{
				Hold: &Hold{Mode: HoldStream, Channels: []Channel{{Name: "a", PrevID: "2", Filters: []string{"y"}}, {Name: "c"}}, Meta: Meta{{"a", "1"}, {"b", "new"}}},
				Next: &Link{"/n", DefaultLinkTimeout}, Response: ok,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { wantInstruct(t, tt.in, tt.want) })
	}
}
