package grip

import (
	"errors"
	"strings"
	"testing"
)

// tnet writes a dictionary of strings, lists and dictionaries.
func tnet(v any) string { return string(AppendTnetstring(nil, v)) }

// tnetItem is an item of channel c with one format.
func tnetItem(name string, format Dict, more ...Entry) string {
	return tnet(append(Dict{{"channel", "c"}, {"formats", Dict{{name, format}}}}, more...))
}

// published is what pushpin-publish 1.36 sends for the channel st, with
// --id, --prev-id, --sender, --meta, --code and --header.
const published = "238:2:id,1:5,7:channel,2:st,7:formats,152:13:http-response,57:4:body,6:hello\n,7:headers,14:10:3:X-A,1:b,]]4:code,3:201#}10:ws-message,18:7:content,5:hello,}11:http-stream,19:7:content,6:hello\n,}}4:meta,22:1:k,1:v,6:sender,2:me,}7:prev-id,1:4,}"

func TestParseMessage(t *testing.T) {
	body := func(s string) Item { return Item{Channel: "c", HTTPResponse: answer(s)} }
	for _, test := range []struct {
		name, message, channel string
		want                   Item
	}{
		{"§5.3 tnetstring after T", "T" + tnetItem("http-response", Dict{{"body", "x"}}), "", body("x")},
		{"§5.3 tnetstring after nothing", tnetItem("http-response", Dict{{"body", "x"}}), "", body("x")},
		{"§5.3 JSON after J", `J{"channel": "c", "formats": {"http-response": {"body": "x"}}}`, "", body("x")},
		{"§5.3 JSON has -bin", `J{"channel": "c", "formats": {"http-response": {"body-bin": "/wA="}}}`, "", body("\xff\x00")},
		{"§5.3 body of any bytes", tnetItem("http-response", Dict{{"body", "\xff\x00"}}), "", body("\xff\x00")},
		{"§5.3 no body-bin", tnetItem("http-response", Dict{{"body", "x"}, {"body-bin", "eQ=="}}), "", body("x")},
		{"§5.1 old style", tnet(Dict{{"channel", "c"}, {"http-response", Dict{{"body", "\xff"}}}}), "", body("\xff")},
		{"§5.3 SUB: the channel comes before", tnet(Dict{{"formats", Dict{{"http-response", Dict{{"body", "x"}}}}}}), "c", body("x")},
		{"§5.3 SUB: and counts more", tnet(Dict{{"channel", "d"}, {"http-response", Dict{{"body", "x"}}}}), "c", body("x")},
		{"§5.3 SUB in JSON", `J{"formats": {"http-response": {"body": "x"}}}`, "c", body("x")},
		{"§5.3 SUB in JSON, and it counts more", `J{"channel": "d", "http-response": {"body": "x"}}`, "c", body("x")},
		{"§5.1 ids", tnetItem("http-response", Dict{{"body", "x"}}, Entry{"id", "2"}, Entry{"prev-id", "1"}, Entry{"no-seq", true}), "",
			Item{Channel: "c", ID: "2", PrevID: "1", NoSeq: true, HTTPResponse: answer("x")}},
		{"§5.1 code and header", tnetItem("http-response", Dict{{"code", int64(404)}, {"headers", []any{[]any{"B", "1"}, []any{"A", "é"}}}, {"body", "x"}}), "",
			Item{Channel: "c", HTTPResponse: &HTTPResponse{Response: Response{Code: 404, Header: Header{{"B", "1"}, {"A", "é"}}, Body: []byte("x")}}}},
		{"§5.1 meta", tnetItem("http-response", Dict{{"body", "x"}}, Entry{"meta", Dict{{"b", "1"}, {"a", "é"}}}), "",
			Item{Channel: "c", Meta: Meta{{"a", "é"}, {"b", "1"}}, HTTPResponse: answer("x")}},
		{"§5.1 body-patch", tnetItem("http-response", Dict{{"body-patch", []any{Dict{{"op", "test"}, {"path", "/a"}, {"value", []any{1.5, nil, true}}}}}}), "",
			Item{Channel: "c", HTTPResponse: &HTTPResponse{Response: Response{Code: 200}, Patch: []byte(`[{"op":"test","path":"/a","value":[1.5,null,true]}]`)}}},
		{"§5.1 hint", tnetItem("http-response", Dict{{"action", "hint"}}), "", Item{Channel: "c", HTTPResponse: &HTTPResponse{Action: Hint}}},
		{"§5.3 stream content of any bytes", tnetItem("http-stream", Dict{{"content", "\xff"}, {"content-bin", "eQ=="}}), "",
			Item{Channel: "c", HTTPStream: &HTTPStream{Content: []byte("\xff")}}},
		{"§5.1 stream close", tnetItem("http-stream", Dict{{"action", "close"}}), "", Item{Channel: "c", HTTPStream: &HTTPStream{Action: Close}}},
		{"§5.1 content-filters", tnetItem("http-stream", Dict{{"content", "x"}, {"content-filters", []any{"build-id"}}}), "",
			Item{Channel: "c", HTTPStream: &HTTPStream{Content: []byte("x"), ContentFilters: []string{"build-id"}}}},
		{"§5.3 ws content is text", tnetItem("ws-message", Dict{{"content", "é"}}), "", Item{Channel: "c", WSMessage: &WSMessage{Type: Text, Content: []byte("é")}}},
		{"§5.3 ws content-bin is raw and binary", tnetItem("ws-message", Dict{{"content-bin", "eQ=="}}), "", Item{Channel: "c", WSMessage: &WSMessage{Type: Binary, Content: []byte("eQ==")}}},
		{"§5.1 ws type", tnetItem("ws-message", Dict{{"content-bin", "\xff"}, {"type", "ping"}}), "", Item{Channel: "c", WSMessage: &WSMessage{Type: Ping, Content: []byte("\xff")}}},
	} {
		got, err := ParseMessage([]byte(test.message), test.channel)
		if err != nil || show([]Item{got}) != show([]Item{test.want}) {
			t.Errorf("%s: ParseMessage(%q, %q) = %s, %v, want %s", test.name, test.message, test.channel, show([]Item{got}), err, show([]Item{test.want}))
		}
	}
}

