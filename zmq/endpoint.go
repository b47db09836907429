package zmq

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"
)

// dialTimeout bounds a connection attempt.
const dialTimeout = 10 * time.Second

// endpoint is where a socket listens or connects to.
type endpoint struct {
	network, address string // as package net has them
}

// parseEndpoint reads tcp://HOST:PORT, where a HOST of * is every address, and
// ipc://PATH.
func parseEndpoint(s string) (endpoint, error) {
	if address, ok := strings.CutPrefix(s, "tcp://"); ok {
		host, port, err := net.SplitHostPort(address)
		if err != nil || port == "" {
			return endpoint{}, fmt.Errorf("endpoint %q is not tcp://HOST:PORT", s)
		}
		if host == "*" {
			host = ""
		}
		return endpoint{"tcp", net.JoinHostPort(host, port)}, nil
	}
	if path, ok := strings.CutPrefix(s, "ipc://"); ok && path != "" {
		return endpoint{"unix", path}, nil
	}
	return endpoint{}, fmt.Errorf("endpoint %q is neither tcp://HOST:PORT nor ipc://PATH", s)
}

// endpointOf returns the endpoint, as ZeroMQ writes it, of a listener.
func endpointOf(ln net.Listener) string {
	if ln.Addr().Network() == "unix" {
		return "ipc://" + ln.Addr().String()
	}
	return "tcp://" + ln.Addr().String()
}

// listen opens an endpoint. A socket file that a dead process has left behind
// is replaced; one that somebody listens on is not.
func (e endpoint) listen(ctx context.Context) (net.Listener, error) {
	if e.network == "unix" {
		if info, err := os.Lstat(e.address); err == nil && info.Mode().Type() == fs.ModeSocket {
			nc, err := e.dial(ctx)
			if err == nil {
				nc.Close()
				return nil, fmt.Errorf("listen on ipc://%s: somebody else does", e.address)
			}
			if err := os.Remove(e.address); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("remove what is left of an old socket: %w", err)
			}
		}
	}
	var config net.ListenConfig
	return config.Listen(ctx, e.network, e.address)
}

func (e endpoint) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	return dialer.DialContext(ctx, e.network, e.address)
}
