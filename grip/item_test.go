package grip

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// publish is the body of a publish of one item on channel "c" with more members.
func publish(more string) string { return `{"items": [{"channel": "c", ` + more + `}]}` }

// answer is the http-response of an item that has one with this body.
func answer(body string, header ...Field) *HTTPResponse {
	return &HTTPResponse{Response: Response{Code: 200, Header: header, Body: []byte(body)}}
}

func TestParseItems(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       []Item
	}{
		{"§5.2 empty list", `{"items": []}`, []Item{}},
		{
			"§5.1 all of it",
			publish(`"id": "2", "prev-id": "1", "no-seq": true, "meta": {"x": "y"}, "size": 1, "formats": {"http-response":
				{"action": "send", "code": 404, "reason": "Nope", "headers": {"B": "1", "A": "2"}, "body": "gone\n", "content-filters": []}}`),
			[]Item{{Channel: "c", ID: "2", PrevID: "1", NoSeq: true, Meta: Meta{{"x", "y"}}, HTTPResponse: &HTTPResponse{Response: Response{
				Code: 404, Reason: "Nope", Header: Header{{"B", "1"}, {"A", "2"}}, Body: []byte("gone\n"),
			}, ContentFilters: []string{}}}},
		},
		{
			"§7.1 old-style key, empty prev-id",
			publish(`"id": "1", "prev-id": "", "http-response": {"headers": [["Content-Type", "application/json"]], "body": "{}"}`),
			[]Item{{Channel: "c", ID: "1", HTTPResponse: answer("{}", Field{"Content-Type", "application/json"})}},
		},
		{
			"§5.1 old-style keys are ignored beside formats",
			publish(`"formats": {"http-response": {"body": "new"}}, "http-response": {"body": "old"}`),
			[]Item{{Channel: "c", HTTPResponse: answer("new")}},
		},
		{"§5.1 body-bin wins", publish(`"http-response": {"body": "no", "body-bin": "/wA="}`), []Item{{Channel: "c", HTTPResponse: answer("\xff\x00")}}},
		{"§5.1 empty body", publish(`"http-response": {"body": ""}`), []Item{{Channel: "c", HTTPResponse: answer("")}}},
		{"§5.1 code in string form", publish(`"http-response": {"code": "201", "body": ""}`), []Item{{Channel: "c", HTTPResponse: &HTTPResponse{Response: Response{Code: 201, Body: []byte{}}}}}},
		{"§5.1 unknown format counts as one", publish(`"formats": {"smoke-signal": 1}`), []Item{{Channel: "c"}}},
		{"§5.1 other old-style formats", publish(`"ws-message": {"content": "x"}`), []Item{{Channel: "c", WSMessage: &WSMessage{Content: []byte("x")}}}},
		{
			"§5.1 order of items, any text as channel",
			`{"x": 1, "items": [{"channel": "b", "formats": {"x": 1}}, {"channel": "", "formats": {"x": 1}}, {"channel": "é\r\n", "formats": {"x": 1}}]}`,
			[]Item{{Channel: "b"}, {Channel: ""}, {Channel: "é\r\n"}},
		},
		{"the last of repeated keys counts", publish(`"channel": "d", "formats": {"x": 1}`), []Item{{Channel: "d"}}},
		{"keys in another case are unknown", publish(`"Channel": "d", "ID": "1", "formats": {"x": 1}`), []Item{{Channel: "c"}}},
		{
			"hop-by-hop fields and the length are the edge's",
			publish(`"http-response": {"headers": {"content-length": "9", "Connection": "x-hop", "X-Hop": "1", "X": "2", "Grip-X": "3"}, "body": ""}`),
			[]Item{{Channel: "c", HTTPResponse: answer("", Field{"X", "2"}, Field{"Grip-X", "3"})}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseItems([]byte(tt.body))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseItems(%s)\n got %s, %v\nwant %s", tt.body, show(got), err, show(tt.want))
			}
		})
	}
}

