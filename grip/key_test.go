package grip

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
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

func publicPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	return pemBlock(t, "PUBLIC KEY", der, err)
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

func TestParseVerifyKey(t *testing.T) {
	ec, rs := ecKey(t, elliptic.P256()), rsaKey(t)
	pkcs1 := pemBlock(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rs.PublicKey), nil)
	for _, tt := range []struct {
		name, in, want string
		signs          bool
	}{
		{"empty", "", "no key", false},
		{"secret", "changeme", "HS256 key", true},
		{"EC public key", keyFile(t, publicPEM(t, &ec.PublicKey)), "ES256 key", false},
		{"RSA public key", keyFile(t, publicPEM(t, &rs.PublicKey)), "RS256 key", false},
		{"RSA public key in PKCS 1", keyFile(t, pkcs1), "RS256 key", false},
		{"private key", keyFile(t, ecPEM(t, ec)), "ES256 key", true},
		{"public key before the private one", keyFile(t, append(publicPEM(t, &rs.PublicKey), rsaPEM(t, rs)...)), "RS256 key", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ParseVerifyKey(tt.in)
			if err != nil || key.String() != tt.want {
				t.Fatalf("ParseVerifyKey(%q) = %v, %v, want %s", tt.in, key, err, tt.want)
			}
			if got := key.sign != nil; got != tt.signs {
				t.Errorf("ParseVerifyKey(%q) can sign: %v, want %v", tt.in, got, tt.signs)
			}
		})
	}
}

func TestParseVerifyKeyErrors(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	short.N.Rsh(short.N, 100)
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, in, want string }{
		{"curve that ES256 has not", keyFile(t, publicPEM(t, &ecKey(t, elliptic.P384()).PublicKey)), "on the curve P-384: ES256 takes P-256"},
		{"RSA key that is too short", keyFile(t, publicPEM(t, &short.PublicKey)), "try RS256 key: "},
		{"neither EC nor RSA", keyFile(t, publicPEM(t, ed)), "public key is neither EC nor RSA"},
		{"broken key", keyFile(t, pemBlock(t, "PUBLIC KEY", []byte("x"), nil)), "asn1: "},
		{"unknown kind", keyFile(t, pemBlock(t, "SSH PUBLIC KEY", []byte("x"), nil)), "cannot read a PEM block of type SSH PUBLIC KEY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ParseVerifyKey(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("ParseVerifyKey(%q) = %v, %v, want an error with %q", tt.in, key, err, tt.want)
			}
		})
	}
}

func TestParseKeyErrors(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"base64", "base64:secret!", "parse key: the text after base64: is not base64"},
		{"base64 of nothing", "base64:", "parse key: no text after base64: is given"},
		{"no file", "file:" + filepath.Join(t.TempDir(), "none"), "no such file"},
		{"empty file", keyFile(t, nil), "neither PEM nor hexadecimal"},
		{"text file", keyFile(t, []byte("secret")), "neither PEM nor hexadecimal"},
		{"public key", keyFile(t, publicPEM(t, &ecKey(t, elliptic.P256()).PublicKey)), "has a public key, which can check a signature but not make one"},
		{"PEM without a key", keyFile(t, pemBlock(t, "CERTIFICATE", []byte("x"), nil)), "no key in the PEM text"},
		{"PEM for a secret", string(publicPEM(t, &ecKey(t, elliptic.P256()).PublicKey)), "must be in a file, given as file:PATH"},
		{"PEM for a secret, in base64", "base64:" + base64.StdEncoding.EncodeToString(rsaPEM(t, rsaKey(t))), "must be in a file, given as file:PATH"},
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
