package main

import (
	"bytes"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// newTestAPI returns the handler of a dashboard that knows one status, with id 7
// and the capacity 100.
func newTestAPI(t *testing.T) http.Handler {
	t.Helper()
	d := &dashboard{
		cfg: &config{nodeCapacity: 100, regions: []string{"a"}}, log: slog.New(slog.DiscardHandler),
		guard: &guard{}, capacity: 100,
	}
	if err := d.show(7); err != nil {
		t.Fatal(err)
	}
	return d.handler()
}

const firstStatus = `{"id":7,"capacity":100,"regions":["a"],"edges":{"up":0,"needed":1},"groups":{"up":0,"needed":1},` +
	`"ping":null,"headline":null,"received":0,"clients":0,"started":0,"errored":0,"delivery":null,"true":null,"error":null,` +
	`"curve":[],"histogram":[],"runs":[],"nodes":[]}`

func TestGetStatus(t *testing.T) {
	const channel = "dashboard-status; prev-id=7"
	tests := []struct {
		name                  string
		target                string
		grip                  bool // through a GRIP proxy
		want                  int
		wantBody              string
		wantChannel, wantHold string
	}{
		{"at once", "/status/", true, 200, firstStatus, channel, ""},
		{"at once, without the slash", "/status", true, 200, firstStatus, channel, ""},
		{"at once, without a proxy", "/status/", false, 200, firstStatus, "", ""},
		{"an older one is known", "/status/?last_id=6", true, 200, firstStatus, channel, ""},
		{"a newer one is known, of another dashboard", "/status/?last_id=8", true, 200, firstStatus, channel, ""},
		{"this one is known", "/status/?last_id=7", true, 200, "{}", channel, "response"},
		{"this one is known, without a proxy", "/status/?last_id=7", false, 501, "through the page's address", "", ""},
		{"malformed id", "/status/?last_id=x", true, 400, "last_id is not a number", "", ""},
		{"malformed query", "/status/?last_id=%zz", true, 400, "last_id is not a number", "", ""},
	}
	handler := newTestAPI(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", tt.target, nil)
			if tt.grip {
				r.Header.Set("Grip-Feature", "status")
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			h := w.Header()
			if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.wantBody) || h.Get("Content-Type") != "application/json" {
				t.Errorf("GET %s: %d %s %s, want %d %s in JSON", tt.target, w.Code, h.Get("Content-Type"), w.Body, tt.want, tt.wantBody)
			}
			if h.Get("Grip-Channel") != tt.wantChannel || h.Get("Grip-Hold") != tt.wantHold {
				t.Errorf("GET %s: channel %q, hold %q, want %q, %q", tt.target, h.Get("Grip-Channel"), h.Get("Grip-Hold"), tt.wantChannel, tt.wantHold)
			}
		})
	}
}

// What is wrong with a request is said, and nothing is changed.
func TestPostRefuses(t *testing.T) {
	form := func(name, value string) (string, io.Reader) {
		return "application/x-www-form-urlencoded", strings.NewReader(url.Values{name: {value}}.Encode())
	}
	multi := func(name, value string) (string, io.Reader) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		_ = w.WriteField(name, value)
		w.Close()
		return w.FormDataContentType(), &b
	}
	plain := func(_, value string) (string, io.Reader) { return "text/plain", strings.NewReader(value) }
	tests := []struct {
		name        string
		path        string
		encode      func(name, value string) (string, io.Reader)
		field, text string
		remote      bool
		want        int
		wantText    string
	}{
		{"headline, no origin", "/headline/", form, "body", "news", false, 503, "no origin has announced itself"},
		{"headline, no origin, multipart", "/headline/", multi, "body", "news", false, 503, "no origin has announced itself"},
		{"headline, no origin, without the slash", "/headline", form, "body", "news", false, 503, "no origin has announced itself"},
		{"headline without body", "/headline/", form, "text", "news", false, 400, "form field body is missing, or not UTF-8"},
		{"headline not UTF-8", "/headline/", form, "body", "\xff", false, 400, "form field body is missing, or not UTF-8"},
		{"headline as plain text", "/headline/", plain, "", "body=news", false, 400, "form field body is missing"},
		{"malformed form", "/headline/", func(_, _ string) (string, io.Reader) {
			return "application/x-www-form-urlencoded", strings.NewReader("body=%zz")
		}, "", "", false, 400, "the form is malformed"},
		{"form too long", "/headline/", form, "body", strings.Repeat("x", maxForm), false, 413, "the form is longer than 65536 bytes"},
		{"multipart form too long", "/headline/", multi, "body", strings.Repeat("x", maxForm), false, 413, "the form is longer than 65536 bytes"},
		{"headline from elsewhere", "/headline/", form, "body", "news", true, 403, "only requests from the dashboard's own machine"},
		{"capacity no number", "/capacity/", form, "capacity", "many", false, 400, "capacity must be a number from 0 to 20000000"},
		{"capacity missing", "/capacity/", form, "body", "5", false, 400, "capacity must be a number"},
		{"capacity negative", "/capacity/", form, "capacity", "-1", false, 400, "capacity must be a number"},
		{"capacity too big", "/capacity", form, "capacity", "20000001", false, 400, "capacity must be a number"},
		{"capacity from elsewhere", "/capacity/", form, "capacity", "5", true, 403, "only requests from the dashboard's own machine"},
	}
	handler := newTestAPI(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			contentType, body := tt.encode(tt.field, tt.text)
			r := httptest.NewRequest("POST", tt.path, body)
			r.Header.Set("Content-Type", contentType)
			r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost:8090"
			if tt.remote {
				r.Header.Set("X-Forwarded-For", "192.0.2.1")
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.wantText) || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("POST %s: %d %s, want %d %s in JSON", tt.path, w.Code, w.Body, tt.want, tt.wantText)
			}
		})
	}
}
