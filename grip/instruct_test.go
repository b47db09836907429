package grip

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestIsInstruct(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header Header
		want   bool
	}{
		{"§1.2 media type", Header{{"Content-Type", "application/grip-instruct"}}, true},
		{"§1.2 media type before the semicolon", Header{{"content-type", "application/grip-instruct ;charset=utf-8"}}, true},
		{"RFC 9110 §8.3.1 media type in capitals", Header{{"Content-Type", "Application/GRIP-Instruct"}}, true},
		{"§1.2 any Grip- field", Header{{"X", "1"}, {"Grip-Hold", "response"}}, true},
		{"§1.2 unknown Grip- field, any case", Header{{"gRIP-foo", ""}}, true},
		{"§1.2 longer media type", Header{{"Content-Type", "application/grip-instruction"}}, false},
		{"§1.2 Grip without hyphen", Header{{"Grip", "x"}, {"Gripe-Hold", "x"}, {"X-Grip-Hold", "x"}}, false},
		{"no header", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := IsInstruct(tt.header); got != tt.want {
				t.Errorf("IsInstruct(%v) = %v, want %v", tt.header, got, tt.want)
			}
		})
	}
}

// longPoll is a hold of mode response.
func longPoll(timeout time.Duration, channels ...Channel) *Hold {
	return &Hold{Mode: HoldResponse, Timeout: timeout, Channels: channels}
}

func TestParseInstructHeader(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   Response
		want Instruct
	}{
		{
			"§1.3 hold",
			Response{Code: 200, Reason: "OK", Body: []byte("{}"), Header: Header{
				{"Content-Type", "application/json"}, {"Grip-Hold", "response"},
				{"Grip-Channel", "news; prev-id=7"}, {"Grip-Timeout", "20"},
			}},
			Instruct{
				Hold: longPoll(20*time.Second, Channel{Name: "news", PrevID: "7"}),
				Response: Response{Code: 200, Reason: "OK", Body: []byte("{}"),
					Header: Header{{"Content-Type", "application/json"}}},
			},
		},
		{
			"§1.3 default timeout, no channel",
			Response{Code: 200, Header: Header{{"grip-hold", "response"}}},
			Instruct{Hold: longPoll(0), Response: Response{Code: 200, Header: Header{}}},
		},
		{
			"§1.3 minimum timeout",
			Response{Header: Header{{"Grip-Hold", "response"}, {"Grip-Timeout", "1"}}},
			Instruct{Hold: longPoll(MinTimeout), Response: Response{Code: 200, Header: Header{}}},
		},
		{
			"§1.3 timeout zero is raised, too",
			Response{Header: Header{{"Grip-Hold", "response"}, {"Grip-Timeout", "0"}}},
			Instruct{Hold: longPoll(MinTimeout), Response: Response{Code: 200, Header: Header{}}},
		},
		{
			"§1.3 channels in a list and in lines, each once",
			Response{Header: Header{{"Grip-Hold", "response"}, {"Grip-Channel", "a; prev-id=1, b"}, {"Grip-Channel", "c"}, {"Grip-Channel", "a; prev-id=2"}}},
			Instruct{
				Hold:     longPoll(0, Channel{Name: "a", PrevID: "2"}, Channel{Name: "b", PrevID: ""}, Channel{Name: "c", PrevID: ""}),
				Response: Response{Code: 200, Header: Header{}},
			},
		},
		{
			"§1.3 Grip-Status without reason",
			Response{Code: 200, Reason: "OK", Header: Header{{"Grip-Status", "404"}}},
			Instruct{Response: Response{Code: 404, Header: Header{}}},
		},
		{
			"§1.3 Grip-Status with reason",
			Response{Code: 200, Reason: "OK", Header: Header{{"Grip-Status", "299 Sort Of"}}},
			Instruct{Response: Response{Code: 299, Reason: "Sort Of", Header: Header{}}},
		},
		{
			"§1.3 what the client does not see",
			Response{Code: 200, Header: Header{{"Connection", "x-hop"}, {"X-Hop", "1"}, {"Content-Length", "2"}, {"Grip-Set-Meta", "user=x"}, {"Grip-New", "y"}, {"X", "1"}}, Body: []byte("ok")},
			Instruct{Response: Response{Code: 200, Header: Header{{"X", "1"}}, Body: []byte("ok")}},
		},
		{
			"no hold: the channels name what the answer was made from, filters do not matter",
			Response{Code: 200, Header: Header{{"Grip-Channel", "a; prev-id=3; filter=skip-self, b"}}},
			Instruct{Named: []Channel{{Name: "a", PrevID: "3"}, {Name: "b", PrevID: ""}}, Response: Response{Code: 200, Header: Header{}}},
		},
		{
			"§1.3 keep-alive is for streams only",
			Response{Code: 200, Header: Header{{"Grip-Hold", "response"}, {"Grip-Keep-Alive", "x; timeout=1"}}},
			Instruct{Hold: longPoll(0), Response: Response{Code: 200, Header: Header{}}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { wantInstruct(t, tt.in, tt.want) })
	}
}

