package uring

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what comes at once.
const patience = 20 * time.Second

// newRing makes a ring for the test.
func newRing(t testing.TB) *Ring {
	t.Helper()
	r, err := New()
	if err != nil {
		t.Skipf("the kernel lets nobody have a ring: set sysctl kernel.io_uring_disabled=0, or run outside of the container: %v", err)
	}
	t.Cleanup(r.Close)
	return r
}

// A pair is two ends of a connection, neither of which waits.
type pair struct{ near, far int }

// newPair makes a pair of unix sockets that ends with the test.
func newPair(t testing.TB) pair {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd) // may be closed already
		}
	})
	return pair{fds[0], fds[1]}
}

func newPairs(t testing.TB, n int) []pair {
	t.Helper()
	pairs := make([]pair, n)
	for i := range pairs {
		pairs[i] = newPair(t)
	}
	return pairs
}

// drain takes all there is at the far end.
func (p pair) drain(t testing.TB) (all []byte) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(p.far, buf)
		if errors.Is(err, unix.EAGAIN) || err == nil && n == 0 {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, buf[:n]...)
	}
}

// stuff sends until the socket takes no more, and returns how much it has taken.
func (p pair) stuff(t testing.TB) (taken int) {
	t.Helper()
	for chunk := make([]byte, 4<<10); ; {
		n, err := unix.Write(p.near, chunk)
		if errors.Is(err, unix.EAGAIN) {
			return taken
		}
		if err != nil {
			t.Fatal(err)
		}
		taken += n
	}
}

// submit submits and returns what became of each of those in line: want many, told
// in the order of the line.
func (r *Ring) submit(t testing.TB, want int) (results []int) {
	t.Helper()
	err := r.Submit(func(i, n int) {
		if i != len(results) {
			t.Errorf("told of the send at place %d after %d others", i, len(results))
		}
		results = append(results, n)
	})
	if err != nil {
		t.Fatalf("submit %d sends: %v", want, err)
	}
	if len(results) != want {
		t.Fatalf("told of %d sends, want %d", len(results), want)
	}
	return results
}

// queue puts a send in line, for which there is room.
func (r *Ring) queue(t testing.TB, fd int, b []byte) {
	t.Helper()
	if !r.Queue(fd, b) {
		t.Fatal("no room in line")
	}
}

// Everything is sent, in the order of the line, however often the line goes round.
func TestSubmitSendsAllInOrder(t *testing.T) {
	r := newRing(t)
	for _, n := range []int{1, 2, Entries - 1, Entries, 0, Entries, 3} { // round and round
		pairs := newPairs(t, min(n, 7)) // some get many, one after the other
		want := make([][]byte, len(pairs))
		for i := range n {
			b := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 10+i%5)
			r.queue(t, pairs[i%len(pairs)].near, b)
			want[i%len(pairs)] = append(want[i%len(pairs)], b...)
		}
		for i, got := range r.submit(t, n) {
			if got != 2*(10+i%5) {
				t.Fatalf("send %d of %d: result %d, want %d", i, n, got, 2*(10+i%5))
			}
		}
		for i, p := range pairs {
			if got := p.drain(t); !bytes.Equal(got, want[i]) {
				t.Fatalf("line of %d: socket %d got %q, want %q", n, i, got, want[i])
			}
		}
	}
}

// There is room for as many as Entries, and who is refused is not sent.
func TestQueueRefusesMoreThanThereIsRoomFor(t *testing.T) {
	r := newRing(t)
	for range 2 {
		pairs := newPairs(t, Entries+1)
		for _, p := range pairs[:Entries] {
			r.queue(t, p.near, []byte("in"))
		}
		if r.Queue(pairs[Entries].near, []byte("out")) {
			t.Fatalf("there was room for more than %d", Entries)
		}
		for i, n := range r.submit(t, Entries) {
			if got := string(pairs[i].drain(t)); n != 2 || got != "in" {
				t.Fatalf("send %d: result %d, socket got %q", i, n, got)
			}
		}
		if got := pairs[Entries].drain(t); len(got) > 0 {
			t.Fatalf("who was refused got %q", got)
		}
	}
}

// With nothing in line there is nothing to ask the kernel for.
func TestSubmitNothing(t *testing.T) {
	r := newRing(t)
	for range 3 {
		r.submit(t, 0)
	}
}

// A socket that takes a part has taken that part and no more; one that is full says
// so at once. Neither keeps the others from theirs.
func TestSubmitToSlowSockets(t *testing.T) {
	r := newRing(t)
	short, full, free := newPair(t), newPair(t), newPair(t)
	// The kernel makes 4,608 of it: two small messages.
	if err := unix.SetsockoptInt(short.near, unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil {
		t.Fatal(err)
	}
	stuffed := full.stuff(t)
	long := make([]byte, 1<<20)
	for i := range long {
		long[i] = byte(i % 251)
	}
	r.queue(t, short.near, long)
	r.queue(t, full.near, []byte("no room"))
	r.queue(t, free.near, []byte("room"))
	begun := time.Now()
	results := r.submit(t, 3)
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("it took %v, want no wait", took)
	}
	if n := results[0]; n <= 0 || n >= len(long) {
		t.Errorf("result %d of a send of %d bytes to a small socket, want a part", n, len(long))
	} else if got := short.drain(t); !bytes.Equal(got, long[:n]) {
		t.Errorf("the small socket got %d bytes, want the first %d", len(got), n)
	}
	if got := results[1]; got != -int(unix.EAGAIN) {
		t.Errorf("result %d of a send to a full socket, want %d", got, -int(unix.EAGAIN))
	}
	if got := len(full.drain(t)); got != stuffed {
		t.Errorf("the full socket got %d bytes, want the %d that were there", got, stuffed)
	}
	if got := string(free.drain(t)); results[2] != 4 || got != "room" {
		t.Errorf("result %d, the free socket got %q", results[2], got)
	}
}

