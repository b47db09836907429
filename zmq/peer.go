package zmq

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// messageTimeout is how long a message may take to arrive once it has begun.
	messageTimeout = 30 * time.Second
	// writeTimeout is how long a peer may take nothing of what it is sent.
	writeTimeout = 30 * time.Second
)

// peer is a connection to a ZeroMQ socket after the handshake. One goroutine
// reads; writing is safe from any.
type peer struct {
	nc net.Conn
	r  *bufio.Reader

	writing sync.Mutex // a frame goes out whole
}

// readMessage returns the next message. Commands of ZMTP are obeyed meanwhile: a
// PING is answered, and a subscription that is a command is returned as the
// message that it stands for. The error ends the connection; io.EOF is a good
// end.
func (p *peer) readMessage() (message, error) {
	var m message
	total := 0
	for begun := false; ; {
		flags, size, err := readHead(p.r)
		if err != nil {
			if begun {
				err = unexpected(err)
			}
			return m, err
		}
		if !begun {
			if err := p.nc.SetReadDeadline(time.Now().Add(messageTimeout)); err != nil {
				return m, err
			}
		}
		switch {
		case flags&flagCommand != 0:
			subscription, err := p.obey(size)
			if err != nil {
				return m, err
			}
			if begun {
				continue // a subscription has no business between frames
			}
			if err := p.nc.SetReadDeadline(time.Time{}); err != nil || subscription != nil {
				return message{frames: [][]byte{subscription}}, err
			}
			continue
		case m.cut || size > uint64(maxMessage-total) || len(m.frames) == maxFrames:
			m.cut = true
			if _, err := io.CopyN(io.Discard, p.r, int64(size)); err != nil {
				return m, unexpected(err)
			}
		default:
			body, err := readBody(p.r, int(size))
			if err != nil {
				return m, err
			}
			total += len(body)
			m.frames = append(m.frames, body)
		}
		if flags&flagMore == 0 {
			return m, p.nc.SetReadDeadline(time.Time{})
		}
		begun = true
	}
}

// obey reads a command of ZMTP and does what it says. For a subscription it
// returns the message that it stands for, for others nil.
func (p *peer) obey(size uint64) (subscription []byte, err error) {
	name, data, err := readCommand(p.r, size)
	if err != nil {
		return nil, err
	}
	switch name {
	case "PING": // a time to live in two bytes, and a context to send back
		if len(data) < 2 {
			return nil, fmt.Errorf("%w: a PING of %d bytes", errFrame, len(data))
		}
		return nil, p.write(appendCommand(nil, "PONG", data[2:]))
	case "SUBSCRIBE":
		return append([]byte{1}, data...), nil
	case "CANCEL":
		return append([]byte{0}, data...), nil
	case "ERROR":
		return nil, fmt.Errorf("peer ended the connection: %q", data)
	}
	return nil, nil
}

// write sends frames. It blocks while the peer does not read, and fails when
// the peer has taken nothing for 30 s.
func (p *peer) write(frames []byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	for len(frames) > 0 {
		if err := p.nc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		n := min(len(frames), prompt)
		if _, err := p.nc.Write(frames[:n]); err != nil {
			return err
		}
		frames = frames[n:]
	}
	return nil
}

// talk runs read and, on a goroutine of its own, write, until both have ended.
// When one ends the connection is closed, and write's ctx ends. The error is
// that of the one that ended first.
func (p *peer) talk(ctx context.Context, read func() error, write func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := write(ctx)
		cancel(err)
		p.nc.Close()
	})
	err := read()
	cancel(err)
	p.nc.Close()
	wg.Wait()
	return context.Cause(ctx)
}

func (p *peer) String() string {
	if address := p.nc.RemoteAddr().String(); address != "" && address != "@" {
		return address
	}
	return p.nc.LocalAddr().String() // of an ipc:// peer, which has no name
}
