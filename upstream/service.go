package upstream

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"marquee/grip"
)

// maxDirects is how many hosts beside its targets a service remembers (see
// Service.Direct). Requests to a host that found no room are not shared.
const maxDirects = 100

// Target is one place where the requests of a service can go (GRIP §10).
type Target struct {
	// Address is the host:port to connect to. A Test target needs none.
	Address string
	// TLS: the connection is encrypted (TLS 1.2 or later), and the target's
	// certificate must be good for the Host field of the request.
	TLS bool
	// Insecure: any certificate will do.
	Insecure bool
	// Host replaces the Host field of the request, and so what the certificate
	// must be good for; "" leaves it.
	Host string
	// TrustConnectHost: the certificate must be good for the host of Address,
	// whatever the Host field says.
	TrustConnectHost bool
	// Untrusted: whoever named the target may not make the edge reach into the
	// network that it is in. What Address is resolved to counts: private,
	// loopback and link-local addresses are refused when the connection is made.
	Untrusted bool
	// ClientCert and ClientKey are the paths of PEM files with the certificate
	// that is shown to the target, and its key; both or neither. The
	// certificate's file may have intermediate ones after it.
	ClientCert, ClientKey string
	// CA is the path of a PEM file with the certificates of the authorities of
	// which that of the target may be; "" for those that the machine trusts.
	CA string
	// Test: the target is in this process, for trying out clients without an
	// origin; see testTarget.
	Test bool
}

// ServiceConfig says who answers the requests of one route, and how they are
// asked.
type ServiceConfig struct {
	// Targets are tried in order: the next one when no connection to the one
	// before comes about. There is at least one.
	Targets []Target
	// Signer makes the Grip-Sig field; nil for none.
	Signer *grip.Signer
	// NoGrip: the targets know nothing of GRIP. They get none of its fields,
	// and their answers are passed back as they are.
	NoGrip bool
	// Debug: clients may see the Debug text of a Failure.
	Debug bool
}

// Service is who answers the requests of one route. It is made by NewService,
// and what it says does not change; two that are equal are still two, which
// share no answers.
type Service struct {
	ServiceConfig

	settings    []setting     // of each target
	credentials []credentials // of each target

	mu      sync.Mutex          // directs
	directs map[string]*Service // by scheme://host:port

	outage outage
}

// credentials are what a target's files contain.
type credentials struct {
	own   *tls.Certificate // shown to the target; nil for none
	roots *x509.CertPool   // of which its certificate may be; nil for the machine's
}

// NewService makes a service. It reads the files of the client certificates and
// of the authorities; errors name the target, and the file.
func NewService(cfg ServiceConfig) (*Service, error) {
	if len(cfg.Targets) == 0 {
		return nil, errors.New("service has no targets")
	}
	cfg.Targets = slices.Clone(cfg.Targets)
	s := &Service{ServiceConfig: cfg, directs: make(map[string]*Service)}
	for _, t := range cfg.Targets {
		set, creds, err := t.setting()
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", t, err)
		}
		s.settings = append(s.settings, set)
		s.credentials = append(s.credentials, creds)
	}
	return s, nil
}

// Direct returns the service for an absolute URL, http or https, that leads
// away from s: a link of an answer of s, whose scheme, host or port is not that
// of the client's request. The certificate of an https host is checked. The
// service signs as s does, and is untrusted when a target of s is. It is the
// same one for URLs of one host, so that equal requests to it are shared. Safe
// from any goroutine.
func (s *Service) Direct(u *url.URL) (*Service, error) {
	port := u.Port()
	switch {
	case u.Hostname() == "":
		return nil, fmt.Errorf("URL %q has no host", u.Redacted())
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("URL %q: scheme is neither http nor https", u.Redacted())
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	address := net.JoinHostPort(strings.ToLower(u.Hostname()), port)
	name := u.Scheme + "://" + address
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.directs[name]; d != nil {
		return d, nil
	}
	d, err := NewService(ServiceConfig{
		Targets: []Target{{
			Address: address, TLS: u.Scheme == "https", TrustConnectHost: true,
			Untrusted: slices.ContainsFunc(s.Targets, func(t Target) bool { return t.Untrusted }),
		}},
		Signer: s.Signer, NoGrip: s.NoGrip, Debug: s.Debug,
	})
	if err == nil && len(s.directs) < maxDirects {
		s.directs[name] = d
	}
	return d, err
}

// String returns the targets as they are named in the log.
func (s *Service) String() string {
	var names []string
	for _, t := range s.Targets {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// String returns the target's address.
func (t Target) String() string {
	if t.Test {
		return "test"
	}
	return t.Address
}

// setting returns what decides over the connections to the target.
func (t Target) setting() (setting, credentials, error) {
	var creds credentials
	if t.Test {
		return setting{}, creds, nil
	}
	host, port, err := net.SplitHostPort(t.Address)
	if err != nil || host == "" {
		return setting{}, creds, errors.New("address is not host:port")
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return setting{}, creds, fmt.Errorf("port %q is not from 1 to 65535", port)
	}
	set := setting{untrusted: t.Untrusted}
	if !t.TLS {
		if t.ClientCert != "" || t.ClientKey != "" {
			return setting{}, creds, errors.New("client certificate without TLS")
		}
		if t.CA != "" {
			return setting{}, creds, errors.New("certificate authorities without TLS")
		}
		return set, creds, nil
	}
	set.tls, set.insecure = true, t.Insecure
	if !t.TrustConnectHost {
		set.address = t.Address
	}
	if creds.own, set.identity, err = t.identity(); err != nil {
		return setting{}, creds, err
	}
	if creds.roots, set.roots, err = t.authorities(); err != nil {
		return setting{}, creds, err
	}
	return set, creds, nil
}

// identity reads the certificate that the target is shown, and returns a hash of
// it; none, if the target is shown none.
func (t Target) identity() (*tls.Certificate, [sha256.Size]byte, error) {
	var none [sha256.Size]byte
	if t.ClientCert == "" && t.ClientKey == "" {
		return nil, none, nil
	}
	if t.ClientCert == "" || t.ClientKey == "" {
		return nil, none, errors.New("client certificate and its key: one of the two is missing")
	}
	certPEM, err := os.ReadFile(t.ClientCert)
	if err != nil {
		return nil, none, fmt.Errorf("read client certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(t.ClientKey)
	if err != nil {
		return nil, none, fmt.Errorf("read key of client certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, none, fmt.Errorf("use client certificate %s with key %s: %w", t.ClientCert, t.ClientKey, err)
	}
	return &cert, sha256.Sum256(slices.Concat(certPEM, keyPEM)), nil
}

// authorities reads the authorities of which the target's certificate may be, and
// returns a hash of them; none, if they are the machine's.
func (t Target) authorities() (*x509.CertPool, [sha256.Size]byte, error) {
	var none [sha256.Size]byte
	if t.CA == "" {
		return nil, none, nil
	}
	text, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, none, fmt.Errorf("read certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, none, fmt.Errorf("read certificate authorities: %s has no certificate in PEM form", t.CA)
	}
	return pool, sha256.Sum256(text), nil
}

// urlHost returns the host:port by which the connections that may serve a
// request with this Host field are told apart, and which the certificate must
// be good for.
func (t Target) urlHost(host string) string {
	if !t.TLS || t.TrustConnectHost {
		return t.Address
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host = strings.ToLower(strings.Trim(host, "[]")); host == "" {
		return t.Address
	}
	_, port, _ := net.SplitHostPort(t.Address) // checked by setting
	return net.JoinHostPort(host, port)
}
