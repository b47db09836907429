package grip

import (
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// parsedPatch returns the patch as it is in an item.
func parsedPatch(t testing.TB, text string) []byte {
	t.Helper()
	patch, err := parsePatch(json.RawMessage(text))
	if err != nil {
		t.Fatalf("parsePatch(%.200s): %v", text, err)
	}
	return patch
}

func TestPatched(t *testing.T) {
	deep := strings.Repeat("[", maxPatchDepth+1) + strings.Repeat("]", maxPatchDepth+1)
	half := strings.Repeat("x", maxPatched/2)
	for _, tt := range []struct {
		name, body, patch, want string
	}{
		{"RFC 6902 §4.1 add", `{"a": [1]}`, `[{"op": "add", "path": "/a/-", "value": 2}, {"op": "add", "path": "/b", "value": null}]`, `{"a":[1,2],"b":null}`},
		{"RFC 6902 §4.2 remove", `{"a": [1, 2], "b": 3}`, `[{"op": "remove", "path": "/a/0"}, {"op": "remove", "path": "/b"}]`, `{"a":[2]}`},
		{"RFC 6902 §4.3 replace", `{"a": {"b": 1}}`, `[{"op": "replace", "path": "/a/b", "value": "<é>"}]`, `{"a":{"b":"<é>"}}`},
		{"RFC 6902 §4.4 move", `{"a": {"b": 1}, "c": {}}`, `[{"op": "move", "from": "/a/b", "path": "/c/d"}]`, `{"a":{},"c":{"d":1}}`},
		{"RFC 6902 §4.5 copy", `{"a": [1]}`, `[{"op": "copy", "from": "/a", "path": "/b"}]`, `{"a":[1],"b":[1]}`},
		{"RFC 6902 §4.6 test", `{"a": {"x": 1, "y": [2, "z"]}}`, `[{"op": "test", "path": "/a", "value": {"y": [2, "z"], "x": 1}}, {"op": "remove", "path": "/a"}]`, `{}`},
		{"RFC 6901 §4 escapes", `{"a/b": 1, "c~d": 2}`, `[{"op": "remove", "path": "/a~1b"}, {"op": "replace", "path": "/c~0d", "value": 3}]`, `{"c~d":3}`},
		{"the document itself", `[1]`, `[{"op": "replace", "path": "", "value": {"a": 1}}, {"op": "add", "path": "/b", "value": 2}]`, `{"a":1,"b":2}`},
		{"no operation", " {\"a\" : 1.50}", `[]`, `{"a":1.50}`},
		{"numbers and the order of members stay", `{"b": 12345678901234567890, "a": 1.0}`, `[{"op": "add", "path": "/c", "value": 1e2}]`, `{"b":12345678901234567890,"a":1.0,"c":1e2}`},
		{"§3.2 LF stays", "{}\n", `[]`, "{}\n"},
		{"§3.2 CR LF stays", "{}\r\n", `[]`, "{}\r\n"},
		{"§3.2 one line end only", "{}\n\n", `[]`, "{}\n"},
		{"CR is no line end", "{}\r", `[]`, "{}"},

		{"§3.2 not JSON", "nothing\n", `[]`, ""},
		{"§3.2 empty body", "", `[]`, ""},
		{"§3.2 line end alone", "\n", `[]`, ""},
		{"§3.2 neither object nor list", "5\n", `[{"op": "replace", "path": "", "value": {}}]`, ""},
		{"§3.2 test fails", "{\"a\": 1}\n", `[{"op": "test", "path": "/a", "value": 2}]`, ""},
		{"§3.2 path is not there", "{}\n", `[{"op": "remove", "path": "/a"}]`, ""},
		{"RFC 6901 §4 no negative index", `{"a": [1, 2]}`, `[{"op": "remove", "path": "/a/-1"}]`, ""},
		{"index out of range", `{"a": [1]}`, `[{"op": "add", "path": "/a/2", "value": 1}]`, ""},
		{"the library panics", `{"a": [null]}`, `[{"op": "test", "path": "/a", "value": [null]}]`, ""},
		{"document nested too deep", deep, `[]`, ""},
		{"result of the most bytes", `{"a":"` + half + `"}`, `[{"op": "add", "path": "/b", "value": "` + half[15:] + `"}]`, `{"a":"` + half + `","b":"` + half[15:] + `"}`},
		{"result too long", `{"a":"` + half + `"}`, `[{"op": "add", "path": "/b", "value": "` + half[14:] + `"}]`, ""},
		{"result too long with its line end", `{"a":"` + half + "\"}\n", `[{"op": "add", "path": "/b", "value": "` + half[15:] + `"}]`, ""},
		{"copies of copies", `{"a":["` + half[:1000] + `"]}`, `[` + strings.Repeat(`{"op": "copy", "from": "/a", "path": "/a/-"}, `, 30) + `{"op": "test", "path": "", "value": 0}]`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := []byte(tt.body)
			got := Response{Body: body}.Patched(parsedPatch(t, tt.patch))
			if string(got) != tt.want {
				t.Errorf("%.300q patched with %.300s\n got %.300q\nwant %.300q", tt.body, tt.patch, got, tt.want)
			}
			if string(body) != tt.body {
				t.Errorf("the body itself was changed: %.300q", body)
			}
		})
	}
}

