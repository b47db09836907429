package upstream

import (
	"net/http"
	"time"
)

// Tell lets the origin know, by a POST without content, that a client has gone
// (GRIP §4.4). The request takes its place among the others, also as one that
// may have changed something, but nobody waits for it: what the origin answers
// is thrown away, and it is not repeated when it fails, or when there is no room
// for it. Safe from any goroutine; never blocks.
func (c *Client) Tell(s *Service, host, target string) {
	r := &Request{Service: s, Method: http.MethodPost, Host: host, Target: target}
	c.Ask(r, time.Time{}, func(r Result) {
		if r.Answer != nil && r.Answer.Body != nil {
			r.Answer.Body.Close()
		}
	})
}
