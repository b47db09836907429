package main

import (
	"bytes"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

const formType = "application/x-www-form-urlencoded"

// newTestServer serves the API on a real socket and returns its base URL.
func newTestServer(t testing.TB, svc *service, sigKeys []grip.Key, holdTimeout time.Duration) string {
	server := httptest.NewServer(newHandler(svc, sigKeys, holdTimeout, 0, slog.New(slog.DiscardHandler)))
	t.Cleanup(server.Close)
	return server.URL
}

// form returns fields as a form.
func form(pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values.Encode()
}

// multipartForm returns a form with one field and the Content-Type it wants.
func multipartForm(name, value string) (contentType, body string) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	_ = w.WriteField(name, value) // into memory
	_ = w.Close()
	return w.FormDataContentType(), buf.String()
}

// exchange sends a request and returns the answer with its whole body. It
// follows no redirect and accepts no compression.
func exchange(t testing.TB, method, url string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := noRedirect.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read answer: %v", method, url, err)
	}
	return resp, string(got)
}

var noRedirect = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       patience,
}

// The header fields of an answer that the API decides, in the order in which
// wantHeader lists them.
var apiFields = []string{"Content-Type", "Allow", "Location", "Grip-Hold", "Grip-Channel", "Grip-Timeout", "Grip-Status"}

const (
	jsonType  = "Content-Type: application/json\n"
	plainType = "Content-Type: text/plain; charset=utf-8\n"
)

