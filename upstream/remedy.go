package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// remedy says what can be done about an encrypted connection to a target that did
// not come about, in the words of the routes file; "" where nothing is known.
func remedy(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		noTLS   tls.RecordHeaderError
		remote  *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return "the target's certificate is of an authority that is not trusted: name the authority's file by the target's option ca=FILE"
	case errors.As(err, &name):
		return "the target's certificate is for another name: say which by the target's option host=NAME, or trust_connect_host for the one in its address"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the target's certificate has expired, or is not valid yet: renew it, or set this machine's clock"
	case errors.As(err, &invalid):
		return "the target's certificate is not good for a server: replace it"
	case errors.As(err, &noTLS):
		return "the target does not speak TLS: take its option ssl away, or name another port"
	case errors.As(err, &remote) && remote.Op == "remote error":
		return remedyByAlert(remote.Err.Error())
	}
	return ""
}

// remedyByAlert is remedy for an alert of the target (RFC 8446 §6.2), in the words
// that crypto/tls has for it: its type is not exported.
func remedyByAlert(alert string) string {
	switch alert {
	case "tls: certificate required", "tls: bad certificate", "tls: handshake failure":
		return "the target wants a client certificate, or another one: name it by the target's options client_cert=FILE and client_key=FILE"
	case "tls: unknown certificate authority", "tls: unknown certificate", "tls: expired certificate", "tls: revoked certificate":
		return "the target does not trust the client certificate: look at the target's options client_cert and client_key"
	}
	return ""
}
