package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// es256Key is the key of the route es256.test.
var es256Key = newECKey()

// ecKey is a key for ES256.
type ecKey struct{ private *ecdsa.PrivateKey }

func newECKey() ecKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the system has no random bytes
	}
	return ecKey{private}
}

// pem returns the private key as a file has it, in PKCS #8: Pushpin 1.36 reads
// no other form.
func (k ecKey) pem() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		panic(err) // the curve is one that it knows
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
