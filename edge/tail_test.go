package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"marquee/fanout"
)

// dialSmall connects a client for which the kernel keeps little.
func (r *rig) dialSmall() *client {
	r.t.Helper()
	d := net.Dialer{Timeout: patience, Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		})
	}}
	return dialBy(r.t, d, r.address)
}

// counts returns what is counted for the only route.
func (r *rig) counts() *routeCounts {
	r.t.Helper()
	for _, s := range r.edge.routing.Load().services {
		return s.counts
	}
	r.t.Fatal("there is no route")
	return nil
}

// followSlowly is follow for a client that does not read beyond the head.
func (r *rig) followSlowly(j *journal, after int, fields ...string) *follower {
	r.t.Helper()
	f := &follower{client: r.dialSmall(), journal: j, last: after}
	f.get(journalPath, append(fields, "Last-Event-ID: "+strconv.Itoa(after), "User-Agent: snail/1")...)
	f.wantStatus(200)
	f.lines = bufio.NewReader(&chunks{c: f.client})
	return f
}

// newSlowRig makes a rig whose only route has those options. The name of the
// route is "slowly".
func newSlowRig(t *testing.T, j *journal, options string, args ...string) *rig {
	t.Helper()
	wantNoLeaks(t)
	origin := serve(t, j)
	return startEdge(t, origin, func(c *Config) {
		c.Origin, c.Route = "", []string{"*,id=slowly" + options + " " + origin}
	}, args...)
}

// overfeed publishes lines until some slow client has lost n of them, while the
// others read everything, and returns how many it has published.
func (r *rig) overfeed(j *journal, n int64, others ...*follower) (published int, shed int64) {
	r.t.Helper()
	for lost := r.counts(); lost.lost.Load()+lost.cutOff.Load() < n; {
		id := j.write()
		receipt := r.publish(j.item(id))[0]
		shed += receipt.Shed
		if got := receipt.Written + receipt.Queued + receipt.Shed + receipt.Dropped; got != receipt.Matched {
			r.t.Fatalf("receipt %+v does not add up", receipt)
		}
		for _, f := range others {
			f.wantTo(id)
		}
		if id > 10_000 {
			r.t.Fatalf("%d lines are published and nobody is slow", id)
		}
	}
	return j.last, shed
}

// wantSlowLog checks that a slow client has been logged once, by name.
func (r *rig) wantSlowLog(what string, f *follower) {
	r.t.Helper()
	var found []string
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "slow client") {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		r.t.Fatalf("the log tells %d times of a slow client, want 1: %q", len(found), found)
	}
	for _, want := range []string{
		`"msg":"` + what + `"`, `"client":"` + f.nc.LocalAddr().String() + `"`, `"route":"slowly"`, `"user_agent":"snail/1"`,
	} {
		if !strings.Contains(found[0], want) {
			r.t.Errorf("the log has %s, want %s in it", found[0], want)
		}
	}
}

// readRest reads lines to the end of the stream, each whole, in order, and none
// twice; it returns how many.
func (f *follower) readRest(lines *bufio.Reader) (count int) {
	f.t.Helper()
	for {
		got, err := lines.ReadString('\n')
		if err == io.EOF && got == "" {
			return count
		}
		if err != nil {
			f.t.Fatalf("after line %d: %v", f.last, err)
		}
		id, err := strconv.Atoi(strings.TrimRightFunc(got, func(r rune) bool { return r < '0' || r > '9' }))
		if err != nil || id <= f.last || got != f.journal.line(id) {
			f.t.Fatalf("after line %d: %s", f.last, brief(got))
		}
		f.last = id
		count++
	}
}

