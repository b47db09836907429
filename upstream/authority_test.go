package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// trusted is an authority that this machine trusts, for the length of the tests.
var trusted = newAuthority()

func newAuthority() *authority {
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
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// trust makes the process take the authority for one that the machine trusts.
// It must be called before any certificate is checked.
func (a *authority) trust() (remove func()) {
	f, err := os.CreateTemp("", "authority-*.pem")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.Write(a.pem); err != nil {
		panic(err)
	}
	os.Setenv("SSL_CERT_FILE", f.Name())
	return func() { os.Remove(f.Name()) }
}

// issue returns the PEM text of a certificate for a name or an address, good
// until some time from now, and of its key.
func (a *authority) issue(t testing.TB, name string, lifetime time.Duration) (certPEM, keyPEM []byte) {
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
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
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

// files writes a certificate and its key to files.
func (a *authority) files(t testing.TB, name string) (certFile, keyFile string) {
	t.Helper()
	certPEM, keyPEM := a.issue(t, name, time.Hour)
	return writeFile(t, "cert.pem", certPEM), writeFile(t, "key.pem", keyPEM)
}

// writeFile writes a file for the length of the test and returns its path.
func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serveTLS starts an https origin whose certificate is for a name or an address,
// and returns its address.
func (a *authority) serveTLS(t testing.TB, name string, h http.HandlerFunc, change ...func(*tls.Config)) string {
	t.Helper()
	certPEM, keyPEM := a.issue(t, name, time.Hour)
	return serveTLS(t, certPEM, keyPEM, h, change...)
}

func serveTLS(t testing.TB, certPEM, keyPEM []byte, h http.HandlerFunc, change ...func(*tls.Config)) string {
	t.Helper()
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, f := range change {
		f(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}
