package bus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"marquee/grip"
)

// numbered returns the item id of channel.
func numbered(channel string, id int) grip.Item {
	return grip.Item{Channel: channel, ID: strconv.Itoa(id), HTTPResponse: &grip.HTTPResponse{Response: grip.Response{Code: 200, Body: []byte("x")}}}
}

func publish(t testing.TB, b *Bus, item grip.Item) {
	t.Helper()
	if err := b.PublishItem(item); err != nil {
		t.Fatal(err)
	}
}

func ignoreItem(grip.Item) {}
func ignoreLoss()          {}

func TestItemsArrive(t *testing.T) {
	s := startServer(t, server.Options{})
	from, to := connect(t, s.ClientURL(), "from"), connect(t, s.ClientURL(), "to")
	for _, channel := range []string{
		"headline-value", "", "a.b.*.>", "two words\r\n", "%", "\x00\xff\xfe", "café", strings.Repeat("ÿ", maxNameLen/2),
	} {
		itemCh := make(chan grip.Item, 1)
		sub, err := to.Subscribe(t.Context(), channel, func(i grip.Item) { itemCh <- i }, ignoreLoss)
		if err != nil {
			t.Fatal(err)
		}
		want := exampleItem
		want.Channel = channel
		publish(t, from, want)
		if got := receive(t, itemCh, "item"); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		sub.Close()
	}
	// Binary bodies, and the item that no edge could deliver.
	itemCh := make(chan grip.Item, 1)
	if _, err := to.Subscribe(t.Context(), "c", func(i grip.Item) { itemCh <- i }, ignoreLoss); err != nil {
		t.Fatal(err)
	}
	publish(t, from, grip.Item{Channel: "c", ID: "no format at all"})
	want := grip.Item{Channel: "c", NoSeq: true, HTTPResponse: &grip.HTTPResponse{Response: grip.Response{Code: 404, Body: []byte{0, 0xff}}}}
	publish(t, from, want)
	if got := receive(t, itemCh, "item"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got, want := from.Counters(), (Counters{Published: 9}); got != want {
		t.Errorf("sender counts %+v, want %+v", got, want)
	}
	if got, want := to.Counters(), (Counters{Received: 9}); got != want {
		t.Errorf("receiver counts %+v, want %+v", got, want)
	}
}

// TestFormatsArrive sends items of every format and action.
func TestFormatsArrive(t *testing.T) {
	s := startServer(t, server.Options{})
	from, to := connect(t, s.ClientURL(), "from"), connect(t, s.ClientURL(), "to")
	itemCh := make(chan grip.Item, 1)
	if _, err := to.Subscribe(t.Context(), "c", func(i grip.Item) { itemCh <- i }, ignoreLoss); err != nil {
		t.Fatal(err)
	}
	for _, want := range []grip.Item{
		{HTTPStream: &grip.HTTPStream{Content: []byte("data: x\n\n")}},
		{HTTPStream: &grip.HTTPStream{Content: []byte{0, 0xff}, ContentFilters: []string{grip.FilterBuildID}}},
		{HTTPStream: &grip.HTTPStream{Action: grip.Close}},
		{HTTPResponse: &grip.HTTPResponse{Action: grip.Hint}, HTTPStream: &grip.HTTPStream{Action: grip.Hint}},
		{HTTPResponse: &grip.HTTPResponse{Response: grip.Response{Code: 200}, Patch: []byte(`[{"op":"remove","path":"/a"}]`), ContentFilters: []string{}}},
		{WSMessage: &grip.WSMessage{Type: grip.Binary, Content: []byte{0xfe}}, Meta: grip.Meta{{Name: "sender", Value: "u"}}},
		{WSMessage: &grip.WSMessage{Action: grip.Close, Code: 1001, Reason: "bye"}},
		{WSMessage: &grip.WSMessage{Action: grip.Refresh}},
	} {
		want.Channel, want.ID, want.PrevID = "c", "2", "1"
		publish(t, from, want)
		if got := receive(t, itemCh, "item"); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

func TestItemsRefused(t *testing.T) {
	const response = `"formats":{"http-response":{"body":"x"}}`
	tests := []struct{ name, payload, want string }{
		{"none", `{"v":1,"items":[]}`, "0 items instead of 1"},
		{"two", `{"v":1,"items":[{"channel":"c",` + response + `},{"channel":"c",` + response + `}]}`, "2 items instead of 1"},
		{"of another channel", `{"v":1,"items":[{"channel":"d",` + response + `}]}`, "name differs from the subject's"},
		{"of an unknown format", `{"v":1,"items":[{"channel":"c","formats":{"smoke-signal":{"content":"x"}}}]}`, "item without a known format"},
		{"of no format", `{"v":1,"items":[{"channel":"c","formats":{}}]}`, "decode items: Invalid format: no formats specified"},
	}
	for _, tt := range tests {
		if item, err := openItem("c", []byte(tt.payload)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %+v, error %v, want %s", tt.name, item, err, tt.want)
		}
	}
}

func TestNoEcho(t *testing.T) {
	s := startServer(t, server.Options{})
	a, b := connect(t, s.ClientURL(), "a"), connect(t, s.ClientURL(), "b")
	itemCh := make(chan grip.Item, 2)
	if _, err := a.Subscribe(t.Context(), "c", func(i grip.Item) { itemCh <- i }, ignoreLoss); err != nil {
		t.Fatal(err)
	}
	publish(t, a, numbered("c", 1))
	// Behind the item, so that b's comes later than an echo would.
	if err := a.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, b, numbered("c", 2))
	if got := receive(t, itemCh, "item"); got.ID != "2" {
		t.Errorf("received item %s, want 2 alone", got.ID)
	}
}

func TestSubscribeErrors(t *testing.T) {
	s := startServer(t, server.Options{})
	b := connect(t, s.ClientURL(), "b")
	long := strings.Repeat("x", maxNameLen+1)
	if _, err := b.Subscribe(t.Context(), long, ignoreItem, ignoreLoss); err == nil || !strings.HasSuffix(err.Error(), "is longer than 1024") {
		t.Errorf("channel of %d bytes: error %v", len(long), err)
	}
	if err := b.PublishItem(numbered(long, 1)); err == nil || !strings.HasSuffix(err.Error(), "is longer than 1024") {
		t.Errorf("item of a channel of %d bytes: error %v", len(long), err)
	}
	huge := numbered("c", 1)
	huge.HTTPResponse.Body = make([]byte, 2<<20)
	if err := b.PublishItem(huge); err == nil || !strings.HasSuffix(err.Error(), "maximum payload exceeded") {
		t.Errorf("item of 2 MiB: error %v", err)
	}
	sub, err := b.Subscribe(t.Context(), "c", ignoreItem, ignoreLoss)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Subscribe(t.Context(), "c", ignoreItem, ignoreLoss); !errors.Is(err, ErrSubscribed) {
		t.Errorf("second subscription: error %v, want %v", err, ErrSubscribed)
	}
	sub.Close()
	again, err := b.Subscribe(t.Context(), "c", ignoreItem, ignoreLoss)
	if err != nil {
		t.Fatalf("subscription after Close: %v", err)
	}
	sub.Close() // once more, and not the other one
	if b.subscription(again.sub) != again {
		t.Error("closing a subscription twice closed its successor")
	}
	again.Close()
	eventually(t, "the server knows of no subscription", func() bool {
		return s.GlobalAccount().Interest("marquee.item.c") == 0
	})
}

// TestNothingMissedAfterSubscribe publishes on another connection the moment
// that Subscribe returns.
func TestNothingMissedAfterSubscribe(t *testing.T) {
	s := startServer(t, server.Options{})
	from, to := connect(t, s.ClientURL(), "from"), connect(t, s.ClientURL(), "to")
	const workers, rounds = 8, 250
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				channel := fmt.Sprintf("channel %d", w)
				itemCh := make(chan grip.Item, 1)
				sub, err := to.Subscribe(t.Context(), channel, func(i grip.Item) { itemCh <- i }, ignoreLoss)
				if err != nil {
					t.Error(err)
					return
				}
				if err := from.PublishItem(numbered(channel, i)); err != nil {
					t.Error(err)
				}
				select {
				case got := <-itemCh:
					if got.ID != strconv.Itoa(i) {
						t.Errorf("%s: item %s, want %d", channel, got.ID, i)
					}
				case <-time.After(wait):
					t.Errorf("%s: item %d missed", channel, i)
					return
				}
				sub.Close()
			}
		})
	}
	wg.Wait()
}

