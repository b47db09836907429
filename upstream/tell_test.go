package upstream

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestTell is GRIP §4.4: one POST without content.
func TestTell(t *testing.T) {
	origin, sentCh := record(t)
	c := newClient(t, origin)
	c.Tell(c.service, "example.com", "/gone?x=y")
	want := lines("POST /gone?x=y HTTP/1.1", "Host: example.com", "Content-Length: 0", "Grip-Feature: "+features, "", "")
	if got := receive(t, sentCh, "request"); got != want {
		t.Errorf("the origin got\n%q, want\n%q", got, want)
	}
}

// TestTellAnswer: whatever the answer is, nothing stays behind, and nothing is
// asked again.
func TestTellAnswer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"none", wire("")},
		{"error", wire(head("HTTP/1.1 500 No", "Content-Length: 0"))},
		{"hold", answer(holding, "body")},
		{"bad instruct", answer("Grip-Hold: maybe", "body")},
		{"stream", trickleAnswer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(tt.answer)
			close(g.passCh)
			c := newClient(t, serve(t, g.ServeHTTP))
			c.Tell(c.service, "h", "/gone")
			r := g.arrived(t)
			receive(t, r.Context().Done(), "end of the request at the origin")
			eventually(t, "none open", func() bool { return c.Stats().Open == 0 })
			g.wantQuiet(t)
			if s := c.Stats(); s.Requests != 1 {
				t.Errorf("%d requests, want 1", s.Requests)
			}
		})
	}
}

// TestTellTakesTurn: it waits among the others, and is dropped when there is no
// room in line.
func TestTellTakesTurn(t *testing.T) {
	g := newGate(answer("body"))
	c := limited(newClient(t, serve(t, g.ServeHTTP)), 1, 1)
	first := ask(t, c, get(""), false)
	g.arrived(t)
	c.Tell(c.service, "h", "/waits")
	c.Tell(c.service, "h", "/dropped")
	eventually(t, "the second dropped", func() bool { return c.Stats().Failures == 1 })
	g.wantQuiet(t)
	close(g.passCh)
	first.want("answer body")
	if got := g.arrived(t).URL.Path; got != "/waits" {
		t.Errorf("the origin is told %s, want /waits", got)
	}
	eventually(t, "none open", func() bool { return c.Stats().Open == 0 })
	g.wantQuiet(t)
}

// TestTellDirect tells a host that is none of the targets.
func TestTellDirect(t *testing.T) {
	otherCh := make(chan string, 1)
	other := serveRaw(t, func(nc net.Conn) {
		_ = nc.SetReadDeadline(time.Now().Add(patience))
		sent, _ := readRequest(nc)
		otherCh <- sent
		io.WriteString(nc, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	c := newClient(t, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the target is told") }))
	u := mustURL(t, "http://"+other+"/gone")
	d, err := c.service.Direct(u)
	if err != nil {
		t.Fatal(err)
	}
	c.Tell(d, u.Host, u.RequestURI())
	want := lines("POST /gone HTTP/1.1", "Host: "+other, "Content-Length: 0", "Grip-Feature: "+features, "", "")
	if got := receive(t, otherCh, "request"); got != want {
		t.Errorf("the host got\n%q, want\n%q", got, want)
	}
}
