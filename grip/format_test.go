package grip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func TestParseFormats(t *testing.T) {
	response := func(f HTTPResponse) Item { return Item{Channel: "c", HTTPResponse: &f} }
	stream := func(f HTTPStream) Item { return Item{Channel: "c", HTTPStream: &f} }
	message := func(f WSMessage) Item { return Item{Channel: "c", WSMessage: &f} }
	none := Item{Channel: "c"}
	ok := Response{Code: 200}
	for _, tt := range []struct {
		name, members string
		want          Item
	}{
		{"§5.1 http-response hint", `"http-response": {"action": "hint", "code": "x", "content-filters": 1}`, response(HTTPResponse{Action: Hint})},
		{"§3.2 http-response close does nothing", `"http-response": {"action": "close"}`, none},
		{"§3.2 http-response refresh does nothing", `"http-response": {"action": "refresh"}`, none},
		{"§5.1 body-patch", `"http-response": {"body-patch": [ {"op": "add", "path": "/a/-", "value": [1.0, "<\u00e9>"]} ]}`,
			response(HTTPResponse{Response: ok, Patch: []byte(`[{"op":"add","path":"/a/-","value":[1.0,"<\u00e9>"]}]`)})},
		{"§5.1 empty body-patch", `"http-response": {"body-patch": []}`, response(HTTPResponse{Response: ok, Patch: []byte("[]")})},
		{"§5.1 body wins over body-patch", `"http-response": {"body-patch": 1, "body": ""}`, response(HTTPResponse{Response: Response{Code: 200, Body: []byte{}}})},
		{"§5.1 content-filters in order", `"http-response": {"body": "", "content-filters": ["var-subst", "build-id"]}`,
			response(HTTPResponse{Response: Response{Code: 200, Body: []byte{}}, ContentFilters: []string{"var-subst", "build-id"}})},

		{"§5.1 http-stream", `"http-stream": {"content": "data: x\n\n"}`, stream(HTTPStream{Content: []byte("data: x\n\n")})},
		{"§5.1 http-stream send", `"http-stream": {"action": "send", "content": ""}`, stream(HTTPStream{Content: []byte{}})},
		{"§5.1 http-stream content-bin wins", `"http-stream": {"content": "no", "content-bin": "/wA="}`, stream(HTTPStream{Content: []byte{0xff, 0}})},
		{"§5.1 http-stream hint", `"http-stream": {"action": "hint"}`, stream(HTTPStream{Action: Hint})},
		{"§5.1 http-stream close", `"http-stream": {"action": "close", "content": 1}`, stream(HTTPStream{Action: Close})},
		{"http-stream refresh does nothing", `"http-stream": {"action": "refresh"}`, none},
		{"§5.1 http-stream without content filters, and none allowed", `"http-stream": {"content": "", "content-filters": []}`,
			stream(HTTPStream{Content: []byte{}, ContentFilters: []string{}})},

		{"§5.1 ws-message is text", `"ws-message": {"content": "hi"}`, message(WSMessage{Content: []byte("hi")})},
		{"§5.1 ws-message of content-bin is binary", `"ws-message": {"content-bin": "aGk="}`, message(WSMessage{Type: Binary, Content: []byte("hi")})},
		{"§5.1 ws-message type", `"ws-message": {"content-bin": "aGk=", "type": "text"}`, message(WSMessage{Content: []byte("hi")})},
		{"§5.1 ws-message binary in content", `"ws-message": {"content": "hi", "type": "binary", "content-filters": ["x"]}`,
			message(WSMessage{Type: Binary, Content: []byte("hi"), ContentFilters: []string{"x"}})},
		{"§5.1 ping without content", `"ws-message": {"type": "ping"}`, message(WSMessage{Type: Ping, Content: []byte{}})},
		{"§5.1 pong", `"ws-message": {"type": "pong", "content": "x"}`, message(WSMessage{Type: Pong, Content: []byte("x")})},
		{"§5.1 ws-message close", `"ws-message": {"action": "close"}`, message(WSMessage{Action: Close})},
		{"§5.1 ws-message close with code and reason", `"ws-message": {"action": "close", "code": "1001", "reason": "bye"}`, message(WSMessage{Action: Close, Code: 1001, Reason: "bye"})},
		{"§5.1 ws-message refresh", `"ws-message": {"action": "refresh"}`, message(WSMessage{Action: Refresh})},
		{"§5.1 ws-message hint is ignored", `"ws-message": {"action": "hint"}`, none},

		{"§5.1 all three, and one unknown", `"formats": {"http-response": {"body": "r"}, "http-stream": {"content": "s"}, "ws-message": {"content": "w"}, "x": null}`,
			Item{Channel: "c", HTTPResponse: answer("r"), HTTPStream: &HTTPStream{Content: []byte("s")}, WSMessage: &WSMessage{Content: []byte("w")}}},
		{"§5.1 all three, old-style", `"http-response": {"body": "r"}, "http-stream": {"content": "s"}, "ws-message": {"content": "w"}`,
			Item{Channel: "c", HTTPResponse: answer("r"), HTTPStream: &HTTPStream{Content: []byte("s")}, WSMessage: &WSMessage{Content: []byte("w")}}},
		{"§5.1 meta", `"meta": {"sender": "u", "a": "", "skip_users": "x,\ny"}, "formats": {"x": 1}`,
			Item{Channel: "c", Meta: Meta{{"a", ""}, {"sender", "u"}, {"skip_users", "x,\ny"}}}},
		{"§5.1 no meta in it", `"meta": {}, "formats": {"x": 1}`, none},
		{"§5.1 size", `"size": 0, "formats": {"x": 1}`, none},
		{"§5.1 size in string form", `"size": "12", "formats": {"x": 1}`, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := publish(tt.members)
			got, err := ParseItems([]byte(body))
			if want := []Item{tt.want}; err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("ParseItems(%s)\n got %s, %v\nwant %s", body, show(got), err, show(want))
			}
			if len(got) == 1 && got[0].Deliverable() != !reflect.DeepEqual(tt.want, Item{Channel: "c", Meta: tt.want.Meta}) {
				t.Errorf("Deliverable() of %s = %v", show(got), got[0].Deliverable())
			}
		})
	}
}

