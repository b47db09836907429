package upstream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An authority of the target's own takes the place of those that the machine
// trusts.
func TestAuthorities(t *testing.T) {
	own := newAuthority()
	origin, usual := own.serveTLS(t, "127.0.0.1", answer("own")), trusted.serveTLS(t, "127.0.0.1", answer("usual"))
	file := writeFile(t, "ca.pem", own.pem)
	both := writeFile(t, "both.pem", append(append([]byte("# two\n"), newAuthority().pem...), own.pem...))
	for _, tt := range []struct{ name, address, ca, want string }{
		{"its own", origin, file, "answer own"},
		{"its own among others", origin, both, "answer own"},
		{"of another", origin, writeFile(t, "ca.pem", newAuthority().pem), "failure 502"},
		{"none", origin, "", "failure 502"},
		{"the machine's", usual, "", "answer usual"},
		{"not the machine's", usual, file, "failure 502"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, origin)
			c.service = newService(t, ServiceConfig{Targets: []Target{{Address: tt.address, TLS: true, TrustConnectHost: true, CA: tt.ca}}})
			ask(t, c, get(""), false).want(tt.want)
		})
	}
	t.Run("connections are apart", func(t *testing.T) {
		c := newClient(t, origin)
		for ca, want := range map[string]string{file: "answer own", "": "failure 502", both: "answer own"} {
			c.service = newService(t, ServiceConfig{Targets: []Target{{Address: origin, TLS: true, TrustConnectHost: true, CA: ca}}})
			ask(t, c, get(""), false).want(want)
		}
		if n := len(c.transports); n != 3 {
			t.Errorf("there are %d pools of connections, want one for each file and one without", n)
		}
	})
	for _, tt := range []struct {
		name, want string
		target     Target
	}{
		{"no such file", "read certificate authorities: open /nonexistent", Target{Address: "a:1", TLS: true, CA: "/nonexistent"}},
		{"no certificate", "has no certificate in PEM form", Target{Address: "a:1", TLS: true, CA: writeFile(t, "x", []byte("hello"))}},
		{"without TLS", "certificate authorities without TLS", Target{Address: "a:1", CA: file}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewService(ServiceConfig{Targets: []Target{tt.target}}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewService: %v, want it to say %q", err, tt.want)
			}
		})
	}
}

// What is wrong with the TLS of an origin is in the log, with what to do about it;
// clients get a 502.
func TestRemedy(t *testing.T) {
	clients := newAuthority()
	demanding := func(version uint16) func(*tls.Config) {
		return func(c *tls.Config) {
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			c.ClientCAs.AddCert(clients.cert)
			c.MaxVersion = version
		}
	}
	encrypted := func(address string) Target { return Target{Address: address, TLS: true, TrustConnectHost: true} }
	good := func(change ...func(*tls.Config)) Target {
		return encrypted(trusted.serveTLS(t, "127.0.0.1", answer("body"), change...))
	}
	with := func(target Target, a *authority) Target {
		target.ClientCert, target.ClientKey = a.files(t, "edge")
		return target
	}
	expiredCert, expiredKey := trusted.issue(t, "127.0.0.1", -time.Hour)
	for _, tt := range []struct {
		name   string
		target Target
		want   string // "" for an answer
	}{
		{"good", good(), ""},
		{"another authority", encrypted(newAuthority().serveTLS(t, "127.0.0.1", answer("body"))), "ca=FILE"},
		{"another name", encrypted(trusted.serveTLS(t, "example.org", answer("body"))), "host=NAME"},
		{"expired", encrypted(serveTLS(t, expiredCert, expiredKey, answer("body"))), "has expired"},
		{"no TLS", encrypted(serve(t, answer("body"))), "does not speak TLS"},
		{"client certificate", with(good(demanding(tls.VersionTLS13)), clients), ""},
		{"client certificate missing", good(demanding(tls.VersionTLS13)), "client_cert=FILE"},
		{"client certificate missing, TLS 1.2", good(demanding(tls.VersionTLS12)), "client_cert=FILE"},
		{"client certificate of another authority", with(good(demanding(tls.VersionTLS13)), newAuthority()), "client_cert"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			c := newClient(t, tt.target.Address, func(cfg *Config) { cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			c.service = newService(t, ServiceConfig{Targets: []Target{tt.target}})
			a := ask(t, c, get(""), false)
			if tt.want == "" {
				a.want("answer body")
				return
			}
			f := a.result().Failure
			if f == nil || f.Code != http.StatusBadGateway {
				t.Fatalf("got %+v, want a 502", f)
			}
			for _, text := range []string{"level=WARN", "origin=" + tt.target.Address, "remedy=", tt.want} {
				if !strings.Contains(log.String(), text) {
					t.Errorf("the log has no %q: %s", text, &log)
				}
			}
		})
	}
}
