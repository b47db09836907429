package grip

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// An Endpoint is the control endpoint of one edge, as a publisher sees it: where
// to publish and what to show for it. It is immutable, and safe from any
// goroutine.
type Endpoint struct {
	// Name is the control URL without anything secret, for logs.
	Name string
	// PublishURL is where items are posted.
	PublishURL string
	// VerifyKeys holds the key to check the Grip-Sig of this edge's requests
	// with; it is empty when the URL has none.
	VerifyKeys []Key
	// VerifyIss is who must have signed them, "" for anybody.
	VerifyIss string

	// How a publish is authorised: at most one of these is set.
	signer *Signer // with a signed token
	fixed  string  // with this field value
}

// ParseEndpoint returns the control endpoint that rawURL describes, in the form
// that GRIP_URL has (GRIP §5.6): http[s]://[user:password@]host[:port][/path]
// with the parameters key (plain text or base64:…), iss, verify-iss, and
// verify-key, which says what Grip-Sig is checked with and defaults to key. With
// key and iss a publish carries a signed token, with key alone the key itself,
// with user and password these. No error shows a secret.
func ParseEndpoint(rawURL string) (*Endpoint, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("control URL %q is not of the form http://host:port", withoutSecrets(rawURL))
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("parse query of control URL: %w", err)
	}
	take := func(name string) string {
		value := query.Get(name)
		query.Del(name)
		return value
	}
	key, iss, verifyKey := take("key"), take("iss"), take("verify-key")
	ep := &Endpoint{VerifyIss: take("verify-iss")}
	switch {
	case iss != "" && key == "":
		return nil, errors.New("control URL has iss but no key to sign with")
	case key != "" && u.User != nil:
		return nil, errors.New("control URL has both a key and a user: which one shall a publish carry?")
	case iss != "":
		signKey, err := ParseKey(key)
		if err != nil {
			return nil, fmt.Errorf("control URL: %w", err)
		}
		ep.signer = NewSigner(iss, signKey)
	case key != "":
		ep.fixed = BearerAuth(key)
	case u.User != nil:
		password, _ := u.User.Password()
		ep.fixed = BasicAuth(u.User.Username(), password)
	}
	if verifyKey := cmp.Or(verifyKey, key); verifyKey != "" {
		parsed, err := ParseVerifyKey(verifyKey)
		if err != nil {
			return nil, fmt.Errorf("control URL: %w", err)
		}
		ep.VerifyKeys = []Key{parsed}
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.RawQuery = query.Encode()
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	ep.Name = u.Scheme + "://" + u.Host + u.EscapedPath()
	ep.PublishURL = u.JoinPath("publish/").String()
	return ep, nil
}

// WithAuth returns ep with another value for the Authorization field of each
// publish.
func (ep *Endpoint) WithAuth(value string) *Endpoint {
	other := *ep
	other.signer, other.fixed = nil, value
	return &other
}

// Authorization returns what a publish that is sent now has in its Authorization
// field; "" for none.
func (ep *Endpoint) Authorization(now time.Time) string {
	if ep.signer != nil {
		return "Bearer " + ep.signer.Token(now)
	}
	return ep.fixed
}

// ShowsSecret reports whether Authorization has a secret for everybody to read:
// a password or a key, instead of something that was signed with it.
func (ep *Endpoint) ShowsSecret() bool { return ep.fixed != "" }

// BearerAuth returns the Authorization value for a token (RFC 6750 §2.1).
func BearerAuth(token string) string { return "Bearer " + token }

// BasicAuth returns the Authorization value for user and password (RFC 7617 §2).
func BasicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// withoutSecrets returns the part of a control URL, even of a malformed one, that
// may be shown: neither user and password nor parameters, and nothing of one in
// which they cannot be told apart.
func withoutSecrets(rawURL string) string {
	shown, rest := rawURL, ""
	if i := strings.IndexAny(rawURL, "?&#"); i >= 0 {
		shown, rest = rawURL[:i], rawURL[i:]
	}
	if strings.Contains(rest, "@") { // in a parameter, or behind a password
		return "…"
	}
	return shown[strings.LastIndexByte(shown, '@')+1:]
}