func TestParseFormatsErrors(t *testing.T) {
	ops := strings.Repeat(`{"op": "remove", "path": "/a"}, `, maxPatchOps) + `{"op": "remove", "path": "/a"}`
	deep := strings.Repeat("[", maxPatchDepth) + strings.Repeat("]", maxPatchDepth)
	patch := func(ops string) string { return `"http-response": {"body-patch": ` + ops + `}` }
	message := func(members string) string { return `"ws-message": {` + members + `}` }
	stream := func(members string) string { return `"http-stream": {` + members + `}` }
	for _, tt := range []struct{ name, members, want string }{
		{"http-stream of wrong type", `"http-stream": "x"`, "'http-stream' is not an object"},
		{"§5.2 no content", stream(``), "'http-stream' does not contain 'content' or 'content-bin'"},
		{"content of wrong type", stream(`"content": 1`), "'http-stream' contains 'content' with wrong type"},
		{"content-bin of wrong type", stream(`"content-bin": {}`), "'http-stream' contains 'content-bin' with wrong type"},
		{"content-bin not base64", stream(`"content-bin": "?"`), "'http-stream' contains 'content-bin' with invalid value"},
		{"§5.2 unknown action", stream(`"action": "wave"`), "'http-stream' contains 'action' with invalid value"},
		{"action of wrong type", stream(`"action": null`), "'http-stream' contains 'action' with wrong type"},
		{"content-filters of wrong type", stream(`"content": "", "content-filters": "x"`), "'http-stream' contains 'content-filters' with wrong type"},
		{"content-filters null", stream(`"content": "", "content-filters": null`), "'http-stream' contains 'content-filters' with wrong type"},
		{"content filter of wrong type", stream(`"content": "", "content-filters": ["x", 1]`), "content-filters contains element with wrong type"},

		{"ws-message of wrong type", `"ws-message": []`, "'ws-message' is not an object"},
		{"§5.2 no content of a message", message(``), "'ws-message' does not contain 'content' or 'content-bin'"},
		{"§5.2 no content of a text message", message(`"type": "text"`), "'ws-message' does not contain 'content' or 'content-bin'"},
		{"unknown type", message(`"type": "close", "content": ""`), "'ws-message' contains 'type' with unknown value"},
		{"type of wrong type", message(`"type": 1, "content": ""`), "'ws-message' contains 'type' with wrong type"},
		{"message content-filters of wrong type", message(`"content": "", "content-filters": {}`), "'ws-message' contains 'content-filters' with wrong type"},
		{"message unknown action", message(`"action": ""`), "'ws-message' contains 'action' with invalid value"},
		{"RFC 6455 §5.5 ping too long", message(`"type": "ping", "content": "` + strings.Repeat("x", 126) + `"`), "'ws-message' contains 'content' longer than 125 bytes, the most for type 'ping'"},
		{"RFC 6455 §5.5 reason too long", message(`"action": "close", "reason": "` + strings.Repeat("x", 124) + `"`), "'ws-message' contains 'reason' longer than 123 bytes"},
		{"RFC 6455 §5.5.1 code of more than two bytes", message(`"action": "close", "code": 65536`), "'ws-message' contains 'code' with invalid value"},
		{"code negative", message(`"action": "close", "code": -1`), "'ws-message' contains 'code' with invalid value"},
		{"close code of wrong type", message(`"action": "close", "code": []`), "'ws-message' contains 'code' with wrong type"},
		{"close reason of wrong type", message(`"action": "close", "reason": 1`), "'ws-message' contains 'reason' with wrong type"},

		{"§5.1 body-patch of wrong type", patch(`{}`), "'http-response' contains 'body-patch' with wrong type"},
		{"body-patch null", patch(`null`), "'http-response' contains 'body-patch' with wrong type"},
		{"operation of wrong type", patch(`[1]`), "'http-response' contains 'body-patch' with invalid value"},
		{"operation null", patch(`[null]`), "'http-response' contains 'body-patch' with invalid value"},
		{"RFC 6902 §4 unknown operation", patch(`[{"op": "swap", "path": "/a"}]`), "'http-response' contains 'body-patch' with invalid value"},
		{"RFC 6902 §4 no path", patch(`[{"op": "remove"}]`), "'http-response' contains 'body-patch' with invalid value"},
		{"RFC 6902 §4.1 no value", patch(`[{"op": "add", "path": ""}]`), "'http-response' contains 'body-patch' with invalid value"},
		{"RFC 6902 §4.4 no from", patch(`[{"op": "move", "path": "/a"}]`), "'http-response' contains 'body-patch' with invalid value"},
		{"RFC 6902 §4.6 no value", patch(`[{"op": "test", "path": ""}]`), "'http-response' contains 'body-patch' with invalid value"},
		{"RFC 6901 §3 path", patch(`[{"op": "add", "path": "a", "value": 1}]`), "'http-response' contains 'body-patch' with a 'path' for 'add' that does not begin with '/'"},
		{"removal of the document", patch(`[{"op": "remove", "path": ""}]`), "'http-response' contains 'body-patch' with a 'path' for 'remove' that does not begin with '/'"},
		{"copy of the document", patch(`[{"op": "copy", "from": "", "path": "/a"}]`), "'http-response' contains 'body-patch' with a 'from' for 'copy' that does not begin with '/'"},
		{"empty step", patch(`[{"op": "test", "path": "/a//b", "value": 1}]`), "'http-response' contains 'body-patch' with a 'path' that has an empty step"},
		{"empty last step", patch(`[{"op": "test", "path": "/", "value": 1}]`), "'http-response' contains 'body-patch' with a 'path' that has an empty step"},
		{"too many operations", patch(`[` + ops + `]`), "'http-response' contains 'body-patch' with more than 1000 operations"},
		{"nested too deep", patch(`[{"op": "add", "path": "/a", "value": ` + deep + `}]`), "'http-response' contains 'body-patch' nested deeper than 64 levels"},
		{"too many steps", patch(`[{"op": "remove", "path": "` + strings.Repeat("/a", 65) + `"}]`), "'http-response' contains 'body-patch' with a 'path' of more than 64 steps"},

		{"§5.1 meta of wrong type", `"meta": [], "formats": {"x": 1}`, "publish item object contains 'meta' with wrong type"},
		{"§5.1 meta text of wrong type", `"meta": {"a": "1", "b": 2}, "formats": {"x": 1}`, "'meta' contains 'b' with wrong type"},
		{"§5.1 meta with a name of two lines", `"meta": {"a\nb": 2}, "formats": {"x": 1}`, "'meta' contains value with wrong type"},
		{"§5.1 size negative", `"size": -1, "formats": {"x": 1}`, "publish item object contains 'size' with invalid value"},
		{"§5.1 size of wrong type", `"size": "x", "formats": {"x": 1}`, "publish item object contains 'size' with wrong type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, place := range []struct {
				before, reason string
				index          int
			}{
				{"", "Invalid format: " + tt.want, 0},
				{`{"channel": "a", "formats": {"x": 1}}, `, "Invalid format: " + tt.want + " (item 1)", 1},
			} {
				body := `{"items": [` + place.before + `{"channel": "c", ` + tt.members + `}]}`
				items, err := ParseItems([]byte(body))
				var refused *PublishError
				if !errors.As(err, &refused) {
					t.Fatalf("ParseItems(%s) = %s, %v, want a *PublishError", body, show(items), err)
				}
				if refused.Reason != place.reason || refused.Index != place.index {
					t.Errorf("ParseItems(%s)\n got item %d: %s\nwant item %d: %s", body, refused.Index, refused.Reason, place.index, place.reason)
				}
			}
		})
	}
}

