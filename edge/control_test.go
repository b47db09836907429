package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"marquee/fanout"
)

// The control endpoint, as publishers of Pushpin know it.
func TestControl(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	const (
		good  = `{"items": [{"channel": "c", "formats": {"http-response": {"body": "b"}}}]}`
		plain = "text/plain"
		js    = "application/json"
	)
	tests := []struct {
		name   string
		method string
		path   string
		accept string
		body   string
		status int
		typ    string
		answer string
	}{
		{"root", "GET", "/", "", "", 200, plain, "Marquee API\n"},
		{"root, any method", "PUT", "/", "", "x", 200, plain, "Marquee API\n"},
		{"root, JSON", "GET", "/", js, "", 200, js, `{"message":"Marquee API"}` + "\n"},
		{"publish", "POST", "/publish/", "", good, 200, plain, "Published\n"},
		{"publish without the last slash", "POST", "/publish", "", good, 200, plain, "Published\n"},
		{"anything will do", "POST", "/publish/", "*/*", good, 200, plain, "Published\n"},
		{"any text will do", "POST", "/publish/", "text/*", good, 200, plain, "Published\n"},
		{"the first that fits", "POST", "/publish/", "text/html, text/plain;q=0.5", good, 200, plain, "Published\n"},
		{"no items", "POST", "/publish/", "", `{"items": []}`, 200, plain, "Published\n"},
		{"no items, JSON", "POST", "/publish/", js, `{"items": []}`, 200, js, `{"message":"Published","receipts":[]}` + "\n"},
		{"other method", "GET", "/publish/", "", "", 405, plain, "Method not allowed: GET.\n"},
		{"other method, other path", "DELETE", "/publish", "", "", 405, plain, "Method not allowed: DELETE.\n"},
		{"other path", "GET", "/publisher", "", "", 404, plain, "Not Found\n"},
		{"below publish", "POST", "/publish/x", "", good, 404, plain, "Not Found\n"},
		{"neither type", "POST", "/publish/", "text/html", good, 406, plain, "Not Acceptable. Supported formats are text/plain and application/json.\n"},
		{"no JSON", "POST", "/publish/", "", "items", 400, plain, "Body is not valid JSON.\n"},
		{"empty", "POST", "/publish/", "", "", 400, plain, "Body is not valid JSON.\n"},
		{"no object", "POST", "/publish/", "", "[]", 400, plain, "Invalid format.\n"},
		{"no member items", "POST", "/publish/", "", "{}", 400, plain, "Invalid format: object does not contain 'items'\n"},
		{"items no list", "POST", "/publish/", "", `{"items": {}}`, 400, plain, "Invalid format: object contains 'items' with wrong type\n"},
		{"item without channel", "POST", "/publish/", "", `{"items": [{}]}`, 400, plain, "Invalid format: publish item object does not contain 'channel'\n"},
		{"id a number", "POST", "/publish/", "", `{"items": [{"channel": "c", "id": 1}]}`, 400, plain, "Invalid format: publish item object contains 'id' with wrong type\n"},
		{"no formats", "POST", "/publish/", "", `{"items": [{"channel": "c"}]}`, 400, plain, "Invalid format: no formats specified\n"},
		{"an error is plain for all", "POST", "/publish/", js, "{}", 400, plain, "Invalid format: object does not contain 'items'\n"},
		{"as long as may be", "POST", "/publish/", "", `{"items": []}` + strings.Repeat(" ", maxPublish-13), 200, plain, "Published\n"},
		{"too long", "POST", "/publish/", "", `{"items": []}` + strings.Repeat(" ", maxPublish-12), 400, plain, "Request body too large.\n"},
		{"health", "GET", "/healthz", "", "", 200, plain, "ok\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequest(tt.method, r.control+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.accept != "" {
				req.Header.Set("Accept", tt.accept)
			}
			resp, err := web.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.status || string(body) != tt.answer {
				t.Errorf("%s %s %s: %d %q, %v, want %d %q", tt.method, tt.path, brief(tt.body), resp.StatusCode, body, err, tt.status, tt.answer)
			}
			if got := resp.Header.Get("Content-Type"); got != tt.typ {
				t.Errorf("%s %s: Content-Type %s, want %s", tt.method, tt.path, got, tt.typ)
			}
			if got := resp.Header.Get("Allow"); (tt.status == 405) != (got == "POST") {
				t.Errorf("%s %s: Allow %q", tt.method, tt.path, got)
			}
		})
	}
}

