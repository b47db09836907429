package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"marquee/fanout"
)

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