func TestFormatStrings(t *testing.T) {
	if got, want := fmt.Sprint(Send, Hint, Close, Refresh), "send hint close refresh"; got != want {
		t.Errorf("actions are %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(Text, Binary, Ping, Pong), "text binary ping pong"; got != want {
		t.Errorf("message types are %s, want %s", got, want)
	}
}

// TestItemsRoundTrip writes items of all kinds and reads them again.
func TestItemsRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 1))
	for range 2000 {
		items := make([]Item, random.IntN(4))
		for i := range items {
			items[i] = randomItem(random)
		}
		written := AppendItems(nil, items)
		got, err := ParseItems(written)
		if err != nil || !reflect.DeepEqual(got, items) {
			t.Fatalf("write %s\n as %s\nread %s, %v", show(items), written, show(got), err)
		}
	}
}

// randomItem returns an item as ParseItems may return it, with a format.
func randomItem(random *rand.Rand) Item {
	pick := func(texts ...string) string { return texts[random.IntN(len(texts))] }
	text := func() string { return pick("", "a", "é\u2028<&>", "two words\r\n\x00", `"\`) }
	content := func() []byte { return []byte(pick(text(), "\xff\x00", strings.Repeat("x", 100))) }
	filters := func() []string {
		return [][]string{nil, {}, {FilterBuildID}, {FilterVarSubst, "x"}}[random.IntN(4)]
	}
	it := Item{Channel: text(), ID: text(), PrevID: text(), NoSeq: random.IntN(2) == 0}
	for range random.IntN(3) {
		it.Meta = it.Meta.With(text(), text())
	}
	for !it.Deliverable() {
		switch random.IntN(3) {
		case 0:
			it.HTTPResponse = &HTTPResponse{Action: Hint}
		case 1:
			f := &HTTPResponse{Response: Response{Code: 200 + random.IntN(800), Reason: pick("", "Nope"), Body: content()}, ContentFilters: filters()}
			for range random.IntN(3) {
				f.Header = append(f.Header, Field{pick("A", "B"), pick("", "1, 2", "é")})
			}
			if f.Header != nil {
				f.Header = f.Header.endToEnd()
			}
			if random.IntN(3) == 0 {
				f.Body, f.Patch = nil, []byte(pick("[]", `[{"op":"test","path":"","value":"<\u2028>"}]`))
			}
			it.HTTPResponse = f
		}
		switch random.IntN(3) {
		case 0:
			it.HTTPStream = &HTTPStream{Action: []Action{Hint, Close}[random.IntN(2)]}
		case 1:
			it.HTTPStream = &HTTPStream{Content: content(), ContentFilters: filters()}
		}
		switch random.IntN(4) {
		case 0:
			it.WSMessage = &WSMessage{Action: Refresh}
		case 1:
			it.WSMessage = &WSMessage{Action: Close, Code: random.IntN(65536), Reason: text()}
		case 2:
			it.WSMessage = &WSMessage{Type: MessageType(random.IntN(4)), Content: content(), ContentFilters: filters()}
		}
	}
	return it
}
