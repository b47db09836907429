package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// subnet is where hosts have their addresses. It exists in their namespaces
// only, so it meets no other network.
const subnet = "10.77.0.0/24"

// A network is a switch and the hosts that are connected to it, on this machine:
// each host is a network namespace with an interface of its own, one end of a
// veth pair whose other end is a port of a bridge in one more namespace.
//
// The namespaces have no names. They last as long as something runs in them or
// this process has them open; then the kernel removes them with all interfaces.
// So nothing is left behind, not even by kill -9, and networks of several
// processes do not meet.
type network struct {
	ns      *os.File // of the switch
	control int      // a socket there, to change its ports with; -1 before there is one
	hosts   []*host
}

// A host is a place to start programs in.
type host struct {
	network *network
	name    string // also of its port on the switch
	ns      *os.File
	addr    netip.Addr
}

// newNetwork makes a network without hosts, which takes root, or CAP_SYS_ADMIN
// and CAP_NET_ADMIN, and iproute2. The caller closes it.
func newNetwork() (*network, error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, fmt.Errorf("make a network: %w; it belongs to iproute2 (apt-get install iproute2)", err)
	}
	ns, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("make a network: %w", err)
	}
	n := &network{ns: ns, control: -1}
	err = ip(ns, "link add name switch type bridge", "link set dev switch up")
	if err == nil {
		err = inside(ns, func() (err error) {
			n.control, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a network: %w", err), n.close())
	}
	return n, nil
}

// canMakeNetworks says what is missing to make one here, nil if nothing.
func canMakeNetworks() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("%w; it belongs to iproute2 (apt-get install iproute2)", err)
	}
	return nil
}

// close lets go of the network. It is gone when all that runs in it is.
func (n *network) close() error {
	errs := []error{n.ns.Close()}
	if n.control >= 0 {
		errs = append(errs, unix.Close(n.control))
	}
	for _, h := range n.hosts {
		errs = append(errs, h.ns.Close())
	}
	return errors.Join(errs...)
}

// join connects one more host. The name is an interface's: 15 bytes at most.
func (n *network) join(name string) (*host, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	h := &host{network: n, name: name, ns: ns}
	n.hosts = append(n.hosts, h)
	prefix := netip.MustParsePrefix(subnet)
	h.addr = prefix.Addr()
	for range n.hosts {
		h.addr = h.addr.Next()
	}
	err = ip(n.ns,
		fmt.Sprintf("link add name %s type veth peer name eth0 netns /proc/%d/fd/%d", name, os.Getpid(), ns.Fd()),
		"link set dev "+name+" master switch up")
	if err == nil {
		err = ip(ns, "link set lo up", fmt.Sprintf("addr add %s/%d dev eth0", h.addr, prefix.Bits()), "link set eth0 up")
	}
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	return h, nil
}

// host returns the host of that name, which has joined.
func (n *network) host(name string) *host {
	return n.hosts[slices.IndexFunc(n.hosts, func(h *host) bool { return h.name == name })]
}

// unplug cuts the host off: whatever it sends, or is sent, is lost.
func (h *host) unplug() error {
	return h.setPort(func(flags uint16) uint16 { return flags &^ unix.IFF_UP })
}

// plug undoes unplug.
func (h *host) plug() error {
	return h.setPort(func(flags uint16) uint16 { return flags | unix.IFF_UP })
}

// setPort sets the flags of the host's port on the switch to what change makes of
// them: netdevice(7). This takes no longer than a system call, where ip(8) would
// take longer than a delivery.
func (h *host) setPort(change func(flags uint16) uint16) error {
	port, err := unix.NewIfreq(h.name)
	if err == nil {
		err = unix.IoctlIfreq(h.network.control, unix.SIOCGIFFLAGS, port)
	}
	if err == nil {
		port.SetUint16(change(port.Uint16()))
		err = unix.IoctlIfreq(h.network.control, unix.SIOCSIFFLAGS, port)
	}
	if err != nil {
		return fmt.Errorf("set the link of %s: %w", h.name, err)
	}
	return nil
}

// at returns host:port for a port of the host, as the others see it.
func (h *host) at(port uint16) string {
	return netip.AddrPortFrom(h.addr, port).String()
}

// dial connects to an address from within the host, as http.Transport wants it.
// The address is an IP address and port, which no other thread has to look up.
func (h *host) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	insideErr := inside(h.ns, func() error {
		// A socket stays in the namespace that it was made in.
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, insideErr
}

// enter takes the calling thread into the host's network, for good. The
// goroutine has locked it and never unlocks it.
func (h *host) enter() error { return enter(h.ns) }

func enter(ns *os.File) error {
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	return nil
}

// newNamespace returns a new network namespace.
func newNamespace() (ns *os.File, err error) {
	doneCh := make(chan struct{})
	go func() {
		defer close(doneCh)
		runtime.LockOSThread() // for ever: see enter
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("make a network namespace: %w (this needs root)", err)
			return
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
	}()
	<-doneCh
	return ns, err
}

// inside calls f on a thread in the namespace. f must not start goroutines that
// need to be there.
func inside(ns *os.File, f func() error) error {
	doneCh := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: see enter
		err := enter(ns)
		if err == nil {
			err = f()
		}
		doneCh <- err
	}()
	return <-doneCh
}

// ip runs commands of ip(8) in the namespace, until one fails.
func ip(ns *os.File, commands ...string) error {
	return inside(ns, func() error {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip %q: %w: %s", commands, err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}
