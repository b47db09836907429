package upstream

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// connectTimeout is how long a connection may take to come about, and again as
// long to be encrypted, before the next target is tried.
const connectTimeout = 5 * time.Second

// The pauses before a connection is tried again for which there is no file
// descriptor: from the shortest, doubling, to the longest, for connectTimeout
// together.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = 250 * time.Millisecond
)

// errBlocked is why a connection to an untrusted target's address is refused.
var errBlocked = errors.New("origin address is not public")

// connectError is the failure of a connection that did not come about: nothing
// of a request has been written to it.
type connectError struct{ err error }

func (e *connectError) Error() string { return "connect: " + e.err.Error() }

func (e *connectError) Unwrap() error { return e.err }

// setting is what decides over the connections to a target: those of equal
// settings are in one pool. Comparable.
type setting struct {
	tls, insecure, untrusted bool
	// address is where every connection leads, whatever host it is asked for by
	// (and must prove to be); "" leads it to that host.
	address  string
	identity [sha256.Size]byte // of the client certificate and its key
	roots    [sha256.Size]byte // of the authorities
}

// dialFunc makes a connection, as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Retain says which services will be asked from now on. Connections by settings
// that none of them has are closed, those in use when their request ends; all
// others stay, however often the services have been made anew. A service that
// is not among them may still be asked, and is so by those who have asked it
// before: its connections are closed by the next Retain, or when they have been
// idle for idleTimeout. Safe from any goroutine.
func (c *Client) Retain(services []*Service) {
	wanted := make(map[setting]bool)
	for _, s := range services {
		for _, set := range s.allSettings() {
			wanted[set] = true
		}
	}
	c.transportsMu.Lock()
	defer c.transportsMu.Unlock()
	for set, t := range c.transports {
		if !wanted[set] {
			delete(c.transports, set)
			t.CloseIdleConnections()
		}
	}
}

// allSettings returns the settings of the service's targets, and of the hosts
// that its links lead to.
func (s *Service) allSettings() []setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append([]setting(nil), s.settings...)
	for _, d := range s.directs {
		all = append(all, d.settings...)
	}
	return all
}

// transport returns what carries requests to target i of the service.
func (c *Client) transport(s *Service, i int) http.RoundTripper {
	if s.Targets[i].Test {
		return testTarget{}
	}
	set := s.settings[i]
	c.transportsMu.Lock()
	defer c.transportsMu.Unlock()
	t := c.transports[set]
	if t == nil {
		t = c.newTransport(set, s.credentials[i])
		c.transports[set] = t
	}
	return t
}

func (c *Client) newTransport(set setting, creds credentials) *http.Transport {
	connect := func(ctx context.Context, network, address string) (net.Conn, error) {
		return c.connect(ctx, set, network, address)
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := connect(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return c.originConn(nc, address), nil
		},
		DisableCompression:     true, // the body passes as it is
		MaxIdleConnsPerHost:    min(c.cfg.MaxOpen, 64),
		MaxIdleConns:           c.cfg.MaxOpen,
		IdleConnTimeout:        idleTimeout,
		ResponseHeaderTimeout:  c.cfg.AnswerTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
	}
	if set.tls {
		config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: set.insecure, RootCAs: creds.roots}
		if creds.own != nil {
			config.Certificates = []tls.Certificate{*creds.own}
		}
		t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := connect(ctx, network, address)
			if err != nil {
				return nil, err
			}
			if nc, err = c.encrypt(ctx, nc, config, address); err != nil {
				return nil, err
			}
			return c.originConn(nc, address), nil
		}
	}
	return t
}

// connect makes a connection. The error is a *connectError.
func (c *Client) connect(ctx context.Context, set setting, network, address string) (net.Conn, error) {
	if set.address != "" {
		address = set.address
	}
	dial := c.dial
	if set.untrusted {
		dial = c.dialPublic
	}
	ctx, cancel := context.WithTimeout(ctx, c.connectTimeout)
	defer cancel()
	nc, err := dial(ctx, network, address)
	for pause := shortestPause; outOfFiles(err); pause = min(2*pause, longestPause) {
		// Another target would need one too. Meanwhile net/http may give the
		// request a connection that another has done with.
		c.closeIdle()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, &connectError{err}
		}
		nc, err = dial(ctx, network, address)
	}
	if err != nil {
		return nil, &connectError{err}
	}
	return nc, nil
}

// originConn makes a connection to that address what net/http uses.
func (c *Client) originConn(nc net.Conn, address string) *originConn {
	return newOriginConn(nc, c.cfg.AnswerTimeout, func(n int) {
		if now := time.Now().Unix(); c.lastWarning.Swap(now) != now { // one warning a second is enough
			c.cfg.Log.Warn("origin sends more than its answer, the connection is closed", "origin", address, "bytes", n)
		}
	})
}

// outOfFiles reports whether there is no file descriptor for a connection.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// closeIdle closes the connections that are not in use.
func (c *Client) closeIdle() {
	c.transportsMu.Lock()
	defer c.transportsMu.Unlock()
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

// encrypt does the TLS handshake with the host of address. The error is a
// *connectError.
func (c *Client) encrypt(ctx context.Context, nc net.Conn, config *tls.Config, address string) (net.Conn, error) {
	config = config.Clone()
	config.ServerName, _, _ = net.SplitHostPort(address) // net/http has put it together
	ctx, cancel := context.WithTimeout(ctx, c.connectTimeout)
	defer cancel()
	encrypted := tls.Client(nc, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, &connectError{fmt.Errorf("TLS handshake with %s: %w", address, err)}
	}
	return encrypted, nil
}

// notPublic are the networks whose addresses lead, or may lead, to where the
// edge is, beside those that net/netip knows: this network and shared address
// space (RFC 6890 §2.2.2), and IPv4 addresses within IPv6 ones (RFC 6052,
// RFC 8215, RFC 3056).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),
}

// isPublic reports whether an untrusted target may have this address.
func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false // loopback and link-local addresses are no global ones
	}
	for _, network := range notPublic {
		if network.Contains(ip) {
			return false
		}
	}
	return true
}

// onlyPublic is a net.Dialer's Control: it sees what a name was resolved to,
// which the connection then is made to.
func onlyPublic(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", errBlocked, err)
	}
	if !isPublic(at.Addr()) {
		return fmt.Errorf("%w: %s", errBlocked, at.Addr())
	}
	return nil
}
