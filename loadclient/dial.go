package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// spareDescriptors is what the process has open besides one socket a
	// client: standard streams, epoll and eventfd (ours and the runtime's), the
	// resolver's, the poster's and the bus's sockets, the -json file.
	spareDescriptors = 32

	// maxSources is how many addresses 127.0.0.1, 127.0.0.2, ... are used.
	maxSources = 250

	portRangeFile = "/proc/sys/net/ipv4/ip_local_port_range"
)

// checkDescriptors returns an error when the process may not open enough
// files for that many clients. The limit in force is the hard one: package os
// raises the soft limit to it at start.
func checkDescriptors(clients int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the open files limit: %w", err)
	}
	if need := uint64(clients + spareDescriptors); limit.Cur < need {
		return fmt.Errorf("%d clients need %d open files, the limit RLIMIT_NOFILE is %d: "+
			"raise it (ulimit -Hn %d as root, or LimitNOFILE= in a systemd unit) or start several with fewer clients each",
			clients, need, limit.Cur, need)
	}
	return nil
}

// dialer opens non-blocking connections to one address. When that is on
// 127.0.0.0/8 and one source address has too few local ports, it uses several.
// Not safe for use by more than one goroutine.
type dialer struct {
	family    int
	dest      unix.Sockaddr
	ports     int // local ports a source address
	perSource int // clients a source address; 0: the kernel chooses the source
	shift     int // source addresses found used up
}

// newDialer resolves hostport (IPv4 preferred), for as long as ctx lasts.
func newDialer(ctx context.Context, hostport string) (*dialer, error) {
	ip, port, err := resolve(ctx, hostport)
	if err != nil {
		return nil, err
	}
	d := &dialer{}
	if d.ports, err = localPorts(); err != nil {
		return nil, err
	}
	if ip.Is4() {
		d.family, d.dest = unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	} else {
		d.family, d.dest = unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
	}
	if ip.Is4() && ip.IsLoopback() {
		// connect(2) looks at the ports of one parity first, and its search
		// takes a millisecond when few of those are free. So 3/4 of a half.
		d.perSource = max(1, d.ports*3/8)
	}
	return d, nil
}

// resolve returns an address of host:port, an IPv4 one if there is one.
func resolve(ctx context.Context, hostport string) (ip netip.Addr, port int, err error) {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return ip, 0, fmt.Errorf("address %q: must be host:port", hostport)
	}
	if port, err = net.DefaultResolver.LookupPort(ctx, "tcp", service); err != nil || port == 0 || host == "" {
		return ip, 0, fmt.Errorf("address %q: must be host:port, with a port of 1 to 65535", hostport)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return ip, 0, fmt.Errorf("resolve %q: %w", hostport, err)
	}
	ip = ips[0].Unmap()
	for _, other := range ips {
		if other = other.Unmap(); other.Is4() && !ip.Is4() {
			ip = other
		}
	}
	return ip, port, nil
}

// checkPorts returns an error when there are too few local ports for that many
// clients.
func (d *dialer) checkPorts(clients int) error {
	sources := 1
	if d.perSource > 0 {
		sources = maxSources
	}
	if clients > d.ports*sources {
		return fmt.Errorf("%d clients need a local port each, net.ipv4.ip_local_port_range has %d", clients, d.ports)
	}
	return nil
}

// dial begins a connection for the client of that number. The socket becomes
// writable when the connection stands or has failed.
func (d *dialer) dial(client int) (fd int, err error) {
	for {
		source := 0
		if d.perSource > 0 {
			source = (client/d.perSource + d.shift) % maxSources
		}
		fd, err = d.dialFrom(source)
		if err != unix.EADDRNOTAVAIL || d.perSource == 0 || d.shift == maxSources {
			return fd, err
		}
		d.shift++
	}
}

// dialFrom dials from the source address of that number; 0 leaves it to the
// kernel, which takes the destination's own on loopback.
func (d *dialer) dialFrom(source int) (int, error) {
	fd, err := unix.Socket(d.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if source > 0 {
		// Without this option bind would pick the port before it knows the
		// destination, from those free for every destination.
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + source)}})
		}
	}
	if err == nil {
		err = unix.Connect(fd, d.dest)
	}
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// localPorts is how many connections one source address can have to one
// destination.
func localPorts() (int, error) {
	b, err := os.ReadFile(portRangeFile)
	if err != nil {
		return 0, fmt.Errorf("read the local port range: %w", err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(b), &low, &high); err != nil {
		return 0, fmt.Errorf("read the local port range from %q: %w", b, err)
	}
	return high - low + 1, nil
}
