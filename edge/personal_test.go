package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Clients whose request was put together, and turns out to be answered to one of
// them alone, ask each in its own name (-share-all).
func TestPersonalAnswers(t *testing.T) {
	const clients = 6
	copies := `*,orig_headers,header="X-Request-ID: edge"`
	for _, tt := range []struct {
		name, route string
		loops       string
		field       string // of the answer
		rest        string // of its body
	}{
		{"cookie", "*", "1", "Set-Cookie: a=1", ""},
		{"private", "*", "1", "Cache-Control: private", ""},
		{"by address", "*", "1", "Vary: X-Forwarded-For", ""},
		{"by browser", "*", "1", "Vary: User-Agent", ""},
		{"long", "*", "1", "X-A: b", large + large},
		{"on several loops", "*", "3", "Vary: X-Forwarded-For", ""},
		{"a route's own fields", copies, "1", "Vary: X-Forwarded-For", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			goCh := make(chan struct{})
			var mu sync.Mutex
			asked := make(map[string]int) // by address
			r := newRouteRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				hang(req, goCh)
				address := req.Header.Get("X-Forwarded-For")
				mu.Lock()
				asked[address]++
				mu.Unlock()
				i := strings.TrimPrefix(address, "127.0.0.")
				for name, want := range map[string][]string{
					"User-Agent": {"agent/" + i}, "Via": {viaEntry}, "X-A": {"in the key"}, "Cdn-Loop": {"edge"},
					"X-Request-Id": {"request " + i, ""}, "X-Real-Ip": {"1.1.1." + i, ""}, "Forwarded": {"for=1.1.1." + i, ""},
					"Eb9bf0f5-X-Real-Ip": {""}, "Eb9bf0f5-User-Agent": {""}, "Eb9bf0f5-X-A": {""},
				} {
					if tt.route == copies {
						switch name {
						case "Eb9bf0f5-X-Real-Ip":
							want = []string{"1.1.1." + i, ""}
						case "Eb9bf0f5-User-Agent":
							want = []string{"agent/" + i}
						case "Eb9bf0f5-X-A":
							want = []string{"in the key"}
						case "X-Request-Id":
							want = []string{"edge"}
						}
					}
					got := strings.Join(req.Header.Values(name), "|")
					if got != want[0] && got != want[len(want)-1] {
						t.Errorf("%s asks with %s: %q, want one of %q", address, name, got, want)
					}
				}
				name, value, _ := strings.Cut(tt.field, ": ")
				w.Header().Set(name, value)
				_, _ = fmt.Fprintf(w, "to %s, %s", address, req.Header.Get("User-Agent"))
				_, _ = io.WriteString(w, tt.rest)
			}), time.Minute, []string{tt.route}, "-share-all", "-loops", tt.loops, "-cdn-loop", "edge")
			cs := make([]*client, clients)
			for i := range cs {
				from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(i+1))}
				cs[i] = dialBy(t, net.Dialer{Timeout: patience, LocalAddr: from}, r.address)
				cs[i].get("/me", fmt.Sprintf("User-Agent: agent/%d", i+1), fmt.Sprintf("X-Real-IP: 1.1.1.%d", i+1), "X-A: in the key",
					fmt.Sprintf("Forwarded: for=1.1.1.%d", i+1), fmt.Sprintf("X-Request-ID: request %d", i+1))
			}
			r.waitMetric("marquee_requests_total", clients)
			r.waitMetric("marquee_origin_requests_open", 1)
			close(goCh)
			for i, c := range cs {
				c.wantAnswer(200, fmt.Sprintf("to 127.0.0.%d, agent/%[1]d", i+1)+tt.rest)
			}
			mu.Lock()
			defer mu.Unlock()
			for address, n := range asked {
				if n > 2 {
					t.Errorf("%s has asked %d times", address, n)
				}
			}
		})
	}
}
