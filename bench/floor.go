package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peterbourgon/ff/v3/ffcli"
	"golang.org/x/sys/unix"

	"marquee/uring"
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

// A floorThread is one loop, locked to an OS thread. Its fields are its own; an
// other thread only adds sockets to its epoll set and writes to its eventfd.
type floorThread struct {
	floor   *floor
	epollFD int
	wakeFD  int // eventfd: the object changed, or the floor is closing
	// seen is the object that this thread answers with. Whoever waits has
	// it already.
	seen    *floorObject
	waiting []int          // sockets whose last GET named seen
	streams []int          // sockets whose last GET was for a stream
	partial map[int][]byte // by socket, the bytes of a request that is not complete
	next    int            // first thread only: whose turn the next accepted socket is
	ring    *uring.Ring    // nil without floor.uring
	buf     []byte
	events  []unix.EpollEvent
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

// watch adds fd to t's epoll set, level-triggered. Safe from any thread.
func (t *floorThread) watch(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(t.epollFD, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("add to the epoll set: %w", err)
	}
	return nil
}

func (t *floorThread) run() error {
	if t.floor.uring {
		var err error
		if t.ring, err = uring.New(); err != nil {
			return err
		}
		defer t.ring.Close()
	}
	for {
		n, err := unix.EpollWait(t.epollFD, t.events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for events: %w", err)
		}
		if t.floor.closing.Load() {
			return nil
		}
		// A thread sees the change at one point only, so that nobody who has
		// the new object is among the waiting when it goes out.
		for o := t.seen.next.Load(); o != nil; o = o.next.Load() {
			t.seen = o
			if err := t.deliver(); err != nil {
				return err
			}
		}
		for _, event := range t.events[:max(n, 0)] {
			switch fd := int(event.Fd); fd {
			case t.wakeFD:
				_, _ = unix.Read(fd, t.buf) // reset the counter
			case t.floor.listenFD:
				if err := t.accept(); err != nil {
					return err
				}
			default:
				t.read(fd)
			}
		}
	}
}

// deliver is what is measured.
func (t *floorThread) deliver() error {
	waiting := t.waiting
	t.waiting = t.waiting[:0]
	if t.ring != nil {
		return errors.Join(t.sendAll(waiting, t.seen.response), t.sendAll(t.streams, t.seen.chunk))
	}
	for _, fd := range waiting {
		t.send(fd, t.seen.response)
	}
	for _, fd := range t.streams {
		t.send(fd, t.seen.chunk)
	}
	return nil
}

// sendAll sends a response to each socket, through the ring.
func (t *floorThread) sendAll(fds []int, response []byte) error {
	for batch := range slices.Chunk(fds, uring.Entries) {
		for _, fd := range batch {
			t.ring.Queue(fd, response)
		}
		err := t.ring.Submit(func(i, n int) {
			if n < len(response) {
				shut(batch[i])
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// accept takes every connection there is and deals them out to the threads.
func (t *floorThread) accept() error {
	for {
		fd, _, err := unix.Accept4(t.floor.listenFD, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
			continue
		default:
			return fmt.Errorf("accept: %w", err)
		}
		// As net and gnet do; it fails only on a connection that is gone.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if err := t.floor.threads[t.next].watch(fd); err != nil {
			return err
		}
		t.next = (t.next + 1) % len(t.floor.threads)
	}
}

// read takes what a client sent and answers the requests that are complete.
func (t *floorThread) read(fd int) {
	n, err := unix.Read(fd, t.buf)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if err != nil || n == 0 {
		t.drop(fd)
		return
	}
	data := t.buf[:n]
	if partial := t.partial[fd]; partial != nil {
		data = append(partial, data...)
		delete(t.partial, fd)
	}
	for len(data) > 0 {
		n, err := t.request(fd, data)
		if err != nil || n == 0 && len(data) > floorMaxRequest {
			t.drop(fd)
			return
		}
		if n == 0 {
			t.partial[fd] = bytes.Clone(data)
			return
		}
		data = data[n:]
	}
}

var (
	headEnd   = []byte("\r\n\r\n")
	lastID    = []byte("last_id=")
	getEvents = []byte("GET " + eventsPath)
)

// request handles the request at the start of data and returns its length, 0 if
// it is not complete. Of a GET it reads the length of the head and last_id.
func (t *floorThread) request(fd int, data []byte) (int, error) {
	end := bytes.Index(data, headEnd)
	if end < 0 {
		return 0, nil
	}
	end += len(headEnd)
	if !bytes.HasPrefix(data, []byte("GET ")) {
		return t.change(fd, data)
	}
	if bytes.HasPrefix(data, getEvents) {
		t.streams = append(t.streams, fd)
		t.send(fd, t.seen.stream)
		return end, nil
	}
	line, _, _ := bytes.Cut(data[:end], []byte("\r\n"))
	if _, value, found := bytes.Cut(line, lastID); found && leadingInt(value) == t.seen.id {
		t.waiting = append(t.waiting, fd)
		return end, nil
	}
	t.send(fd, t.seen.response)
	return end, nil
}

// change handles the request that sets the next object. It comes once a change,
// so net/http may parse it.
func (t *floorThread) change(fd int, data []byte) (int, error) {
	raw := bytes.NewReader(data)
	buffered := bufio.NewReader(raw)
	r, err := http.ReadRequest(buffered)
	if err != nil {
		return 0, fmt.Errorf("read request: %w", err)
	}
	form, err := io.ReadAll(r.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read request body: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(form))
	o := t.floor.post(r.PostFormValue("body"), r.PostFormValue("id"))
	t.send(fd, o.response)
	t.floor.wake()
	return len(data) - raw.Len() - buffered.Buffered(), nil
}

// send sends a response by write(2), which is send(2) without flags. A socket
// that cannot take some hundred bytes at once is not worth more code here: it is
// shut down, and dropped at the end of input that follows. So one place closes
// sockets, and no event is left for one that is closed.
func (t *floorThread) send(fd int, response []byte) {
	if n, err := unix.Write(fd, response); err != nil || n < len(response) {
		shut(fd)
	}
}

// shut ends a socket that its client is to notice, and drop to close.
func shut(fd int) {
	_ = unix.Shutdown(fd, unix.SHUT_RDWR) // fails if the client went first
}

// drop closes a client's socket. Only read may call it.
func (t *floorThread) drop(fd int) {
	if i := slices.Index(t.waiting, fd); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	if i := slices.Index(t.streams, fd); i >= 0 {
		t.streams = slices.Delete(t.streams, i, i+1)
	}
	delete(t.partial, fd)
	_ = unix.Close(fd)
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

// leadingInt reads the decimal digits that b begins with; -1 if there are none.
func leadingInt(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	value, err := strconv.Atoi(string(b[:n]))
	if err != nil {
		return -1
	}
	return value
}