// Nothing is sent to those who are gone, nor later, and no signal comes of it.
func TestSubmitToThoseWhoAreGone(t *testing.T) {
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, syscall.SIGPIPE)
	defer signal.Stop(signals)
	r := newRing(t)
	gone, closed, free := newPair(t), newPair(t), newPair(t)
	_ = unix.Close(gone.far)
	_ = unix.Close(closed.near)
	reset := newResetTCP(t)
	for _, fd := range []int{gone.near, closed.near, reset, reset, free.near} {
		r.queue(t, fd, []byte("hello"))
	}
	results := r.submit(t, 5)
	want := []int{-int(unix.EPIPE), -int(unix.EBADF), -int(unix.ECONNRESET), -int(unix.EPIPE), 5}
	if !slices.Equal(results, want) {
		t.Errorf("results %d, want %d", results, want)
	}
	if got := string(free.drain(t)); got != "hello" {
		t.Errorf("the free socket got %q", got)
	}
	select {
	case s := <-signals:
		t.Errorf("there was a signal: %v", s)
	default:
	}
	r.submit(t, 0)
}

// newTCP returns a TCP socket, which waits unless told not to, as a ring tells it, and
// its peer. Both are closed at the end of the test.
func newTCP(t *testing.T) (fd int, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.DialTimeout("tcp", ln.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	f, err := near.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return int(f.Fd()), conn.(*net.TCPConn)
}

// newResetTCP returns a TCP socket whose peer has reset the connection.
func newResetTCP(t *testing.T) (fd int) {
	t.Helper()
	fd, far := newTCP(t)
	_ = far.SetLinger(0)
	far.Close()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	if n, err := unix.Poll(fds, int(patience/time.Millisecond)); n != 1 {
		t.Fatalf("no reset has come: %v", err)
	}
	return fd
}

// TCP with nobody who reads: everything that was taken arrives, in order, beside what
// is written in between.
func TestSubmitOverTCP(t *testing.T) {
	r := newRing(t)
	fd, far := newTCP(t)
	var sent []byte
	for at, full := 0, false; !full; at++ {
		b := bytes.Repeat([]byte{byte(at)}, 50_000)
		r.queue(t, fd, b)
		n := r.submit(t, 1)[0]
		switch {
		case n == -int(unix.EAGAIN):
			full = true
		case n <= 0:
			t.Fatalf("send %d: result %d", at, n)
		default:
			sent = append(sent, b[:n]...)
		}
		if at > 10_000 {
			t.Fatal("the socket does not fill")
		}
	}
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	_ = far.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes, %v, want the %d that were taken", len(got), err, len(sent))
	}
}

// A ring whose descriptor is no ring any more says so, and has begun nothing.
func TestSubmitByBrokenRing(t *testing.T) {
	r := newRing(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p := newPair(t)
	r.queue(t, p.near, []byte("a"))
	r.submit(t, 1)
	if err := unix.Dup3(int(null.Fd()), r.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r.queue(t, p.near, []byte("b"))
	err = r.Submit(func(i, n int) { t.Errorf("told of send %d: %d", i, n) })
	if !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("error %v, want %v", err, unix.EOPNOTSUPP)
	}
	if got := string(p.drain(t)); got != "a" {
		t.Errorf("the socket got %q, want what was sent before", got)
	}
}

// A program that is executed does not inherit the ring.
func TestRingIsNotInherited(t *testing.T) {
	r := newRing(t)
	flags, err := unix.FcntlInt(uintptr(r.fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %x, %v, want FD_CLOEXEC", flags, err)
	}
}

func TestSubmitDoesNotAllocate(t *testing.T) {
	r := newRing(t)
	pairs := newPairs(t, 64)
	b, sunk := []byte("hello"), make([]byte, 64)
	bytesTaken := 0
	sent := func(_, n int) { bytesTaken += n }
	allocs := testing.AllocsPerRun(20, func() {
		for _, p := range pairs {
			r.Queue(p.near, b)
		}
		if err := r.Submit(sent); err != nil {
			t.Error(err)
		}
		for _, p := range pairs {
			_, _ = unix.Read(p.far, sunk)
		}
	})
	if allocs > 0 {
		t.Errorf("%d sends allocate %v times, want never", len(pairs), allocs)
	}
	if want := 21 * len(pairs) * len(b); bytesTaken != want {
		t.Errorf("%d bytes taken, want %d", bytesTaken, want)
	}
}

// BenchmarkSend is a delivery of 120 bytes to 512 sockets, which are emptied outside of
// the time measured.
func BenchmarkSend(b *testing.B) {
	message := bytes.Repeat([]byte("x"), 120)
	for _, bb := range []struct {
		name string
		send func(r *Ring, pairs []pair) error
	}{
		{"by=ring", func(r *Ring, pairs []pair) error {
			for _, p := range pairs {
				r.Queue(p.near, message)
			}
			return r.Submit(func(int, int) {})
		}},
		{"by=write", func(_ *Ring, pairs []pair) error {
			for _, p := range pairs {
				if _, err := unix.Write(p.near, message); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			r, pairs, buf := newRing(b), newPairs(b, Entries), make([]byte, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if err := bb.send(r, pairs); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				for _, p := range pairs {
					_, _ = unix.Read(p.far, buf)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/Entries, "ns/send")
		})
	}
}
