package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
	"golang.org/x/sys/unix"
)

// floorMaxRequest bounds the bytes of one request: room for any poll and for a
// headline of some kilobytes.
const floorMaxRequest = 64 << 10

// A floor is the least a headline server can do, which is what an edge is
// compared with: one epoll loop a thread, each over its share of the sockets,
// and on a change one send() of the same bytes to each socket that waits or is a
// stream. It
// understands just enough HTTP for the load client to drive it: no routes, no
// limits worth the name, no timeouts, no origin, no GRIP.
type floor struct {
	listenFD int
	threads  []*floorThread
	uring    bool // sends go through an io_uring, many a system call
	// current is the object that a GET is answered with. Threads read it
	// whenever they wake; post replaces it.
	current atomic.Pointer[floorObject]
	postMu  sync.Mutex // one post at a time
	closing atomic.Bool
}

// A floorObject is one headline with what carries it, built once: the response to
// a poll, and the chunk for a stream, at whose beginning it comes after a head.
type floorObject struct {
	id       int
	response []byte
	stream   []byte
	chunk    []byte // the end of stream
	// next is the object after this, nil while there is none. Threads go from one
	// to the next, since a stream is to have each.
	next atomic.Pointer[floorObject]
}

// floorCommand is "bench floor".
func floorCommand(stderr io.Writer) *ffcli.Command {
	var addr string
	var threads int
	var uring bool
	return subcommand(stderr, "floor", "serve the headline by a bare send() loop, to compare with",
		func(set *flag.FlagSet) {
			set.StringVar(&addr, "listen", "127.0.0.1:0", "IPv4 `address` with port, 0 for any")
			set.IntVar(&threads, "threads", runtime.NumCPU(), "number of `threads` that send, 1 to 64")
			set.BoolVar(&uring, "uring", false, "send through io_uring, 512 sends a system call, and not by write(2)")
		},
		func(ctx context.Context) error {
			if err := inRange("threads", threads, 1, 64); err != nil {
				return err
			}
			f, err := newFloor(addr, threads)
			if err != nil {
				return err
			}
			f.uring = uring
			listen, err := f.addr()
			if err != nil {
				return errors.Join(err, f.close())
			}
			slog.New(slog.NewJSONHandler(stderr, nil)).Info("ready", "listen", listen)
			return f.run(ctx)
		})
}

// newFloor listens on addr, an IPv4 address with port. It begins with a headline,
// id 1.
func newFloor(addr string, threads int) (*floor, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("resolve listen address: %w", err)
	}
	sa := &unix.SockaddrInet4{Port: tcp.Port}
	copy(sa.Addr[:], tcp.IP.To4())

	f := &floor{listenFD: -1}
	f.current.Store(newFloorObject(1, headline))
	for range threads {
		t := &floorThread{
			floor: f, epollFD: -1, wakeFD: -1,
			seen:    f.current.Load(),
			partial: make(map[int][]byte),
			buf:     make([]byte, floorMaxRequest),
			events:  make([]unix.EpollEvent, 512),
		}
		f.threads = append(f.threads, t)
		if t.epollFD, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
			return nil, errors.Join(fmt.Errorf("create an epoll set: %w", err), f.close())
		}
		if t.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			return nil, errors.Join(fmt.Errorf("create an eventfd: %w", err), f.close())
		}
		if err := t.watch(t.wakeFD); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	f.listenFD, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.SetsockoptInt(f.listenFD, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(f.listenFD, sa)
	}
	if err == nil {
		err = unix.Listen(f.listenFD, 1<<16) // the kernel lowers it to net.core.somaxconn
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", addr, err), f.close())
	}
	// The first thread also accepts, for all: no other thread is needed.
	if err := f.threads[0].watch(f.listenFD); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// addr returns the address listened on.
func (f *floor) addr() (string, error) {
	sa, err := unix.Getsockname(f.listenFD)
	if err != nil {
		return "", fmt.Errorf("read the listening address: %w", err)
	}
	in := sa.(*unix.SockaddrInet4)
	return net.JoinHostPort(net.IP(in.Addr[:]).String(), strconv.Itoa(in.Port)), nil
}

// run serves until ctx ends or a thread fails. Clients' sockets are left for the
// end of the process to close.
func (f *floor) run(ctx context.Context) error {
	errCh := make(chan error, len(f.threads))
	for _, t := range f.threads {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			errCh <- t.run()
		}()
	}
	var err error
	ended := 0
	select {
	case <-ctx.Done():
	case err = <-errCh:
		ended++
	}
	f.closing.Store(true)
	f.wake()
	for ; ended < len(f.threads); ended++ {
		err = errors.Join(err, <-errCh)
	}
	return errors.Join(err, f.close())
}

// post makes body the next object, and returns it. Its id is one more than that
// before, unless who posts has numbered it. The threads have yet to be woken.
func (f *floor) post(body, id string) *floorObject {
	f.postMu.Lock()
	defer f.postMu.Unlock()
	last := f.current.Load()
	number, err := strconv.Atoi(id)
	if err != nil {
		number = last.id + 1
	}
	o := newFloorObject(number, body)
	f.current.Store(o)
	last.next.Store(o)
	return o
}

// wake makes every thread look at current and closing.
func (f *floor) wake() {
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	for _, t := range f.threads {
		// The one error possible, EAGAIN on a full counter, means that it
		// is awake.
		_, _ = unix.Write(t.wakeFD, one)
	}
}

// close closes what newFloor opened. The threads must have ended.
func (f *floor) close() error {
	var errs []error
	for _, t := range f.threads {
		for _, fd := range []int{t.epollFD, t.wakeFD} {
			if fd >= 0 {
				errs = append(errs, unix.Close(fd))
			}
		}
	}
	if f.listenFD >= 0 {
		errs = append(errs, unix.Close(f.listenFD))
	}
	return errors.Join(errs...)
}

// newFloorObject builds the response and the stream: the fields, hence the number
// of bytes, that an edge's answers to the same requests have.
func newFloorObject(id int, body string) *floorObject {
	b := newBulletin(id, body)
	event := b.event()
	date := time.Now().UTC().Format(http.TimeFormat)
	stream := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nDate: %s\r\nTransfer-Encoding: chunked\r\n\r\n", date)
	head := len(stream)
	stream = fmt.Appendf(stream, "%x\r\n%s\r\n", len(event), event)
	return &floorObject{
		id: id,
		response: fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: %s\r\nContent-Length: %d\r\n\r\n%s",
			date, len(b.json), b.json),
		stream: stream,
		chunk:  stream[head:],
	}
}