// Nothing of a publish with a bad item is published.
func TestPublishAllOrNothing(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, h)
	c := r.poll(1, 1)[0]
	r.waitHolds(1)
	resp, err := web.Post(r.control+"/publish/", "application/json", strings.NewReader(
		`{"items": [{"channel": "headline-value", "formats": {"http-response": {"body": "b"}}}, {"channel": "c"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("status %d, want 400", resp.StatusCode)
	}
	r.turn()
	c.wantNothing()
	r.waitMetric("marquee_publishes_refused_total", 1)
}

// The publisher learns what became of each item.
func TestReceipts(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, h)
	cs := r.poll(5, 1)
	r.waitHolds(5)
	receipts := r.publish(
		headlineItem(2),             // next
		headlineItem(2),             // again
		headlineItem(4),             // before the one that it follows
		item("nobody", "1", "", ""), // for nobody
	)
	for _, c := range cs {
		c.wantAnswer(200, headlineBody(2))
	}
	want := []fanout.Receipt{
		{Channel: "headline-value", ID: "2", Fate: "delivered", Matched: 5, Written: 5, Complete: true},
		{Channel: "headline-value", ID: "2", Fate: "duplicate", Complete: true},
		{Channel: "headline-value", ID: "4", Fate: "waiting"},
		{Channel: "nobody", ID: "1", Fate: "delivered", Complete: true},
	}
	if len(receipts) != len(want) {
		t.Fatalf("%d receipts %+v, want %d", len(receipts), receipts, len(want))
	}
	for i, got := range receipts {
		if got.Complete && (got.Elapsed < 0 || got.Elapsed > patience.Seconds()*1000) {
			t.Errorf("receipt %d: it took %v ms", i, got.Elapsed)
		}
		if got.Elapsed = 0; got != want[i] {
			t.Errorf("receipt %d is %+v, want %+v", i, got, want[i])
		}
	}
	for name, want := range map[string]float64{
		`marquee_items_total{fate="delivered"}`:       2,
		`marquee_items_total{fate="duplicate"}`:       1,
		`marquee_items_total{fate="waiting"}`:         1,
		`marquee_deliveries_total{outcome="written"}`: 5,
		`marquee_fanout_seconds_count`:                1,
		`marquee_connections`:                         5,
		`marquee_connections_accepted_total`:          5,
		`marquee_requests_total`:                      5,
		`marquee_origin_requests_total`:               5,
		`marquee_origin_failures_total`:               0,
		`marquee_origin_requests_waiting`:             0,
	} {
		r.waitMetric(name, want)
	}
}

// An edge whose loops hang is not healthy.
func TestHealthOfLoops(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	r.onLoops(func(l *loop) { l.ticked.Store(time.Now().UnixNano()) })
	check := func(want int) {
		t.Helper()
		resp, err := web.Get(r.control + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("healthz says %d, want %d", resp.StatusCode, want)
		}
	}
	check(200)
	stuckCh := make(chan struct{})
	for _, l := range r.edge.loops {
		l.post(func() {
			l.ticked.Store(time.Now().Add(-time.Minute).UnixNano())
			<-stuckCh
		})
		break
	}
	eventually(t, func() error {
		for _, l := range r.edge.loops {
			if time.Since(time.Unix(0, l.ticked.Load())) > 30*time.Second {
				return nil
			}
		}
		return fmt.Errorf("no loop hangs")
	})
	check(503)
	close(stuckCh)
	r.turn()
}

// Operators see a profile of the running edge.
func TestProfiles(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap", "/debug/pprof/symbol"} {
		resp, err := web.Get(r.control + path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || n == 0 || err != nil {
			t.Errorf("%s: status %d, %d bytes, %v", path, resp.StatusCode, n, err)
		}
	}
}

// A receipt is JSON that other programs can rely on.
func TestReceiptFields(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi))
	req, err := http.NewRequest(http.MethodPost, r.control+"/publish/", strings.NewReader(
		`{"items": [{"channel": "c", "id": "7", "http-response": {"body": "b"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct{ Receipts []map[string]any }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || len(got.Receipts) != 1 {
		t.Fatalf("receipts %v, %v, want one", got.Receipts, err)
	}
	for _, name := range []string{"channel", "id", "fate", "matched", "written", "queued", "dropped", "missed", "elapsed_ms", "complete"} {
		if _, ok := got.Receipts[0][name]; !ok {
			t.Errorf("receipt %v does not have %s", got.Receipts[0], name)
		}
	}
}
