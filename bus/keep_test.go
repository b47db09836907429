package bus

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestKeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, server.Options{JetStream: true, StoreDir: dir})
	port := portOf(s)
	upCh := make(chan struct{}, 1)
	b := connectWith(t, Config{URL: s.ClientURL(), Name: "b", Up: func() { upCh <- struct{}{} }})
	want := func(key string, value []byte) {
		t.Helper()
		got, err := b.Kept(t.Context(), key)
		if err != nil || !bytes.Equal(got, value) || (got == nil) != (value == nil) {
			t.Errorf("kept under %s: %q, %v, want %q", key, got, err, value)
		}
	}
	keep := func(key string, value []byte) {
		t.Helper()
		if err := b.Keep(t.Context(), key, value); err != nil {
			t.Error(err)
		}
	}
	want("capacity", nil) // there is no bucket yet
	keep("capacity", []byte("100000"))
	want("capacity", []byte("100000"))
	want("other", nil)
	keep("capacity", []byte("5000"))
	keep("other", []byte{})
	want("other", []byte{})

	stopServer(s)
	startServer(t, server.Options{JetStream: true, StoreDir: dir, Port: port})
	receive(t, upCh, "call of Up")
	want("capacity", []byte("5000"))

	if err := b.Keep(t.Context(), "a key", nil); err == nil || err.Error() != `keep "a key": nats: invalid key` {
		t.Errorf("error %v", err)
	}
}

func TestKeepWithoutJetStream(t *testing.T) {
	s := startServer(t, server.Options{})
	b := connect(t, s.ClientURL(), "b")
	const want = "the nats server has no jetstream (nats-server -js)"
	if _, err := b.Kept(t.Context(), "k"); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("Kept: error %v, want %s", err, want)
	}
	if err := b.Keep(t.Context(), "k", nil); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("Keep: error %v, want %s", err, want)
	}
}