// A client that does not read is cut off when too much waits for it, unless its
// route says otherwise; the others get everything meanwhile.
func TestSlowStreamIsCutOff(t *testing.T) {
	for _, tt := range []struct{ name, options string }{
		{"by default", ""},
		{"slow=disconnect", ",slow=disconnect"},
		{"slow_channel", ",slow=conflate,slow_channel=jour*:disconnect"},
		{"slow_bytes", ",slow_bytes=200000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &journal{wide: 20_000}
			r := newSlowRig(t, j, tt.options, "-share-all")
			slow := r.followSlowly(j, 0)
			others := []*follower{r.follow(j, 0), r.follow(j, 0)}
			r.waitHolds(3)
			_, shed := r.overfeed(j, 1, others...)
			if shed != 1 {
				t.Errorf("receipts show %d shed, want 1", shed)
			}
			if got := r.counts().cutOff.Load(); got != 1 {
				t.Errorf("%d clients are counted as cut off, want 1", got)
			}
			if got := r.counts().lost.Load(); got != 0 {
				t.Errorf("%d messages are counted as lost, want 0", got)
			}
			slow.wantCut()
			r.waitHolds(2)
			id := j.write()
			if got := r.publish(j.item(id))[0]; got.Written != 2 || got.Matched != 2 {
				t.Errorf("receipt %+v, want 2 written", got)
			}
			r.wantSlowLog("a slow client is cut off", slow)
		})
	}
}

// A message that is longer than what may wait makes nobody slow who takes it: it
// may wait, and so may the messages behind it, up to the bound.
func TestLongMessageIsNotSlowness(t *testing.T) {
	j := &journal{wide: 900_000}
	r := newSlowRig(t, j, "", "-share-all")
	f := r.followSlowly(j, 0)
	r.waitHolds(1)
	for range 2 { // the first on its way, the second alone behind it
		if got := r.publish(j.item(j.write()))[0]; got.Queued != 1 {
			t.Errorf("receipt %+v, want 1 queued", got)
		}
	}
	f.wantTo(2)
	if n := r.counts().cutOff.Load(); n != 0 {
		t.Errorf("%d clients are counted as cut off, want none", n)
	}
}

// A client that does not read loses what its route says, and what it gets when
// it reads again is whole, in order, and the newest is among it.
func TestSlowStreamLosesMessages(t *testing.T) {
	for _, tt := range []struct {
		name, options string
		gzip          bool
	}{
		{"drop-oldest", ",slow=drop-oldest", false},
		{"drop-oldest, few bytes", ",slow=drop-oldest,slow_bytes=30000", false},
		{"drop-oldest of the channel", ",slow_channel=journal:drop-oldest", false},
		{"drop-oldest, gzip", ",slow=drop-oldest", true},
		{"conflate", ",slow=conflate", false},
		{"conflate of the channel", ",slow=disconnect,slow_channel=journal:conflate", false},
		{"conflate, gzip", ",slow=conflate", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &journal{wide: 20_000}
			r := newSlowRig(t, j, tt.options, "-share-all")
			slow := r.followSlowly(j, 0, "Accept-Encoding: gzip")
			if !tt.gzip {
				slow.leave()
				slow = r.followSlowly(j, 0)
			}
			other := r.follow(j, 0)
			r.waitHolds(2)
			published, shed := r.overfeed(j, 5, other)
			lost := r.counts().lost.Load()
			if shed < 2 || shed > lost {
				t.Errorf("receipts show %d shed, %d messages are counted as lost", shed, lost)
			}
			if got := r.counts().cutOff.Load(); got != 0 {
				t.Errorf("%d clients are counted as cut off, want 0", got)
			}
			r.wantSlowLog("a slow client loses messages", slow)
			r.publish(closeItem("journal"))
			other.wantEnd()
			lines := slow.lines
			if tt.gzip {
				z, err := gzip.NewReader(slow.lines)
				if err != nil {
					t.Fatal(err)
				}
				lines = bufio.NewReader(z)
			}
			got := slow.readRest(lines)
			if slow.last != published || int64(got)+lost != int64(published) {
				t.Errorf("got %d lines to %d, %d are counted as lost, %d were published", got, slow.last, lost, published)
			}
			r.waitHolds(0)
			slow.get(journalPath, "Last-Event-ID: "+fmt.Sprint(published)) // the connection is good
			slow.wantStatus(200)
		})
	}
}

