package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"
)

// certificates are what the edge proves to clients who it is with: read from
// the files that -tls-cert and -tls-key name, and chosen by the name that the
// client asks for (SNI, RFC 6066 §3).
type certificates struct {
	log   *slog.Logger // immutable
	pairs []certFiles  // immutable
	// current are those in force, in the order of the flags: replaced when the
	// files are read again.
	current atomic.Pointer[[]tls.Certificate]
}

// certFiles are the paths of a certificate, with the intermediate ones after it,
// and of its key.
type certFiles struct{ cert, key string }

// newCertificates reads the certificates for the first time.
func newCertificates(log *slog.Logger, pairs []certFiles) (*certificates, error) {
	cs := &certificates{log: log, pairs: pairs}
	return cs, cs.read()
}

// read puts the files' certificates in force. After an error those that were in
// force stay: all of them, for half a change may be worse than none. One whose
// time has passed or has not come is taken, with a warning.
func (cs *certificates) read() error {
	all := make([]tls.Certificate, 0, len(cs.pairs))
	var errs []error
	for _, p := range cs.pairs {
		cert, err := tls.LoadX509KeyPair(p.cert, p.key)
		if err != nil {
			errs = append(errs, fmt.Errorf("use certificate %s with key %s: %w", p.cert, p.key, err))
			continue
		}
		all = append(all, cert)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	cs.current.Store(&all)
	for i, cert := range all {
		attrs := []any{"file", cs.pairs[i].cert, "names", cert.Leaf.DNSNames,
			"not_before", cert.Leaf.NotBefore, "not_after", cert.Leaf.NotAfter}
		switch now := time.Now(); {
		case now.After(cert.Leaf.NotAfter):
			cs.log.Warn("a TLS certificate has expired, clients will not trust it: renew it", attrs...)
		case now.Before(cert.Leaf.NotBefore):
			cs.log.Warn("a TLS certificate is not valid yet, clients will not trust it: look at the clock", attrs...)
		default:
			cs.log.Info("TLS certificate loaded", attrs...)
		}
	}
	return nil
}

// files returns the paths of all files.
func (cs *certificates) files() []string {
	var all []string
	for _, p := range cs.pairs {
		all = append(all, p.cert, p.key)
	}
	return all
}

// config returns how the edge speaks TLS: 1.2 and 1.3, and of 1.2 only what gives
// forward secrecy and authenticates what it encrypts (RFC 9325 §4.2).
func (cs *certificates) config() *tls.Config {
	return &tls.Config{
		GetCertificate: cs.choose,
		MinVersion:     tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"http/1.1"},
		// An answer is one record as far as it fits: small ones first would be a
		// system call each.
		DynamicRecordSizingDisabled: true,
	}
}

// choose returns the first certificate that is good for a client, or the first of
// all if none is. Safe from any goroutine.
func (cs *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := *cs.current.Load()
	for i := range all {
		if hello.SupportsCertificate(&all[i]) == nil {
			return &all[i], nil
		}
	}
	return &all[0], nil
}

// notAfter returns when the first of those in force expires, in Unix seconds. Safe
// from any goroutine.
func (cs *certificates) notAfter() int64 {
	first := int64(math.MaxInt64)
	for _, cert := range *cs.current.Load() {
		first = min(first, cert.Leaf.NotAfter.Unix())
	}
	return first
}