// apiHeader returns the fields of h that the API decides, a line each.
func apiHeader(h http.Header) string {
	var b strings.Builder
	for _, name := range apiFields {
		for _, value := range h.Values(name) {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	return b.String()
}

func TestAPI(t *testing.T) {
	viaProxy := http.Header{"Grip-Feature": {"status, session"}}
	viaSigned := http.Header{"Grip-Sig": {"not checked without a key"}}
	asForm := http.Header{"Content-Type": {formType}}
	multiType, multiBody := multipartForm("body", "in parts & pieces")
	otherType, otherBody := multipartForm("title", "x")
	const value = "/headline/value/"
	const needForm = "send the headline as form field body, application/x-www-form-urlencoded or multipart/form-data\n"
	const needProxy = "this poll would be held: ask through a GRIP proxy in front of this origin, or without last_id\n"

	tests := []struct {
		name        string
		headlines   []string // set before the request
		method      string
		target      string
		header      http.Header
		body        string
		holdTimeout time.Duration
		wantStatus  int
		wantHeader  string
		wantBody    string
	}{
		// Changing.
		{name: "first change", method: "POST", target: value, header: asForm, body: form("body", "Flight 123 arriving in terminal A."),
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "Flight 123 arriving in terminal A."}`},
		{name: "second change", headlines: []string{"a"}, method: "POST", target: value, header: asForm, body: form("body", "b", "other", "c"),
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 2, "body": "b"}`},
		{name: "change to the same", headlines: []string{"a"}, method: "POST", target: value, header: asForm, body: "body=a",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 2, "body": "a"}`},
		{name: "change without last slash is not redirected", method: "POST", target: "/headline/value", header: asForm, body: "body=a",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "a"}`},
		{name: "change to <>&", method: "POST", target: value, header: asForm, body: "body=%3Cb%3ER%26D%3C/b%3E+now",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "<b>R&D</b> now"}`},
		{name: "change to nothing", method: "POST", target: value, header: asForm, body: "body=",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": ""}`},
		{name: "multipart", method: "POST", target: value, header: http.Header{"Content-Type": {multiType}}, body: multiBody,
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "in parts & pieces"}`},
		{name: "form with charset", method: "POST", target: value, header: http.Header{"Content-Type": {formType + "; charset=UTF-8"}}, body: "body=a",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "a"}`},
		{name: "change through a proxy has no Grip fields", method: "POST", target: value, header: http.Header{"Content-Type": {formType}, "Grip-Sig": {"x"}}, body: "body=a",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "a"}`},
		{name: "longest", method: "POST", target: value, header: asForm, body: form("body", strings.Repeat("&", maxBody)),
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "` + strings.Repeat("&", maxBody) + `"}`},
		{name: "too long", method: "POST", target: value, header: asForm, body: form("body", strings.Repeat("x", maxBody+1)),
			wantStatus: 413, wantHeader: plainType, wantBody: "a headline has at most 16384 bytes\n"},
		{name: "form too long", method: "POST", target: value, header: asForm, body: form("body", strings.Repeat("x", maxForm)),
			wantStatus: 413, wantHeader: plainType, wantBody: "a headline has at most 16384 bytes\n"},
		{name: "multipart too long", method: "POST", target: value, header: http.Header{"Content-Type": {`multipart/form-data; boundary=x`}},
			body:       "--x\r\nContent-Disposition: form-data; name=\"body\"\r\n\r\n" + strings.Repeat("x", maxForm) + "\r\n--x--\r\n",
			wantStatus: 413, wantHeader: plainType, wantBody: "a headline has at most 16384 bytes\n"},
		{name: "no body field", method: "POST", target: value, header: asForm, body: "title=a",
			wantStatus: 400, wantHeader: plainType, wantBody: "form field body is missing\n"},
		{name: "empty form", method: "POST", target: value, header: asForm,
			wantStatus: 400, wantHeader: plainType, wantBody: "form field body is missing\n"},
		{name: "no body field in parts", method: "POST", target: value, header: http.Header{"Content-Type": {otherType}}, body: otherBody,
			wantStatus: 400, wantHeader: plainType, wantBody: "form field body is missing\n"},
		{name: "body in the query only", method: "POST", target: value + "?body=a", header: asForm,
			wantStatus: 400, wantHeader: plainType, wantBody: "form field body is missing\n"},
		{name: "JSON", method: "POST", target: value, header: http.Header{"Content-Type": {"application/json"}}, body: `{"body": "a"}`,
			wantStatus: 400, wantHeader: plainType, wantBody: needForm},
		{name: "no Content-Type", method: "POST", target: value, body: "body=a",
			wantStatus: 400, wantHeader: plainType, wantBody: needForm},
		{name: "malformed Content-Type", method: "POST", target: value, header: http.Header{"Content-Type": {formType + "; ="}}, body: "body=a",
			wantStatus: 400, wantHeader: plainType, wantBody: needForm},
		{name: "malformed escape", method: "POST", target: value, header: asForm, body: "body=%zz",
			wantStatus: 400, wantHeader: plainType, wantBody: "the form is malformed: invalid URL escape \"%zz\"\n"},
		{name: "torn multipart", method: "POST", target: value, header: http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, body: "--x\r\nContent-Disposition: form-data; name=\"body\"\r\n\r\nabc",
			wantStatus: 400, wantHeader: plainType, wantBody: "the form is malformed: unexpected EOF\n"},
		{name: "not UTF-8", method: "POST", target: value, header: asForm, body: "body=%ff",
			wantStatus: 400, wantHeader: plainType, wantBody: "form field body is not UTF-8\n"},

		// Reading.
		{name: "no headline yet", method: "GET", target: value,
			wantStatus: 404, wantHeader: plainType, wantBody: "there is no headline yet\n"},
		{name: "no headline yet, poll", method: "GET", target: value + "?last_id=0", header: viaProxy,
			wantStatus: 404, wantHeader: plainType, wantBody: "there is no headline yet\n"},
		{name: "read", headlines: []string{"a", "b"}, method: "GET", target: value,
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 2, "body": "b"}`},
		{name: "read without last slash", headlines: []string{"a"}, method: "GET", target: "/headline/value",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "a"}`},
		{name: "read with other parameters", headlines: []string{"a"}, method: "GET", target: value + "?x=1",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "a"}`},
		{name: "read through a proxy names the channel", headlines: []string{"a", "b"}, method: "GET", target: value, header: viaProxy,
			wantStatus: 200, wantHeader: jsonType + "Grip-Channel: headline-value; prev-id=2\n", wantBody: `{"id": 2, "body": "b"}`},
		{name: "HEAD", headlines: []string{"a"}, method: "HEAD", target: value,
			wantStatus: 200, wantHeader: jsonType},
		{name: "HEAD without a headline", method: "HEAD", target: value,
			wantStatus: 404, wantHeader: plainType},

		// Polling.
		{name: "older last_id", headlines: []string{"a", "b"}, method: "GET", target: value + "?last_id=1", header: viaProxy,
			wantStatus: 200, wantHeader: jsonType + "Grip-Channel: headline-value; prev-id=2\n", wantBody: `{"id": 2, "body": "b"}`},
		{name: "older last_id, no proxy", headlines: []string{"a", "b"}, method: "GET", target: value + "?last_id=1",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 2, "body": "b"}`},
		{name: "last_id from the future", headlines: []string{"a"}, method: "GET", target: value + "?last_id=18446744073709551615",
			wantStatus: 200, wantHeader: jsonType, wantBody: `{"id": 1, "body": "a"}`},
		{name: "hold, by Grip-Feature", headlines: []string{"a", "b"}, method: "GET", target: value + "?last_id=2", header: viaProxy,
			wantStatus: 200, wantHeader: jsonType + "Grip-Hold: response\nGrip-Channel: headline-value; prev-id=2\n", wantBody: `{}`},
		{name: "hold, by Grip-Sig", headlines: []string{"a"}, method: "GET", target: value + "?last_id=1", header: viaSigned,
			wantStatus: 200, wantHeader: jsonType + "Grip-Hold: response\nGrip-Channel: headline-value; prev-id=1\n", wantBody: `{}`},
		{name: "hold with timeout", headlines: []string{"a"}, method: "GET", target: value + "?last_id=1", header: viaProxy, holdTimeout: 25 * time.Second,
			wantStatus: 200, wantHeader: jsonType + "Grip-Hold: response\nGrip-Channel: headline-value; prev-id=1\nGrip-Timeout: 25\n", wantBody: `{}`},
		{name: "HEAD is held too", headlines: []string{"a"}, method: "HEAD", target: value + "?last_id=1", header: viaProxy,
			wantStatus: 200, wantHeader: jsonType + "Grip-Hold: response\nGrip-Channel: headline-value; prev-id=1\n"},
		{name: "hold, but no proxy", headlines: []string{"a"}, method: "GET", target: value + "?last_id=1",
			wantStatus: 501, wantHeader: plainType, wantBody: needProxy},
		{name: "last_id no number", headlines: []string{"a"}, method: "GET", target: value + "?last_id=one", header: viaProxy,
			wantStatus: 400, wantHeader: plainType, wantBody: "last_id is not a number\n"},
		{name: "last_id empty", headlines: []string{"a"}, method: "GET", target: value + "?last_id=",
			wantStatus: 400, wantHeader: plainType, wantBody: "last_id is not a number\n"},
		{name: "last_id negative", headlines: []string{"a"}, method: "GET", target: value + "?last_id=-1",
			wantStatus: 400, wantHeader: plainType, wantBody: "last_id is not a number\n"},
		{name: "last_id with a fraction", headlines: []string{"a"}, method: "GET", target: value + "?last_id=1.0",
			wantStatus: 400, wantHeader: plainType, wantBody: "last_id is not a number\n"},
		{name: "last_id no number, no headline", method: "GET", target: value + "?last_id=one",
			wantStatus: 400, wantHeader: plainType, wantBody: "last_id is not a number\n"},
		{name: "malformed query", headlines: []string{"a"}, method: "GET", target: value + "?last_id=%zz",
			wantStatus: 400, wantHeader: plainType, wantBody: "the query is malformed\n"},

		// Methods and paths.
		{name: "PUT", method: "PUT", target: value, header: asForm, body: "body=a",
			wantStatus: 405, wantHeader: plainType + "Allow: GET, HEAD, POST\n", wantBody: "Method Not Allowed\n"},
		{name: "DELETE without last slash", method: "DELETE", target: "/headline/value",
			wantStatus: 405, wantHeader: plainType + "Allow: GET, HEAD, POST\n", wantBody: "Method Not Allowed\n"},
		{name: "POST to the help", method: "POST", target: "/",
			wantStatus: 405, wantHeader: plainType + "Allow: GET, HEAD\n", wantBody: "Method Not Allowed\n"},
		{name: "no such path", method: "GET", target: "/headline/",
			wantStatus: 404, wantHeader: plainType, wantBody: "404 page not found\n"},
		{name: "below the value", method: "GET", target: value + "x",
			wantStatus: 404, wantHeader: plainType, wantBody: "404 page not found\n"},
		{name: "health", method: "GET", target: "/healthz",
			wantStatus: 200, wantHeader: plainType, wantBody: "ok\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			svc := newTestService(t, slog.New(slog.DiscardHandler))
			for _, body := range tt.headlines {
				mustChange(t, svc, body)
			}
			before := svc.current()
			base := newTestServer(t, svc, nil, tt.holdTimeout)
			resp, body := exchange(t, tt.method, base+tt.target, tt.header, tt.body)
			if resp.StatusCode != tt.wantStatus || body != tt.wantBody {
				t.Errorf("%s %s %q: got %d %q, want %d %q", tt.method, tt.target, tt.body, resp.StatusCode, body, tt.wantStatus, tt.wantBody)
			}
			if got := apiHeader(resp.Header); got != tt.wantHeader {
				t.Errorf("%s %s: got header\n%swant\n%s", tt.method, tt.target, got, tt.wantHeader)
			}
			if tt.method != "HEAD" && resp.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
				t.Errorf("%s %s: got Content-Length %q, want %d", tt.method, tt.target, resp.Header.Get("Content-Length"), len(body))
			}
			if now := svc.current(); tt.wantStatus >= 400 && now != before {
				t.Errorf("%s %s was refused and changed the headline to %s", tt.method, tt.target, now.json)
			}
		})
	}
}

