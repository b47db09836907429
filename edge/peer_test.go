package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// clientTLS is how the clients of the test that runs speak TLS; nil for not at
// all. Edges that are started meanwhile listen for such clients too.
var clientTLS *tls.Config

// overTLS lets clients speak TLS until the end of the test.
func overTLS(t testing.TB, change func(*tls.Config)) {
	t.Helper()
	clientTLS = authority.client("localhost")
	if change != nil {
		change(clientTLS)
	}
	t.Cleanup(func() { clientTLS = nil })
}

// secureArgs returns the flags of an edge that listens for clients with TLS, if
// there are some.
func secureArgs(t testing.TB) []string {
	if clientTLS == nil {
		return nil
	}
	return tlsArgs(t)
}

// tlsArgs returns the flags of an edge that listens for clients with TLS.
func tlsArgs(t testing.TB) []string {
	t.Helper()
	cert, key := authority.files(t, "localhost", time.Hour)
	return []string{"-listen-tls", "127.0.0.1:0", "-tls-cert", cert, "-tls-key", key}
}

// peer is a client's connection: a socket, and TLS on it if clients speak it.
type peer struct {
	net.Conn
	tcp *net.TCPConn
}

// connect connects to an address for clients.
func connect(d net.Dialer, address string) (*peer, error) {
	nc, err := d.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &peer{nc, nc.(*net.TCPConn)}
	if clientTLS != nil {
		c := tls.Client(nc, clientTLS)
		_ = nc.SetDeadline(time.Now().Add(patience))
		if err := c.Handshake(); err != nil {
			nc.Close()
			return nil, err
		}
		_ = nc.SetDeadline(time.Time{})
		p.Conn = c
	}
	return p, nil
}

func (p *peer) SetReadBuffer(bytes int) error { return p.tcp.SetReadBuffer(bytes) }

// CloseWrite ends what is sent.
func (p *peer) CloseWrite() error {
	if c, ok := p.Conn.(*tls.Conn); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	return p.tcp.CloseWrite()
}

// Close closes the socket, without a word of TLS before.
func (p *peer) Close() error { return p.tcp.Close() }

// issuer issues certificates.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// authority is the one whom the clients of the tests trust.
var authority = newIssuer()

func newIssuer() *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &issuer{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// client returns how a client speaks TLS that trusts the issuer, and wants a name.
func (is *issuer) client(name string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(is.cert)
	return &tls.Config{RootCAs: pool, ServerName: name}
}

// issue returns the PEM text of a certificate for a name or an address, good until
// some time from now, and of its key.
func (is *issuer) issue(t testing.TB, name string, lifetime time.Duration) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, is.cert, key.Public(), is.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// files writes a certificate and its key to files of the test.
func (is *issuer) files(t testing.TB, name string, lifetime time.Duration) (certFile, keyFile string) {
	t.Helper()
	folder := t.TempDir()
	certFile, keyFile = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	is.write(t, name, lifetime, certFile, keyFile)
	return certFile, keyFile
}

// write writes them to these files.
func (is *issuer) write(t testing.TB, name string, lifetime time.Duration, certFile, keyFile string) {
	t.Helper()
	certPEM, keyPEM := is.issue(t, name, lifetime)
	for file, text := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
