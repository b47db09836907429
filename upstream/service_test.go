package upstream

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestNewServiceErrors(t *testing.T) {
	certPEM, keyPEM := trusted.issue(t, "client", time.Hour)
	_, otherKey := trusted.issue(t, "client", time.Hour)
	cert, key := writeFile(t, "cert.pem", certPEM), writeFile(t, "key.pem", keyPEM)
	wrongKey, garbage := writeFile(t, "wrong.pem", otherKey), writeFile(t, "garbage.pem", []byte("garbage"))
	const address = "127.0.0.1:443"
	for _, tt := range []struct {
		name   string
		target Target
		want   []string // parts of the error; none for none
	}{
		{"plain", Target{Address: address}, nil},
		{"test", Target{Test: true}, nil},
		{"IPv6", Target{Address: "[::1]:80"}, nil},
		{"client certificate", Target{Address: address, TLS: true, ClientCert: cert, ClientKey: key}, nil},
		{"no address", Target{}, []string{"address is not host:port"}},
		{"no port", Target{Address: "a"}, []string{"target a:", "address is not host:port"}},
		{"no host", Target{Address: ":80"}, []string{"address is not host:port"}},
		{"port 0", Target{Address: "a:0"}, []string{`port "0"`}},
		{"port too high", Target{Address: "a:65536"}, []string{`port "65536"`}},
		{"certificate without TLS", Target{Address: address, ClientCert: cert, ClientKey: key}, []string{"without TLS"}},
		{"certificate without key", Target{Address: address, TLS: true, ClientCert: cert}, []string{"one of the two is missing"}},
		{"key without certificate", Target{Address: address, TLS: true, ClientKey: key}, []string{"one of the two is missing"}},
		{"no certificate file", Target{Address: address, TLS: true, ClientCert: cert + "x", ClientKey: key}, []string{address, cert + "x"}},
		{"no key file", Target{Address: address, TLS: true, ClientCert: cert, ClientKey: key + "x"}, []string{address, key + "x"}},
		{"another's key", Target{Address: address, TLS: true, ClientCert: cert, ClientKey: wrongKey}, []string{cert, wrongKey}},
		{"no certificate in the file", Target{Address: address, TLS: true, ClientCert: garbage, ClientKey: key}, []string{garbage}},
		{"no key in the file", Target{Address: address, TLS: true, ClientCert: cert, ClientKey: garbage}, []string{garbage}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewService(ServiceConfig{Targets: []Target{{Address: "first:80"}, tt.target}})
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("NewService: %v, want an error: %v", err, tt.want != nil)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error is %q, want it to name %q", err, part)
				}
			}
		})
	}
	if _, err := NewService(ServiceConfig{}); err == nil {
		t.Error("a service without targets is no error")
	}
}

func TestDirect(t *testing.T) {
	signer := grip.NewSigner("", grip.Key{})
	s := newService(t, ServiceConfig{Targets: []Target{{Address: "a:80"}}, Signer: signer, Debug: true})
	for _, tt := range []struct {
		url  string
		want string // address; "" for an error
		tls  bool
	}{
		{"http://b", "b:80", false},
		{"http://B:8080/x?y", "b:8080", false},
		{"https://b/", "b:443", true},
		{"https://[::1]/", "[::1]:443", true},
		{"ftp://b/", "", false},
		{"/x", "", false},
		{"http:///x", "", false},
		{"http://b:0/", "", false},
	} {
		d, err := s.Direct(mustURL(t, tt.url))
		if err != nil {
			if tt.want != "" {
				t.Errorf("%s: %v", tt.url, err)
			}
			continue
		}
		target := d.Targets[0]
		if target.Address != tt.want || target.TLS != tt.tls || target.Insecure || target.Untrusted || d.Signer != signer || !d.Debug {
			t.Errorf("%s leads to %+v, want %q, TLS %v", tt.url, target, tt.want, tt.tls)
		}
	}
	one, _ := s.Direct(mustURL(t, "http://b/1"))
	if two, _ := s.Direct(mustURL(t, "http://b:80/2")); one != two {
		t.Error("two URLs of one host have two services")
	}
	if two, _ := s.Direct(mustURL(t, "https://b:80/2")); one == two {
		t.Error("http and https have one service")
	}
	distrusted := newService(t, ServiceConfig{Targets: []Target{{Address: "a:80"}, {Address: "b:80", Untrusted: true}}})
	if d, _ := distrusted.Direct(mustURL(t, "http://c/")); !d.Targets[0].Untrusted {
		t.Error("a link of an untrusted target is trusted")
	}
	for i := range 2 * maxDirects {
		if _, err := s.Direct(mustURL(t, "http://h"+strings.Repeat("x", i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.directs); n != maxDirects {
		t.Errorf("%d hosts are remembered, want %d", n, maxDirects)
	}
}
