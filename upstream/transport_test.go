package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// refuse returns an address at which nobody listens.
func refuse(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// blackHole returns an address to which connections neither come about nor fail:
// the queue of those that nobody accepts is full.
func blackHole(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for range 10 {
		nc, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { nc.Close() })
	}
	t.Skip("the kernel takes connections that nobody accepts")
	return ""
}

// silent starts a listener that accepts, and says nothing.
func silent(t testing.TB) string {
	return serveRaw(t, func(nc net.Conn) { io.Copy(io.Discard, nc) })
}

// TestFailOver is GRIP §10: the next target is for when there is no connection,
// and for nothing that may have been carried out.
func TestFailOver(t *testing.T) {
	plain := func(address string) Target { return Target{Address: address} }
	encrypted := func(address string) Target { return Target{Address: address, TLS: true} }
	expired := func(t *testing.T) Target {
		certPEM, keyPEM := trusted.issue(t, "example.com", -time.Hour)
		return encrypted(serveTLS(t, certPEM, keyPEM, answer("first")))
	}
	for _, tt := range []struct {
		name  string
		first func(*testing.T) Target
		want  string // "second" when the next target answers
	}{
		{"answers", func(t *testing.T) Target { return plain(serve(t, answer("first"))) }, "answer first"},
		{"answers encrypted", func(t *testing.T) Target {
			return encrypted(trusted.serveTLS(t, "example.com", answer("first")))
		}, "answer first"},

		{"§10 refused", func(t *testing.T) Target { return plain(refuse(t)) }, "answer second"},
		{"§10 refused, TLS", func(t *testing.T) Target { return encrypted(refuse(t)) }, "answer second"},
		{"§10 black hole", func(t *testing.T) Target { return plain(blackHole(t)) }, "answer second"},
		{"§10 TLS with one that speaks none", func(t *testing.T) Target { return encrypted(serve(t, answer("first"))) }, "answer second"},
		{"§10 TLS with one that is silent", func(t *testing.T) Target { return encrypted(silent(t)) }, "answer second"},
		{"§10 certificate for another name", func(t *testing.T) Target {
			return encrypted(trusted.serveTLS(t, "example.org", answer("first")))
		}, "answer second"},
		{"§10 certificate of an unknown authority", func(t *testing.T) Target {
			return encrypted(newAuthority().serveTLS(t, "example.com", answer("first")))
		}, "answer second"},
		{"§10 certificate that has expired", expired, "answer second"},
		{"TLS 1.1", func(t *testing.T) Target {
			return encrypted(trusted.serveTLS(t, "example.com", answer("first"), func(c *tls.Config) {
				c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			}))
		}, "answer second"},

		{"§10 error of the origin", func(t *testing.T) Target {
			return plain(serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusServiceUnavailable)
				io.WriteString(w, "first")
			}))
		}, "answer first"},
		{"§10 closes without an answer", func(t *testing.T) Target { return plain(serve(t, wire(""))) }, "failure 502"},
		{"§10 no HTTP", func(t *testing.T) Target { return plain(serve(t, wire("SSH-2.0\r\n"))) }, "failure 502"},
		{"§10 does not answer", func(t *testing.T) Target { return plain(silent(t)) }, "failure 504"},
		{"bad instruct", func(t *testing.T) Target { return plain(serve(t, answer("Grip-Hold: x", ""))) }, "failure 502"},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				t.Parallel()
				var content atomic.Value
				second := serve(t, func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					content.Store(string(b))
					io.WriteString(w, "second")
				})
				c := newClient(t, second, func(cfg *Config) {
					if tt.want == "failure 504" {
						cfg.AnswerTimeout = time.Second
					}
				})
				c.service = newService(t, ServiceConfig{Targets: []Target{tt.first(t), plain(second)}})
				r := get("")
				if r.Method = method; method == "POST" {
					r.Stream, r.StreamLength = strings.NewReader("content"), -1
				}
				ask(t, c, r, false).want(tt.want)
				got := content.Load()
				if tt.want != "answer second" && got != nil {
					t.Errorf("the second target is asked")
				}
				if tt.want == "answer second" && method == "POST" && got != "content" {
					t.Errorf("the second target got the content %v, want all of it", got)
				}
			})
		}
	}
}

func TestNoneReachable(t *testing.T) {
	first, second := refuse(t), refuse(t)
	c := newClient(t, first)
	c.service = newService(t, ServiceConfig{Targets: []Target{{Address: first}, {Address: second, TLS: true}}})
	f := ask(t, c, get(""), false).result().Failure
	want := "Unable to connect to any targets. Tried: " + first + ", " + second
	if f == nil || f.Code != 502 || f.Reason != "Error while proxying to origin." || f.Debug != want {
		t.Errorf("§13: got %+v, want a 502 with %q", f, want)
	}
	if n := c.Stats().Failures; n != 1 {
		t.Errorf("%d failures are counted, want 1: that no target could be reached", n)
	}
}