func TestParseItemsErrors(t *testing.T) {
	long := strings.Repeat("x", maxNameLen+1)
	format := func(members string) string { return publish(`"formats": {"http-response": {` + members + `}}`) }
	for _, tt := range []struct {
		name, body string
		index      int
		want       string
	}{
		{"§5.2 not JSON", `{"items": `, -1, "Body is not valid JSON."},
		{"§5.2 empty body", "", -1, "Body is not valid JSON."},
		{"§5.2 two JSON texts", `{"items": []} {}`, -1, "Body is not valid JSON."},
		{"RFC 8259 §8.1 not UTF-8", "{\"items\": [], \"x\": \"\xff\"}", -1, "Body is not valid JSON."},
		{"§5.2 not an object", `[]`, -1, "Invalid format."},
		{"§5.2 null", `null`, -1, "Invalid format."},
		{"§5.2 no items", `{}`, -1, "Invalid format: object does not contain 'items'"},
		{"§5.2 items of wrong type", `{"items": {}}`, -1, "Invalid format: object contains 'items' with wrong type"},
		{"§5.2 items null", `{"items": null}`, -1, "Invalid format: object contains 'items' with wrong type"},
		{"item of wrong type", `{"items": ["x"]}`, 0, "Invalid format: publish item object is not an object"},
		{"§5.2 no channel", `{"items": [{"formats": {"x": 1}}]}`, 0, "Invalid format: publish item object does not contain 'channel'"},
		{"§5.2 the second item", `{"items": [{"channel": "c", "formats": {"x": 1}}, {}]}`, 1, "Invalid format: publish item object does not contain 'channel' (item 1)"},
		{"§5.2 channel of wrong type", `{"items": [{"channel": 1}]}`, 0, "Invalid format: publish item object contains 'channel' with wrong type"},
		{"§5.1 id is a number", publish(`"id": 7`), 0, "Invalid format: publish item object contains 'id' with wrong type"},
		{"§5.1 id is null", publish(`"id": null`), 0, "Invalid format: publish item object contains 'id' with wrong type"},
		{"§5.1 prev-id is a number", publish(`"prev-id": 7`), 0, "Invalid format: publish item object contains 'prev-id' with wrong type"},
		{"§5.1 no-seq of wrong type", publish(`"no-seq": "true"`), 0, "Invalid format: publish item object contains 'no-seq' with wrong type"},
		{"channel too long", `{"items": [{"channel": "` + long + `"}]}`, 0, "Invalid format: publish item object contains 'channel' longer than 1024 bytes"},
		{"id too long", publish(`"id": "` + long + `"`), 0, "Invalid format: publish item object contains 'id' longer than 1024 bytes"},
		{"prev-id too long", publish(`"prev-id": "` + long + `"`), 0, "Invalid format: publish item object contains 'prev-id' longer than 1024 bytes"},
		{"§5.2 no formats", publish(`"id": "1"`), 0, "Invalid format: no formats specified"},
		{"§5.2 empty formats", publish(`"formats": {}, "http-response": {"body": ""}`), 0, "Invalid format: no formats specified"},
		{"§5.2 formats of wrong type", publish(`"formats": []`), 0, "Invalid format: publish item object contains 'formats' with wrong type"},
		{"http-response of wrong type", publish(`"http-response": "x"`), 0, "Invalid format: 'http-response' is not an object"},
		{"§5.2 no body", format(``), 0, "Invalid format: 'http-response' does not contain 'body', 'body-bin', or 'body-patch'"},
		{"body of wrong type", format(`"body": 1`), 0, "Invalid format: 'http-response' contains 'body' with wrong type"},
		{"body-bin of wrong type", format(`"body-bin": 1, "body": "x"`), 0, "Invalid format: 'http-response' contains 'body-bin' with wrong type"},
		{"body-bin not base64", format(`"body-bin": "?"`), 0, "Invalid format: 'http-response' contains 'body-bin' with invalid value"},
		{"§5.2 code beyond 999", format(`"code": 1000, "body": ""`), 0, "Invalid format: 'http-response' contains 'code' with invalid value"},
		{"code that ends no exchange", format(`"code": 101, "body": ""`), 0, "Invalid format: 'http-response' contains 'code' with invalid value"},
		{"code zero", format(`"code": 0, "body": ""`), 0, "Invalid format: 'http-response' contains 'code' with invalid value"},
		{"code no number", format(`"code": "abc", "body": ""`), 0, "Invalid format: 'http-response' contains 'code' with wrong type"},
		{"reason of wrong type", format(`"reason": 1, "body": ""`), 0, "Invalid format: 'http-response' contains 'reason' with wrong type"},
		{"headers of wrong type", format(`"headers": "x", "body": ""`), 0, "Invalid format: 'http-response' contains 'headers' with wrong type"},
		{"§5.2 header value of wrong type", format(`"headers": {"A": 1}, "body": ""`), 0, "Invalid format: headers contains 'A' with wrong type"},
		{"§5.2 header that is no pair", format(`"headers": ["A"], "body": ""`), 0, "Invalid format: headers contains element with wrong type"},
		{"§5.2 header of three", format(`"headers": [["A", "b", "c"]], "body": ""`), 0, "Invalid format: headers contains list with wrong number of elements"},
		{"§5.2 header pair of wrong type", format(`"headers": [["A", null]], "body": ""`), 0, "Invalid format: headers contains element with wrong type"},
		{"§5.1 action of wrong type", format(`"action": 1, "body": ""`), 0, "Invalid format: 'http-response' contains 'action' with wrong type"},
		{"§5.2 unknown action", format(`"action": "wave", "body": ""`), 0, "Invalid format: 'http-response' contains 'action' with invalid value"},
		{"content-filters of wrong type", format(`"content-filters": "x", "body": ""`), 0, "Invalid format: 'http-response' contains 'content-filters' with wrong type"},
		{"injection: field", format(`"headers": {"A": "b\r\n\r\nHTTP/1.1 200 OK"}, "body": ""`), 0, "Invalid format: 'http-response': header 'A' contains CR, LF or NUL"},
		{"injection: name", format(`"headers": {"A: b\r\nC": "d"}, "body": ""`), 0, `Invalid format: 'http-response': header name "A: b\r\nC" is not a token`},
		{"injection: dropped field", format(`"headers": {"Connection": "\n"}, "body": ""`), 0, "Invalid format: 'http-response': header 'Connection' contains CR, LF or NUL"},
		{"injection: reason", format(`"reason": "OK\nA: b", "body": ""`), 0, "Invalid format: 'http-response' contains 'reason' with CR, LF or NUL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			items, err := ParseItems([]byte(tt.body))
			var refused *PublishError
			if !errors.As(err, &refused) {
				t.Fatalf("ParseItems(%s) = %s, %v, want a *PublishError", tt.body, show(items), err)
			}
			if err.Error() != tt.want || refused.Index != tt.index {
				t.Errorf("ParseItems(%s)\n got item %d: %s\nwant item %d: %s", tt.body, refused.Index, err, tt.index, tt.want)
			}
		})
	}
}

