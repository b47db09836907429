package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// What clients must offer, and what they get.
func TestHandshake(t *testing.T) {
	for _, tt := range []struct {
		name    string
		client  func(*tls.Config)
		fails   bool
		version uint16
		proto   string
	}{
		{"usual", func(*tls.Config) {}, false, tls.VersionTLS13, ""},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, false, tls.VersionTLS12, ""},
		{"TLS 1.1 (RFC 8996)", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, true, 0, ""},
		{"without forward secrecy (RFC 9325 §4.1)", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}, true, 0, ""},
		{"CBC (RFC 9325 §4.2)", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, true, 0, ""},
		{"ALPN as browsers (RFC 7301)", func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, false, tls.VersionTLS13, "http/1.1"},
		{"ALPN without http/1.1 (RFC 7301 §3.2)", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, true, 0, ""},
		{"another name", func(c *tls.Config) { c.ServerName = "elsewhere.example" }, true, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, http.HandlerFunc(hi), tlsArgs(t)...)
			overTLS(t, tt.client)
			nc, err := connect(net.Dialer{Timeout: patience}, r.secure)
			if tt.fails {
				if err == nil {
					nc.Close()
					t.Fatal("the handshake came about")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			state := nc.Conn.(*tls.Conn).ConnectionState()
			if state.Version != tt.version || state.NegotiatedProtocol != tt.proto {
				t.Errorf("got %s and protocol %q, want %s and %q", tls.VersionName(state.Version), state.NegotiatedProtocol,
					tls.VersionName(tt.version), tt.proto)
			}
			r.waitMetric("marquee_tls_handshakes_total", 1)
			r.waitMetric("marquee_tls_handshakes_open", 0)
		})
	}
}

// A client comes back with the ticket of its session (RFC 8446 §2.2).
func TestResumption(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi), tlsArgs(t)...)
	overTLS(t, func(c *tls.Config) { c.ClientSessionCache = tls.NewLRUClientSessionCache(1) })
	for i := range 2 {
		c := dial(t, r.secure)
		c.get("/")
		c.wantAnswer(200, "hi /")
		if resumed := c.nc.Conn.(*tls.Conn).ConnectionState().DidResume; resumed != (i == 1) {
			t.Errorf("connection %d: resumed is %v", i, resumed)
		}
	}
}

// Plain and encrypted clients come to the same edge by different addresses.
func TestPlainBesideTLS(t *testing.T) {
	h := &headline{id: 1}
	r := newRig(t, h, append(tlsArgs(t), "-share-all")...)
	plain := r.dial()
	plain.get(pollPath(1))
	overTLS(t, nil)
	secure := dial(t, r.secure)
	secure.get(pollPath(1))
	r.waitHolds(2)
	r.publish(headlineItem(2))
	plain.wantAnswer(200, headlineBody(2))
	secure.wantAnswer(200, headlineBody(2))
}

// Who does not speak TLS is told so, if that helps, and in any case let go.
func TestNotTLS(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi), tlsArgs(t)...)
	plain := func(method string) string { return request(method, "/") }
	const answer = "HTTP/1.0 400 Bad Request\r\n"
	for _, tt := range []struct{ name, send, want string }{
		{"GET", plain("GET"), answer},
		{"HEAD", plain("HEAD"), answer},
		{"POST", plain("POST"), answer},
		{"OPTIONS", plain("OPTIONS"), answer},
		{"DELETE", plain("DELETE"), answer},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""},
		{"nothing", "", ""},
		{"one byte", "\x16", ""},
		{"lines", "hello\r\n\r\n", ""},
		{"NUL", strings.Repeat("\x00", 1000), ""},
		{"SSL 2", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "\x15"},
		{"record too long", "\x16\x03\x01\xff\xff" + strings.Repeat("a", 100), "\x15"},
		{"empty records", strings.Repeat("\x16\x03\x01\x00\x00", 100), "\x15"},
		{"hello of garbage", "\x16\x03\x01\x00\x20\x01\x00\x00\x1c" + strings.Repeat("\xff", 28), "\x15"},
		{"hello cut off", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""},
		{"data before the hello", "\x17\x03\x03\x00\x05hello", ""},
		{"alert before the hello", "\x15\x03\x01\x00\x02\x02\x28", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := r.metric("marquee_tls_handshakes_failed_total")
			c := dial(t, r.secure)
			c.send(tt.send)
			if err := c.nc.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_ = c.nc.SetReadDeadline(time.Now().Add(patience))
			got, err := io.ReadAll(c.in)
			if err != nil || !strings.HasPrefix(string(got), tt.want) {
				t.Errorf("got %q, %v, want %q and the end", got, err, tt.want)
			}
			if tt.want == answer && !strings.HasSuffix(string(got), "\r\n\r\nClient sent an HTTP request to an HTTPS server.\n") {
				t.Errorf("got %q, want it to say what is wrong", got)
			}
			if tt.send != "" { // or it may have left before it was accepted
				r.waitMetric("marquee_tls_handshakes_failed_total", before+1)
			}
			r.waitMetric("marquee_connections", 0)
		})
	}
}

// limited makes a change to an edge's configuration: other bounds of handshakes.
func limited(open int, timeout, hurry time.Duration) func(*Config) {
	return func(c *Config) { c.handshakes = handshakeLimits{open, timeout, hurry} }
}

