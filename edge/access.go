package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"marquee/grip"
)

// access says who may use the control endpoint: everybody who reaches it, unless
// -control-key or -control-token is set. No web page may, in whosever browser.
type access struct {
	key    *grip.Key // of signed tokens; nil for none
	iss    string    // who must have signed them; "" for anybody
	secret *secret   // a token as it is; nil for none
	// names tells that the endpoint listens on loopback and asks nobody for a
	// key: then another site's name may lead a browser here (DNS rebinding), so
	// that requests must go to an address, to localhost, or to boundName.
	names     bool
	boundName string
}

// secret is a text to compare others with. Its hash is kept, so that neither
// what is equal nor how long that is shows in the time.
type secret [sha256.Size]byte

var (
	errWebPage     = &refusal{http.StatusForbidden, "Forbidden: the request comes from a web page. Let the page's server publish."}
	errNoAuth      = &refusal{http.StatusUnauthorized, "Unauthorized: the request has no Authorization."}
	errWrongScheme = &refusal{http.StatusUnauthorized, "Unauthorized: the scheme of Authorization is not one that this endpoint takes."}
	errWrongToken  = &refusal{http.StatusUnauthorized, "Unauthorized: the token is wrong."}
	errWrongBasic  = &refusal{http.StatusUnauthorized, "Unauthorized: the password is not the control token."}
)

// newAccess returns what the flags say for an endpoint that listens at that
// address.
func newAccess(cfg *Config, at net.Addr) *access {
	a := &access{iss: cfg.ControlIss}
	if cfg.ControlKey != "" {
		a.key = &cfg.controlKey
	}
	if cfg.controlToken != "" {
		hash := secret(sha256.Sum256([]byte(cfg.controlToken)))
		a.secret = &hash
	}
	a.names = !a.asks() && isLoopback(at)
	a.boundName, _, _ = net.SplitHostPort(cfg.Control)
	return a
}

// asks reports whether requests need an Authorization.
func (a *access) asks() bool { return a.key != nil || a.secret != nil }

// check returns nil when r may be carried out.
func (a *access) check(r *http.Request, now time.Time) *refusal {
	if fromPage(r) && !byLink(r) {
		return errWebPage
	}
	if a.names && !a.isName(r.Host) {
		return &refusal{http.StatusForbidden, fmt.Sprintf("Forbidden: the control endpoint is not called %q. "+
			"Use an address or localhost, or start the edge with -control of that name, or with -control-key.", r.Host)}
	}
	if !a.asks() {
		return nil
	}
	field := r.Header.Get("Authorization")
	scheme, value, _ := strings.Cut(field, " ")
	switch {
	case field == "":
		return errNoAuth
	case strings.EqualFold(scheme, "Bearer"):
		return a.checkBearer(strings.TrimSpace(value), now)
	case strings.EqualFold(scheme, "Basic") && a.secret != nil:
		if _, password, ok := r.BasicAuth(); !ok || !a.secret.is(password) {
			return errWrongBasic
		}
		return nil
	}
	return errWrongScheme
}

// challenge adds to the answer what a client needs to do better (RFC 9110
// §11.6.1, RFC 6750 §3).
func (a *access) challenge(w http.ResponseWriter, r *http.Request, refused *refusal) {
	if refused.status != http.StatusUnauthorized {
		return
	}
	bearer := `Bearer realm="marquee control"`
	if refused != errNoAuth && refused != errWrongScheme {
		bearer += `, error="invalid_token"`
	}
	w.Header().Add("WWW-Authenticate", bearer)
	if a.secret != nil {
		w.Header().Add("WWW-Authenticate", `Basic realm="marquee control", charset="UTF-8"`)
	}
}

// checkBearer returns nil for the token as it is, and for one that was signed
// with the key, has not expired and comes from the issuer.
func (a *access) checkBearer(token string, now time.Time) *refusal {
	if a.secret != nil && a.secret.is(token) {
		return nil
	}
	if a.key == nil {
		return errWrongToken
	}
	if err := grip.VerifyBearer(token, a.iss, *a.key, now); err != nil {
		return &refusal{http.StatusUnauthorized, "Unauthorized: " + err.Error() + "."}
	}
	return nil
}

// isName reports whether the endpoint goes by the name in a Host field, whose
// port does not matter. Clients without a Host field are no browsers.
func (a *access) isName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return host == "" || strings.EqualFold(host, "localhost") || strings.EqualFold(host, a.boundName)
}

// is compares.
func (s *secret) is(text string) bool {
	hash := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(s[:], hash[:]) == 1
}

// fromPage reports whether r comes from a page in a browser (Fetch standard,
// "Origin" and Sec-Fetch-Site). The endpoint has no page of its own that could
// publish.
func fromPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return len(r.Header.Values("Origin")) > 0 || site == "cross-site" || site == "same-site"
}

// byLink reports whether r comes of somebody who follows a link on a page, who
// then sees the answer, and the page does not (Fetch metadata, Sec-Fetch-Dest).
func byLink(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		len(r.Header.Values("Origin")) == 0 && (dest == "" || dest == "document")
}

// isLoopback reports whether only this machine reaches the address.
func isLoopback(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// readToken returns the token that -control-token names: its value, or what a
// file has without the white space around it. No error shows it.
func readToken(value string) (string, error) {
	token := value
	if path, ok := strings.CutPrefix(value, "file:"); ok {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		if token = strings.TrimSpace(string(text)); token == "" {
			return "", fmt.Errorf("read token: %s is empty", path)
		}
	}
	if strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", errors.New("a token is of visible ASCII characters without spaces, as it stands in a header field")
	}
	return token, nil
}
