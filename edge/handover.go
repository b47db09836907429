package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"marquee/grip"
)

const (
	// handoverTimeout is how long the other process may take to take what it is
	// told: as long as its loops have no room for more items.
	handoverTimeout = 5 * time.Second
	// latePatience is how long it may take when it has taken too long before, so that
	// one that hangs does not hold up who publishes here each time.
	latePatience = 50 * time.Millisecond
	// maxTold bounds what one process tells the other at once, in bytes: a
	// publish, of whose bodies each byte may have become six in JSON.
	maxTold = 8 * maxPublish
)

// handoverNames are the names of a hand-over's sockets among those that the
// successor is born with: its own side of each.
var handoverNames = []string{"to-predecessor", "from-predecessor"}

var (
	errTooMuch  = errors.New("more than a publish has")
	errHandover = errors.New("the other process of the hand-over does not answer in time")
)

// handover connects a process with the one that succeeds it, as long as both run.
// Both have clients who hold, and publishers reach one of them; so each tells the
// other what is published to it, and answers its publisher when the other has it.
//
// There is a socket for each direction, on which one asks and the other answers
// with a byte: so neither waits for an answer behind a question, nor do more
// than two processes in a row. A question is its length, 4 bytes with the
// highest first, and the body of a publish. The first of the successor is empty:
// it is ready, and takes over with the answer.
type handover struct {
	pid    int // of the other process
	in     net.Conn
	goneCh chan struct{} // closed when it has ended

	out    net.Conn
	turnCh chan struct{} // holds one while somebody asks, who alone may touch rest
	rest   []byte        // of the question without an answer, to be sent; nil when there is none
	late   atomic.Bool   // the answer has not come in time, nor since
}

// newHandover makes a hand-over, and the sockets of the other process, which the
// caller closes.
func newHandover() (h *handover, theirs []*os.File, err error) {
	h = &handover{goneCh: make(chan struct{})}
	var ours [2]*os.File
	for i := range ours {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			closeFiles(append(theirs, ours[:i]...))
			return nil, nil, fmt.Errorf("make socket pair: %w", err)
		}
		ours[i] = os.NewFile(uintptr(fds[0]), "handover")
		theirs = append(theirs, os.NewFile(uintptr(fds[1]), handoverNames[i]))
	}
	err = h.open(ours[1], ours[0])
	closeFiles(ours[:])
	if err != nil {
		closeFiles(theirs)
		return nil, nil, err
	}
	return h, theirs, nil
}

// open makes connections of the two sockets, of which it keeps duplicates.
func (h *handover) open(out, in *os.File) error {
	h.turnCh = make(chan struct{}, 1)
	var err error
	if h.out, err = net.FileConn(out); err != nil {
		return fmt.Errorf("open hand-over: %w", err)
	}
	if h.in, err = net.FileConn(in); err != nil {
		h.out.Close()
		return fmt.Errorf("open hand-over: %w", err)
	}
	return nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// tell puts a question and waits until it has been answered. errHandover is that
// this takes longer than within; the other process may hear it nevertheless, and
// until it has answered there is no other question, and less time. Safe from any
// goroutine.
func (h *handover) tell(question []byte, within time.Duration) error {
	if h.late.Load() {
		within = min(within, latePatience)
	}
	deadline := time.Now().Add(within)
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case h.turnCh <- struct{}{}:
	case <-timer.C:
		return fmt.Errorf("tell process %d: %w", h.pid, errHandover)
	}
	defer func() { <-h.turnCh }()
	_ = h.out.SetDeadline(deadline)
	err := h.settle()
	if err == nil {
		h.rest = append(binary.BigEndian.AppendUint32(nil, uint32(len(question))), question...)
		err = h.settle()
	}
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if h.late.Store(late); late {
		err = errHandover
	}
	if err != nil {
		return fmt.Errorf("tell process %d: %w", h.pid, err)
	}
	return nil
}

// settle brings the question that was put last to its answer, if it has none.
func (h *handover) settle() error {
	if h.rest == nil {
		return nil
	}
	n, err := h.out.Write(h.rest)
	h.rest = h.rest[n:]
	if err == nil {
		_, err = io.ReadFull(h.out, make([]byte, 1))
	}
	if err == nil {
		h.rest = nil
	}
	return err
}

// hear waits for a question. io.EOF is the end of the other process.
func (h *handover) hear() (question []byte, err error) {
	var length [4]byte
	if _, err := io.ReadFull(h.in, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxTold {
		return nil, errTooMuch
	}
	question = make([]byte, n)
	_, err = io.ReadFull(h.in, question)
	return question, err
}

// answer answers the question that was heard last.
func (h *handover) answer() error {
	_, err := h.in.Write([]byte{1})
	return err
}

// close ends the hand-over, and with it hear and tell: one that has been answered
// returns that still.
func (h *handover) close() {
	h.in.Close()
	h.turnCh <- struct{}{}
	h.out.Close()
	<-h.turnCh
}

// handovers are the hand-overs that have been agreed on: with the predecessor and
// with the successor, at most. Safe from any goroutine.
type handovers struct {
	mu      sync.Mutex
	all     []*handover
	serving sync.WaitGroup // their exchangeLoops
}

// add begins an agreed hand-over.
func (hs *handovers) add(e *edge, h *handover) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.all = append(hs.all, h)
	hs.serving.Go(func() { e.exchangeLoop(h) })
}

// others returns the hand-overs but one.
func (hs *handovers) others(but *handover) (others []*handover) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.all {
		if h != but {
			others = append(others, h)
		}
	}
	return others
}

func (hs *handovers) remove(h *handover) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.all = slices.DeleteFunc(hs.all, func(o *handover) bool { return o == h })
}

// close ends all of them.
func (hs *handovers) close() {
	for _, h := range hs.others(nil) {
		h.close()
	}
	hs.serving.Wait()
}

// exchangeLoop publishes what the other process tells, until either ends.
func (e *edge) exchangeLoop(h *handover) {
	defer func() {
		e.handovers.remove(h)
		h.close()
		close(h.goneCh)
	}()
	for {
		told, err := h.hear()
		if err == nil {
			e.told(told, h)
			err = h.answer()
		}
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			e.log.Info("the other process of a hand-over has ended", "pid", h.pid, "err", err)
			return
		}
	}
}

// told publishes items that were published to the other process of a hand-over.
func (e *edge) told(body []byte, by *handover) {
	items, err := grip.ParseItems(body)
	if err != nil {
		e.log.Error("items of the other process skipped", "pid", by.pid, "err", err)
		return
	}
	for _, item := range items {
		e.publishItem(item)
	}
	_ = e.tell(items, by)
}

// tell gives items that were published here to the other processes of hand-overs,
// but for the one that has told them. It waits until they have them. An error, which
// is logged and counted, is that one of them does not answer in time; that it has
// ended is none, for then it has no clients any more.
func (e *edge) tell(items []grip.Item, but *handover) error {
	var errs []error
	for _, h := range e.handovers.others(but) {
		err := h.tell(grip.AppendItems(nil, items), handoverTimeout)
		if errors.Is(err, errHandover) {
			e.untakenItems.Add(int64(len(items)))
			e.untaken.seen(e.log, "pid", h.pid)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
