package interop

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// Pushpin's command publishes by HTTP and by ZeroMQ.
func TestPushpinPublish(t *testing.T) {
	s := newStand(t)
	path := find(t, "pushpin-publish")
	for _, spec := range []struct{ name, spec string }{{"HTTP", s.control}, {"ZeroMQ", s.pull}} {
		t.Run(spec.name, func(t *testing.T) {
			publish := func(t *testing.T, args ...string) {
				t.Helper()
				args = append([]string{"--spec", spec.spec}, args...)
				if out, err := exec.Command(path, args...).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "Published" {
					t.Fatalf("pushpin-publish %q: %v, %q, want Published", args, err, out)
				}
			}
			// hold starts a curl whose request is held, on a channel of its own.
			hold := func(t *testing.T, mode string) (channel string, c *transcript) {
				channel = strings.ToLower(spec.name + "-" + t.Name()[strings.LastIndexByte(t.Name(), '/')+1:])
				url := "/channel/" + channel + "/" + mode
				c = startCurl(t, s.url(url))
				s.origin.wantAsked(1, url, func(r request) bool { return r.URL == url })
				if mode == "stream" {
					c.want(t, `\n\nopen$`)
				}
				return channel, c
			}
			// until publishes an item of a new id again and again until the
			// subject has subscribed the hold that it is for.
			until := func(t *testing.T, pattern string, c *transcript, args ...string) {
				t.Helper()
				eventually(t, func() error {
					publish(t, args...)
					if got := strings.Join(c.lines(), "\n"); !strings.Contains(got, pattern) {
						return fmt.Errorf("curl has got %q, want %q", got, pattern)
					}
					return nil
				})
			}

			t.Run("content of a stream", func(t *testing.T) {
				channel, c := hold(t, "stream")
				until(t, "ready", c, channel, "ready")
				publish(t, "--id", "1", "--no-eol", channel, "one,")
				publish(t, "--id", "1", channel, "again")                   // the id is known
				publish(t, "--id", "3", "--prev-id", "2", channel, "three") // waits for the one before
				publish(t, "--id", "2", "--prev-id", "1", channel, "two")
				c.want(t, `\nready\none,two\nthree$`)
			})
			t.Run("close of a stream", func(t *testing.T) {
				channel, c := hold(t, "stream")
				until(t, "ready", c, channel, "ready")
				publish(t, "--close", channel)
				if err := c.p.wait(t); err != nil {
					t.Errorf("curl ended with %v, want a clean end", err)
				}
			})
			t.Run("answer to a poll", func(t *testing.T) {
				channel, c := hold(t, "poll")
				until(t, "HTTP/1.1 203 ", c, channel, "landed", "--code", "203", "--header", "X-Flight: 123")
				if err := c.p.wait(t); err != nil {
					t.Errorf("curl ended with %v", err)
				}
				c.want(t, `(?im)^X-Flight: 123$`)
				c.want(t, `\n\nlanded$`)
			})
			t.Run("patch of a poll's answer", func(t *testing.T) {
				channel, c := hold(t, "poll")
				until(t, `{"news":["landed"]}`, c, "--patch", channel, `[{"op": "add", "path": "/news/-", "value": "landed"}]`)
				if err := c.p.wait(t); err != nil {
					t.Errorf("curl ended with %v", err)
				}
			})
			t.Run("hint to a poll", func(t *testing.T) {
				channel, _ := hold(t, "poll")
				eventually(t, func() error {
					publish(t, "--hint", channel)
					url := "/channel/" + channel + "/poll"
					if n := len(s.origin.asked(func(r request) bool { return r.URL == url })); n < 2 {
						return fmt.Errorf("the origin was asked %d times, want once more for the hint", n)
					}
					return nil
				})
			})
		})
	}
}