// HEAD has the Content-Length that GET has.
func TestHeadLength(t *testing.T) {
	svc := newTestService(t, slog.New(slog.DiscardHandler))
	h := mustChange(t, svc, "Flight 123 arriving in terminal A.")
	resp, body := exchange(t, "HEAD", newTestServer(t, svc, nil, 0)+"/headline/value/", nil, "")
	if want := strconv.Itoa(len(h.json)); resp.Header.Get("Content-Length") != want || body != "" {
		t.Errorf("HEAD has Content-Length %q and body %q, want %s and none", resp.Header.Get("Content-Length"), body, want)
	}
}

func TestHelp(t *testing.T) {
	svc := newTestService(t, slog.New(slog.DiscardHandler))
	base := newTestServer(t, svc, nil, 0)
	resp, body := exchange(t, "GET", base+"/", nil, "")
	if resp.StatusCode != 200 || apiHeader(resp.Header) != plainType {
		t.Errorf("GET / = %d, header\n%s", resp.StatusCode, apiHeader(resp.Header))
	}
	if want := "curl " + base + "/headline/value/\n"; !strings.Contains(body, want) || strings.Contains(body, "%!") {
		t.Errorf("GET / = %s\nwant %q in it", body, want)
	}
	if lines := strings.Count(body, "\n"); lines > 24 {
		t.Errorf("GET / has %d lines, want one screen", lines)
	}
}