// TestParseMessagePublished reads what a real publisher sent.
func TestParseMessagePublished(t *testing.T) {
	it, err := ParseMessage([]byte(published), "")
	if err != nil {
		t.Fatal(err)
	}
	if it.Channel != "st" || it.ID != "5" || it.PrevID != "4" {
		t.Errorf("channel %q, id %q, prev-id %q, want st, 5, 4", it.Channel, it.ID, it.PrevID)
	}
	r := it.HTTPResponse
	if r == nil || r.Code != 201 || string(r.Body) != "hello\n" || r.Header.Get("x-a") != "b" {
		t.Errorf("http-response is %+v", r)
	}
}

func TestParseMessageErrors(t *testing.T) {
	for _, test := range []struct{ name, message, want string }{
		{"nothing", "", "Message is not a valid tnetstring."},
		{"neither", "hello", "Message is not a valid tnetstring."},
		{"J of a tnetstring", "J0:}", "Message is not valid JSON."},
		{"J of bytes", "J\"\xff\"", "Message is not valid JSON."},
		{"T of JSON", "T{}", "Message is not a valid tnetstring."},
		{"no dictionary", "1:1#", "Invalid format: publish item object is not an object"},
		{"no object", "J1", "Invalid format: publish item object is not an object"},
		{"§5.2 no channel", "0:}", "Invalid format: publish item object does not contain 'channel'"},
		{"§5.2 no formats", tnet(Dict{{"channel", "c"}}), "Invalid format: no formats specified"},
		{"§5.2 empty formats", tnet(Dict{{"channel", "c"}, {"formats", Dict{}}}), "Invalid format: no formats specified"},
		{"§5.1 id is a number", tnetItem("http-response", Dict{{"body", "x"}}, Entry{"id", int64(1)}), "Invalid format: publish item object contains 'id' with wrong type"},
		{"§5.1 id is null", tnetItem("http-response", Dict{{"body", "x"}}, Entry{"id", nil}), "Invalid format: publish item object contains 'id' with wrong type"},
		{"§5.2 no body", tnetItem("http-response", Dict{}), "Invalid format: 'http-response' does not contain 'body', 'body-bin', or 'body-patch'"},
		{"§5.3 body-bin alone", tnetItem("http-response", Dict{{"body-bin", "eQ=="}}), "Invalid format: 'http-response' does not contain 'body', 'body-bin', or 'body-patch'"},
		{"§5.2 code", tnetItem("http-response", Dict{{"body", "x"}, {"code", int64(1000)}}), "Invalid format: 'http-response' contains 'code' with invalid value"},
		{"§5.2 headers", tnetItem("http-response", Dict{{"body", "x"}, {"headers", []any{"x"}}}), "Invalid format: headers contains element with wrong type"},
		{"format is a list", tnet(Dict{{"channel", "c"}, {"formats", Dict{{"http-response", []any{}}}}}), "Invalid format: 'http-response' is not an object"},
		{"body is a number", tnetItem("http-response", Dict{{"body", int64(1)}}), "Invalid format: 'http-response' contains 'body' with wrong type"},
		{"channel is not text", tnet(Dict{{"channel", "\xff"}, {"http-response", Dict{{"body", "x"}}}}), "Invalid format: 'channel' of publish item object contains text that is not UTF-8"},
		{"a key is not text", tnet(Dict{{"channel", "c"}, {"\xff", "x"}}), "Invalid format: publish item object contains text that is not UTF-8"},
		{"a header is not text", tnetItem("http-response", Dict{{"headers", []any{[]any{"A", "\xff"}}}, {"body", "x"}}), "Invalid format: 'formats' of publish item object contains text that is not UTF-8"},
	} {
		it, err := ParseMessage([]byte(test.message), "")
		var refused *PublishError
		if !errors.As(err, &refused) || refused.Index != -1 || refused.Reason != test.want {
			t.Errorf("%s: ParseMessage(%q) = %s, %v, want %q", test.name, test.message, show([]Item{it}), err, test.want)
		}
	}
}

