package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The keys of the routes es256.test and rs256.test.
var (
	es256Key = newKey(func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	rs256Key = newKey(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) })
)

func newKey(generate func() (crypto.Signer, error)) crypto.Signer {
	key, err := generate()
	if err != nil {
		panic(err) // the system has no random bytes
	}
	return key
}

// pemOf returns a private key as a file has it, in PKCS #8: Pushpin 1.36 reads no
// other form.
func pemOf(key crypto.Signer) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // the key is of a kind that it knows
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// wantSignature wants a Grip-Sig of the algorithm that verifies, and returns
// its claims.
func wantSignature(t testing.TB, text, algorithm string, key any) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{algorithm}))
	if err != nil {
		t.Fatalf("Grip-Sig %q: %v", text, err)
	}
	if parsed.Header["typ"] != "JWT" || len(parsed.Header) != 2 {
		t.Errorf("Grip-Sig has the header %v, want typ JWT and alg %s", parsed.Header, algorithm)
	}
	return claims
}

// sign makes a signature as another GRIP proxy in front of the subject would.
func sign(t testing.TB, key string, expiry time.Duration) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "front", "exp": time.Now().Add(expiry).Unix()}).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
