package marquee

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"marquee/fanout"
	"marquee/grip"
)

// clientsEnv makes the test binary a process of clients, so that a profile of
// the benchmark shows the server alone. Its value: address, how many, and how
// many bytes an answer has.
const clientsEnv = "MARQUEE_BENCH_CLIENTS"

func TestMain(m *testing.M) {
	if v := os.Getenv(clientsEnv); v != "" {
		if err := runClients(v); err != nil {
			fmt.Fprintln(os.Stderr, "clients:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// BenchmarkMarquee publishes to clients that are held on two loops and hold
// again at once. A delivery is over when the last client has its last byte.
func BenchmarkMarquee(b *testing.B) {
	b.Run("fanout", func(b *testing.B) {
		for _, n := range []int{1000, 5000} {
			b.Run(fmt.Sprintf("sockets=%d", n), func(b *testing.B) {
				h := newHouse(b, n)
				b.ReportAllocs()
				for b.Loop() {
					h.deliver()
				}
				deliveries := float64(b.N) * float64(n)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
				b.ReportMetric(deliveries/b.Elapsed().Seconds(), "deliveries/s")
			})
		}
	})
}

// The benchmark's house, in small: every socket gets every item.
func TestDeliveryOnSockets(t *testing.T) {
	h := newHouse(t, 50)
	if len(h.loops) != 2 {
		t.Errorf("the clients are on %d loops, want 2", len(h.loops))
	}
	for range 3 {
		h.deliver()
	}
}

// house is a hub, a reactor of two loops as the edge has it, and a process of
// clients whose connections all hold.
type house struct {
	gnet.BuiltinEventEngine
	tb      testing.TB
	hub     *fanout.Hub
	loops   map[gnet.EventLoop]*loop // complete when all are connected
	clients int
	id      int           // of the last item
	tellers *bufio.Reader // a line whenever every client has got an answer
}

// loop is one event loop's holds. Loop only.
type loop struct {
	shard *fanout.Shard
	watch *fanout.Watch
	group *fanout.Group
}

// conn is a client's connection, always held.
type conn struct {
	gc   gnet.Conn
	loop *loop
	hold fanout.Hold
}

// silence is gnet's logger: what it says in passing is no benchmark's output.
type silence struct{}

func (silence) Debugf(string, ...any) {}
func (silence) Infof(string, ...any)  {}
func (silence) Warnf(string, ...any)  {}
func (silence) Errorf(string, ...any) {}
func (silence) Fatalf(string, ...any) {}

const headline = "headline-value"

// response is what the origin answered to the clients' requests.
var response = grip.Response{Header: grip.Header{
	{Name: "Content-Type", Value: "application/json"},
	{Name: "Cache-Control", Value: "no-store"},
	{Name: "Server", Value: "origin"},
}}

// newHouse connects n clients and makes them hold.
func newHouse(tb testing.TB, n int) *house {
	h := &house{tb: tb, clients: n, loops: make(map[gnet.EventLoop]*loop)}
	h.hub = fanout.NewHub(time.Now, func(fanout.Receipt) {})
	reactor, err := gnet.NewClient(h, gnet.WithNumEventLoop(2), gnet.WithLogger(silence{}))
	if err != nil {
		tb.Fatalf("make reactor: %v", err)
	}
	if err := reactor.Start(); err != nil {
		tb.Fatalf("start reactor: %v", err)
	}
	tb.Cleanup(func() { _ = reactor.Stop() })
	config := net.ListenConfig{KeepAlive: -1}
	ln, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	defer ln.Close()
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)) // in case the clients end early
	h.startClients(ln.Addr().String())
	for range n {
		nc, err := ln.Accept()
		if err != nil {
			tb.Fatalf("accept a client: %v", err)
		}
		if _, err := reactor.EnrollContext(nc, &conn{}); err != nil {
			tb.Fatalf("enrol a client: %v", err)
		}
	}
	return h
}

// startClients starts the process of clients. It ends with its standard input.
func (h *house) startClients(address string) {
	self, err := os.Executable()
	if err != nil {
		h.tb.Fatalf("find the test binary: %v", err)
	}
	answer := fanout.NewAnswer(response.With(h.item().HTTPResponse.Response)) // as long as any other
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", clientsEnv, address, h.clients, len(answer.Wire(0))))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		h.tb.Fatalf("make pipe to the clients: %v", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.tb.Fatalf("make pipe from the clients: %v", err)
	}
	if err := cmd.Start(); err != nil {
		h.tb.Fatalf("start the clients: %v", err)
	}
	h.tellers = bufio.NewReader(out)
	h.tb.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			h.tb.Errorf("the clients ended badly: %v", err)
		}
	})
}

// item returns the next headline; all have the same length.
func (h *house) item() grip.Item {
	h.id++
	return grip.Item{
		Channel: headline, ID: strconv.Itoa(h.id), PrevID: strconv.Itoa(h.id - 1),
		HTTPResponse: &grip.HTTPResponse{Response: grip.Response{
			Code: 200,
			Body: fmt.Appendf(nil, `{"id": %010d, "body": "Flight 123 arriving in terminal A."}`, h.id),
		}},
	}
}