func TestAppendItems(t *testing.T) {
	items := []Item{
		{Channel: "headline-value", ID: "2", PrevID: "1", HTTPResponse: &HTTPResponse{Response: Response{
			Header: Header{{"Content-Type", "application/json"}}, Body: []byte(`{"body": "<é>"}`),
		}}},
		{Channel: "c", NoSeq: true, HTTPResponse: &HTTPResponse{Response: Response{Code: 404, Reason: "Nope", Body: []byte("\xff\x00")}}},
		{Channel: "c", HTTPResponse: &HTTPResponse{Response: Response{}}},
	}
	const want = `POST {"items":[` +
		`{"channel":"headline-value","id":"2","prev-id":"1","formats":{"http-response":{"headers":[["Content-Type","application/json"]],"body":"{\"body\": \"<é>\"}"}}},` +
		`{"channel":"c","no-seq":true,"formats":{"http-response":{"code":404,"reason":"Nope","body-bin":"/wA="}}},` +
		`{"channel":"c","formats":{"http-response":{"body":""}}}` +
		"]}\n"
	if got := string(AppendItems([]byte("POST "), items)); got != want {
		t.Errorf("AppendItems(%s)\n got %s\nwant %s", show(items), got, want)
	}
	if got := string(AppendItems(nil, nil)); got != `{"items":[]}`+"\n" {
		t.Errorf("AppendItems of nothing = %s", got)
	}
}