// A connection for which there is no file descriptor is waited for, while those
// that are not in use give theirs up; what it is about is said when that was in
// vain.
func TestNoDescriptor(t *testing.T) {
	const forEver = 1 << 20
	origin := serve(t, answer("body"))
	lacking := func(t *testing.T, failures int64, err error) *client {
		c := newClient(t, origin)
		dial, dials := c.dial, new(atomic.Int64)
		c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) <= failures {
				return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("socket", err)}
			}
			return dial(ctx, network, address)
		}
		if failures == forEver {
			c.connectTimeout = 100 * time.Millisecond
		}
		return c
	}
	for _, err := range []error{unix.EMFILE, unix.ENFILE} {
		ask(t, lacking(t, 2, err), get(""), false).want("answer body")
		f := ask(t, lacking(t, forEver, err), get(""), false).result().Failure
		want := "There is no room for another connection to the origin."
		if f == nil || f.Code != 503 || f.RetryAfter != "5" || f.Reason != want {
			t.Errorf("%v: got %+v, want a 503 with Retry-After and %q", err, f, want)
		}
	}
	c := lacking(t, 1, unix.EADDRNOTAVAIL)
	f := ask(t, c, get(""), false).result().Failure
	want := "There is no local port left for another connection to the origin."
	if f == nil || f.Code != 502 || f.Reason != want {
		t.Errorf("no port: got %+v, want a 502 with %q", f, want)
	}
	ask(t, c, get(""), false).want("answer body")
	c = lacking(t, 1, unix.EADDRNOTAVAIL)
	c.service = newService(t, ServiceConfig{Targets: []Target{{Address: origin}, {Address: origin}}})
	ask(t, c, get(""), false).want("answer body")
}

// TestCertificateName is GRIP §10: what the certificate of a target must be good
// for.
func TestCertificateName(t *testing.T) {
	host := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }
	byAddress, byName := trusted.serveTLS(t, "127.0.0.1", host), trusted.serveTLS(t, "example.com", host)
	for _, tt := range []struct {
		name   string
		host   string
		target Target
		want   string
	}{
		{"Host field", "example.com", Target{Address: byName}, "answer example.com"},
		{"Host field with a port", "example.com:8443", Target{Address: byName}, "answer example.com:8443"},
		{"Host field, other letters", "Example.COM", Target{Address: byName}, "answer Example.COM"},
		{"another Host field", "example.org", Target{Address: byName}, "failure 502"},
		{"no Host field", "", Target{Address: byAddress}, "answer " + byAddress},
		{"host", "example.org", Target{Address: byName, Host: "example.com"}, "answer example.com"},
		{"another host", "example.com", Target{Address: byName, Host: "example.org"}, "failure 502"},
		{"insecure", "example.org", Target{Address: byName, Insecure: true}, "answer example.org"},
		{"the connect host is not the Host field", "example.com", Target{Address: byAddress}, "failure 502"},
		{"trust_connect_host", "example.com", Target{Address: byAddress, TrustConnectHost: true}, "answer example.com"},
		{"trust_connect_host, host", "example.org", Target{Address: byAddress, TrustConnectHost: true, Host: "example.com"}, "answer example.com"},
		{"trust_connect_host, another certificate", "example.com", Target{Address: byName, TrustConnectHost: true}, "failure 502"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, byName)
			tt.target.TLS = true
			c.service = newService(t, ServiceConfig{Targets: []Target{tt.target}})
			r := get("")
			r.Host = tt.host
			ask(t, c, r, false).want(tt.want)
		})
	}
}

// TestClientCertificate: targets that differ in it alone share no connection.
func TestClientCertificate(t *testing.T) {
	clients := newAuthority()
	origin := trusted.serveTLS(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}, func(c *tls.Config) {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AddCert(clients.cert)
	})
	c := newClient(t, origin)
	target := func(a *authority, name string) Target {
		certFile, keyFile := a.files(t, name)
		return Target{Address: origin, TLS: true, TrustConnectHost: true, ClientCert: certFile, ClientKey: keyFile}
	}
	for _, tt := range []struct {
		name   string
		target Target
		want   string
	}{
		{"one", target(clients, "one"), "answer one"},
		{"another", target(clients, "another"), "answer another"},
		{"of another authority", target(newAuthority(), "one"), "failure 502"},
		{"none", Target{Address: origin, TLS: true, TrustConnectHost: true}, "failure 502"},
	} {
		c.service = newService(t, ServiceConfig{Targets: []Target{tt.target}})
		for range 2 {
			if got := describe(ask(t, c, get(""), false).result()); got != tt.want {
				t.Errorf("client certificate %s: got %s, want %s", tt.name, got, tt.want)
			}
		}
	}
}

// TestUntrusted is GRIP §10: what counts is where the name leads.
func TestUntrusted(t *testing.T) {
	origin := serve(t, answer("body"))
	other := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the next target is asked") })
	_, port, _ := net.SplitHostPort(origin)
	for _, host := range []string{"127.0.0.1", "localhost", "::1", "::ffff:127.0.0.1", "0.0.0.0"} {
		c := newClient(t, origin)
		target := Target{Address: net.JoinHostPort(host, port), Untrusted: true}
		c.service = newService(t, ServiceConfig{Targets: []Target{target, {Address: other}}})
		f := ask(t, c, get(""), false).result().Failure
		if f == nil || f.Code != 502 || f.Debug != "Error: Origin host/IP blocked." {
			t.Errorf("%s: got %+v, want it blocked", host, f)
		}
		if target.Untrusted = false; host == "127.0.0.1" || host == "localhost" {
			c.service = newService(t, ServiceConfig{Targets: []Target{target}})
			ask(t, c, get(""), false).want("answer body")
		}
	}
}

func TestIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"1.1.1.1": true, "172.15.255.255": true, "172.32.0.0": true, "2606:4700::1": true, "::ffff:1.1.1.1": true,
		"127.0.0.1": false, "127.255.255.255": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "169.254.169.254": false, "0.0.0.0": false, "0.1.2.3": false, "100.64.0.1": false,
		"224.0.0.1": false, "255.255.255.255": false, "::": false, "::1": false, "fe80::1": false, "fc00::1": false,
		"fd12::1": false, "ff02::1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("isPublic(%s) = %v, want %v", address, got, want)
		}
	}
}

// TestRetain: a reload keeps the connections of targets that have not changed,
// and closes those of targets that are gone.
func TestRetain(t *testing.T) {
	closedCh := make(chan string, 10)
	watched := func(name string) (address string, peerCh <-chan string) {
		ch := make(chan string, 10)
		return serveRaw(t, func(nc net.Conn) {
			for {
				if _, err := readRequest(nc); err != nil {
					closedCh <- name
					return
				}
				ch <- nc.RemoteAddr().String()
				io.WriteString(nc, head("HTTP/1.1 200 OK", "Content-Length: 0"))
			}
		}), ch
	}
	stay, peerCh := watched("stay")
	leave, _ := watched("leave")
	c := newClient(t, stay)
	made := func(targets ...Target) *Service { return newService(t, ServiceConfig{Targets: targets}) }
	request := func(s *Service) {
		t.Helper()
		r := get("")
		r.Service = s
		ask(t, c, r, false).want("answer ")
	}
	plainStay, untrustedLeave := Target{Address: stay}, Target{Address: leave, Untrusted: true}
	c.dialPublic = c.dial // the setting counts here, not the address

	old := []*Service{made(plainStay), made(untrustedLeave)}
	c.Retain(old)
	for _, s := range old {
		request(s)
	}
	c.Retain([]*Service{made(plainStay), made(untrustedLeave)}) // nothing changed
	fresh := []*Service{made(plainStay)}
	c.Retain(fresh)
	if got := receive(t, closedCh, "end of a connection"); got != "leave" {
		t.Errorf("the connection to %q is closed, want leave", got)
	}
	request(fresh[0])
	if first, second := <-peerCh, <-peerCh; first != second {
		t.Errorf("the second request comes from %s, the first from %s; want the same connection", second, first)
	}
	request(old[1]) // by one who knows the old routes still
	c.Retain(fresh)
	if got := receive(t, closedCh, "end of a connection"); got != "leave" {
		t.Errorf("the connection to %q is closed, want leave", got)
	}
}

// TestRetainOpen: a request that is open when its target goes comes to its end,
// and so does its connection.
func TestRetainOpen(t *testing.T) {
	g := newGate(answer("body"))
	c := newClient(t, serve(t, g.ServeHTTP))
	c.Retain([]*Service{c.service})
	a := ask(t, c, get(""), false)
	r := g.arrived(t)
	first := r.RemoteAddr
	c.Retain(nil)
	close(g.passCh)
	a.want("answer body")
	ask(t, c, get(""), false).want("answer body")
	if second := g.arrived(t).RemoteAddr; first == second {
		t.Errorf("the connection %s is used again, after its target has gone", first)
	}
}

// TestRetainLinks: the hosts that links lead to are kept with the service.
func TestRetainLinks(t *testing.T) {
	c := newClient(t, serve(t, answer("body")))
	d, err := c.service.Direct(mustURL(t, "https://"+trusted.serveTLS(t, "127.0.0.1", answer("body"))))
	if err != nil {
		t.Fatal(err)
	}
	r := get("")
	r.Service = d
	ask(t, c, r, false).want("answer body")
	c.Retain([]*Service{c.service})
	c.transportsMu.Lock()
	defer c.transportsMu.Unlock()
	if c.transports[d.settings[0]] == nil {
		t.Error("the connections of a link are not kept")
	}
}

// TestConnectGivenUp: who gives up while there is no connection asks no second
// target.
func TestConnectGivenUp(t *testing.T) {
	first := blackHole(t)
	second := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the second target is asked") })
	c := newClient(t, first)
	c.service = newService(t, ServiceConfig{Targets: []Target{{Address: first}, {Address: second}}})
	dialled := make(chan struct{}, 2)
	dial := c.dial
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled <- struct{}{}
		return dial(ctx, network, address)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-dialled
		cancel()
	}()
	if _, f := c.fetch(ctx, c.to(get(""))); !errors.Is(f, context.Canceled) {
		t.Errorf("fetch fails with %v, want %v", f, context.Canceled)
	}
}
