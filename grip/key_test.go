package grip

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keyFile writes text to a file and returns the key configuration that names it.
func keyFile(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return "file:" + path
}

func pemBlock(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	return pemBlock(t, "EC PRIVATE KEY", der, err)
}

func rsaPEM(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	return pemBlock(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), nil)
}

func pkcs8PEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemBlock(t, "PRIVATE KEY", der, err)
}

func TestParseKey(t *testing.T) {
	ec, rs := ecKey(t, elliptic.P256()), rsaKey(t)
	params := pemBlock(t, "EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}, nil)
	for _, tt := range []struct {
		name, in, want string
		secret         string // of an HS256 key
	}{
		{"empty", "", "no key", ""},
		{"§1.1 text", "changeme", "HS256 key", "changeme"},
		{"§1.1 text that is base64, too", "Y2hhbmdlbWU=", "HS256 key", "Y2hhbmdlbWU="},
		{"§1.1 base64", "base64:Y2hhbmdlbWU=", "HS256 key", "changeme"},
		{"§1.1 file of hexadecimal", keyFile(t, []byte("6368616e\n")), "HS256 key", "chan"},
		{"§1.1 file of an EC key", keyFile(t, ecPEM(t, ec)), "ES256 key", ""},
		{"EC key after its parameters", keyFile(t, append(params, ecPEM(t, ec)...)), "ES256 key", ""},
		{"EC key in PKCS 8", keyFile(t, pkcs8PEM(t, ec)), "ES256 key", ""},
		{"§1.1 file of an RSA key", keyFile(t, rsaPEM(t, rs)), "RS256 key", ""},
		{"RSA key in PKCS 8", keyFile(t, pkcs8PEM(t, rs)), "RS256 key", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ParseKey(tt.in)
			if err != nil || key.String() != tt.want {
				t.Fatalf("ParseKey(%q) = %v, %v, want %s", tt.in, key, err, tt.want)
			}
			if tt.secret == "" {
				return
			}
			if got := string(key.sign.([]byte)); got != tt.secret {
				t.Errorf("ParseKey(%q) has the secret %q, want %q", tt.in, got, tt.secret)
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				if got := fmt.Sprintf(verb, key); got != tt.want {
					t.Errorf("%s prints %s, want %s", verb, got, tt.want)
				}
			}
		})
	}
}

func TestParseKeyErrors(t *testing.T) {
	public, err := x509.MarshalPKIXPublicKey(&ecKey(t, elliptic.P256()).PublicKey)
	for _, tt := range []struct{ name, in, want string }{
		{"base64", "base64:secret!", "parse key: the text after base64: is not base64"},
		{"base64 of nothing", "base64:", "parse key: no text after base64: is given"},
		{"no file", "file:" + filepath.Join(t.TempDir(), "none"), "no such file"},
		{"empty file", keyFile(t, nil), "neither PEM nor hexadecimal"},
		{"text file", keyFile(t, []byte("secret")), "neither PEM nor hexadecimal"},
		{"public key", keyFile(t, pemBlock(t, "PUBLIC KEY", public, err)), "no private key in the PEM text"},
		{"broken key", keyFile(t, pemBlock(t, "EC PRIVATE KEY", []byte("x"), nil)), "x509: "},
		{"locked key", keyFile(t, pemBlock(t, "ENCRYPTED PRIVATE KEY", []byte("x"), nil)), "cannot read a PEM block of type ENCRYPTED PRIVATE KEY"},
		{"curve that ES256 has not", keyFile(t, ecPEM(t, ecKey(t, elliptic.P384()))), "try ES256 key: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ParseKey(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("ParseKey(%q) = %v, %v, want an error with %q", tt.in, key, err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("ParseKey(%q): the error shows the secret: %v", tt.in, err)
			}
		})
	}
}
