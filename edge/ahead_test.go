package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"marquee/uring"
)

// squareLine is what all clients of a square get as that number. A byte that is not in
// its place shows.
func squareLine(n int) string {
	var b strings.Builder
	for at := 0; b.Len() < 40_000; at++ {
		fmt.Fprintf(&b, "%d:%d ", n, at)
	}
	return b.String() + "\n"
}

// squareOrigin holds polls, at /poll, and streams, at /stream, on one channel.
func squareOrigin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Grip-Hold", map[string]string{"/poll": "response", "/stream": "stream"}[r.URL.Path])
	w.Header().Set("Grip-Channel", "square")
}

// squareLines is how many lines a square has at the most.
const squareLines = 4

// square is an edge with a crowd of clients.
type square struct {
	*rig
	lines          [1 + squareLines]string // by number, from 1
	polls, streams []*visitor
	// whole and short are sends ahead that were taken, and that were not or in part.
	whole, short atomic.Int64
}

// visitor is one of a square's clients.
type visitor struct {
	*client
	lines *bufio.Reader // of a stream
	read  int           // lines
}

// newSquare makes a square of so many polls, and as many streams, which are held. The
// sockets of every third take little at a time, and those of every fifth stream bring
// little.
func newSquare(t *testing.T, each int, args ...string) *square {
	t.Helper()
	wantNoLeaks(t)
	origin := serve(t, http.HandlerFunc(squareOrigin))
	s := &square{rig: startEdge(t, origin, func(c *Config) {
		c.Origin, c.Route = "", []string{"*,slow_bytes=10000000 " + origin}
	}, append(args, "-share-all")...)}
	for n := range s.lines {
		s.lines[n] = squareLine(n)
	}
	for i := range each {
		s.polls = append(s.polls, &visitor{client: s.dial()})
		v := new(visitor)
		if i%5 == 0 {
			v.client = s.dialSmall()
		} else {
			v.client = s.dial()
		}
		v.get("/stream")
		s.streams = append(s.streams, v)
	}
	for _, v := range s.streams {
		v.wantStatus(200)
		v.lines = bufio.NewReader(&chunks{c: v.client})
	}
	s.ask(s.polls, 0)
	s.waitHolds(2 * each)
	s.onLoops(func(l *loop) {
		for i, c := range l.clients {
			if i%3 == 0 {
				if err := c.gc.SetWriteBuffer(1); err != nil {
					t.Error(err)
				}
			}
		}
		taken := l.ahead.taken
		l.ahead.taken = func(i, n int) {
			if n == len(l.ahead.sends[i].wire) {
				s.whole.Add(1)
			} else {
				s.short.Add(1)
			}
			taken(i, n)
		}
	})
	return s
}

// ask has those poll, who have read the line of that number.
func (s *square) ask(polls []*visitor, n int) {
	s.t.Helper()
	for _, v := range polls {
		v.get(fmt.Sprint("/poll?last_id=", n))
	}
}

// publishLine publishes the line of that number to all.
func (s *square) publishLine(n int) {
	s.t.Helper()
	it := item("square", "", "", s.lines[n])
	it.HTTPStream = streamItem("square", n, s.lines[n]).HTTPStream
	s.publish(it)
}

// wantAnswers checks that each has the line of that number as its answer, and reads no
// more.
func (s *square) wantAnswers(polls []*visitor, n int) {
	s.t.Helper()
	line := s.lines[n]
	for i, v := range polls {
		v.wantStatus(200)
		if got, err := v.readBody(200); err != nil || got != line {
			s.t.Fatalf("poll %d of %d, line %d: got %d bytes, %s, %v, want %d", i, len(polls), n, len(got), brief(got), err, len(line))
		}
	}
}