// TestOrder has many channels written by two publishers at once.
func TestOrder(t *testing.T) {
	s := startServer(t, server.Options{})
	to := connect(t, s.ClientURL(), "to")
	const channels, items = 20, 100
	last := make([]int, channels) // of the bus's goroutine, until done
	done := make(chan struct{})
	left := channels * items
	for c := range channels {
		_, err := to.Subscribe(t.Context(), strconv.Itoa(c), func(i grip.Item) {
			if want := strconv.Itoa(last[c] + 1); i.ID != want {
				t.Errorf("channel %d: item %s, want %s", c, i.ID, want)
			}
			last[c]++
			if left--; left == 0 {
				close(done)
			}
		}, ignoreLoss)
		if err != nil {
			t.Fatal(err)
		}
	}
	for half := range 2 {
		from := connect(t, s.ClientURL(), "from")
		go func() {
			for id := 1; id <= items; id++ {
				for _, c := range rand.Perm(channels / 2) {
					if err := from.PublishItem(numbered(strconv.Itoa(2*c+half), id)); err != nil {
						t.Error(err)
					}
				}
			}
		}()
	}
	receive(t, done, "last item")
}

func TestManySubscriptions(t *testing.T) {
	s := startServer(t, server.Options{})
	b := connect(t, s.ClientURL(), "b")
	before := runtime.NumGoroutine()
	const n, workers = 5000, 16
	start := time.Now()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				if _, err := b.Subscribe(t.Context(), strconv.Itoa(i), ignoreItem, ignoreLoss); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d subscriptions confirmed in %v", n, time.Since(start).Round(time.Millisecond))
	if got := runtime.NumGoroutine(); got > before+5 {
		t.Errorf("%d goroutines with %d subscriptions, %d without", got, n, before)
	}
}

