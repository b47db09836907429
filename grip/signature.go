package grip

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// tokenLifetime is how long after signing a token is valid.
	tokenLifetime = time.Hour
	// tokenRenewal is how long one token is used. Signing with RSA costs about
	// a millisecond, which is too much for every request to the origin.
	tokenRenewal = time.Minute
)

// Signer makes the values of the Grip-Sig request field. All its methods are
// safe from any goroutine.
type Signer struct {
	iss string
	key Key

	mu     sync.Mutex
	token  string    // guarded by mu
	signed time.Time // when token was made; guarded by mu
}

// NewSigner returns a Signer whose tokens say that iss sends them. A key that
// can only verify makes it panic.
func NewSigner(iss string, key Key) *Signer {
	if !key.IsZero() && key.sign == nil {
		panic("grip: the " + key.String() + " of a Signer is a public key, which cannot sign")
	}
	return &Signer{iss: iss, key: key}
}

// Token returns the Grip-Sig value for a request sent now: a JWT (RFC 7519)
// with the claims iss and exp, an hour ahead. The token may have been made up
// to a minute before. Without an iss or a key it is empty, and no field is to
// be sent.
func (s *Signer) Token(now time.Time) string {
	if s.iss == "" || s.key.IsZero() {
		return ""
	}
	// By the wall clock, as the expiry is: when that is set, a token of before may
	// have expired for everybody.
	now = now.Round(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.signed); s.token != "" && 0 <= age && age < tokenRenewal {
		return s.token
	}
	claims := jwt.RegisteredClaims{
		Issuer:    s.iss,
		ExpiresAt: jwt.NewNumericDate(now.Add(tokenLifetime)),
	}
	token, err := jwt.NewWithClaims(s.key.method, claims).SignedString(s.key.sign)
	if err != nil {
		panic("grip: a key that ParseKey has tried cannot sign: " + err.Error())
	}
	s.token, s.signed = token, now
	return token
}

// Verify returns nil when token, the value of a Grip-Sig field, was signed with
// key and has not expired. Only the algorithm of the key's kind is accepted,
// whatever the token names (RFC 8725 §3.1), and the token must have an expiry.
// Who signed it, its iss, does not matter.
func Verify(token string, key Key, now time.Time) error {
	if err := key.check(token, now); err != nil {
		return fmt.Errorf("verify Grip-Sig: %w", err)
	}
	return nil
}

// VerifyBearer is Verify for the token of a publisher (GRIP §5.6, the control
// key), whose iss must be the one given, unless that is empty.
func VerifyBearer(token, iss string, key Key, now time.Time) error {
	var options []jwt.ParserOption
	if iss != "" {
		options = append(options, jwt.WithIssuer(iss))
	}
	if err := key.check(token, now, options...); err != nil {
		return fmt.Errorf("verify bearer token: %w", err)
	}
	return nil
}

// check returns nil when token was signed with k, has an expiry that is still to
// come, and is what the options want.
func (k Key) check(token string, now time.Time, options ...jwt.ParserOption) error {
	if k.IsZero() {
		return errors.New("no key")
	}
	parser := jwt.NewParser(append(options,
		jwt.WithValidMethods([]string{k.method.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)...)
	_, err := parser.Parse(token, func(*jwt.Token) (any, error) { return k.verify, nil })
	return err
}
