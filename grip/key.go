package grip

import (
	"crypto/ecdsa"
	"crypto/elliptic"
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

// Key is what tokens are signed with, and checked with: those of Grip-Sig and
// those of publishers. The zero Key means that nothing is signed.
type Key struct {
	method jwt.SigningMethod // nil in the zero Key
	// sign and verify are what method wants: the secret for HS256, the private
	// and the public key for the others. sign is nil in a key that can only
	// verify.
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
	key, err := ParseVerifyKey(s)
	if err == nil && !key.IsZero() && key.sign == nil {
		return Key{}, errors.New("parse key: " + strings.TrimPrefix(s, "file:") + " has a public key, which can check a signature but not make one: name the file of the private key")
	}
	return key, err
}

// ParseVerifyKey is ParseKey for a key that need only verify: the key in PEM may
// be a public key as well.
func ParseVerifyKey(s string) (Key, error) {
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
		return textKey(secret)
	}
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		key, err := readKey(path)
		if err != nil {
			return Key{}, fmt.Errorf("parse key file %s: %w", path, err)
		}
		return key, nil
	}
	return textKey([]byte(s))
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

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.method == nil }

// textKey returns the key for HS256. It takes no PEM text for a secret: that of a
// public key is known to all, and whoever knows it could sign (RFC 8725 §2.1).
func textKey(secret []byte) (Key, error) {
	if block, _ := pem.Decode(secret); block != nil {
		return Key{}, errors.New("parse key: a key in PEM must be in a file, given as file:PATH")
	}
	return secretKey(secret), nil
}

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

// pemKey returns the first private key in text, or the first public key when
// there is no private one. Other blocks may come before it: openssl writes the
// parameters of an EC key first.
func pemKey(text []byte) (Key, error) {
	var public *pem.Block
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return privateKey(block)
		}
		if public == nil && strings.HasSuffix(block.Type, "PUBLIC KEY") {
			public = block
		}
	}
	if public == nil {
		return Key{}, errors.New("no key in the PEM text")
	}
	return publicKey(public)
}

func privateKey(block *pem.Block) (Key, error) {
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

func publicKey(block *pem.Block) (Key, error) {
	public, err := parsePublicKey(block)
	if err != nil {
		return Key{}, err
	}
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("public key is on the curve %s: ES256 takes P-256", public.Params().Name)
		}
		return Key{method: jwt.SigningMethodES256, verify: public}, nil
	case *rsa.PublicKey:
		key := Key{method: jwt.SigningMethodRS256, verify: public}
		// A key that is too short refuses every signature, good or not.
		if err := key.method.Verify("", make([]byte, public.Size()), public); !errors.Is(err, rsa.ErrVerification) {
			return Key{}, fmt.Errorf("try %s: %w", key, err)
		}
		return key, nil
	}
	return Key{}, errors.New("public key is neither EC nor RSA")
}

func parsePublicKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	}
	return nil, fmt.Errorf("cannot read a PEM block of type %s", block.Type)
}
