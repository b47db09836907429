package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"marquee/grip"
)

// An endpoint is the control endpoint of one edge: where to publish and what to
// show for it. It is immutable.
type endpoint struct {
	// name is the control URL without anything secret, for logs.
	name string
	// publishURL is where items are posted.
	publishURL string
	// verifyKeys holds the key to check the Grip-Sig of this edge's requests
	// with; it is empty when the URL has none.
	verifyKeys []grip.Key

	// How a publish is authorised: at most one of these is set.
	signer   *grip.Signer  // with a signed token
	bearer   string        // with the key itself
	userinfo *url.Userinfo // with user and password
}

// parseEndpoint returns the control endpoint that rawURL describes, in the form
// that GRIP_URL has: http[s]://[user:password@]host[:port][/path] with the
// parameters key (plain text or base64:…), iss, and verify-key, which says what
// Grip-Sig is checked with and defaults to key. With key and iss a publish
// carries a signed token, with key alone the key itself, with user and password
// these.
func parseEndpoint(rawURL string) (*endpoint, error) {
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
	key, iss, verifyKey, verifyIss := take("key"), take("iss"), take("verify-key"), take("verify-iss")
	ep := &endpoint{}
	switch {
	case verifyIss != "":
		return nil, errors.New("control URL has verify-iss: the issuer of Grip-Sig is not checked, only its key")
	case iss != "" && key == "":
		return nil, errors.New("control URL has iss but no key to sign with")
	case key != "" && u.User != nil:
		return nil, errors.New("control URL has both a key and a user: which one shall a publish carry?")
	case iss != "":
		signKey, err := grip.ParseKey(key)
		if err != nil {
			return nil, fmt.Errorf("control URL: %w", err)
		}
		ep.signer = grip.NewSigner(iss, signKey)
	case key != "":
		ep.bearer = key
	case u.User != nil:
		ep.userinfo = u.User
	}
	if verifyKey := cmp.Or(verifyKey, key); verifyKey != "" {
		parsed, err := grip.ParseKey(verifyKey)
		if err != nil {
			return nil, fmt.Errorf("control URL: %w", err)
		}
		ep.verifyKeys = []grip.Key{parsed}
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.RawQuery = query.Encode()
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	ep.name = u.Scheme + "://" + u.Host + u.EscapedPath()
	ep.publishURL = u.JoinPath("publish/").String()
	return ep, nil
}

// withoutSecrets returns the part of a control URL, even of a malformed one, that
// may be shown: neither user and password nor parameters.
func withoutSecrets(rawURL string) string {
	shown, _, _ := strings.Cut(rawURL, "?")
	return shown[strings.LastIndexByte(shown, '@')+1:]
}

// authorize adds to a publish what the endpoint wants to see. Safe from any
// goroutine.
func (ep *endpoint) authorize(req *http.Request, now time.Time) {
	switch {
	case ep.signer != nil:
		req.Header.Set("Authorization", "Bearer "+ep.signer.Token(now))
	case ep.bearer != "":
		req.Header.Set("Authorization", "Bearer "+ep.bearer)
	case ep.userinfo != nil:
		password, _ := ep.userinfo.Password()
		req.SetBasicAuth(ep.userinfo.Username(), password)
	}
}