// A jam is a subscription whose function blocks the bus until told otherwise.
type jam struct {
	entered, release chan struct{}
}

// newJam jams b on the channel "jam".
func newJam(t *testing.T, b *Bus) *jam {
	j := &jam{make(chan struct{}, 1), make(chan struct{})}
	t.Cleanup(func() { close(j.release) }) // or a failed test would not end
	_, err := b.Subscribe(t.Context(), "jam", func(i grip.Item) {
		if i.ID == "0" {
			j.entered <- struct{}{}
			<-j.release
		}
	}, ignoreLoss)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// fill blocks b and fills the queue in front of it.
func (j *jam) fill(t *testing.T, from, b *Bus) {
	drained(t, b)
	publish(t, from, numbered("jam", 0))
	receive(t, j.entered, "item")
	for i := range itemQueue {
		publish(t, from, numbered("jam", i+1))
	}
	eventually(t, "the queue is full", func() bool { return len(b.itemCh) == cap(b.itemCh) })
}

// drained waits until there is room for all that comes.
func drained(t *testing.T, b *Bus) {
	eventually(t, "the queue is empty", func() bool { return len(b.itemCh) == 0 })
}

// TestLoss has items of a channel dropped twice, with nothing received between:
// of the second time nats.go says nothing.
func TestLoss(t *testing.T) {
	s := startServer(t, server.Options{})
	var log logBuffer
	from, to := connect(t, s.ClientURL(), "from"), connectWith(t, Config{URL: s.ClientURL(), Name: "to", Log: newLogger(&log)})
	itemCh, lossCh := make(chan grip.Item, 1), make(chan struct{}, 1)
	sub, err := to.Subscribe(t.Context(), "c", func(i grip.Item) { itemCh <- i }, func() { lossCh <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	j := newJam(t, to)
	for round := 1; round <= 3; round++ {
		j.fill(t, from, to)
		publish(t, from, numbered("c", round))
		eventually(t, "the item is dropped", func() bool { n, err := sub.sub.Dropped(); return err == nil && n == round })
		j.release <- struct{}{}
		receive(t, lossCh, "report of the loss")
		if got := to.Counters().Lost; got != uint64(round) {
			t.Errorf("%d items lost, want %d", got, round)
		}
	}
	if !log.contains("items lost") || !log.contains("channel=c lost=1") {
		t.Errorf("loss is not in the log: %s", log.String())
	}
	drained(t, to)
	publish(t, from, numbered("c", 4))
	if got := receive(t, itemCh, "item"); got.ID != "4" {
		t.Errorf("item %s after the losses, want 4", got.ID)
	}
	// And once more after something was received.
	j.fill(t, from, to)
	publish(t, from, numbered("c", 5))
	eventually(t, "the item is dropped", func() bool { n, err := sub.sub.Dropped(); return err == nil && n == 4 })
	j.release <- struct{}{}
	receive(t, lossCh, "report of the loss")
}

// TestLossAfterClose closes a subscription that has losses to be told of.
func TestLossAfterClose(t *testing.T) {
	s := startServer(t, server.Options{})
	from, to := connect(t, s.ClientURL(), "from"), connect(t, s.ClientURL(), "to")
	lossCh := make(chan struct{}, 1)
	closed, err := to.Subscribe(t.Context(), "closed", ignoreItem, func() { t.Error("told of a loss after Close") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.Subscribe(t.Context(), "open", ignoreItem, func() { lossCh <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	j := newJam(t, to)
	j.fill(t, from, to)
	publish(t, from, numbered("closed", 1))
	publish(t, from, numbered("open", 1))
	eventually(t, "the item is dropped", func() bool { n, err := closed.sub.Dropped(); return err == nil && n == 1 })
	closed.Close()
	j.release <- struct{}{}
	receive(t, lossCh, "report of the other's loss")
}

func FuzzOpenItem(f *testing.F) {
	b := &Bus{opening: opening("fuzz")}
	f.Add("c", b.sealItem(numbered("c", 1)))
	f.Add("", []byte(`{"v":1,"items":[{"channel":"","formats":{"http-response":{"body-bin":"AA=="}}}]}`))
	f.Add("c", []byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, channel string, payload []byte) {
		item, err := openItem(channel, payload)
		if err != nil {
			return
		}
		again, err := openItem(channel, b.sealItem(item))
		if err != nil || !reflect.DeepEqual(again, item) {
			t.Errorf("%+v from %q is sent as %+v, %v", item, payload, again, err)
		}
	})
}

func BenchmarkItem(b *testing.B) {
	s := startServer(b, server.Options{})
	from, to := connect(b, s.ClientURL(), "from"), connect(b, s.ClientURL(), "to")
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			from.sealItem(exampleItem)
		}
	})
	payload := from.sealItem(exampleItem)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(payload)))
		for b.Loop() {
			if _, err := openItem("headline-value", payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("deliver", func(b *testing.B) {
		itemCh := make(chan grip.Item, 1)
		sub, err := to.Subscribe(b.Context(), "headline-value", func(i grip.Item) { itemCh <- i }, ignoreLoss)
		if err != nil {
			b.Fatal(err)
		}
		defer sub.Close()
		b.ReportAllocs()
		for b.Loop() {
			publish(b, from, exampleItem)
			<-itemCh
		}
	})
}
