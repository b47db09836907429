package grip

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Key is what Grip-Sig is signed with, and checked with. The zero Key means
// that nothing is signed.
type Key struct {
	method jwt.SigningMethod // nil in the zero Key
	// sign and verify are what method wants: the secret for HS256, the private
	// and the public key for the others.
	sign, verify any
}

// ParseKey reads a key as GRIP configurations write it:
//
//	base64:TEXT   the secret in base64, for HS256
//	file:PATH     a file: an EC key (P-256) in PEM for ES256, an RSA key in PEM
//	              for RS256, or else the secret in hexadecimal for HS256
//	TEXT          the secret itself, for HS256
//
// Keys in PEM must be private keys. The empty string is the zero Key. No error
// shows any of the secret.
func ParseKey(s string) (Key, error) {
	if s == "" {
		return Key{}, nil
	}
	if text, ok := strings.CutPrefix(s, "base64:"); ok {
		secret, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return Key{}, errors.New("parse key: the text after base64: is not base64")
		}
		if len(secret) == 0 {
			return Key{}, errors.New("parse key: no text after base64: is given")
		}
		return secretKey(secret), nil
	}
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		key, err := readKey(path)
		if err != nil {
			return Key{}, fmt.Errorf("parse key file %s: %w", path, err)
		}
		return key, nil
	}
	return secretKey([]byte(s)), nil
}

// String says of which kind k is, and nothing of its secret.
func (k Key) String() string {
	if k.method == nil {
		return "no key"
	}
	return k.method.Alg() + " key"
}

// GoString is String, so that no way of printing k shows its secret.
func (k Key) GoString() string { return k.String() }

func (k Key) isZero() bool { return k.method == nil }

func secretKey(secret []byte) Key {
	return Key{method: jwt.SigningMethodHS256, sign: secret, verify: secret}
}

func readKey(path string) (Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, err
	}
	if block, _ := pem.Decode(text); block != nil {
		return pemKey(text)
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) == 0 {
		return Key{}, errors.New("neither PEM nor hexadecimal")
	}
	return secretKey(secret), nil
}

// pemKey returns the first private key in text. Other blocks may come before
// it: openssl writes the parameters of an EC key first.
func pemKey(text []byte) (Key, error) {
	block, rest := pem.Decode(text)
	for block != nil && !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return Key{}, errors.New("no private key in the PEM text")
	}
	private, err := parsePrivateKey(block)
	if err != nil {
		return Key{}, err
	}
	var key Key
	switch private := private.(type) {
	case *ecdsa.PrivateKey:
		key = Key{method: jwt.SigningMethodES256, sign: private, verify: &private.PublicKey}
	case *rsa.PrivateKey:
		key = Key{method: jwt.SigningMethodRS256, sign: private, verify: &private.PublicKey}
	default:
		return Key{}, errors.New("private key is neither EC nor RSA")
	}
	// ES256 wants the one curve, and RSA keys can be too short to use. Found out
	// here, signing cannot fail later.
	if _, err := key.method.Sign("", key.sign); err != nil {
		return Key{}, fmt.Errorf("try %s: %w", key, err)
	}
	return key, nil
}

func parsePrivateKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	return nil, fmt.Errorf("cannot read a PEM block of type %s", block.Type)
}
