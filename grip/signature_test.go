package grip

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var signedAt = time.Date(2013, 9, 20, 1, 43, 45, 0, time.UTC)

func parseKey(t testing.TB, s string) Key {
	t.Helper()
	key, err := ParseKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSignerToken(t *testing.T) {
	token := NewSigner("pushpin", parseKey(t, "changeme")).Token(signedAt)
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("Token() = %q, want three parts", token)
	}
	for i, want := range []map[string]any{
		{"typ": "JWT", "alg": "HS256"},
		{"iss": "pushpin", "exp": float64(signedAt.Unix() + 3600)},
	} {
		var got map[string]any
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("§1.1: part %d is %s, %v, want %v", i, text, err, want)
		}
	}
}

func TestSignerTokenNone(t *testing.T) {
	for name, s := range map[string]*Signer{
		"§1.1 no key": NewSigner("pushpin", Key{}),
		"§1.1 no iss": NewSigner("", parseKey(t, "changeme")),
	} {
		if got := s.Token(signedAt); got != "" {
			t.Errorf("%s: Token() = %q, want none", name, got)
		}
	}
}

func TestSignerTokenRenewal(t *testing.T) {
	s := NewSigner("pushpin", parseKey(t, "changeme"))
	first := s.Token(signedAt)
	if got := s.Token(signedAt.Add(tokenRenewal - 1)); got != first {
		t.Errorf("Token() within a minute = %q, want the same, %q", got, first)
	}
	second := s.Token(signedAt.Add(tokenRenewal))
	if second == first {
		t.Errorf("Token() after a minute is still %q", first)
	}
	if got := s.Token(signedAt.Add(-time.Hour)); got == second {
		t.Errorf("Token() with the clock set back is still %q, which it would be for an hour", got)
	}
}

func TestSignerConcurrently(t *testing.T) {
	s := NewSigner("pushpin", parseKey(t, "changeme"))
	tokens := make([]string, 16)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() { tokens[i] = s.Token(signedAt) })
	}
	wg.Wait()
	for i, token := range tokens {
		if token == "" || token != tokens[0] {
			t.Errorf("goroutine %d got %q, the first one %q", i, token, tokens[0])
		}
	}
}

func TestVerify(t *testing.T) {
	hs := parseKey(t, "changeme")
	es := parseKey(t, keyFile(t, ecPEM(t, ecKey(t, elliptic.P256()))))
	rs := parseKey(t, keyFile(t, rsaPEM(t, rsaKey(t))))
	for _, key := range []Key{hs, es, rs} {
		token := NewSigner("pushpin", key).Token(signedAt)
		if err := Verify(token, key, signedAt.Add(tokenLifetime-time.Second)); err != nil {
			t.Errorf("%v: within its hour: %v", key, err)
		}
		if err := Verify(token, key, signedAt.Add(tokenLifetime)); !errors.Is(err, jwt.ErrTokenExpired) {
			t.Errorf("%v: after its hour: %v, want expired", key, err)
		}
		changed := token[:len(token)-8] + "AAAAAAAA"
		if err := Verify(changed, key, signedAt); !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			t.Errorf("%v: changed signature: %v, want invalid", key, err)
		}
	}

	sign := func(method jwt.SigningMethod, claims jwt.Claims, key any) string {
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	valid := jwt.MapClaims{"iss": "pushpin", "exp": signedAt.Unix() + 3600}
	secret := hs.sign
	for _, tt := range []struct {
		name, token string
		key         Key
		want        error // nil when any error will do
	}{
		{"empty", "", hs, jwt.ErrTokenMalformed},
		{"garbage", "a.b.c", hs, jwt.ErrTokenMalformed},
		{"no key", sign(jwt.SigningMethodHS256, valid, secret), Key{}, nil},
		{"another secret", sign(jwt.SigningMethodHS256, valid, []byte("guess")), hs, jwt.ErrTokenSignatureInvalid},
		{"no expiry", sign(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "pushpin"}, secret), hs, jwt.ErrTokenRequiredClaimMissing},
		{"RFC 8725 §3.1 alg none", sign(jwt.SigningMethodNone, valid, jwt.UnsafeAllowNoneSignatureType), hs, jwt.ErrTokenSignatureInvalid},
		{"RFC 8725 §3.1 another algorithm with the same secret", sign(jwt.SigningMethodHS512, valid, secret), hs, jwt.ErrTokenSignatureInvalid},
		{"RFC 8725 §3.1 HS256 where RS256 is due", sign(jwt.SigningMethodHS256, valid, secret), rs, jwt.ErrTokenSignatureInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Verify(tt.token, tt.key, signedAt)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Verify(%q, %v) = %v, want %v", tt.token, tt.key, err, tt.want)
			}
		})
	}
}

