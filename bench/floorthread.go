package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"marquee/uring"
)

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
