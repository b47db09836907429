package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"
)

// A guard says who may change things: whoever asks from this machine, and
// whoever has the token. No page of another site may, in whosever browser.
type guard struct {
	token     string // empty for none
	crossSite http.CrossOriginProtection
}

var (
	errCrossSite  = errors.New("the request comes from another site's page")
	errNotAllowed = errors.New("only requests from the dashboard's own machine may do this")
	errNoToken    = errors.New("this needs the admin token, as Authorization: Bearer TOKEN or form field token")
	errWrongToken = errors.New("the admin token is wrong")
)

// check returns nil when r, whose form has been parsed, may change things.
func (g *guard) check(r *http.Request) error {
	if g.crossSite.Check(r) != nil {
		return errCrossSite
	}
	if isLocal(r) {
		return nil
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "" {
		token = r.PostForm.Get("token")
	}
	switch {
	case g.token == "":
		return errNotAllowed
	case token == "":
		return errNoToken
	case !equal(token, g.token):
		return errWrongToken
	}
	return nil
}

// equal compares in a time that tells nothing of what is equal, nor how long
// that is.
func equal(a, b string) bool {
	hashA, hashB := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(hashA[:], hashB[:]) == 1
}

// isLocal reports whether r comes from this machine: by its peer, by all those
// that X-Forwarded-For names, of which the last is the client of the edge in
// front of us, and by the host that it asks. The host counts since another
// site's name may lead to the loopback address (DNS rebinding).
func isLocal(r *http.Request) bool {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || !isLoopback(peer) {
		return false
	}
	for _, field := range r.Header.Values("X-Forwarded-For") {
		for address := range strings.SplitSeq(field, ",") {
			if !isLoopback(strings.TrimSpace(address)) {
				return false
			}
		}
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.EqualFold(host, "localhost") || isLoopback(strings.Trim(host, "[]"))
}

func isLoopback(address string) bool {
	ip := net.ParseIP(address)
	return ip != nil && ip.IsLoopback()
}
