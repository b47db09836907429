package bus

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
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// refusalTime is long enough for a server to refuse a connection.
const refusalTime = 500 * time.Millisecond

// A certifier is a certificate authority that exists for one test.
type certifier struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate
}

func newCertifier(t *testing.T) *certifier {
	ca := &certifier{dir: t.TempDir()}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	ca.file, _ = ca.certify(t, "ca", template)
	return ca
}

// certify writes a certificate and its key, signed by ca or, the first one, by
// itself.
func (ca *certifier) certify(t *testing.T, name string, template *x509.Certificate) (certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if ca.cert == nil {
		ca.cert, ca.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(suffix, kind string, der []byte) string {
		file := filepath.Join(ca.dir, name+suffix)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write(".pem", "CERTIFICATE", der), write(".key", "EC PRIVATE KEY", keyDER)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newCertifier(t)
	serverCert, serverKey := ca.certify(t, "server", &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	cert, key := ca.certify(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	rootPEM, err := os.ReadFile(ca.file)
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(rootPEM)
	s := startServer(t, server.Options{
		TLS: true, TLSVerify: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert},
	})
	addr := s.Addr().String()
	b := connectWith(t, Config{URL: "tls://" + addr, Name: "b", CA: ca.file, Cert: cert, Key: key})
	publish(t, b, numbered("c", 1))
	if err := b.flush(t.Context()); err != nil {
		t.Error(err)
	}
	err = connectFor(t, refusalTime, Config{URL: "tls://" + addr, Cert: cert, Key: key})
	if !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("without CA: error %v", err)
	}
	// The server tells why only after its handshake, and may have hung up by
	// the time that the client would read it.
	err = connectFor(t, refusalTime, Config{URL: "tls://" + addr, CA: ca.file})
	if !strings.Contains(err.Error(), "tls") {
		t.Errorf("without certificate: error %v", err)
	}
	other := newCertifier(t)
	cert, key = other.certify(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	err = connectFor(t, refusalTime, Config{URL: "tls://" + addr, CA: ca.file, Cert: cert, Key: key})
	if !strings.Contains(err.Error(), "tls") {
		t.Errorf("with another's certificate: error %v", err)
	}
}

// TestCredentials has an operator, an account and a user, as nsc makes them.
func TestCredentials(t *testing.T) {
	t.Parallel()
	operator, operatorKey := newKey(t, nkeys.CreateOperator)
	account, accountKey := newKey(t, nkeys.CreateAccount)
	operatorClaims := jwt.NewOperatorClaims(operatorKey)
	accountClaims := jwt.NewAccountClaims(accountKey)
	accountJWT, err := accountClaims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(accountKey, accountJWT); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, server.Options{TrustedOperators: []*jwt.OperatorClaims{operatorClaims}, AccountResolver: resolver})

	b := connectWith(t, Config{URL: s.ClientURL(), Name: "b", Credentials: writeCredentials(t, account)})
	if err := b.flush(t.Context()); err != nil {
		t.Error(err)
	}
	stranger, _ := newKey(t, nkeys.CreateAccount)
	for name, cfg := range map[string]Config{
		"none":       {URL: s.ClientURL()},
		"a stranger": {URL: s.ClientURL(), Credentials: writeCredentials(t, stranger)},
	} {
		if err := connectFor(t, refusalTime, cfg); !strings.HasSuffix(err.Error(), "Authorization Violation") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string) {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	public, err = pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pair, public
}

// writeCredentials returns the credentials file of a new user of account.
func writeCredentials(t *testing.T, account nkeys.KeyPair) string {
	t.Helper()
	user, public := newKey(t, nkeys.CreateUser)
	token, err := jwt.NewUserClaims(public).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestPermissions has a user who may hear one channel only.
func TestPermissions(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Options{Users: []*server.User{{
		Username: "reader", Password: "secret",
		Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{Allow: []string{"marquee.item.mine", "_INBOX.>"}}},
	}}})
	b := connect(t, "nats://reader:secret@"+s.Addr().String(), "b")
	if _, err := b.Subscribe(t.Context(), "mine", ignoreItem, ignoreLoss); err != nil {
		t.Error(err)
	}
	for range 2 { // nothing remains of the first attempt
		_, err := b.Subscribe(t.Context(), "yours", ignoreItem, ignoreLoss)
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), `permissions violation for subscription to "marquee.item.yours"`) {
			t.Errorf("forbidden channel: error %v", err)
		}
	}
	if err := b.WatchStats(t.Context(), func(Stats) {}); err == nil || !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
		t.Errorf("forbidden statistics: error %v", err)
	}
	other := &url.URL{Scheme: "nats", Host: s.Addr().String(), User: url.UserPassword("reader", "wrong-secret")}
	if err := connectFor(t, refusalTime, Config{URL: other.String()}); !strings.HasSuffix(err.Error(), "Authorization Violation") {
		t.Errorf("wrong password: error %v", err)
	}
}
