package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// eventBatch is how many events are taken at a time.
const eventBatch = 512

// poller waits for events on sockets: an epoll(7) that the Go runtime waits for
// in its own, so that the waiting goroutine is parked like any other.
//
// A goroutine that waits in epoll_wait(2) itself is one in a system call, of
// which the runtime has its monitor thread take notice: one event then costs
// three context switches instead of one, and two to four times the CPU time. For
// the same reason the calls at the end of this file are raw ones. They do not
// block, so the runtime need not know.
type poller struct {
	fd     int      // the epoll
	file   *os.File // the same
	conn   syscall.RawConn
	events []unix.EpollEvent
	armed  time.Time // deadline of file; zero: none. Run's goroutine only
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // has os.NewFile give it to the runtime
		unix.Close(fd)
		return nil, fmt.Errorf("prepare epoll: %w", err)
	}
	q := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll"), events: make([]unix.EpollEvent, eventBatch)}
	if q.conn, err = q.file.SyscallConn(); err != nil {
		q.file.Close()
		return nil, fmt.Errorf("prepare epoll: %w", err)
	}
	return q, nil
}

func (q *poller) close() { q.file.Close() }

// add watches fd until it is closed. Its events carry tag. Run's goroutine
// only, or before it runs.
func (q *poller) add(fd int, tag int32, events uint32) error {
	return unix.EpollCtl(q.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: tag})
}

// run calls handle with the events that there are, at first perhaps none, and
// again when there are more or the time that it returned has come (zero: never),
// until it says that it is done. The events are valid until handle returns.
func (q *poller) run(handle func([]unix.EpollEvent) (next time.Time, done bool)) error {
	var failure error
	take := func(uintptr) (done bool) {
		for {
			n, err := epollTake(q.fd, q.events)
			if err != nil {
				failure = fmt.Errorf("take events: %w", err)
				return true
			}
			next, done := handle(q.events[:n])
			if done {
				return true
			}
			if failure = q.arm(next); failure != nil {
				return true
			}
			if n < len(q.events) {
				return false
			}
		}
	}
	for {
		err := q.conn.Read(take)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.Join(failure, err)
		}
		q.armed = time.Time{}
		if err := q.file.SetReadDeadline(q.armed); err != nil {
			return fmt.Errorf("wait for events: %w", err)
		}
	}
}

// arm sees to it that the wait ends at next, or before.
func (q *poller) arm(next time.Time) error {
	if next.IsZero() || !q.armed.IsZero() && !next.Before(q.armed) {
		return nil
	}
	q.armed = next
	if err := q.file.SetReadDeadline(next); err != nil {
		return fmt.Errorf("wait for events: %w", err)
	}
	return nil
}

// epollTake is epoll_wait(2) without waiting.
func epollTake(fd int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return 0, errno
	}
	return max(int(n), 0), nil
}

// recv is recv(2) without waiting; b is not empty. 0 bytes are the end.
func recv(fd int32, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// send is send(2) without waiting; b is not empty.
func send(fd int32, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