// jsonInstruct is an origin's answer with a body of application/grip-instruct.
func jsonInstruct(body string, more ...Field) Response {
	return Response{
		Code: 200, Reason: "Fine", Body: []byte(body),
		Header: append(Header{{"Content-Type", "application/grip-instruct"}, {"X-Carrier", "1"}}, more...),
	}
}

func TestParseInstructJSON(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   Response
		want Instruct
	}{
		{
			"§7.1 headline hold: prev-id is a number",
			jsonInstruct(`{"hold": {"mode": "response", "channels": [{"name": "headline-value", "prev-id": 7}]},
				"response": {"headers": {"Content-Type": "application/json"}, "body": "{}\n"}}`),
			Instruct{
				Hold:     longPoll(0, Channel{Name: "headline-value", PrevID: "7"}),
				Response: Response{Code: 200, Header: Header{{"Content-Type", "application/json"}}, Body: []byte("{}\n")},
			},
		},
		{
			"§1.4 both parts optional, the carrier is discarded",
			jsonInstruct(`{}`),
			Instruct{Response: Response{Code: 200, Header: Header{}}},
		},
		{
			"§1.4 mode defaults to response",
			jsonInstruct(`{"hold": {"channels": []}}`),
			Instruct{Hold: longPoll(0), Response: Response{Code: 200, Header: Header{}}},
		},
		{
			"§1.4 numbers in string form",
			jsonInstruct(`{"hold": {"channels": [], "timeout": "30"}, "response": {"code": "404"}}`),
			Instruct{Hold: longPoll(30 * time.Second), Response: Response{Code: 404, Header: Header{}}},
		},
		{
			"§1.4 whole number written with a point",
			jsonInstruct(`{"hold": {"channels": [], "timeout": 30.0}}`),
			Instruct{Hold: longPoll(30 * time.Second), Response: Response{Code: 200, Header: Header{}}},
		},
		{
			"§1.3 minimum timeout",
			jsonInstruct(`{"hold": {"channels": [], "timeout": 0}}`),
			Instruct{Hold: longPoll(MinTimeout), Response: Response{Code: 200, Header: Header{}}},
		},
		{
			"§1.4 headers as pairs, in order",
			jsonInstruct(`{"response": {"code": 201, "reason": "Made", "headers": [["B", " 1 "], ["a", "2"], ["B", "3"]], "body-bin": "/wA=", "body": "no"}}`),
			Instruct{Response: Response{Code: 201, Reason: "Made", Header: Header{{"B", "1"}, {"a", "2"}, {"B", "3"}}, Body: []byte{0xff, 0}}},
		},
		{
			"§1.4 headers as an object, in order; the last of repeated keys counts",
			jsonInstruct(`{"response": {"headers": {"Z": "1", "B": "2", "A": "3", "B": "4"}}}`),
			Instruct{Response: Response{Code: 200, Header: Header{{"Z", "1"}, {"B", "4"}, {"A", "3"}}}},
		},
		{
			"§1.3 response headers lose hop-by-hop, length and Grip- fields",
			jsonInstruct(`{"response": {"headers": {"Content-Length": "9", "Connection": "close", "Grip-Hold": "response", "X": "1"}}}`),
			Instruct{Response: Response{Code: 200, Header: Header{{"X", "1"}}}},
		},
		{
			"§1.4 JSON overrides the header's timeout, channels add up",
			jsonInstruct(`{"hold": {"channels": [{"name": "b"}, {"name": "a", "prev-id": "2"}], "timeout": 40}}`,
				Field{"Grip-Hold", "response"}, Field{"Grip-Timeout", "30"}, Field{"Grip-Channel", "a; prev-id=1"}),
			Instruct{
				Hold:     longPoll(40*time.Second, Channel{Name: "a", PrevID: "2"}, Channel{Name: "b", PrevID: ""}),
				Response: Response{Code: 200, Header: Header{}},
			},
		},
		{
			"§1.4 hold by header, response by JSON",
			jsonInstruct(`{"response": {"body": "x"}}`, Field{"Grip-Hold", "response"}, Field{"Grip-Channel", "a"}),
			Instruct{
				Hold:     longPoll(0, Channel{Name: "a", PrevID: ""}),
				Response: Response{Code: 200, Header: Header{}, Body: []byte("x")},
			},
		},
		{
			"§1.3 Grip-Status with a JSON response without code",
			jsonInstruct(`{"response": {"body": "x"}}`, Field{"Grip-Status", "404 Nope"}),
			Instruct{Response: Response{Code: 404, Reason: "Nope", Header: Header{}, Body: []byte("x")}},
		},
		{
			"§1.3 Grip-Status gives way to the JSON code",
			jsonInstruct(`{"response": {"code": 201}}`, Field{"Grip-Status", "404 Nope"}),
			Instruct{Response: Response{Code: 201, Header: Header{}}},
		},
		{
			"unknown keys, and known ones in another case",
			jsonInstruct(`{"Hold": 1, "x": null, "hold": {"channels": [{"name": "a", "Name": 5, "filters": []}], "MODE": "stream", "meta": {"user": "u"}}}`),
			Instruct{
				Hold:     &Hold{Mode: HoldResponse, Channels: []Channel{{Name: "a"}}, Meta: Meta{{"user", "u"}}},
				Response: Response{Code: 200, Header: Header{}},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { wantInstruct(t, tt.in, tt.want) })
	}
}

