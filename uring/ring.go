// Package uring has the kernel do many sends by one system call, through io_uring
// (io_uring(7)). It knows just as much of that as this takes: no file, no wait, no
// thread of the kernel.
package uring

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Entries is how many sends a ring takes at a time.
const Entries = 512

// What io_uring(7) calls these. The kernel's interface never changes.
const (
	ioringOpSend         = 26
	ioringEnterGetEvents = 1
	ioringFeatFastPoll   = 1 << 5
	ioringOffSQRing      = 0
	ioringOffCQRing      = 0x8000000
	ioringOffSQEs        = 0x10000000
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

// A Ring is a queue of sends to sockets, and of what became of them. It belongs to
// one goroutine at a time, on whatever thread.
type Ring struct {
	fd                             int
	sq, cq, table                  []byte // mapped
	sqHead, sqTail, cqHead, cqTail *uint32
	sqMask, cqMask                 uint32
	sqArray                        []uint32
	submissions                    []submission
	completions                    []completion
	queued                         uint32
}

// New makes a ring. It fails where the kernel has no io_uring that sends, before
// Linux 5.7, or lets nobody have one: the sysctl kernel.io_uring_disabled, or a filter
// of system calls, as containers have.
func New() (_ *Ring, err error) {
	var params ringParams
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, Entries, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("set up an io_uring: %w", errno)
	}
	if params.features&ioringFeatFastPoll == 0 { // came with Linux 5.7, sends with 5.6
		_ = unix.Close(int(fd))
		return nil, errors.New("set up an io_uring: that of this kernel cannot send")
	}
	r := &Ring{fd: int(fd)}
	defer func() {
		if err != nil {
			r.Close()
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
	r.sqHead = word(r.sq, params.sq.head)
	r.sqTail, r.sqMask = word(r.sq, params.sq.tail), *word(r.sq, params.sq.ringMask)
	r.cqHead, r.cqTail, r.cqMask = word(r.cq, params.cq.head), word(r.cq, params.cq.tail), *word(r.cq, params.cq.ringMask)
	r.sqArray = unsafe.Slice(word(r.sq, params.sq.array), params.sqEntries)
	r.submissions = unsafe.Slice((*submission)(unsafe.Pointer(&r.table[0])), params.sqEntries)
	r.completions = unsafe.Slice((*completion)(unsafe.Pointer(&r.cq[params.cq.entries])), params.cqEntries)
	return r, nil
}

// Close gives the ring back. Nothing may be queued.
func (r *Ring) Close() {
	for _, b := range [][]byte{r.sq, r.cq, r.table} {
		if b != nil {
			_ = unix.Munmap(b) // it was mapped
		}
	}
	_ = unix.Close(r.fd)
}

// Queue puts a send of b to the socket fd in line, and reports whether there was room
// for it: Entries may be in line. The caller keeps b, which is on the heap, and leaves
// it unchanged until Submit has returned.
func (r *Ring) Queue(fd int, b []byte) bool {
	if r.queued == Entries {
		return false
	}
	at := (*r.sqTail + r.queued) & r.sqMask
	r.submissions[at] = submission{
		opcode: ioringOpSend, fd: int32(fd), userData: uint64(r.queued), sendFlags: unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT,
		address: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), length: uint32(len(b)),
	}
	r.sqArray[at] = at
	r.queued++
	return true
}

// Submit has the kernel do all that is in line, one after the other, without a wait
// for any socket, and calls sent for each: i is its place in line, from 0, and n how
// many bytes the socket has taken, or a negative error number as of send(2). With an
// error those for which sent was not called have not been begun, and the ring is good
// for nothing but Close.
func (r *Ring) Submit(sent func(i, n int)) error {
	left := r.queued
	atomic.StoreUint32(r.sqTail, *r.sqTail+r.queued)
	r.queued = 0
	for left > 0 {
		unbegun := *r.sqTail - atomic.LoadUint32(r.sqHead)
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(unbegun), uintptr(left), ioringEnterGetEvents, 0, 0)
		head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
		for ; head != tail; head++ {
			c := r.completions[head&r.cqMask]
			sent(int(c.userData), int(c.result))
			left--
		}
		atomic.StoreUint32(r.cqHead, head)
		if errno != 0 && errno != unix.EINTR {
			return os.NewSyscallError("io_uring_enter", errno)
		}
	}
	return nil
}
