package upstream

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestTestTarget is GRIP §10.
func TestTestTarget(t *testing.T) {
	c := newClient(t, "origin:80")
	c.service = newService(t, ServiceConfig{Targets: []Target{{Test: true}}})
	for _, tt := range []struct {
		method, target string
		want           string
	}{
		{"GET", "/", "200 OK\nContent-Type: text/plain\n[37] Hello from the Pushpin test handler!\n"},
		{"HEAD", "/", "200 OK\nContent-Type: text/plain\n[37] "},
		{"GET", "/response", "200 \nContent-Type: text/plain\n[16] nothing for now\n [hold response, [test], 0s]"},
		{"POST", "/response", "200 \nContent-Type: text/plain\n[16] nothing for now\n [hold response, [test], 0s]"},
		{"GET", "/response?channel=apple", "200 \nContent-Type: text/plain\n[16] nothing for now\n [hold response, [apple], 0s]"},
		{"GET", "/response?x=y&channel=a%2Cb%3B%22&z", "200 \nContent-Type: text/plain\n[16] nothing for now\n [hold response, [a,b;\"], 0s]"},
		{"GET", "/response?channel=", "200 \nContent-Type: text/plain\n[16] nothing for now\n [hold response, [test], 0s]"},
		{"GET", "/stream", "200 \nContent-Type: text/plain\n[16] [stream opened]\n [hold stream, [test], 0s]"},
		{"GET", "/stream?channel=apple", "200 \nContent-Type: text/plain\n[16] [stream opened]\n [hold stream, [apple], 0s]"},
		{"GET", "/ws", "501 Not Implemented\nContent-Type: text/plain\n[30] WebSockets are not supported.\n"},
		{"GET", "/ws?channel=apple", "501 Not Implemented\nContent-Type: text/plain\n[30] WebSockets are not supported.\n"},
		{"GET", "/other", "404 Not Found\nContent-Type: text/plain\n[22] no such test resource\n"},
		{"GET", "//response", "404 Not Found\nContent-Type: text/plain\n[22] no such test resource\n"},
	} {
		r := &Request{Method: tt.method, Host: "example.com", Target: tt.target}
		res := ask(t, c, r, false).result()
		if res.Answer == nil {
			t.Errorf("%s %s gets %s: %v", tt.method, tt.target, describe(res), res.Failure)
		} else if got := transcript(res.Answer); got != tt.want {
			t.Errorf("%s %s gets\n%q, want\n%q", tt.method, tt.target, got, tt.want)
		}
	}
	res := ask(t, c, &Request{Method: "HEAD", Host: "h", Target: "/response"}, false).result()
	if res.Answer == nil || res.Answer.Hold == nil {
		t.Errorf("HEAD /response gets %s, want a hold", describe(res))
	}
	content := io.MultiReader(strings.NewReader("content"), iotest.ErrReader(errTorn))
	upload := &Request{Method: "POST", Host: "h", Target: "/", Stream: content, StreamLength: -1}
	ask(t, c, upload, false).want(fmt.Sprintf("answer %.20s", "Hello from the Pushpin"))
}