// Fragments of a longer content stay where messages are dropped, and all in their order.
func TestTailDrop(t *testing.T) {
	for _, tt := range []struct {
		most int
		want string
		lost int
	}{
		{100, "<a b <c d e", 0},
		{5, "<a b <c d e", 0},
		{4, "<a <c d e", 1},
		{3, "<a <c e", 2},
		{2, "<a <c", 3},
		{0, "<a <c", 3},
		{-1, "<a <c", 3},
	} {
		var t1 tail
		for name := range strings.SplitSeq("<a b <c d e", " ") {
			p := fanout.NewPiece([]byte(name[len(name)-1:]))
			if name[0] == '<' {
				p = fanout.NewFragment([]byte(name[1:]))
			}
			t1.pieces, t1.bytes = append(t1.pieces, p), t1.bytes+p.Len()
		}
		lost := t1.drop(tt.most)
		var left []string
		for _, p := range t1.pieces {
			name := string(p.Wire(fanout.Raw))
			if p.Fragment() {
				name = "<" + name
			}
			left = append(left, name)
		}
		if got := strings.Join(left, " "); got != tt.want || lost != tt.lost || t1.bytes != len(left) {
			t.Errorf("to at most %d bytes: %q, %d lost, %d bytes, want %q, %d lost", tt.most, got, lost, t1.bytes, tt.want, tt.lost)
		}
	}
}

// A stream that is told to end while messages wait for its client ends behind
// those, and gets no more.
func TestSlowStreamDrains(t *testing.T) {
	j := &journal{wide: 20_000}
	r := newSlowRig(t, j, ",slow=drop-oldest", "-drain-timeout", "1m")
	slow := r.followSlowly(j, 0)
	r.waitHolds(1)
	published, _ := r.overfeed(j, 1)
	stoppedCh := r.stopping()
	r.turn()
	for range 3 {
		if got := r.publish(j.item(j.write()))[0]; got.Matched != got.Dropped {
			t.Errorf("receipt %+v, want all dropped", got)
		}
	}
	slow.readRest(slow.lines)
	if slow.last != published {
		t.Errorf("the last line is %d, want %d", slow.last, published)
	}
	slow.wantClosed()
	await(t, stoppedCh, "the edge's end")
}

// A client that is cut off or leaves while messages wait for it leaves nothing
// behind, and the stream goes on for the others.
func TestSlowStreamLeaves(t *testing.T) {
	j := &journal{wide: 20_000}
	r := newSlowRig(t, j, ",slow=drop-oldest", "-share-all", "-loops", "1")
	slow, other := r.followSlowly(j, 0), r.follow(j, 0)
	r.waitHolds(2)
	r.overfeed(j, 1, other)
	slow.leave()
	r.waitHolds(1)
	id := j.write()
	if got := r.publish(j.item(id))[0]; got.Written != 1 || got.Matched != 1 {
		t.Errorf("receipt %+v, want 1 written", got)
	}
	other.wantTo(id)
}

// What a client has not taken is not followed by keep-alives, however long it
// takes: they begin again when it has (GRIP reference 4.2).
func TestNoKeepAlivesBehindWhatWaits(t *testing.T) {
	for _, mode := range []string{"idle", "interval"} {
		t.Run(mode, func(t *testing.T) {
			j := &journal{wide: 20_000, fields: http.Header{"Grip-Keep-Alive": {"ping; timeout=1; mode=" + mode}}}
			r := newSlowRig(t, j, ",slow=drop-oldest,slow_bytes=1000000", "-loops", "1")
			f := r.followSlowly(j, 0)
			r.waitHolds(1)
			for r.publish(j.item(j.write()))[0].Queued == 0 {
			}
			r.publish(j.item(j.write())) // in the tail
			waiting := func() (bytes int) {
				r.onLoops(func(l *loop) {
					l.wheel.each(func(c *conn) {
						if c.tail != nil {
							bytes = c.gc.OutboundBuffered() + c.tail.bytes
						}
					})
				})
				return bytes
			}
			before := waiting()
			r.tickUntil(stallTimeout/2, func() bool { return false })
			if after := waiting(); before == 0 || after > before {
				t.Errorf("%d bytes wait for the client, and %d did before", after, before)
			}
			for f.last < j.last {
				got, err := f.lines.ReadString('\n')
				for strings.HasPrefix(got, "ping") {
					got = got[len("ping"):] // from before anything waited
				}
				if want := j.line(f.last + 1); err != nil || got != want {
					t.Fatalf("line %s, %v, want %s", brief(got), err, brief(want))
				}
				f.last++
			}
			eventually(t, func() error {
				r.tickUntil(2*time.Second, func() bool { return false })
				if got, _ := f.lines.Peek(4); string(got) != "ping" {
					return fmt.Errorf("got %q, want a keep-alive", got)
				}
				return nil
			})
		})
	}
}
