package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringEntries is how many sends a ring submits at a time.
const ringEntries = 512

// What io_uring(7) calls these. The kernel's interface never changes.
const (
	ioringOpSend            = 26
	ioringEnterGetEvents    = 1
	ioringSetupSingleIssuer = 1 << 12
	ioringSetupDeferTaskrun = 1 << 13
	ioringOffSQRing         = 0
	ioringOffCQRing         = 0x8000000
	ioringOffSQEs           = 0x10000000
)

// A submission is struct io_uring_sqe, as a send has it.
type submission struct {
	opcode, flags uint8
	ioprio        uint16
	fd            int32
	offset        uint64
	address       uint64
	length        uint32
	sendFlags     uint32
	userData      uint64
	_             [3]uint64
}

// A completion is struct io_uring_cqe.
type completion struct {
	userData uint64
	result   int32
	flags    uint32
}

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, workQueueFD uint32
	_                                                                             [3]uint32
	sq                                                                            struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cq struct {
		head, tail, ringMask, ringEntries, overflow, entries, flags, _ uint32
		_                                                              uint64
	}
}

// A ring has the kernel do many sends by one system call (io_uring(7)). It belongs
// to the thread that made it.
type ring struct {
	fd                     int
	sq, cq, table          []byte // mapped
	sqTail, cqHead, cqTail *uint32
	sqMask, cqMask         uint32
	sqArray                []uint32
	submissions            []submission
	completions            []completion
}

// newRing makes a ring for the calling thread, which must be locked.
func newRing() (_ *ring, err error) {
	params := ringParams{flags: ioringSetupSingleIssuer | ioringSetupDeferTaskrun}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, ringEntries, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("set up an io_uring: %w", errno)
	}
	r := &ring{fd: int(fd)}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	of := func(offset int64, size uint32) ([]byte, error) {
		b, err := unix.Mmap(r.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return nil, fmt.Errorf("map the io_uring: %w", err)
		}
		return b, nil
	}
	if r.sq, err = of(ioringOffSQRing, params.sq.array+params.sqEntries*4); err != nil {
		return nil, err
	}
	if r.cq, err = of(ioringOffCQRing, params.cq.entries+params.cqEntries*uint32(unsafe.Sizeof(completion{}))); err != nil {
		return nil, err
	}
	if r.table, err = of(ioringOffSQEs, params.sqEntries*uint32(unsafe.Sizeof(submission{}))); err != nil {
		return nil, err
	}
	word := func(b []byte, offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[offset])) }
	r.sqTail, r.sqMask = word(r.sq, params.sq.tail), *word(r.sq, params.sq.ringMask)
	r.cqHead, r.cqTail, r.cqMask = word(r.cq, params.cq.head), word(r.cq, params.cq.tail), *word(r.cq, params.cq.ringMask)
	r.sqArray = unsafe.Slice(word(r.sq, params.sq.array), params.sqEntries)
	r.submissions = unsafe.Slice((*submission)(unsafe.Pointer(&r.table[0])), params.sqEntries)
	r.completions = unsafe.Slice((*completion)(unsafe.Pointer(&r.cq[params.cq.entries])), params.cqEntries)
	return r, nil
}

// close gives the ring back.
func (r *ring) close() {
	for _, b := range [][]byte{r.sq, r.cq, r.table} {
		if b != nil {
			_ = unix.Munmap(b) // it was mapped
		}
	}
	_ = unix.Close(r.fd)
}

// send sends b to every one of fds, and calls failed with each that did not take
// it whole.
func (r *ring) send(fds []int, b []byte, failed func(fd int)) error {
	for len(fds) > 0 {
		batch := fds[:min(len(fds), ringEntries)]
		fds = fds[len(batch):]
		tail := *r.sqTail
		for i, fd := range batch {
			at := (tail + uint32(i)) & r.sqMask
			r.submissions[at] = submission{
				opcode: ioringOpSend, fd: int32(fd), userData: uint64(fd), sendFlags: unix.MSG_NOSIGNAL,
				address: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), length: uint32(min(len(b), math.MaxInt32)),
			}
			r.sqArray[at] = at
		}
		atomic.StoreUint32(r.sqTail, tail+uint32(len(batch)))
		if err := r.submit(len(batch), len(b), failed); err != nil {
			return err
		}
	}
	runtime.KeepAlive(b)
	return nil
}

// submit has the kernel do n sends of so many bytes, and returns when all are done.
func (r *ring) submit(n, length int, failed func(fd int)) error {
	toSubmit := n
	for n > 0 {
		taken, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(toSubmit), uintptr(n), ioringEnterGetEvents, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return os.NewSyscallError("io_uring_enter", errno)
		}
		if errno == 0 {
			toSubmit -= int(taken)
		}
		head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
		for ; head != tail; head++ {
			c := r.completions[head&r.cqMask]
			if int(c.result) != length {
				failed(int(c.userData))
			}
			n--
		}
		atomic.StoreUint32(r.cqHead, head)
	}
	return nil
}
