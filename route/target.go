package route

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// testAddress is the target that the edge answers for itself.
const testAddress = "test"

// Target is one server that a route's requests can be put to.
type Target struct {
	// Address is host:port, an IPv6 address in brackets; empty if Test.
	Address string
	// Test: the edge answers itself, to try it out without an origin.
	Test bool

	TLS bool
	// Insecure: the target's certificate is not verified.
	Insecure bool
	// Host replaces the Host field and is the name that the certificate must
	// have; empty leaves both as they are.
	Host string
	// TrustConnectHost: the certificate may also be for the host in Address.
	TrustConnectHost bool
	// Untrusted: the target is not used when its address is a private one.
	Untrusted bool
	// ClientCert and ClientKey are the files of the edge's own certificate; both
	// or neither are empty.
	ClientCert, ClientKey string
	// CA is the file of the authorities of which the target's certificate may be;
	// empty for those that the machine trusts.
	CA string

	// For WebSocket only.
	OverHTTP bool
	OneEvent bool
	Subs     []string // channels that every connection is subscribed to
}

var targetOptions = map[string]setting[Target]{
	"ssl":                {flag: true, set: func(t *Target, _ string) error { t.TLS = true; return nil }},
	"insecure":           {flag: true, set: func(t *Target, _ string) error { t.Insecure = true; return nil }},
	"trust_connect_host": {flag: true, set: func(t *Target, _ string) error { t.TrustConnectHost = true; return nil }},
	"untrusted":          {flag: true, set: func(t *Target, _ string) error { t.Untrusted = true; return nil }},
	"over_http":          {flag: true, set: func(t *Target, _ string) error { t.OverHTTP = true; return nil }},
	"one_event":          {flag: true, set: func(t *Target, _ string) error { t.OneEvent = true; return nil }},
	"host":               {set: func(t *Target, v string) error { t.Host = v; return checkHost(v) }},
	"client_cert":        {set: func(t *Target, v string) error { t.ClientCert = v; return nil }},
	"client_key":         {set: func(t *Target, v string) error { t.ClientKey = v; return nil }},
	"ca":                 {set: func(t *Target, v string) error { t.CA = v; return nil }},
	"sub": {repeats: true, set: func(t *Target, v string) error {
		if v != "" {
			t.Subs = append(t.Subs, v)
		}
		return nil
	}},
	"ipc_file_mode": {set: func(*Target, string) error {
		return errors.New("it is for zhttp targets, which there are none of: leave it out")
	}},
}

func isTargetOption(name string) bool { _, ok := targetOptions[name]; return ok }

// parseTarget reads one target of a line.
func parseTarget(s section) (Target, error) {
	var t Target
	switch {
	case s.value == testAddress:
		t.Test = true
	case strings.HasPrefix(s.value, "zhttp/"), strings.HasPrefix(s.value, "zhttpreq/"):
		return t, fmt.Errorf("target %s: ZHTTP is not spoken: let the service listen for HTTP, and write host:port", clip(s.value))
	default:
		address, err := parseAddress(s.value)
		if err != nil {
			return t, err
		}
		t.Address = address
	}
	if err := apply(&t, s.options, targetOptions, "a target", isConditionOption); err != nil {
		return t, fmt.Errorf("target %s: %w", clip(s.value), err)
	}
	if (t.ClientCert == "") != (t.ClientKey == "") {
		return t, fmt.Errorf("target %s: client_cert and client_key go together", clip(s.value))
	}
	if t.CA != "" && t.Insecure {
		return t, fmt.Errorf("target %s: ca and insecure exclude each other: insecure verifies nothing", clip(s.value))
	}
	return t, nil
}

// Files returns the paths of the files that the target names.
func (t Target) Files() []string {
	var all []string
	for _, path := range []string{t.ClientCert, t.ClientKey, t.CA} {
		if path != "" {
			all = append(all, path)
		}
	}
	return all
}

// parseAddress returns a target's address as net.Dial takes it.
func parseAddress(text string) (string, error) {
	host, port, err := splitHost(text)
	switch {
	case strings.Contains(text, "://"):
		return "", fmt.Errorf("target %s is a URL: write host:port, and the option ssl for https", clip(text))
	case err != nil:
		return "", fmt.Errorf("target %s is neither host:port nor test", clip(text))
	case port == "":
		return "", fmt.Errorf("target %s has no port", clip(text))
	}
	return net.JoinHostPort(host, port), nil
}

// String returns the target as the routes file writes it.
func (t Target) String() string {
	var w writer
	if t.Test {
		w.text(testAddress)
	} else {
		w.text(t.Address)
	}
	w.flag("ssl", t.TLS)
	w.flag("insecure", t.Insecure)
	w.value("host", t.Host)
	w.flag("trust_connect_host", t.TrustConnectHost)
	w.flag("untrusted", t.Untrusted)
	w.flag("over_http", t.OverHTTP)
	w.flag("one_event", t.OneEvent)
	for _, sub := range t.Subs {
		w.value("sub", sub)
	}
	w.value("client_cert", t.ClientCert)
	w.value("client_key", t.ClientKey)
	w.value("ca", t.CA)
	return w.String()
}