// wantLines checks that each stream goes on with the lines up to that number.
func (s *square) wantLines(streams []*visitor, last int) {
	s.t.Helper()
	for i, v := range streams {
		for v.read < last {
			got, err := v.lines.ReadString('\n')
			if want := s.lines[v.read+1]; err != nil || got != want {
				s.t.Fatalf("stream %d of %d, line %d: got %d bytes, %s, %v, want %d",
					i, len(streams), v.read+1, len(got), brief(got), err, len(want))
			}
			v.read++
		}
	}
}

// wantRings skips the test where the kernel has no ring, and checks that every loop
// has one if they are wanted, and none has otherwise.
func (s *square) wantRings(want bool) {
	s.t.Helper()
	if want {
		ring, err := uring.New()
		if err != nil {
			s.t.Skipf("the kernel lets nobody have a ring: set sysctl kernel.io_uring_disabled=0, or run outside of the container: %v", err)
		}
		ring.Close()
	}
	s.onLoops(func(l *loop) {
		if has := l.ahead.ring != nil; has != want {
			s.t.Errorf("loop %d has a ring: %t, want %t", l.index, has, want)
		}
	})
}

// wantSettled checks that nothing is left of what was sent ahead, and that nobody was
// sent what is not its own.
func (s *square) wantSettled() {
	s.t.Helper()
	s.onLoops(func(l *loop) {
		for _, sent := range l.ahead.sends[:cap(l.ahead.sends)] {
			if sent.c != nil || sent.wire != nil {
				s.t.Errorf("loop %d keeps what was sent", l.index)
				break
			}
		}
		for _, c := range l.clients {
			if c.ahead != 0 {
				s.t.Errorf("a client of loop %d is at place %d of what was sent", l.index, c.ahead)
			}
		}
	})
	if log := s.log.String(); strings.Contains(log, "was not given") {
		s.t.Errorf("the edge has been at fault: %s", log)
	}
}

// Everybody in a crowd gets every byte once and in order, by whichever way it is sent:
// also those who read nothing before all has been published, and those whose sockets
// take little at a time, while others leave in the middle.
func TestCrowdIsSentAhead(t *testing.T) {
	const each, late, leavers, lines = 600, 40, 60, squareLines
	for _, tt := range []struct {
		name string
		args []string
		ring bool
	}{
		{"through io_uring", nil, true},
		{"by write", []string{"-io-uring=false"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSquare(t, each, tt.args...)
			s.wantRings(tt.ring)
			polls, streams := s.polls[late:], s.streams[late:]
			for n := 1; n <= lines; n++ {
				var left sync.WaitGroup
				if n == 2 {
					gone := append(polls[:leavers:leavers], streams[:leavers]...)
					polls, streams = polls[leavers:], streams[leavers:]
					left.Go(func() {
						for _, v := range gone {
							v.leave()
						}
					})
				}
				s.publishLine(n)
				left.Wait()
				s.wantAnswers(polls, n)
				s.wantLines(streams, n)
				if n < lines {
					s.ask(polls, n)
					s.waitHolds(len(polls) + len(streams) + late) // of the late ones, the streams
				}
			}
			s.wantAnswers(s.polls[:late], 1)
			s.wantLines(s.streams[:late], lines)
			s.publish(closeItem("square"))
			for i, v := range append(streams, s.streams[:late]...) {
				if got, err := v.lines.ReadString('\n'); got != "" || err != io.EOF {
					t.Fatalf("stream %d: %s, %v, want its end", i, brief(got), err)
				}
			}
			s.waitHolds(0)
			s.wantSettled()
			whole, short := s.whole.Load(), s.short.Load()
			t.Logf("%d sends were taken, %d not or in part", whole, short)
			if want := tt.ring && clientTLS == nil; (whole > 0) != want || (short > 0) != want {
				t.Errorf("%d sends were taken, %d not or in part, want some of both: %t", whole, short, want)
			}
		})
	}
}

