package zmq

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// still is a connection that has said all that it will, and hears nothing.
type still struct{ net.Conn }

func (still) SetReadDeadline(time.Time) error  { return nil }
func (still) SetWriteDeadline(time.Time) error { return nil }
func (still) Write(p []byte) (int, error)      { return len(p), nil }

// readAll reads messages from what a peer sent, as it comes from r.
func readAll(r io.Reader) (messages []message, err error) {
	p := &peer{nc: still{}, r: bufio.NewReader(r)}
	for {
		m, err := p.readMessage()
		if err != nil {
			return messages, err
		}
		messages = append(messages, m)
	}
}

// FuzzReadMessage reads what is not always a message: whole and byte by byte
// alike, within the bounds, and again when it is written again.
func FuzzReadMessage(f *testing.F) {
	f.Add(appendMessage(nil, []byte("a"), nil, bytes.Repeat([]byte("x"), 300)))
	f.Add(appendMessage(nil, slices.Repeat([][]byte{nil}, maxFrames+1)...))
	f.Add(slices.Concat(appendCommand(nil, "PING", []byte{0, 1, 2}), appendCommand(nil, "SUBSCRIBE", []byte("a")), appendCommand(nil, "CANCEL", []byte("a"))))
	f.Add([]byte{flagLong, 0, 0, 0, 0, 0, 0x20, 0, 0, 'x'})
	f.Add([]byte{flagMore, 1, 'a', flagCommand, 2, 1, 'X', 0, 1, 'b'})
	f.Fuzz(func(t *testing.T, data []byte) {
		messages, err := readAll(bytes.NewReader(data))
		if err == nil {
			t.Fatal("reading has no end")
		}
		slowly, slowErr := readAll(oneByte{bytes.NewReader(data)})
		same := func(a, b message) bool { return a.cut == b.cut && slices.EqualFunc(a.frames, b.frames, bytes.Equal) }
		if !slices.EqualFunc(messages, slowly, same) || err.Error() != slowErr.Error() {
			t.Errorf("%q is %v, %v, and byte by byte %v, %v", data, messages, err, slowly, slowErr)
		}
		for _, m := range messages {
			total := 0
			for _, frame := range m.frames {
				total += len(frame)
			}
			if total > maxMessage || len(m.frames) > maxFrames || len(m.frames) == 0 && !m.cut {
				t.Errorf("message has %d frames of %d bytes", len(m.frames), total)
			}
			if m.cut {
				continue
			}
			if again, err := readAll(bytes.NewReader(appendMessage(nil, m.frames...))); err != io.EOF || len(again) != 1 || !same(m, again[0]) {
				t.Errorf("%q is written and read as %v, %v", m.frames, again, err)
			}
		}
	})
}

// oneByte gives a byte at a time.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// FuzzHandshake greets in all kinds of ways.
func FuzzHandshake(f *testing.F) {
	f.Add(slices.Concat(greeting, appendCommand(nil, "READY", property("Identity", ""), property("socket-type", "PUSH"))))
	f.Add(slices.Concat(greeting, appendCommand(nil, "ERROR", []byte("\x02no"))))
	f.Add(slices.Concat(greeting, appendCommand(nil, "READY", []byte("\x04Sock\xff\xff\xff\xff"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		if readGreeting(r) != nil {
			return
		}
		if socketType, err := readReady(r); err == nil && len(socketType) > maxCommand {
			t.Errorf("%q: a type of %d bytes", data, len(socketType))
		}
	})
}