// A handshake may take so long and no longer, wherever it stands.
func TestHandshakeTimeout(t *testing.T) {
	for _, tt := range []struct{ name, send string }{
		{"nothing sent", ""},
		{"in a record", "\x16\x03\x01\x02\x00\x01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantNoLeaks(t)
			r := startEdge(t, serve(t, http.HandlerFunc(hi)), limited(10, 100*time.Millisecond, time.Hour), tlsArgs(t)...)
			c := dial(t, r.secure)
			c.send(tt.send)
			r.waitMetric("marquee_tls_handshakes_failed_total", 1)
			c.wantCut()
		})
	}
	t.Run("after the first flight", func(t *testing.T) {
		wantNoLeaks(t)
		r := startEdge(t, serve(t, http.HandlerFunc(hi)), limited(10, 500*time.Millisecond, time.Hour), tlsArgs(t)...)
		nc, err := net.DialTimeout("tcp", r.secure, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		mute := &muteConn{Conn: nc, writes: 1}
		_ = nc.SetDeadline(time.Now().Add(patience))
		_ = tls.Client(mute, authority.client("localhost")).Handshake()
		r.waitMetric("marquee_tls_handshakes_failed_total", 1)
	})
}

// muteConn swallows what is written after so many writes.
type muteConn struct {
	net.Conn
	writes int
}

func (c *muteConn) Write(p []byte) (int, error) {
	if c.writes--; c.writes < 0 {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// A flood of clients that begin a handshake and go no further is bounded, and
// keeps nobody out for long.
func TestHandshakeFlood(t *testing.T) {
	const open = 4
	wantNoLeaks(t)
	r := startEdge(t, serve(t, http.HandlerFunc(hi)), limited(open, time.Hour, 50*time.Millisecond), tlsArgs(t)...)
	flood := make([]*client, 10*open)
	for i := range flood {
		flood[i] = dial(t, r.secure)
		flood[i].send("\x16\x03\x01\x02\x00")
	}
	r.waitMetric("marquee_tls_handshakes_open", open)
	overTLS(t, nil)
	c := dial(t, r.secure)
	c.get("/")
	c.wantAnswer(200, "hi /")
	if n := r.edge.handshakes.under(); n > open {
		t.Errorf("%d handshakes are under way, want %d at most", n, open)
	}
	if n := r.metric("marquee_tls_handshakes_failed_total"); n < float64(len(flood)-open) {
		t.Errorf("%v have been cut off, want %d at least", n, len(flood)-open)
	}
}

// Handshakes under way do not keep an edge from stopping.
func TestDrainHandshakes(t *testing.T) {
	wantNoLeaks(t)
	r := startEdge(t, serve(t, http.HandlerFunc(hi)), limited(2, time.Hour, time.Hour), append(tlsArgs(t), "-drain-timeout", "10m")...)
	var cs []*client
	for range 5 { // two with a place, two that acceptors wait with, one in the queue
		cs = append(cs, dial(t, r.secure))
	}
	r.waitMetric("marquee_connections", 4)
	r.stop()
	for _, c := range cs {
		c.wantCut()
	}
}

// There is no handshake with those for whom there is no room.
func TestMaxConnectionsTLS(t *testing.T) {
	r := newRig(t, http.HandlerFunc(hi), append(tlsArgs(t), "-max-connections", "1")...)
	overTLS(t, nil)
	c := dial(t, r.secure)
	if nc, err := connect(net.Dialer{Timeout: patience}, r.secure); err == nil {
		nc.Close()
		t.Error("a second client is let in")
	}
	r.waitMetric("marquee_connections_refused_total", 1)
	c.get("/")
	c.wantAnswer(200, "hi /")
}

// OpenSSL speaks with the edge, and changes keys in between (RFC 8446 §4.6.3).
func TestKeyUpdate(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl")
	}
	h := &headline{id: 1}
	r := newRig(t, h, tlsArgs(t)...)
	cmd := exec.Command(openssl, "s_client", "-connect", r.secure, "-servername", "localhost", "-tls1_3", "-crlf")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, said := io.Pipe()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = out.Close()
		_ = cmd.Wait()
	}()
	defer func() { _ = cmd.Process.Kill() }()
	saidCh := make(chan string, 1)
	go func() {
		defer close(saidCh)
		buf := make([]byte, 32<<10)
		for {
			n, err := out.Read(buf)
			if err != nil {
				return
			}
			select {
			case saidCh <- string(buf[:n]):
			case <-t.Context().Done():
				return
			}
		}
	}()
	heard := ""
	hear := func(text string) {
		t.Helper()
		for !strings.Contains(heard, text) {
			said := await(t, saidCh, fmt.Sprintf("%q from openssl", text))
			if said == "" {
				t.Fatalf("openssl has ended: %s", heard)
			}
			heard += said
		}
		_, heard, _ = strings.Cut(heard, text)
	}
	say := func(text string) {
		t.Helper()
		if _, err := io.WriteString(in, text); err != nil {
			t.Fatal(err)
		}
	}
	hear("Verify return code")
	for id := 1; id < 4; id++ {
		say(strings.ReplaceAll(request("GET", pollPath(id)), "\r", ""))
		r.waitHolds(1)
		command := "K" // asks for the edge's update, too
		if id == 2 {
			command = "k"
		}
		say(command + "\n")
		hear("KEYUPDATE")
		h.change()
		r.publish(headlineItem(id + 1))
		hear(headlineBody(id + 1))
	}
}