func wantInstruct(t *testing.T, in Response, want Instruct) {
	t.Helper()
	got, err := ParseInstruct(in)
	if err != nil {
		t.Fatalf("ParseInstruct(%v, %q): %v", in.Header, in.Body, err)
	}
	if len(got.Response.Header) == 0 && len(want.Response.Header) == 0 {
		got.Response.Header, want.Response.Header = nil, nil
	}
	if !reflect.DeepEqual(got.Hold, want.Hold) {
		t.Errorf("ParseInstruct(%v, %q): hold\n got %+v\nwant %+v", in.Header, in.Body, got.Hold, want.Hold)
	}
	if !reflect.DeepEqual(got.Named, want.Named) {
		t.Errorf("ParseInstruct(%v, %q): named\n got %+v\nwant %+v", in.Header, in.Body, got.Named, want.Named)
	}
	if !reflect.DeepEqual(got.Next, want.Next) || got.Gone != want.Gone {
		t.Errorf("ParseInstruct(%v, %q): links\n got %+v, %q\nwant %+v, %q", in.Header, in.Body, got.Next, got.Gone, want.Next, want.Gone)
	}
	if !reflect.DeepEqual(got.Response, want.Response) {
		t.Errorf("ParseInstruct(%v, %q): response\n got %+v\nwant %+v", in.Header, in.Body, got.Response, want.Response)
	}
}