// TestPatchedCost has the library do its worst within the bounds. What it copies is
// counted: the time depends on the machine.
func TestPatchedCost(t *testing.T) {
	const mostBytes, mostObjects = 800 << 20, 400_000
	list := "[" + strings.Repeat("1,", 49_000) + "1]"
	nest := strings.Repeat(`{"a":`, maxPatchDepth-1) + `"` + strings.Repeat("x", 90_000) + `"` + strings.Repeat("}", maxPatchDepth-1)
	bottom := strings.Repeat("/a", maxPatchDepth-1)
	each := func(op string) string { return "[" + strings.Repeat(op+",", maxPatchOps-1) + op + "]" }
	for _, tt := range []struct{ name, body, patch string }{
		{"inserts", list, each(`{"op": "add", "path": "/0", "value": 1}`)},
		{"removals", list, each(`{"op": "remove", "path": "/0"}`)},
		{"tests of the document", list, each(`{"op": "test", "path": "", "value": []}`)},
		{"tests of a long text", nest, each(`{"op": "test", "path": "` + bottom + `", "value": "x"}`)},
		{"copies", nest, each(`{"op": "copy", "from": "/a", "path": "/b"}`)},
		{"moves up and down", nest, "[" + strings.Repeat(`{"op": "move", "from": "`+bottom+`", "path": "/b"}, {"op": "move", "from": "/b", "path": "`+bottom+`"},`, maxPatchOps/2-1) +
			`{"op": "test", "path": "", "value": {}}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			patch := parsedPatch(t, tt.patch)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			Response{Body: []byte(tt.body)}.Patched(patch)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > mostBytes {
				t.Errorf("%d bytes were allocated, want %d at the most", n, mostBytes)
			}
			if n := after.Mallocs - before.Mallocs; n > mostObjects {
				t.Errorf("%d objects were allocated, want %d at the most", n, mostObjects)
			}
		})
	}
}

func TestHTTPResponseAnswer(t *testing.T) {
	hold := Response{Code: 201, Header: Header{{"Content-Type", "application/json"}, {"ETag", `"1"`}}, Body: []byte("{\"n\": 1}\n")}
	patched := &HTTPResponse{Response: Response{Code: 200}, Patch: parsedPatch(t, `[{"op": "replace", "path": "/n", "value": 2}]`)}
	want := Response{Code: 200, Header: Header{{"Content-Type", "application/json"}}, Body: []byte("{\"n\":2}\n")}
	if got := patched.Answer(hold); !reflect.DeepEqual(got, want) {
		t.Errorf("§3.2 body-patch: Answer(%+v)\n got %+v\nwant %+v", hold, got, want)
	}
	plain := answer("x", Field{"Content-Type", "text/plain"})
	if got, want := plain.Answer(hold), hold.With(plain.Response); !reflect.DeepEqual(got, want) {
		t.Errorf("§3.2 body: Answer(%+v)\n got %+v\nwant %+v", hold, got, want)
	}
}

// FuzzPatched checks that what is published as a patch can be applied to any
// body: the result is JSON in bounds, or nothing.
func FuzzPatched(f *testing.F) {
	for _, seed := range [][2]string{
		{"{\"a\": [1, null]}\n", `[{"op": "add", "path": "/a/-", "value": {"b": 2}}, {"op": "test", "path": "/a/2/b", "value": 2}]`},
		{`{"a": {"b": {}}}`, `[{"op": "copy", "from": "/a", "path": "/a/b/c"}, {"op": "move", "from": "/a/b", "path": "/d"}]`},
		{`[null, [], ""]`, `[{"op": "replace", "path": "", "value": [null]}, {"op": "test", "path": "", "value": [null]}]`},
		{`{"a/b": 1}`, `[{"op": "remove", "path": "/a~1b"}, {"op": "add", "path": "", "value": {}}]`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, body, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		patch, err := parsePatch(json.RawMessage(text))
		if err != nil {
			return
		}
		again, err := parsePatch(patch)
		if err != nil || string(again) != string(patch) {
			t.Errorf("the patch %s is %s when it is read again, %v", patch, again, err)
		}
		out := Response{Body: []byte(body)}.Patched(patch)
		if len(out) > maxPatched || out != nil && !json.Valid(out) {
			t.Errorf("%q patched with %s is %q", body, patch, out)
		}
	})
}