// With keys, only a request that one of them signed counts as from a proxy.
func TestGripSig(t *testing.T) {
	key := func(s string) grip.Key {
		k, err := grip.ParseKey(s)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	sign := func(s string, at time.Time) string { return grip.NewSigner("edge", key(s)).Token(at) }
	svc := newTestService(t, slog.New(slog.DiscardHandler))
	mustChange(t, svc, "a")
	base := newTestServer(t, svc, []grip.Key{key("first"), key("second")}, 0)
	now := time.Now()
	tests := []struct {
		name   string
		header http.Header
		ok     bool
	}{
		{"signed", http.Header{"Grip-Sig": {sign("first", now)}}, true},
		{"signed with another of the keys", http.Header{"Grip-Sig": {sign("second", now)}}, true},
		{"wrong key", http.Header{"Grip-Sig": {sign("third", now)}}, false},
		{"expired", http.Header{"Grip-Sig": {sign("first", now.Add(-2*time.Hour))}}, false},
		{"garbage", http.Header{"Grip-Sig": {"x"}}, false},
		{"only Grip-Feature", http.Header{"Grip-Feature": {"status"}}, false},
		{"nothing", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantHold, wantRead, wantStatus := "response", "headline-value; prev-id=1", 200
			if !tt.ok {
				wantHold, wantRead, wantStatus = "", "", 501
			}
			resp, body := exchange(t, "GET", base+"/headline/value/?last_id=1", tt.header, "")
			if resp.StatusCode != wantStatus || resp.Header.Get("Grip-Hold") != wantHold {
				t.Errorf("poll: got %d %q, Grip-Hold %q, want %d, %q", resp.StatusCode, body, resp.Header.Get("Grip-Hold"), wantStatus, wantHold)
			}
			if !tt.ok && !strings.Contains(body, "signs with this origin's key") {
				t.Errorf("poll: got %q, want it to say what to do about the key", body)
			}
			resp, _ = exchange(t, "GET", base+"/headline/value/", tt.header, "")
			if resp.StatusCode != 200 || resp.Header.Get("Grip-Channel") != wantRead {
				t.Errorf("read: got %d, Grip-Channel %q, want 200, %q", resp.StatusCode, resp.Header.Get("Grip-Channel"), wantRead)
			}
		})
	}
}