func TestParseInstructHead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		header  Header
		streams bool
	}{
		{"§1.2 stream", Header{{"Grip-Hold", "stream"}, {"Grip-Channel", "a; filter=skip-self"}, {"X", "1"}}, true},
		{"§1.2 no hold but a next link", Header{{"Grip-Link", "</n>; rel=next"}}, true},
		{"§1.2 stream with build-id", Header{{"Grip-Hold", "stream"}, {"Grip-Channel", "a, b; filter=skip-self; filter=build-id"}}, false},
		{"§1.2 hold of mode response", Header{{"Grip-Hold", "response"}, {"Grip-Link", "</n>; rel=next"}}, false},
		{"§1.2 neither hold nor next link", Header{{"Grip-Link", "</g>; rel=gone"}}, false},
		{"§1.2 JSON instruct", Header{{"Grip-Hold", "stream"}, {"Content-Type", "application/grip-instruct"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Response{Code: 200, Header: tt.header, Body: []byte("the beg")}
			in, streams, err := ParseInstructHead(r)
			if err != nil || streams != tt.streams {
				t.Fatalf("ParseInstructHead(%v) = %+v, %v, %v, want %v", tt.header, in, streams, err, tt.streams)
			}
			var want Instruct
			if tt.streams {
				r.Body = nil
				if want, err = ParseInstruct(r); err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(in, want) {
				t.Errorf("ParseInstructHead(%v)\n got %+v\nwant %+v", tt.header, in, want)
			}
		})
	}
	var refused *InstructError
	if _, _, err := ParseInstructHead(Response{Header: Header{{"Grip-Hold", "maybe"}}}); !errors.As(err, &refused) {
		t.Errorf("Grip-Hold: maybe: error %v, want an *InstructError", err)
	}
}

func TestParseInstructErrors(t *testing.T) {
	held := func(more ...Field) Response {
		return Response{Code: 200, Header: append(Header{{"Grip-Hold", "response"}}, more...)}
	}
	long := strings.Repeat("x", maxNameLen+1)
	for _, tt := range []struct {
		name   string
		in     Response
		reason string
	}{
		{"§13 Grip-Hold", Response{Header: Header{{"Grip-Hold", "Response"}}}, "Grip-Hold must be set to either 'response' or 'stream'"},
		{"§13 Grip-Hold empty", Response{Header: Header{{"Grip-Hold", ""}}}, "Grip-Hold must be set to either 'response' or 'stream'"},
		{"§13 Grip-Timeout", held(Field{"Grip-Timeout", "soon"}), "failed to parse Grip-Timeout"},
		{"§13 Grip-Timeout negative", held(Field{"Grip-Timeout", "-1"}), "Grip-Timeout has invalid value"},
		{"§13 Grip-Timeout too large for a duration", held(Field{"Grip-Timeout", "9223372036854775807"}), "failed to parse Grip-Timeout"},
		{"§13 JSON", jsonInstruct(`{"hold": `), "failed to parse application/grip-instruct content as JSON"},
		{"§13 JSON that is no object", jsonInstruct(`[]`), "instruct must be an object"},
		{"§13 JSON null", jsonInstruct(`null`), "failed to parse application/grip-instruct content as JSON"},
		{"§13 JSON that is not UTF-8", jsonInstruct("{\"x\": \"\xff\"}"), "failed to parse application/grip-instruct content as JSON"},
		{"§13 response code", Response{Code: 201, Header: Header{{"Content-Type", "application/grip-instruct"}}, Body: []byte("{}")}, "response code for application/grip-instruct content must be 200"},

		{"§13 six filters", held(Field{"Grip-Channel", "a, C; filter=1; filter=2; filter=3; filter=4; filter=5; filter=6"}), "too many filters for channel 'C'"},
		{"§13 six filters by JSON", jsonInstruct(`{"hold": {"channels": [{"name": "C", "filters": ["", "", "", "", "", ""]}]}}`), "too many filters for channel 'C'"},
		{"§13 invalid link", held(Field{"Grip-Link", "</a b>; rel=next"}), "Grip-Link contains invalid link"},
		{"§13 prev-id, but no next link", Response{Header: Header{{"Grip-Hold", "stream"}, {"Grip-Channel", "a, C; prev-id=1"}, {"Grip-Link", "</g>; rel=gone"}}}, "channel 'C' specifies prev-id, but no next link found"},
		{"§13 prev-id, but no next link, by JSON", jsonInstruct(`{"hold": {"mode": "stream", "channels": [{"name": "C", "prev-id": "1"}]}}`), "channel 'C' specifies prev-id, but no next link found"},
		{"§1.3 Grip-Keep-Alive empty", held(Field{"Grip-Keep-Alive", ""}), "Grip-Keep-Alive cannot be empty"},
		{"§1.3 Grip-Set-Meta without a name", held(Field{"Grip-Set-Meta", "=x"}), "Grip-Set-Meta cannot be empty"},
		{"§1.3 Grip-Expose-Headers open quote", held(Field{"Grip-Expose-Headers", `"X`}), "failed to parse Grip-Expose-Headers: quoted string has no end"},
		{"§1.3 Grip-Status no number", Response{Header: Header{{"Grip-Status", "OK"}}}, "Grip-Status contains invalid status code"},
		{"§1.3 Grip-Status no final status", Response{Header: Header{{"Grip-Status", "101 Switching"}}}, "Grip-Status contains invalid status code"},
		{"§1.3 Grip-Status too large", Response{Header: Header{{"Grip-Status", "1000"}}}, "Grip-Status contains invalid status code"},
		{"§1.3 Grip-Channel open quote", held(Field{"Grip-Channel", `a; prev-id="x`}), "failed to parse Grip-Channel: quoted string has no end"},
		{"§1.3 Grip-Channel without a name", held(Field{"Grip-Channel", "; prev-id=x"}), "failed to parse Grip-Channel: channel has no name"},
		{"channel name too long", held(Field{"Grip-Channel", long}), "failed to parse Grip-Channel: channel name is longer than 1024 bytes"},
		{"prev-id too long", jsonInstruct(`{"hold": {"channels": [{"name": "a", "prev-id": "` + long + `"}]}}`), "prev-id of channel 'a' is longer than 1024 bytes"},

		{"§1.4 hold of wrong type", jsonInstruct(`{"hold": null}`), "instruct contains 'hold' with wrong type"},
		{"§1.4 hold without channels", jsonInstruct(`{"hold": {}}`), "hold does not contain 'channels'"},
		{"§1.4 channels of wrong type", jsonInstruct(`{"hold": {"channels": ["a"]}}`), "hold contains 'channels' with wrong type"},
		{"§1.4 channel without name", jsonInstruct(`{"hold": {"channels": [{}]}}`), "channel does not contain 'name'"},
		{"§1.4 channel name empty", jsonInstruct(`{"hold": {"channels": [{"name": ""}]}}`), "channel has no name"},
		{"§1.4 prev-id of wrong type", jsonInstruct(`{"hold": {"channels": [{"name": "a", "prev-id": true}]}}`), "channel contains 'prev-id' with wrong type"},
		{"§1.4 filters of wrong type", jsonInstruct(`{"hold": {"channels": [{"name": "a", "filters": "x"}]}}`), "channel contains 'filters' with wrong type"},
		{"§1.4 mode of wrong type", jsonInstruct(`{"hold": {"mode": 1, "channels": []}}`), "hold contains 'mode' with wrong type"},
		{"§1.4 mode unknown", jsonInstruct(`{"hold": {"mode": "none", "channels": []}}`), "hold 'mode' must be set to either 'response' or 'stream'"},
		{"§1.4 timeout of wrong type", jsonInstruct(`{"hold": {"channels": [], "timeout": 5.5}}`), "hold contains 'timeout' with wrong type"},
		{"§1.4 timeout too large for a duration", jsonInstruct(`{"hold": {"channels": [], "timeout": 1e12}}`), "hold contains 'timeout' with wrong type"},
		{"§1.4 timeout negative", jsonInstruct(`{"hold": {"channels": [], "timeout": -1}}`), "hold contains 'timeout' with invalid value"},
		{"§1.4 keep-alive of wrong type", jsonInstruct(`{"hold": {"channels": [], "keep-alive": "x"}}`), "hold contains 'keep-alive' with wrong type"},
		{"§1.4 keep-alive content of wrong type", jsonInstruct(`{"hold": {"channels": [], "keep-alive": {"content": 1}}}`), "'keep-alive' contains 'content' with wrong type"},
		{"§1.4 keep-alive content not base64", jsonInstruct(`{"hold": {"channels": [], "keep-alive": {"content-bin": "?"}}}`), "'keep-alive' contains 'content-bin' with invalid value"},
		{"§1.4 keep-alive timeout of wrong type", jsonInstruct(`{"hold": {"channels": [], "keep-alive": {"content": "x", "timeout": null}}}`), "'keep-alive' contains 'timeout' with wrong type"},
		{"§1.4 keep-alive timeout negative", jsonInstruct(`{"hold": {"channels": [], "keep-alive": {"content": "x", "timeout": -1}}}`), "'keep-alive' contains 'timeout' with invalid value"},
		{"§1.4 meta of wrong type", jsonInstruct(`{"hold": {"channels": [], "meta": []}}`), "hold contains 'meta' with wrong type"},
		{"§1.4 meta text of wrong type", jsonInstruct(`{"hold": {"channels": [], "meta": {"user": 1}}}`), "'meta' contains 'user' with wrong type"},
		{"injection: filter", jsonInstruct(`{"hold": {"channels": [{"name": "a", "filters": ["x\n"]}]}}`), "filter of channel 'a' contains CR, LF or NUL"},
		{"§1.4 response of wrong type", jsonInstruct(`{"response": 1}`), "instruct contains 'response' with wrong type"},
		{"§1.4 code no final status", jsonInstruct(`{"response": {"code": 100}}`), "response contains 'code' with invalid value"},
		{"§1.4 body of wrong type", jsonInstruct(`{"response": {"body": {}}}`), "response contains 'body' with wrong type"},

		{"injection: field by header", held(Field{"X", "a\nb"}), "header 'X' contains CR, LF or NUL"},
		{"injection: name by header", held(Field{"X Y", "a"}), `header name "X Y" is not a token`},
		{"injection: reason by header", Response{Code: 200, Reason: "O\rK", Header: Header{{"Grip-Hold", "response"}}}, "reason phrase contains CR, LF or NUL"},
		{"injection: Grip-Status", Response{Code: 200, Header: Header{{"Grip-Status", "200 O\nK"}}}, "Grip-Status contains CR, LF or NUL"},
		{"injection: field by JSON", jsonInstruct(`{"response": {"headers": {"X": "a\r\nSet-Cookie: b"}}}`), "response: header 'X' contains CR, LF or NUL"},
		{"injection: name by JSON", jsonInstruct(`{"response": {"headers": [["X:", "a"]]}}`), `response: header name "X:" is not a token`},
		{"injection: reason by JSON", jsonInstruct(`{"response": {"reason": "O\u0000K"}}`), "response contains 'reason' with CR, LF or NUL"},
		{"injection: channel name into Grip-Last", jsonInstruct(`{"hold": {"channels": [{"name": "a\r\nb"}]}}`), "channel name contains CR, LF or NUL"},
		{"injection: prev-id into Grip-Last", jsonInstruct(`{"hold": {"channels": [{"name": "a", "prev-id": "\n"}]}}`), "prev-id of channel 'a' contains CR, LF or NUL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, err := ParseInstruct(tt.in)
			var refused *InstructError
			if !errors.As(err, &refused) {
				t.Fatalf("ParseInstruct(%v, %q) = %+v, %v, want an *InstructError", tt.in.Header, tt.in.Body, in, err)
			}
			if refused.Reason != tt.reason {
				t.Errorf("ParseInstruct(%v, %q)\n got %s\nwant %s", tt.in.Header, tt.in.Body, refused.Reason, tt.reason)
			}
			if want := "failed to parse accept instructions: " + tt.reason; err.Error() != want {
				t.Errorf("Error() = %s, want %s", err, want)
			}
		})
	}
}

