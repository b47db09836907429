package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// The names of listening sockets that a process may be born with: what
// FileDescriptorName= of a socket unit says (systemd.socket(5)).
const (
	clientsSocket    = "clients"
	clientsTLSSocket = "clients-tls"
	controlSocket    = "control"
	zmqPullSocket    = "zmq-pull"
	zmqSubSocket     = "zmq-sub"
	zmqRepSocket     = "zmq-rep"
	statsZMQSocket   = "stats-zmq"
)

var socketNames = []string{clientsSocket, clientsTLSSocket, controlSocket, zmqPullSocket, zmqSubSocket, zmqRepSocket, statsZMQSocket}

// predecessorEnv is the process that this one is to succeed, by its number. It
// stands in for LISTEN_PID, which who starts a process cannot know before.
const predecessorEnv = "MARQUEE_EDGE_PREDECESSOR"

// sockets are the listening sockets of the process, by name: those that it was
// born with, from systemd (sd_listen_fds(3)) or from the process that it
// succeeds, and those that it has opened.
type sockets struct {
	all  map[string][]net.Listener
	used map[string]bool // names of sockets that something is configured for
	// predecessor is the other side of the hand-over; nil for none.
	predecessor *handover
}

// newSockets returns none.
func newSockets() *sockets {
	return &sockets{all: make(map[string][]net.Listener), used: make(map[string]bool)}
}

// inheritSockets returns what the process was born with. Call it once, before
// anything else that starts a process.
func inheritSockets() (*sockets, error) {
	s := newSockets()
	if text := os.Getenv(predecessorEnv); text != "" {
		if pid, err := strconv.Atoi(text); err != nil || pid != os.Getppid() {
			return nil, fmt.Errorf("%s is %q, which has not started this process: unset it", predecessorEnv, text)
		}
		os.Unsetenv(predecessorEnv)
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		s.predecessor = &handover{pid: os.Getppid(), goneCh: make(chan struct{})}
	}
	files := activation.Files(true)
	defer closeFiles(files)
	if s.predecessor != nil {
		if len(files) < len(handoverNames) {
			return nil, errors.New("the predecessor has not handed over any sockets")
		}
		if err := s.predecessor.open(files[0], files[1]); err != nil {
			return nil, err
		}
		files = files[len(handoverNames):]
	}
	for _, f := range files {
		if err := s.inherit(f); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// inherit adds the listening socket that f is, of which it keeps a duplicate.
func (s *sockets) inherit(f *os.File) error {
	if !slices.Contains(socketNames, f.Name()) {
		return fmt.Errorf("a socket is called %q: FileDescriptorName= takes %s", f.Name(), strings.Join(socketNames, ", "))
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("take over socket %s: %w", f.Name(), err)
	}
	s.all[f.Name()] = append(s.all[f.Name()], ln)
	if name := f.Name(); name == clientsSocket || name == clientsTLSSocket || name == controlSocket {
		tcp, ok := ln.(*net.TCPListener)
		if !ok {
			return fmt.Errorf("take over socket %s: it is of %s, not of TCP", name, ln.Addr().Network())
		}
		if name != controlSocket {
			s.all[name][len(s.all[name])-1] = clientListener{tcp}
		}
	}
	return nil
}

// inherited returns the sockets of a name that the process was born with.
func (s *sockets) inherited(name string) []net.Listener { return s.all[name] }

// add notes sockets that are in use: those that were inherited, or others in
// their place.
func (s *sockets) add(name string, all []net.Listener) {
	if len(all) > 0 {
		s.all[name], s.used[name] = all, true
	}
}

// openClients opens addresses for clients, unless there are sockets of that name.
func (s *sockets) openClients(ctx context.Context, name string, addresses []string) ([]net.Listener, error) {
	if s.inherited(name) != nil {
		addresses = nil
	}
	for _, address := range addresses {
		ln, err := listen(ctx, address)
		if err != nil {
			return nil, err
		}
		s.all[name] = append(s.all[name], ln)
	}
	s.used[name] = true
	return s.all[name], nil
}

// openControl opens the address of the control endpoint, unless there is one.
func (s *sockets) openControl(address string) (net.Listener, error) {
	all := s.inherited(controlSocket)
	if all == nil {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen for control on %s: %w", address, err)
		}
		all = []net.Listener{ln}
	}
	if len(all) > 1 {
		return nil, fmt.Errorf("there are %d sockets %s: one is served", len(all), controlSocket)
	}
	s.add(controlSocket, all)
	return all[0], nil
}

// closeRest closes the inherited sockets that nothing is configured for: nobody
// would accept who comes there.
func (s *sockets) closeRest(log *slog.Logger) {
	for name, all := range s.all {
		if s.used[name] {
			continue
		}
		log.Warn("an inherited socket is closed: no flag asks for it", "socket", name, "listen", all[0].Addr().String())
		for _, ln := range all {
			ln.Close()
		}
		delete(s.all, name)
	}
}

// duplicates returns the sockets as files for another process, called by their
// names. The caller closes them.
func (s *sockets) duplicates() (files []*os.File, err error) {
	for _, name := range socketNames {
		for _, ln := range s.all[name] {
			f, err := duplicate(name, ln)
			if err != nil {
				closeFiles(files)
				return nil, fmt.Errorf("duplicate socket %s: %w", name, err)
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// duplicate returns a file of a listener. Those that package net makes put the
// socket, which they share with the listener, into blocking mode when they are
// handed to a process: the listener could not be closed any more.
func duplicate(name string, ln net.Listener) (*os.File, error) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T is no socket", ln)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, dupErr := -1, error(nil)
	if err := rc.Control(func(from uintptr) { fd, dupErr = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, dupErr
	}
	return os.NewFile(uintptr(fd), name), nil
}

// leaveFiles lets the files of sockets on the file system stay when the sockets
// are closed: another process listens on them.
func (s *sockets) leaveFiles() {
	for _, all := range s.all {
		for _, ln := range all {
			if u, ok := ln.(*net.UnixListener); ok {
				u.SetUnlinkOnClose(false)
			}
		}
	}
}

// close closes the sockets. Those that another process has as well go on there.
func (s *sockets) close() {
	for _, all := range s.all {
		for _, ln := range all {
			ln.Close()
		}
	}
}