// What comes for streams whose sockets have room again, behind what they have not been
// sent yet, is not sent ahead of that.
func TestSlowAreNotSentAhead(t *testing.T) {
	const each = 60
	s := newSquare(t, each)
	s.wantRings(true)
	s.publishLine(1)
	var slow []unix.PollFd // those for whom something waits
	s.onLoops(func(l *loop) {
		for _, c := range l.clients {
			if c.state == streaming && c.gc.OutboundBuffered() > 0 {
				slow = append(slow, unix.PollFd{Fd: int32(c.gc.Fd()), Events: unix.POLLOUT})
			}
		}
	})
	if len(slow) == 0 {
		t.Fatal("no stream is slow")
	}

	// While the loops stand still the bell rings first, then there is room.
	goOnCh := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(goOnCh) })
	defer goOn()
	for _, l := range s.edge.loops {
		stillCh := make(chan struct{})
		l.post(func() {
			close(stillCh)
			<-goOnCh
		})
		await(t, stillCh, "a loop to stand still")
	}
	var published sync.WaitGroup
	published.Go(func() {
		it := item("square", "", "", s.lines[2])
		it.HTTPStream = streamItem("square", 2, s.lines[2]).HTTPStream
		if _, err := publishTo(s.control, it); err != nil {
			t.Error(err)
		}
	})
	for _, l := range s.edge.loops {
		eventually(t, func() error {
			if n := l.shard.Mail(); n == 0 {
				return fmt.Errorf("there is nothing in the mailbox of loop %d", l.index)
			}
			return nil
		})
	}
	for _, v := range s.streams { // all there is of the first line
		if _, err := v.in.Peek(v.in.Size()); err != nil {
			t.Fatal(err)
		}
	}
	var read sync.WaitGroup
	for _, v := range s.streams {
		read.Go(func() {
			for v.read < 2 {
				got, err := v.lines.ReadString('\n')
				if want := s.lines[v.read+1]; err != nil || got != want {
					t.Errorf("line %d: got %d bytes, %s, %v, want %d", v.read+1, len(got), brief(got), err, len(want))
					return
				}
				v.read++
			}
		})
	}
	eventually(t, func() error {
		if n, err := unix.Poll(slow, 0); n < len(slow) {
			return fmt.Errorf("%d of %d sockets have room, %v", n, len(slow), err)
		}
		return nil
	})
	goOn()
	read.Wait()
	published.Wait()
	s.wantSettled()
}

// A ring that fails costs nobody anything: from then on each gets its write.
func TestRingFails(t *testing.T) {
	const each = 50
	s := newSquare(t, each)
	s.wantRings(true)
	s.publishLine(1)
	s.wantAnswers(s.polls, 1)
	s.wantLines(s.streams, 1)
	s.ask(s.polls, 1)
	s.waitHolds(2 * each)

	breakRings(t)
	for n := 2; n <= squareLines; n++ {
		s.publishLine(n)
		s.wantAnswers(s.polls, n)
		s.wantLines(s.streams, n)
		s.ask(s.polls, n)
		s.waitHolds(2 * each)
	}
	s.wantSettled()
	if clientTLS != nil {
		return // nothing goes through a ring
	}
	s.onLoops(func(l *loop) {
		if l.ahead.ring != nil {
			t.Errorf("loop %d still has its ring", l.index)
		}
	})
	const says = "the kernel's ring has failed"
	if got := strings.Count(s.log.String(), says); got != len(s.edge.loops) {
		t.Errorf("the log says %d times that %s, want once for each of %d loops", got, says, len(s.edge.loops))
	}
}

// breakRings puts something that is no ring in the place of each that the process has.
func breakRings(t *testing.T) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	for _, fd := range fds {
		if is, _ := os.Readlink("/proc/self/fd/" + fd.Name()); is != "anon_inode:[io_uring]" {
			continue
		}
		var n int
		if _, err := fmt.Sscan(fd.Name(), &n); err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(null.Fd()), n, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		broken++
	}
	if broken == 0 {
		t.Fatal("there is no ring to break")
	}
}