// Without its store the origin takes no change, and the headline stays.
func TestChangeFails(t *testing.T) {
	lines, log := newLogLines()
	svc := newTestService(t, log)
	mustChange(t, svc, "a")
	server := httptest.NewServer(newHandler(svc, nil, 0, 0, log))
	defer server.Close()
	svc.store.own.close()
	for deadline := time.Now().Add(10 * time.Second); svc.store.bus.Connected(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the origin still counts as connected to its store")
		}
	}
	asForm := http.Header{"Content-Type": {formType}}
	resp, body := exchange(t, "POST", server.URL+"/headline/value/", asForm, "body=b")
	if want := "the store cannot be reached, and the headline has not changed\n"; resp.StatusCode != 503 || body != want {
		t.Errorf("POST: got %d %q, want 503 %q", resp.StatusCode, body, want)
	}
	lines.wantCount(t, "headline not changed", 1)
	if _, body := exchange(t, "GET", server.URL+"/headline/value/", nil, ""); body != `{"id": 1, "body": "a"}` {
		t.Errorf("GET after a failed change: got %q", body)
	}
}

func BenchmarkGet(b *testing.B) {
	svc := newTestService(b, slog.New(slog.DiscardHandler))
	mustChange(b, svc, "Flight 123 arriving in terminal A.")
	handler := newHandler(svc, nil, 0, 0, slog.New(slog.DiscardHandler))
	for _, target := range []string{"/headline/value/", "/headline/value/?last_id=1"} {
		b.Run(target, func(b *testing.B) {
			r := httptest.NewRequest("GET", target, nil)
			r.Header.Set("Grip-Feature", "status")
			b.ReportAllocs()
			for range b.N {
				w := httptest.NewRecorder()
				if handler.ServeHTTP(w, r); w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