// FuzzParseInstruct checks that whatever an origin says, an accepted instruct
// can be obeyed: it can be written to a client, and its hold is in bounds. It
// also compares what is known of it from its head alone, and as a link.
func FuzzParseInstruct(f *testing.F) {
	f.Add("response", "a; prev-id=1", "404 Nope", "x; timeout=5", "</n>; rel=next", "user=u", "body", false)
	f.Add("stream", "a; prev-id=1; filter=build-id, b", "200", `:\n\x41; format=cstring; mode=interval`, "</n?a=1,2>; rel=next; timeout=1, <g>; rel=gone", `a="b, c"`, "", false)
	f.Add("stream", "a", "299 Sort Of", "aGk=; format=base64", "</g>; rel=gone", "a=%(b)s", "x", false)
	for _, seed := range []string{
		`{}`, `{"hold": {"channels": []}}`,
		`{"hold": {"mode": "response", "channels": [{"name": "a", "prev-id": 7}, {"name": "a"}], "timeout": "30"}}`,
		`{"hold": {"mode": "stream", "channels": [{"name": "a", "filters": ["x"]}], "keep-alive": {"content-bin": "/wA=", "timeout": 0}, "meta": {"a": "b"}}}`,
		`{"response": {"code": 201, "reason": "Made", "headers": [["B", "1"]], "body-bin": "/wA="}}`,
		`{"response": {"headers": {"Z": "1", "Connection": "z", "B": "2\r\n", "B": "4"}, "body": "x"}}`,
	} {
		f.Add("stream", "a", "404 Nope", "x", "</n>; rel=next", "user=u", seed, true)
	}
	f.Fuzz(func(t *testing.T, hold, channel, status, keepAlive, link, meta, body string, isJSON bool) {
		r := Response{Code: 200, Body: []byte(body)}
		if isJSON {
			r = jsonInstruct(body)
		}
		for _, fld := range []Field{
			{"Grip-Hold", hold}, {"Grip-Channel", channel}, {"Grip-Status", status},
			{"Grip-Keep-Alive", keepAlive}, {"Grip-Link", link}, {"Grip-Set-Meta", meta},
		} {
			if fld.Value != "" {
				r.Header = append(r.Header, fld)
			}
		}
		in, err := ParseInstruct(r)
		head, streams, headErr := ParseInstructHead(r)
		if !isJSON && (err == nil) != (headErr == nil) {
			t.Errorf("error %v, but by the head alone %v", err, headErr)
		}
		linked, linkErr := ParseLink(r)
		if err != nil {
			if linkErr == nil {
				t.Errorf("error %v, but as a link %+v", err, linked)
			}
			return
		}
		if streams {
			head.Response.Body = in.Response.Body
			if !reflect.DeepEqual(head, in) {
				t.Errorf("by the head alone %+v, with the body %+v", head, in)
			}
		}
		if linkErr == nil && !reflect.DeepEqual(linked, in) {
			t.Errorf("as a link %+v, otherwise %+v", linked, in)
		}
		checkInstruct(t, in)
	})
}