// FuzzParseItems parses a publish, writes what it got and parses that: nothing
// may change, and every answer can be written to a client.
func FuzzParseItems(f *testing.F) {
	for _, seed := range []string{
		`{"items": []}`,
		publish(`"id": "2", "prev-id": "1", "no-seq": true, "formats": {"http-response": {"code": 404, "reason": "Nope", "headers": {"B": "1", "A": " 2"}, "body": "x"}}`),
		publish(`"http-response": {"headers": [["A", "b"], ["Connection", "A"]], "body-bin": "/wA="}`),
		publish(`"http-response": {"code": "201", "headers": {"A": "\r\n"}, "body": "\ud800\u2028<"}`),
		publish(`"http-response": {"action": "hint"}, "http-stream": {"action": "close"}, "ws-message": {"action": "refresh"}`),
		publish(`"http-response": {"body-patch": [ {"op": "add", "path": "/a/-", "value": {"<": "\u2028\ud800"}} ], "content-filters": []}`),
		publish(`"formats": {"http-stream": {"content": "x", "content-filters": ["build-id", "var-subst"]}}, "meta": {"sender": "u", "": ""}, "size": "5"`),
		publish(`"formats": {"http-stream": {"content-bin": "/wA="}, "ws-message": {"type": "ping"}, "x": null}`),
		publish(`"formats": {"ws-message": {"content-bin": "aGk=", "type": "text"}}`),
		publish(`"formats": {"ws-message": {"action": "close", "code": "1001", "reason": "bye"}}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		parsed, err := ParseItems(body)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("ParseItems(%s): more than a line: %q", body, err)
			}
			return
		}
		items := []Item{} // those that AppendItems can write
		for _, it := range parsed {
			if !it.Deliverable() {
				continue
			}
			items = append(items, it)
			f := it.HTTPResponse
			if f == nil || f.Action != Send {
				continue
			}
			if err := f.Header.check(); err != nil || breaksLine(f.Reason) || !isFinal(f.Code) {
				t.Errorf("cannot be written: %s: %v", show([]Item{it}), err)
			}
			if (f.Body == nil) == (f.Patch == nil) {
				t.Errorf("not one of body and patch: %s", show([]Item{it}))
			}
		}
		written := AppendItems(nil, items)
		again, err := ParseItems(written)
		if err != nil {
			t.Fatalf("parse %s, write %s, parse: %v", body, written, err)
		}
		for i := range items { // an empty header can be nil, too
			for _, it := range []Item{items[i], again[i]} {
				if f := it.HTTPResponse; f != nil && len(f.Header) == 0 {
					f.Header = nil
				}
			}
		}
		if !reflect.DeepEqual(items, again) {
			t.Errorf("parse %s: %s\nwrite %s, parse: %s", body, show(items), written, show(again))
		}
	})
}

// show writes items out, bodies and all.
func show(items []Item) string {
	var b strings.Builder
	for _, it := range items {
		fmt.Fprintf(&b, "{%q %q %q no-seq %v meta %q", it.Channel, it.ID, it.PrevID, it.NoSeq, it.Meta)
		if f := it.HTTPResponse; f != nil {
			fmt.Fprintf(&b, " http-response %v %d %q %q %q patch %q filters %q", f.Action, f.Code, f.Reason, f.Header, f.Body, f.Patch, f.ContentFilters)
		}
		if f := it.HTTPStream; f != nil {
			fmt.Fprintf(&b, " http-stream %v %q filters %q", f.Action, f.Content, f.ContentFilters)
		}
		if f := it.WSMessage; f != nil {
			fmt.Fprintf(&b, " ws-message %v %v %q %d %q filters %q", f.Action, f.Type, f.Content, f.Code, f.Reason, f.ContentFilters)
		}
		b.WriteString("} ")
	}
	return b.String()
}

func BenchmarkItems(b *testing.B) {
	body, _ := json.Marshal(map[string]any{"id": 2, "body": strings.Repeat("Flight 123 arriving. ", 10)})
	items := []Item{{Channel: "headline-value", ID: "2", PrevID: "1", HTTPResponse: &HTTPResponse{Response: Response{
		Code: 200, Header: Header{{"Content-Type", "application/json"}}, Body: body,
	}}}}
	written := AppendItems(nil, items)
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(written)))
		for b.Loop() {
			if _, err := ParseItems(written); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(written)))
		buf := make([]byte, 0, 2*len(written))
		for b.Loop() {
			AppendItems(buf, items)
		}
	})
}