func TestVerifyBearer(t *testing.T) {
	ec, rs := ecKey(t, elliptic.P256()), rsaKey(t)
	hs := parseKey(t, "changeme")
	verifyKey := func(public []byte) Key {
		key, err := ParseVerifyKey(keyFile(t, public))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	ecText, rsText := publicPEM(t, &ec.PublicKey), publicPEM(t, &rs.PublicKey)
	ecPublic, rsPublic := verifyKey(ecText), verifyKey(rsText)
	sign := func(method jwt.SigningMethod, iss any, key any) string {
		claims := jwt.MapClaims{"exp": signedAt.Unix() + 60}
		if iss != nil {
			claims["iss"] = iss
		}
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for _, tt := range []struct {
		name, token, iss string
		key              Key
		late             time.Duration // after signing
		want             error
	}{
		{"§5.6 key and iss", sign(jwt.SigningMethodHS256, "app", hs.sign), "app", hs, 0, nil},
		{"any iss", sign(jwt.SigningMethodHS256, "app", hs.sign), "", hs, 0, nil},
		{"no iss, none wanted", sign(jwt.SigningMethodHS256, nil, hs.sign), "", hs, 0, nil},
		{"ES256 by public key", sign(jwt.SigningMethodES256, "app", ec), "app", ecPublic, 0, nil},
		{"RS256 by public key", sign(jwt.SigningMethodRS256, "app", rs), "app", rsPublic, 0, nil},
		{"another iss", sign(jwt.SigningMethodHS256, "App", hs.sign), "app", hs, 0, jwt.ErrTokenInvalidIssuer},
		{"no iss", sign(jwt.SigningMethodHS256, nil, hs.sign), "app", hs, 0, jwt.ErrTokenRequiredClaimMissing},
		{"iss a list", sign(jwt.SigningMethodHS256, []string{"app"}, hs.sign), "app", hs, 0, jwt.ErrInvalidType},
		{"expired", sign(jwt.SigningMethodHS256, "app", hs.sign), "app", hs, time.Minute, jwt.ErrTokenExpired},
		{"RFC 8725 §2.1 HS256 with the RSA public key's text", sign(jwt.SigningMethodHS256, "app", rsText), "app", rsPublic, 0, jwt.ErrTokenSignatureInvalid},
		{"RFC 8725 §2.1 HS256 with the EC public key's text", sign(jwt.SigningMethodHS256, "app", ecText), "app", ecPublic, 0, jwt.ErrTokenSignatureInvalid},
		{"RFC 8725 §2.1 none", sign(jwt.SigningMethodNone, "app", jwt.UnsafeAllowNoneSignatureType), "app", rsPublic, 0, jwt.ErrTokenSignatureInvalid},
		{"RFC 8725 §3.1 PS256 where RS256 is due", sign(jwt.SigningMethodPS256, "app", rs), "app", rsPublic, 0, jwt.ErrTokenSignatureInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := VerifyBearer(tt.token, tt.iss, tt.key, signedAt.Add(tt.late)); !errors.Is(err, tt.want) {
				t.Errorf("VerifyBearer(%q, %q, %v) = %v, want %v", tt.token, tt.iss, tt.key, err, tt.want)
			}
		})
	}
	if err := VerifyBearer(sign(jwt.SigningMethodHS256, "app", hs.sign), "app", Key{}, signedAt); err == nil {
		t.Error("VerifyBearer without a key: nil, want an error")
	}
}

// A public key is told apart before anything is to be signed with it.
func TestNewSignerOfPublicKey(t *testing.T) {
	key, err := ParseVerifyKey(keyFile(t, publicPEM(t, &ecKey(t, elliptic.P256()).PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if got, _ := recover().(string); !strings.Contains(got, "ES256 key of a Signer is a public key") {
			t.Errorf("NewSigner panics with %q, want it to say that the key is public", got)
		}
	}()
	NewSigner("edge", key)
}

func BenchmarkToken(b *testing.B) {
	s := NewSigner("pushpin", parseKey(b, "changeme"))
	b.ReportAllocs()
	for b.Loop() {
		s.Token(signedAt)
	}
}