// deliver publishes a headline and waits until every client has it.
func (h *house) deliver() {
	d, _ := h.hub.Publish(h.item())
	if _, err := h.tellers.ReadString('\n'); err != nil {
		h.tb.Fatalf("wait for the clients: %v", err)
	}
	<-d.Done()
	if r := d.Receipt(fanout.Delivered); r.Matched != int64(h.clients) || r.Dropped > 0 {
		h.tb.Fatalf("got receipt %+v, want %d matched, none dropped", r, h.clients)
	}
}

// OnOpen implements gnet.EventHandler. Only one connection at a time is opened.
func (h *house) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	el := gc.EventLoop()
	l := h.loops[el]
	if l == nil {
		l = &loop{}
		l.shard = h.hub.NewShard(func() { h.turn(el, l) })
		l.enter()
		h.loops[el] = l
	}
	c := gc.Context().(*conn)
	c.gc, c.loop = gc, l
	l.group.Join(&c.hold, c)
	return nil, gnet.None
}

// OnClose implements gnet.EventHandler.
func (h *house) OnClose(gc gnet.Conn, _ error) gnet.Action {
	gc.Context().(*conn).hold.Leave()
	return gnet.None
}

// turn has a loop do a part of its work, and then the next. It need not let
// other events through, as the edge's does: these clients send nothing.
func (h *house) turn(el gnet.EventLoop, l *loop) {
	_ = el.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
		if l.shard.Turn() {
			h.turn(el, l)
		}
		return nil
	}))
}

// enter begins a group for the next headline.
func (l *loop) enter() {
	last := l.watch
	l.group = new(fanout.Group)
	l.watch = &fanout.Watch{
		Channels: []grip.Channel{{Name: headline}},
		Template: fanout.NewTemplate(response, nil),
		Group:    l.group,
		Asker:    l,
	}
	l.shard.Enter(l.watch)
	if last != nil {
		l.shard.Leave(last)
	}
}

// Answered implements fanout.Asker.
func (l *loop) Answered(*fanout.Answer) { l.enter() }

// Superseded implements fanout.Asker.
func (l *loop) Superseded() { panic("a watch has stayed after its answer") }

// Missed implements fanout.Asker.
func (l *loop) Missed() { panic("a watch without prev-id has missed an item") }

// Closed implements fanout.Asker.
func (l *loop) Closed() { panic("a long poll was closed") }

// Filter implements fanout.Asker.
func (l *loop) Filter(*fanout.Delivery) { panic("there are no filters here") }

// Unfiltered implements fanout.Asker.
func (l *loop) Unfiltered(error) { panic("there are no filters here") }

// Append implements fanout.Client.
func (c *conn) Append(*fanout.Piece) fanout.Outcome { panic("a long poll is no stream") }

// Finish implements fanout.Client.
func (c *conn) Finish() { panic("a long poll is no stream") }

// Deliver implements fanout.Client.
func (c *conn) Deliver(wire []byte) fanout.Outcome {
	_, _ = c.gc.Write(wire)
	c.loop.group.Join(&c.hold, c)
	if c.gc.OutboundBuffered() > 0 {
		return fanout.Queued
	}
	return fanout.Written
}

// runClients connects clients and reads answers, until standard input ends. It
// writes a line whenever every client has got one more.
func runClients(args string) error {
	f := strings.Fields(args)
	address, err := net.ResolveTCPAddr("tcp", f[0])
	if err != nil {
		return fmt.Errorf("resolve address: %w", err)
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return fmt.Errorf("read number of clients: %w", err)
	}
	size, err := strconv.Atoi(f[2])
	if err != nil {
		return fmt.Errorf("read size of an answer: %w", err)
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make epoll: %w", err)
	}
	watch := func(fd int) error {
		return unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	if err := watch(0); err != nil {
		return fmt.Errorf("watch standard input: %w", err)
	}
	server := &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("make socket: %w", err)
		}
		if err := unix.Connect(fd, server); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		if err := watch(fd); err != nil {
			return fmt.Errorf("watch socket: %w", err)
		}
	}

	got := make(map[int]int) // bytes of an answer that has not come to its end
	complete := 0            // clients that have this round's answer
	events := make([]unix.EpollEvent, 1024)
	buf := make([]byte, 64<<10)
	for {
		ready, err := unix.EpollWait(ep, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for events: %w", err)
		}
		for _, ev := range events[:ready] {
			fd := int(ev.Fd)
			if fd == 0 {
				return nil
			}
			k, err := unix.Read(fd, buf)
			if err != nil {
				return fmt.Errorf("read an answer: %w", err)
			}
			if k == 0 {
				return fmt.Errorf("read an answer: %w", io.ErrUnexpectedEOF)
			}
			if got[fd] == 0 && !bytes.HasPrefix(buf[:k], []byte("HTTP/1.1 200 OK\r\n")) {
				return fmt.Errorf("read an answer: it begins with %.40q", buf[:k])
			}
			if got[fd] += k; got[fd] > size {
				return fmt.Errorf("read an answer: %d bytes, want %d", got[fd], size)
			}
			if got[fd] == size {
				got[fd] = 0
				complete++
			}
		}
		if complete == n {
			complete = 0
			if _, err := os.Stdout.WriteString("\n"); err != nil {
				return fmt.Errorf("tell of a round: %w", err)
			}
		}
	}
}