// checkInstruct reports what of in an edge could not obey.
func checkInstruct(t *testing.T, in Instruct) {
	t.Helper()
	r := in.Response
	if err := r.Header.check(); err != nil || breaksLine(r.Reason) || !isFinal(r.Code) {
		t.Errorf("cannot be written: %d %q %q: %v", r.Code, r.Reason, r.Header, err)
	}
	for _, fld := range r.Header {
		if isGrip(fld.Name) || strings.EqualFold(fld.Name, "Content-Length") {
			t.Errorf("the client would see %q", fld)
		}
	}
	for _, link := range []*Link{in.Next, {URL: in.Gone}} {
		if link == nil || link.URL == "" && link != in.Next {
			continue
		}
		if _, err := url.Parse(link.URL); err != nil || link.URL == "" || strings.ContainsAny(link.URL, " \r\n\x00") || link.Timeout < 0 {
			t.Errorf("cannot be asked: %+v: %v", link, err)
		}
	}
	channels := in.Named
	if h := in.Hold; h != nil {
		channels = h.Channels
		if in.Named != nil {
			t.Errorf("both hold %+v and named %+v", h, in.Named)
		}
		if h.Timeout != 0 && (h.Timeout < MinTimeout || h.Mode != HoldResponse) || len(channels) > MaxChannels {
			t.Errorf("hold out of bounds: %+v", h)
		}
		if k := h.KeepAlive; k != nil && (h.Mode != HoldStream || len(k.Content) == 0 || k.Timeout < MinKeepAlive) {
			t.Errorf("keep-alive out of bounds: %+v of %+v", k, h)
		}
		if h.Mode == HoldResponse && in.Next != nil {
			t.Errorf("a link %+v of %+v", in.Next, h)
		}
		for i, m := range h.Meta {
			if i > 0 && h.Meta[i-1].Name >= m.Name {
				t.Errorf("meta is not sorted: %q", h.Meta)
			}
		}
	}
	seen := make(map[string]bool)
	for _, c := range channels {
		if err := c.check(); err != nil || seen[c.Name] || len(c.Filters) > MaxFilters {
			t.Errorf("channel %q: seen %v, %v", c, seen[c.Name], err)
		}
		if in.Hold != nil && in.Hold.Mode == HoldStream && c.PrevID != "" && in.Next == nil {
			t.Errorf("channel %q has a prev-id without a link", c)
		}
		seen[c.Name] = true
	}
}

func BenchmarkParseInstruct(b *testing.B) {
	byHeader := Response{Code: 200, Body: []byte("{}"), Header: Header{
		{"Date", "then"}, {"Content-Type", "application/json"}, {"Content-Length", "2"},
		{"Grip-Hold", "response"}, {"Grip-Channel", "headline-value; prev-id=7"},
	}}
	byJSON := jsonInstruct(`{"hold": {"mode": "response", "channels": [{"name": "headline-value", "prev-id": 7}]},
		"response": {"headers": {"Content-Type": "application/json"}, "body": "{}\n"}}`)
	for name, r := range map[string]Response{"header": byHeader, "json": byJSON} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseInstruct(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
