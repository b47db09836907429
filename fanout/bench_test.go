package fanout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"marquee/grip"
)

// hall is a loop full of clients in memory, who hold again and again.
type hall struct {
	hub     *Hub
	shard   *Shard
	watch   Watch
	group   Group
	seats   []seat
	item    grip.Item
	written int // bytes
	ahead   int // sends that it was told of
}

type seat struct {
	hall *hall
	hold Hold
}

func (s *seat) Deliver(wire []byte) Outcome {
	s.hall.written += len(wire)
	return Written
}

func (s *seat) Append(p *Piece) Outcome {
	s.hall.written += len(p.Wire(s.hold.Variant))
	return Written
}

func (s *seat) Finish() {}

func newHall(n int) *hall {
	h := &hall{seats: make([]seat, n)}
	h.hub = NewHub(time.Now, func(Receipt) {})
	h.shard = h.hub.NewShard(func() {})
	h.shard.SendAhead(func(sends []Send) { h.ahead += len(sends) }, func() {})
	h.watch = Watch{
		Channels: []grip.Channel{{Name: "headline-value"}},
		Template: NewTemplate(grip.Response{Header: fields("Content-Type", "application/json")}, nil),
		Asker:    h,
	}
	h.item = grip.Item{Channel: "headline-value", HTTPResponse: &grip.HTTPResponse{Response: grip.Response{Code: 200, Body: []byte(
		`{"id": 1, "body": "` + strings.Repeat("Flight 123 arriving in terminal A. ", 3) + `"}`)}}}
	return h
}

func (h *hall) Answered(*Answer) { h.shard.Leave(&h.watch) }
func (h *hall) Superseded()      {}
func (h *hall) Missed()          {}
func (h *hall) Closed()          {}
func (h *hall) Filter(*Delivery) {}
func (h *hall) Unfiltered(error) {}

// fill makes everybody hold.
func (h *hall) fill() {
	h.group = Group{holds: h.group.holds[:0]}
	for i := range h.seats {
		s := &h.seats[i]
		s.hall = h
		h.group.Join(&s.hold, s)
	}
	h.watch.Group = &h.group
	h.shard.Enter(&h.watch)
}

// deliver publishes and writes to everybody.
func (h *hall) deliver() {
	h.hub.Publish(h.item)
	for h.shard.Turn() {
	}
}

// A delivery allocates the same for any number of holds: nothing for each.
func TestDeliveryDoesNotAllocatePerHold(t *testing.T) {
	allocs := make(map[int]float64)
	for _, n := range []int{100, 10_000} {
		h := newHall(n)
		h.fill() // the group's slice has its size
		h.deliver()
		h.written = 0
		allocs[n] = testing.AllocsPerRun(10, func() {
			h.fill()
			h.deliver()
		})
		if h.written == 0 || h.group.Len() != 0 || h.ahead != 12*n {
			t.Errorf("%d holds: %d bytes written, %d holds left, told of %d sends, want all answered, 12 times",
				n, h.written, h.group.Len(), h.ahead)
		}
	}
	if allocs[100] != allocs[10_000] {
		t.Errorf("a delivery to 100 holds allocates %v times, to 10,000 holds %v times, want no difference", allocs[100], allocs[10_000])
	}
}

// BenchmarkDeliver is what a delivery costs beside the system calls: the holds
// are in memory. The root package has the benchmark with sockets.
func BenchmarkDeliver(b *testing.B) {
	for _, n := range []int{1, 1000, 5000} {
		b.Run(fmt.Sprintf("holds=%d", n), func(b *testing.B) {
			h := newHall(n)
			b.ReportAllocs()
			for b.Loop() {
				h.fill()
				h.deliver()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/hold")
		})
	}
}

// streams makes everybody a stream of one group, in that form.
func (h *hall) streams(v Variant) {
	h.watch.Mode, h.watch.Template = grip.HoldStream, nil
	h.item.HTTPStream = &grip.HTTPStream{Content: append(append([]byte("data: "), h.item.HTTPResponse.Body...), "\n\n"...)}
	h.fill()
	for i := range h.seats {
		h.seats[i].hold.Variant = v
	}
	h.shard.Want(&h.watch, v)
}

// An item that streams get allocates the same for any number of them, and so does
// content that is appended otherwise.
func TestAppendDoesNotAllocatePerHold(t *testing.T) {
	for _, v := range []Variant{0, Gzip, Zstd | Raw} {
		allocs := make(map[int][2]float64)
		for _, n := range []int{100, 10_000} {
			h := newHall(n)
			h.streams(v)
			piece := NewPiece([]byte("\n"))
			allocs[n] = [2]float64{
				testing.AllocsPerRun(20, h.deliver),
				testing.AllocsPerRun(20, func() {
					h.shard.Append(&h.group, piece)
					for h.shard.Turn() {
					}
				}),
			}
			if h.written == 0 || h.group.Len() != n || !h.shard.Written(&h.group) {
				t.Errorf("%d streams: %d bytes written, %d streams left, want all to go on", n, h.written, h.group.Len())
			}
		}
		if allocs[100] != allocs[10_000] {
			t.Errorf("variant %b: an item and a piece for 100 streams allocate %v times, for 10,000 %v times, want no difference",
				v, allocs[100], allocs[10_000])
		}
		if got := allocs[100][1]; got > 1 {
			t.Errorf("variant %b: a piece for all streams allocates %v times, want once for its batch", v, got)
		}
	}
}

// BenchmarkStreams is BenchmarkDeliver for streams, which stay.
func BenchmarkStreams(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		for _, bb := range []struct {
			name   string
			coding Variant
		}{{"none", 0}, {"gzip", Gzip}} {
			b.Run(fmt.Sprintf("holds=%d/coding=%s", n, bb.name), func(b *testing.B) {
				h := newHall(n)
				h.streams(bb.coding)
				b.ReportAllocs()
				for b.Loop() {
					h.deliver()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/hold")
			})
		}
	}
}

// BenchmarkPublish is an item that nobody holds for.
func BenchmarkPublish(b *testing.B) {
	h := newHall(0)
	b.ReportAllocs()
	for b.Loop() {
		h.hub.Publish(h.item)
	}
}

// BenchmarkWire is the making of an answer's bytes, and the finding of them.
func BenchmarkWire(b *testing.B) {
	r := grip.Response{Code: 200, Header: fields("Content-Type", "application/json"), Body: text}
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NewAnswer(r).Wire(0)
		}
	})
	b.Run("repeat", func(b *testing.B) {
		a := NewAnswer(r)
		b.ReportAllocs()
		for b.Loop() {
			a.Wire(0)
		}
	})
}

func BenchmarkCompress(b *testing.B) {
	for _, bb := range []struct {
		name   string
		coding Variant
	}{{"gzip", Gzip}, {"zstd", Zstd}} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				compressed(text, bb.coding)
			}
		})
	}
}