func TestParseItemsDict(t *testing.T) {
	one := Dict{{"channel", "a"}, {"http-response", Dict{{"body", "\xff"}}}}
	two := Dict{{"channel", "b"}, {"http-response", Dict{{"body", "y"}}}}
	items, err := ParseItemsDict(Dict{{"items", []any{one, two}}})
	want := show([]Item{{Channel: "a", HTTPResponse: answer("\xff")}, {Channel: "b", HTTPResponse: answer("y")}})
	if err != nil || show(items) != want {
		t.Errorf("ParseItemsDict = %s, %v, want %s", show(items), err, want)
	}
	if items, err := ParseItemsDict(Dict{{"items", []any{}}}); err != nil || len(items) != 0 {
		t.Errorf("ParseItemsDict of no items = %s, %v", show(items), err)
	}
	for _, test := range []struct {
		name  string
		args  Dict
		index int
		want  string
	}{
		{"§5.2 no items", nil, -1, "Invalid format: object does not contain 'items'"},
		{"§5.2 items of another type", Dict{{"items", int64(7)}}, -1, "Invalid format: object contains 'items' with wrong type"},
		{"items of bytes", Dict{{"items", "\xff"}}, -1, "Invalid format: object contains 'items' with wrong type"},
		{"an item that is none", Dict{{"items", []any{one, int64(7)}}}, 1, "Invalid format: publish item object is not an object (item 1)"},
		{"an item that is null", Dict{{"items", []any{nil}}}, 0, "Invalid format: publish item object is not an object"},
		{"an item that is not text", Dict{{"items", []any{one, two, Dict{{"channel", "\xff"}}}}}, 2, "Invalid format: 'channel' of publish item object contains text that is not UTF-8 (item 2)"},
	} {
		items, err := ParseItemsDict(test.args)
		var refused *PublishError
		if !errors.As(err, &refused) || refused.Index != test.index || refused.Reason != test.want {
			t.Errorf("%s: ParseItemsDict = %s, %v, want %q of item %d", test.name, show(items), err, test.want, test.index)
		}
	}
}

// FuzzParseMessage reads messages. As a tnetstring an item must be what it is
// as JSON, when both can say it.
func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(published), "")
	f.Add([]byte("T"+published), "c")
	f.Add([]byte(`J{"channel": "c", "formats": {"http-response": {"body": "x"}}}`), "d")
	f.Add([]byte(tnetItem("http-response", Dict{{"body", "\xff"}, {"code", "200"}})), "")
	f.Add([]byte(tnetItem("http-stream", Dict{{"content", "\xff"}, {"content-filters", []any{"a"}}})), "")
	f.Add([]byte(tnetItem("ws-message", Dict{{"content-bin", "\xff"}, {"type", "text"}})), "")
	f.Add([]byte(tnetItem("http-response", Dict{{"body-patch", []any{Dict{{"op", "test"}, {"value", 1.5}}}}})), "")
	f.Fuzz(func(t *testing.T, message []byte, channel string) {
		it, err := ParseMessage(message, channel)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("ParseMessage(%q): more than a line: %q", message, err)
			}
			return
		}
		if channel != "" && it.Channel != channel {
			t.Errorf("ParseMessage(%q, %q): item of channel %q", message, channel, it.Channel)
		}
		if message[0] == 'J' {
			return
		}
		v, err := ParseTnetstring([]byte(strings.TrimPrefix(string(message), "T")))
		if err != nil {
			t.Fatalf("ParseMessage(%q) has an item, ParseTnetstring says %v", message, err)
		}
		text, err := appendJSON([]byte{'J'}, v)
		if err != nil {
			return // bytes that JSON writes otherwise
		}
		if again, err := ParseMessage(text, channel); err == nil && !strings.Contains(string(text), `-bin"`) && show([]Item{it}) != show([]Item{again}) {
			t.Errorf("ParseMessage(%q) = %s\nParseMessage(%q) = %s", message, show([]Item{it}), text, show([]Item{again}))
		}
	})
}
