package main

import (
	"net/http"
	"testing"
	"time"
)

// No client tells an origin of a WebSocket as a GRIP proxy would (GRIP §8): where
// targets are told so, only a proxy may.
func TestClientSendsNoEvents(t *testing.T) {
	wantNoLeaks(t)
	origin := serve(t, http.HandlerFunc(hi))
	r := startEdge(t, origin, func(c *Config) {
		c.Origin, c.Route = "", []string{"*,path_beg=/ws " + origin + ",over_http", "* " + origin}
	}, "-upstream-key", "upstream")
	signed := "Grip-Sig: " + tokenOf(t, "upstream", "proxy", time.Now())
	for _, tt := range []struct {
		name, path string
		fields     []string
		want       int
	}{
		{"events", "/ws", []string{"Content-Type: application/websocket-events"}, 403},
		{"in capitals, with a parameter", "/ws", []string{"content-type: Application/WebSocket-Events ; x=y"}, 403},
		{"behind another type", "/ws", []string{"Content-Type: text/plain", "Content-Type: application/websocket-events"}, 403},
		{"with a forged signature", "/ws", []string{"Content-Type: application/websocket-events", "Grip-Sig: x"}, 403},
		{"from a proxy", "/ws", []string{"Content-Type: application/websocket-events", signed}, 200},
		{"another type", "/ws", []string{"Content-Type: application/json"}, 200},
		{"to another route", "/", []string{"Content-Type: application/websocket-events"}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, length := range []string{"0", "6"} {
				c := dial(t, r.address)
				c.send(request("POST", tt.path, append(tt.fields, "Content-Length: "+length)...) + "OPEN\r\n"[:int(length[0]-'0')])
				body := "hi " + tt.path
				if tt.want == 403 {
					body = noEvents + "\n"
				}
				c.wantAnswer(tt.want, body)
				c.leave()
			}
		})
	}
}
